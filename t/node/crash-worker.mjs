// A worker in a process of its own, to be killed: for worker.test.mjs. What it
// is to do comes in the environment (CONNECTIONS, and QUEUE, which names the
// workflow with the branches; START, the input of a row that it starts itself)
// and in the inputs. It tells its parent where it is.

import pg from 'pg';
import { DurableWf } from 'durable-wf';

const sql = new pg.Pool({ max: 2, application_name: 'test' });
const wf = new DurableWf();
const tell = (what) => process.send(what);
const forever = () => new Promise(() => {});
const done = (id, what) => sql.query('INSERT INTO done VALUES ($1, $2)', [id, what]);

// Three things in a row; tells when it is in one, and stays there.
wf.workflow('row', async (ctx, { stay }) => {
  await ctx.step('before', () => done(ctx.id, 'before').then(() => 'b'));
  await ctx.step('work', async () => {
    await done(ctx.id, 'work');
    if (stay === 'step') {
      tell('in the step');
      await forever();
    }
    tell('to be saved');
    return 'w';
  });
  tell('waits');
  const message = await ctx.recv('go', { timeout: null });
  return `b w ${message}`;
});

// Branches at a time, each of two steps. The first steps become ready in a given
// order, and the process kills itself when so many are saved.
const branches = wf.workflow(process.env.QUEUE ?? 'branches', async (ctx, { order, dieAfter }) => {
  const opened = {}, gates = {};
  for (const name of order)
    gates[name] = new Promise((resolve) => { opened[name] = resolve; });
  let saved = 0;
  opened[order[0]]();
  return Promise.all([...order].sort().map(async (name) => {
    await ctx.step(`${name}1`, async () => {
      await gates[name];
      await done(ctx.id, `${name}1`);
    });
    if (++saved === dieAfter)
      process.kill(process.pid, 'SIGKILL');
    opened[order[order.indexOf(name) + 1]]?.();
    return ctx.step(`${name}2`, () => done(ctx.id, `${name}2`).then(() => name));
  }));
});

// Takes its time, and tells when it has begun.
wf.workflow('slow', async (ctx) => {
  await ctx.step('slow', async () => {
    tell('in the step');
    await new Promise((resolve) => setTimeout(resolve, 300));
  });
  return 'in peace';
});

wf.work({
  connections: Number(process.env.CONNECTIONS ?? 2), logger: null,
  queues: process.env.QUEUE ? [branches] : undefined,
});
if (process.env.START) {
  // one of its connections waits for work by now, and another one is free
  const free = `SELECT FROM pg_stat_activity WHERE application_name = 'durable-wf worker' AND state = 'idle'`;
  while ((await sql.query(free)).rows.length === 0)
    await new Promise((resolve) => setTimeout(resolve, 20));
  await wf.start('row', JSON.parse(process.env.START));
}
