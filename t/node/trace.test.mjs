// Traces: what is sent takes along the active span's context, by OpenTelemetry's
// API (a stand-in that is where that keeps itself) or by the client's option; a
// worker's code has its workflow's and that of what it receives.

import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { after, test } from 'node:test';
import pg from 'pg';
import { DurableWf } from 'durable-wf';

const of = (digit) => `00-${digit.repeat(32)}-${digit.repeat(16)}-01`;
const active = new AsyncLocalStorage();
const key = Symbol.for('OpenTelemetry Context Key SPAN');
const spanContext = (digit) => ({ traceId: digit.repeat(32), spanId: digit.repeat(16), traceFlags: 1 });
const within = (digit, run) => active.run(digit, run);
globalThis[Symbol.for('opentelemetry.js.api.1')] = {
  context: { active: () => ({
    getValue: (asked) => asked === key && active.getStore() !== undefined ?
      { spanContext: () => spanContext(active.getStore()) } : undefined,
  }) },
};

const sql = new pg.Client();
await sql.connect();
await sql.query('CREATE EXTENSION IF NOT EXISTS durable_wf');
const clients = [];
const client = (options) => { clients.push(new DurableWf(options)); return clients.at(-1); };
after(async () => {
  await Promise.all(clients.map((each) => each.close()));
  await sql.end();
});

const traces = async (id) => (await sql.query(
  `SELECT payload #>> '{}' AS payload, traceparent FROM durable_wf.message
    WHERE workflow_id = $1 ORDER BY message_id`, [id])).rows.map(
  ({ payload, traceparent }) => `${payload} ${traceparent?.[3] ?? '-'}`);

test('the client: each call that sends has the span that is active', async () => {
  const wf = client();
  const sink = await wf.start(null, undefined, { id: 'node-sink' });
  await within('a', () => sink.send('a'));
  await sink.send('none');
  await within('b', () => wf.sendMany([{ to: sink, message: 'many' }, { to: sink, message: 'too', topic: 't' }]));
  assert.equal((await within('c', () => wf.notify('e', 'notified', { workflowId: sink }))).length, 1);
  await within('d', () => wf.start(null, undefined, { id: 'node-started' }));
  assert.deepEqual(await traces('node-sink'), ['a a', 'none -', 'many b', 'too b', 'notified c']);
  const { rows } = await sql.query("SELECT traceparent FROM wf_workflows WHERE workflow_id = 'node-started'");
  assert.equal(rows[0].traceparent, of('d'));
});

test('the option: a string, a function, false', async () => {
  await client().start(null, undefined, { id: 'node-option' });
  await client({ traceparent: of('1') }).send('node-option', 'string');
  await within('a', () => client({ traceparent: () => of('2') }).send('node-option', 'function'));
  await within('a', () => client({ traceparent: false }).send('node-option', 'false'));
  assert.deepEqual(await traces('node-option'), ['string 1', 'function 2', 'false -']);
});

test('a worker: its own, what it receives, what it sends; over a suspension', async () => {
  const wf = client();
  await wf.start(null, undefined, { id: 'node-end' });
  wf.workflow('traced', async (ctx) => {
    await ctx.send('node-end', 'own');
    await within('e', () => ctx.send('node-end', 'in a span'));
    await ctx.recv('go');
    const received = await ctx.receivedTraceparent();
    await within(received[3], () => ctx.send('node-end', 'goes on'));
    return { own: ctx.traceparent, received };
  });
  const worker = wf.work({ suspendAfter: '10 ms', signals: false });
  const handle = await within('a', () => wf.start('traced'));
  for (let waits = false; !waits;)
    waits = await handle.status() === 'WAITING';
  await within('b', () => handle.send(1, 'go'));
  assert.deepEqual(await handle.result({ timeout: '60 s' }), { own: of('a'), received: of('b') });
  assert.deepEqual(await traces('node-end'), ['own a', 'in a span e', 'goes on b']);
  await worker.stop();
});
