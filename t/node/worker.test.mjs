// The worker of clients/node, and what it makes of crashes.
//
// ./run test-node gives it a server: its address in PGHOST and so on, its
// directory in PGDATA, its log in DWF_LOG.  Nothing here judges by time.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { test, before, after, afterEach } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual, promisify } from 'node:util';
import pg from 'pg';
import { DurableWf, DurableError, FatalError, StepError, WorkflowCancelledError,
  WorkflowFailedError } from 'durable-wf';
import { journalOf, replay } from 'durable-wf/testing';
import { fitsJsonb, fromJsonb } from './node_modules/durable-wf/src/json.js';

const run = promisify(execFile);
const here = fileURLToPath(new URL('.', import.meta.url));
const timeout = 180_000;
const sql = new pg.Pool({ max: 4, application_name: 'test' });
sql.on('error', () => {});
const query = async (text, values) => (await sql.query(text, values)).rows;

// Wait for what the server shows.
async function until(text, values) {
  for (;;) {
    const [row] = await query(`SELECT (${text}) AS met`, values);
    if (row.met)
      return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// What is seen as soon as it stays for a moment: what came before is over.
async function atRest(look) {
  for (let before = await look(); ;) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    const now = await look();
    if (isDeepStrictEqual(now, before))
      return now;
    before = now;
  }
}

const silent = { warn() {}, error() {} };
const clients = [];

// A client whose worker has these workflows.
function worker(workflows, options = {}) {
  const wf = new DurableWf();
  for (const [name, code] of Object.entries(workflows))
    wf.workflow(name, code);
  clients.push(wf);
  wf.worker = wf.work({ connections: 2, signals: false, logger: silent, ...options });
  return wf;
}

const steps = async (id) => (await query(
  'SELECT name FROM wf_list_steps($1)', [id])).map((row) => row.name);
const settled = (ids) => until(`NOT EXISTS (SELECT FROM wf_workflows
   WHERE workflow_id = ANY ($1) AND finished_at IS NULL)`, [ids]);

before(async () => {
  await query('CREATE EXTENSION durable_wf');
  await query('CREATE TABLE done (workflow text, what text, pid int DEFAULT pg_backend_pid())');
});

afterEach(() => Promise.all(clients.splice(0).map((wf) => wf.close())));
after(() => sql.end());

test('from start to result', { timeout }, async () => {
  const wf = worker({
    checkout: async (ctx, input) => {
      const reserved = await ctx.step('reserve', ({ key, attempt }) => ({ key, attempt, input }));
      await ctx.setEvent('payment_url', 'https://pay.example/1');
      const paid = await ctx.recv('paid', { timeout: null });
      await ctx.sql('book', 'INSERT INTO done (workflow, what) VALUES ($1->>0, $1->>1)', [ctx.id, paid]);
      return { reserved, paid, attempt: ctx.attempt, input: ctx.input };
    },
  });
  const order = await wf.start('checkout', { sku: 'A1' }, { id: 'order-1', attributes: { customer: 7 } });
  assert.equal(`${order}`, 'order-1');
  assert.equal(await order.getEvent('payment_url'), 'https://pay.example/1');
  await order.send('card', 'paid');
  assert.deepEqual(await order.result(), {
    reserved: { key: 'order-1/1', attempt: 1, input: { sku: 'A1' } },
    paid: 'card', attempt: 1, input: { sku: 'A1' },
  });
  assert.deepEqual(await steps('order-1'),
    ['reserve', 'wf_set_event(payment_url)', 'wf_recv(paid)', 'book']);
  assert.deepEqual(await query(`SELECT what FROM done WHERE workflow = 'order-1'`), [{ what: 'card' }]);
  assert.deepEqual(await query(
    `SELECT workflow_id FROM wf_workflows WHERE attributes @> '{"customer": 7}'`),
  [{ workflow_id: 'order-1' }]);

  // the same start again is the same workflow
  assert.deepEqual(await (await wf.start('checkout', { sku: 'A1' }, { id: 'order-1' })).status(), 'SUCCESS');
  // what was recorded fits the code
  const journal = await journalOf(sql, order);
  assert.deepEqual(journal.input, { sku: 'A1' });
  const outcome = await replay(async (ctx, input) => {
    await ctx.step('reserve', () => assert.fail('done'));
    await ctx.setEvent('payment_url', 'x');
    const paid = await ctx.recv('paid');
    return [input, paid, await ctx.sql('book', '')];
  }, journal);
  assert.deepEqual(outcome, { status: 'SUCCESS', output: [{ sku: 'A1' }, 'card', null] });
});

test('the keys of an object are in one order, in the first run and later', { timeout }, async () => {
  const orders = [];
  const wf = worker({
    ordered: async (ctx) => {
      const got = await ctx.step('object', () => ({ ccc: 1, bb: { z: 1, y: 2 }, a: -0 }));
      orders.push(JSON.stringify(got));
      return ctx.recv('go', { timeout: null });
    },
  }, { suspendAfter: 0 });
  const flow = await wf.start('ordered');
  await until(`EXISTS (SELECT FROM wf_workflows WHERE queue = 'ordered' AND status = 'WAITING')`);
  await flow.send(1, 'go');
  await flow.result();
  assert.deepEqual(orders, Array(2).fill('{"a":0,"bb":{"y":2,"z":1},"ccc":1}'));
});

// What the sessions of workers have sent, while a function runs.
async function sentBy(action) {
  const { query: send } = pg.Client.prototype;
  const sent = [];
  pg.Client.prototype.query = function (config, ...rest) {
    const calls = config.text?.match(/wf_\w+/g);
    if (calls && /^durable-wf worker/.test(this.connectionParameters.application_name))
      sent.push(calls.join(' '));
    return send.call(this, config, ...rest);
  };
  try {
    await action();
  } finally {
    pg.Client.prototype.query = send;
  }
  return sent;
}

// A worker's other session waits for work, and this one is free.
const oneFree = () => until(`(SELECT count(*) FROM pg_stat_activity
   WHERE application_name = 'durable-wf worker' AND state = 'idle') = 1
   AND EXISTS (SELECT FROM wf_waiters WHERE door = 'queue')`);

// ... and the worker knows that: what is started begins on it.
async function beginsHere(action) {
  while (!(await sentBy(action)).includes('wf_start_attached'))
    await new Promise((resolve) => setTimeout(resolve, 20));
}

test('what is started here begins here, in as few statements as can be', { timeout }, async () => {
  const wf = worker({
    one: (ctx, n) => ctx.step('double', () => 2 * n),
    two: async (ctx) => [await ctx.step('a', () => 'a'), await ctx.step('b', () => 'b')],
    none: async () => 'nothing',
    bad: (ctx) => ctx.step('bad', () => { throw new FatalError('no'); }),
    odd: (ctx) => ctx.step('odd', () => '\u0000'),
    slow: (ctx) => ctx.step('slow', () => until(`EXISTS (SELECT FROM wf_executions
      WHERE workflow_id = '${ctx.id}' AND step_name = 'slow')`).then(() => 'seen')),
  });
  const begin = async (...args) => (await wf.start(...args)).result();
  await beginsHere(() => begin('none'));
  const journal = [];
  assert.deepEqual(await sentBy(async () => {
    assert.equal(await begin('one', 4), 8);
    const two = await wf.start('two');
    assert.deepEqual(await two.result(), ['a', 'b']);
    journal.push(...await steps(two.id));
    assert.equal(await begin('none'), 'nothing');
  }), ['wf_start_attached', 'wf_save_step wf_complete',
    'wf_start_attached', 'wf_save_step', 'wf_save_step wf_complete',
    'wf_start_attached', 'wf_complete']);
  assert.deepEqual(journal, ['a', 'b']);
  await assert.rejects(begin('bad'), { name: 'WorkflowFailedError', message: 'no' });
  await assert.rejects(begin('odd'), { name: 'WorkflowFailedError', message: /Unicode|unsupported/i });
  // a step that takes longer than a moment is seen by others
  assert.equal(await begin('slow'), 'seen');

  // one that is there already is left as it is; one for later waits
  const first = await wf.start('one', 1, { id: 'here once' });
  assert.equal(await first.result(), 2);
  assert.equal(await (await wf.start('one', 1, { id: 'here once' })).result(), 2);
  await assert.rejects(wf.start('one', 2, { id: 'here once' }), { code: '42710' });
  assert.equal(await (await wf.start('one', 3, { startAfter: '10 ms' })).result(), 6);
  // more at a time than there are connections
  assert.deepEqual(await Promise.all(Array.from({ length: 20 }, (_, n) => begin('one', n))),
    Array.from({ length: 20 }, (_, n) => 2 * n));
  // cancelled in its step by others: result() knows it, before the step ends
  let go;
  const gate = new Promise((resolve) => { go = resolve; });
  const other = worker({ gated: (ctx) => ctx.step('gated', () => gate) });
  await until(`EXISTS (SELECT FROM wf_waiters WHERE door = 'queue' AND key = 'gated')`);
  const gated = await other.start('gated');
  const result = gated.result();
  await query('SELECT wf_cancel($1)', [gated.id]);
  await assert.rejects(result, WorkflowCancelledError);
  go();
});

test('a step is recorded before anything follows it', { timeout }, async () => {
  const seen = [];
  const recorded = async (ctx) => (await query(`SELECT string_agg(name, ' ' ORDER BY step_no) AS names
    FROM durable_wf.step WHERE workflow_id = $1 AND completed_at IS NOT NULL`, [ctx.id]))[0].names;
  const see = async (ctx, what) => { seen.push(`${what}: ${await recorded(ctx)}`); };
  const wf = worker({
    follows: async (ctx) => {
      await ctx.step('a', () => 1);
      await ctx.step('b', () => see(ctx, 'in a step'));
      await ctx.setEvent('c', 1);
      await see(ctx, 'after a call');
      await ctx.step('d', () => 1);
      await until(`EXISTS (SELECT FROM durable_wf.step WHERE workflow_id = '${ctx.id}' AND name = 'd')`);
      // f ends, and may be recorded, when e has looked
      let looked;
      const look = new Promise((resolve) => { looked = resolve; });
      await Promise.all([ctx.step('e', () => see(ctx, 'at a time').then(looked)), ctx.step('f', () => look)]);
      await ctx.step('g', () => 1);
      await ctx.sleep(1);
      await see(ctx, 'after a wait');
      const last = await ctx.step('h', () => 1);
      throw new FatalError(`failed ${last}`);
    },
  }, { suspendAfter: '1 min' });
  await oneFree();
  for (const start of ['here', 'there']) {
    const id = start === 'here' ? (await wf.start('follows')).id :
      (await query(`SELECT wf_start(queue => 'follows') AS id`))[0].id;
    await assert.rejects(wf.result(id), { message: 'failed 1' });
    assert.deepEqual(seen.splice(0), ['in a step: a', 'after a call: a b c',
      'at a time: a b c d', 'after a wait: a b c d e f g']);
    assert.deepEqual(await steps(id),
      ['a', 'b', 'wf_set_event(c)', 'd', 'e', 'f', 'g', 'wf_sleep', 'h']);
    assert.equal((await replay(async () => {}, await journalOf(sql, id))).status, 'SUCCESS');
    await oneFree();
  }
});

test('after a step that is not recorded no other begins, at whatever time', { timeout }, async () => {
  // the journal refuses the first step, by an error of another workflow's end: so
  // the run ends only when it has asked the server, after the turns of the others
  await query(`CREATE FUNCTION refuses() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE 'not now' USING ERRCODE = 'WF003'; END $$`);
  await query(`CREATE TRIGGER refuses BEFORE INSERT ON durable_wf.step FOR EACH ROW
    WHEN (NEW.name = 'refused') EXECUTE FUNCTION refuses()`);
  let runs = 0;
  const begun = [];
  let warned;
  const hasWarned = new Promise((resolve) => { warned = resolve; });
  const wf = worker({
    side: async (ctx) => {
      runs++;
      await ctx.step('refused', () => 1);
      return Promise.all(['a', 'b', 'c'].map((name) => ctx.step(name, () => {
        begun.push(`${name} of run ${runs}`);
        return name;
      })));
    },
  }, { logger: { warn: () => warned(), error() {} } });
  const flow = await wf.start('side');
  await hasWarned;
  await query('DROP TRIGGER refuses ON durable_wf.step');
  assert.deepEqual(await flow.result(), ['a', 'b', 'c']);
  assert.ok(runs > 1);
  assert.deepEqual(begun, ['a', 'b', 'c'].map((name) => `${name} of run ${runs}`));
  assert.equal((await steps(flow.id))[0], 'refused');
});

test('values are as jsonb has them, without asking it', { timeout }, async () => {
  let seed = 20261127;
  const random = (n) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 1;
    return seed % n;
  };
  const strings = ['', 'a', 'b', 'aa', 'B', '10', '2', '__proto__', 'constructor', 'é', '\ud83d\ude00',
    '\u007f', '\u0001', '"', '\\', '\\u0000', 'z'.repeat(300), '\ud800', '\u0000', '\uffff'];
  const numbers = [0, -0, 1, -1.5, 1e21, 1e-7, 5e-324, 1.7976931348623157e308, 2 ** 53, 0.1, 123456.789];
  const value = (depth) => {
    switch (random(depth > 4 ? 4 : 6)) {
      case 0: return strings[random(strings.length)];
      case 1: return numbers[random(numbers.length)];
      case 2: return [null, true, false][random(3)];
      case 3: return random(1000) / 7;
      case 4: return Array.from({ length: random(5) }, () => value(depth + 1));
      default: return Object.fromEntries(Array.from({ length: random(6) }, () =>
        [strings[random(strings.length)], value(depth + 1)]));
    }
  };
  const text = { getTypeParser: () => (given) => given };
  let fitting = 0;
  for (let n = 0; n < 400; n++) {
    const json = JSON.stringify(value(0));
    if (!fitsJsonb(json))
      continue;
    fitting++;
    const { rows: [row] } = await sql.query({ text: 'SELECT $1::jsonb AS value', values: [json], types: text });
    assert.equal(JSON.stringify(fromJsonb(json)), JSON.stringify(JSON.parse(row.value)), json);
  }
  assert.ok(fitting > 200);
  assert.ok(!fitsJsonb(JSON.stringify('\u0000')) && !fitsJsonb(JSON.stringify(['\udfff'])));
  assert.ok(!fitsJsonb('['.repeat(5000) + ']'.repeat(5000)) && fitsJsonb('[[1],{"a":[]}]'));
});

test('failures, and what retry makes of them', { timeout }, async () => {
  let isDown = true;
  const wf = worker({
    fails: async (ctx, how) => {
      if (how === 'throws')
        throw new TypeError('bad input');
      await ctx.step('first', () => query('INSERT INTO done VALUES ($1, $2)', [ctx.id, 'first']).then(() => 1));
      return ctx.step('call', () => {
        if (isDown)
          throw new FatalError('it is down');
        return 'it is up';
      }, { attempts: 3 });
    },
  });
  const bad = await wf.start('fails', 'throws');
  await assert.rejects(bad.result(), (error) => error instanceof WorkflowFailedError &&
    error.message === 'TypeError: bad input' && error.workflowId === bad.id);
  const down = await wf.start('fails', 'step', { id: 'down' });
  await assert.rejects(down.result(), { message: 'it is down' });
  isDown = false;
  await down.retry();
  assert.equal(await down.result(), 'it is up');
  assert.deepEqual(await query(`SELECT what FROM done WHERE workflow = 'down'`), [{ what: 'first' }]);
});

test('everything that ctx has, live', { timeout }, async () => {
  const wf = worker({
    child: async (ctx, n) => {
      await ctx.stream('progress').write({ n });
      return n * 2;
    },
    all: async (ctx) => {
      const seen = {};
      const [now, random, uuid] = [await ctx.now(), await ctx.random(), await ctx.uuid()];
      seen.types = [now instanceof Date, random >= 0 && random < 1, /^[0-9a-f-]{36}$/.test(uuid)];
      const children = [await ctx.startChild('child', 1), await ctx.startChild('child', 2, { id: 'all/2' })];
      seen.children = await Promise.all(children.map((child) => child.result()));
      seen.progress = [];
      for await (const item of ctx.readStream('all/2', 'progress'))
        seen.progress.push(item);
      seen.status = await children[0].status();

      const hook = await ctx.createHook({ token: 'all hook', metadata: { ask: 1 } });
      const webhook = await ctx.createWebhook({ respondWith: 'manual' });
      await ctx.setEvent('webhook', webhook.token);
      seen.first = await ctx.any({ hook, late: { topic: 'late' } });
      const request = await webhook.receive();
      seen.request = [request.method, request.body, await request.text(),
        await request.respondWith({ status: 201, body: 'thanks' })];
      seen.disposed = [await hook.dispose(), await webhook.dispose()];

      seen.lookback = await ctx.waitForEvent('cart', { timeout: '1 min' });
      seen.timedOut = await ctx.waitForEvent('cart', { timeout: 1 });
      seen.broadcast = (await ctx.notify('nobody', 1)).length;
      await ctx.sendMany([{ to: ctx.id, message: null }, { to: ctx.id, message: 2 }], 'self');
      await ctx.send(ctx.id, 'x', { topic: 'y', idempotencyKey: 'k' });
      seen.self = [await ctx.recv('self'), await ctx.recv('self'), await ctx.recv('self', { timeout: 1 }),
        await ctx.recvAny(['z', 'y']), await ctx.recvAny(['z', 'y'], { timeout: 1 })];
      seen.attributes = await ctx.setAttributes({ a: 1 });
      seen.patched = await ctx.patched('change');
      seen.slept = await ctx.sleep(5) instanceof Date;
      seen.event = [await ctx.getEvent('all', 'webhook') === webhook.token,
        await ctx.getEvent('all/2', 'never')];
      seen.url = (await ctx.stream('out').url()).url.includes('/stream/');
      await ctx.stream('out').close();
      try {
        await ctx.stream('out').write(1);
      } catch (error) {
        seen.closed = error.code;
      }
      try {
        await ctx.send('nobody at all', 1);
      } catch (error) {
        seen.nobody = [error instanceof DurableError, error.code];
      }
      try {
        await ctx.send('all/2', 1);
      } catch (error) {
        seen.ended = error.code;      // another workflow's end is not ours
      }
      seen.cancelled = await ctx.workflow('all/2').cancel();
      return seen;
    },
  });
  const all = await wf.start('all', undefined, { id: 'all' });
  const token = await all.getEvent('webhook');
  await wf.notify('cart', { id: 1 }, { workflowId: all });
  await wf.resumeHook('all hook', 'from outside');
  await query(`SELECT wf_resume_webhook($1, '{"method": "POST", "body": "how much?"}')`, [token]);
  assert.deepEqual(await all.result(), {
    types: [true, true, true], children: [2, 4], progress: [{ n: 2 }], status: 'SUCCESS',
    first: { source: 'hook', value: 'from outside' },
    request: ['POST', 'how much?', 'how much?', true], disposed: [true, true],
    lookback: { eventData: { id: 1 }, timedOut: false }, timedOut: { timedOut: true },
    broadcast: 0, self: [null, 2, null, { topic: 'y', message: 'x' }, null],
    attributes: { a: 1 }, patched: true, slept: true, event: [true, null], url: true,
    closed: '55000', nobody: [true, 'WF001'], ended: 'WF003', cancelled: false,
  });
  assert.deepEqual(await query(`SELECT parent_id FROM wf_workflows WHERE workflow_id = 'all/2'`),
    [{ parent_id: 'all' }]);
  const outcome = await replay(async () => {}, await journalOf(sql, 'all'));
  assert.equal(outcome.status, 'SUCCESS');
});

// A worker in a process of its own; `says` resolves when it says something.
function program(env = {}) {
  const child = spawn(process.execPath, ['crash-worker.mjs'], {
    cwd: here, env: { ...process.env, ...env }, stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const said = [];
  child.exited = once(child, 'exit');
  child.on('message', (what) => { said.push(what); child.emit('said'); });
  child.says = async (what) => {
    while (!said.includes(what))
      await once(child, 'said');
  };
  return child;
}

// The workflows of that program, for a worker that goes on with them.
const branches = async (ctx, { order }) => Promise.all([...order].sort().map(async (name) => {
  await ctx.step(`${name}1`, () => query('INSERT INTO done VALUES ($1, $2)', [ctx.id, `${name}1`]));
  return ctx.step(`${name}2`, () =>
    query('INSERT INTO done VALUES ($1, $2)', [ctx.id, `${name}2`]).then(() => name));
}));
const row = async (ctx) => {
  const done = (what) => query('INSERT INTO done VALUES ($1, $2)', [ctx.id, what]);
  const all = [await ctx.step('before', () => done('before').then(() => 'b')),
    await ctx.step('work', () => done('work').then(() => 'w'))];
  return [...all, await ctx.recv('go', { timeout: null })].join(' ');
};
const count = async (id, what) => (await query(
  'SELECT count(*)::int AS n FROM done WHERE (workflow, what) = ($1, $2)', [id, what]))[0].n;

test('killed in a step: that step is done again, and no other', { timeout }, async () => {
  const child = program();
  const starter = worker({ other: async () => {} });
  const flow = await starter.start('row', { stay: 'step' }, { id: 'killed in step' });
  await child.says('in the step');
  child.kill('SIGKILL');
  await child.exited;
  worker({ row });
  await flow.send(1, 'go');
  assert.equal(await flow.result(), 'b w 1');
  assert.equal(await count(flow.id, 'before'), 1);
  assert.equal(await count(flow.id, 'work'), 2);
});

test('killed in what it has started itself: that goes on elsewhere', { timeout }, async () => {
  for (const stay of ['step', undefined]) {
    const child = program({ START: JSON.stringify({ stay }) });
    await child.says(stay ? 'in the step' : 'waits');
    const [{ id }] = await query(`SELECT workflow_id AS id FROM wf_workflows
      WHERE queue = 'row' AND finished_at IS NULL`);
    child.kill('SIGKILL');
    await child.exited;
    const wf = worker({ row });
    await wf.send(id, 5, 'go');
    assert.equal(await wf.result(id), 'b w 5');
    assert.equal(await count(id, 'before'), 1);
    assert.ok([1, 2].includes(await count(id, 'work')));
    await wf.close();
  }
});

test('killed in a save: it is recorded, or the step is done again', { timeout }, async () => {
  const child = program();
  const starter = worker({ other: async () => {} });
  const blocker = await sql.connect();
  const flow = await starter.start('row', { stay: 'save' }, { id: 'killed in save', startAfter: '1 day' });
  // nobody can write the journal once the first step is there
  await query(`CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock(77); RETURN NEW; END $$`);
  await query(`CREATE TRIGGER hold BEFORE INSERT ON durable_wf.step FOR EACH ROW
    WHEN (NEW.name = 'work') EXECUTE FUNCTION hold()`);
  await blocker.query('SELECT pg_advisory_lock(77)');
  await query(`UPDATE durable_wf.workflow SET due_at = now() WHERE workflow_id = $1`, [flow.id]);
  await starter.start('row', { stay: 'save' }, { id: 'another one' });
  await until(`EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)`);
  child.kill('SIGKILL');
  await child.exited;
  await blocker.query('SELECT pg_advisory_unlock(77)');
  blocker.release();
  worker({ row });
  for (const id of [flow.id, 'another one']) {
    await starter.send(id, 2, 'go');
    assert.equal(await starter.result(id), 'b w 2');
    assert.equal(await count(id, 'before'), 1);
    assert.ok([1, 2].includes(await count(id, 'work')));
    assert.deepEqual(await steps(id), ['before', 'work', 'wf_recv(go)']);
  }
  await query('DROP TRIGGER hold ON durable_wf.step');
});

test('killed in a wait: nothing is done again, and no message is lost', { timeout }, async () => {
  const child = program();
  const starter = worker({ other: async () => {} });
  const flow = await starter.start('row', {}, { id: 'killed in wait' });
  await child.says('waits');
  await until(`EXISTS (SELECT FROM wf_waiters WHERE workflow_id = $1)`, [flow.id]);
  child.kill('SIGKILL');
  await flow.send(3, 'go');
  await child.exited;
  worker({ row });
  assert.equal(await flow.result(), 'b w 3');
  assert.equal(await count(flow.id, 'before'), 1);
  assert.equal(await count(flow.id, 'work'), 1);
});

test('parallel steps, killed in each order', { timeout }, async () => {
  const starter = worker({ other: async () => {} });
  const orders = ['abc', 'acb', 'bac', 'bca', 'cab', 'cba'];
  const ids = [];
  for (const dieAfter of [1, 2, 3])
    await Promise.all(orders.map(async (order) => {
      const id = `${order} ${dieAfter}`;
      ids.push(id);
      await starter.start(id, { order, dieAfter }, { id });
      const child = program({ CONNECTIONS: '1', QUEUE: id });
      assert.deepEqual(await child.exited, [null, 'SIGKILL']);
    }));
  const recorded = await query(`SELECT workflow_id, name FROM durable_wf.step
    WHERE workflow_id = ANY ($1) AND completed_at IS NOT NULL`, [ids]);
  for (const id of ids)
    assert.ok(recorded.filter((step) => step.workflow_id === id).length >= Number(id.slice(-1)));
  // whatever was ready first there, it is gone on with from there
  worker(Object.fromEntries(ids.map((id) => [id, branches])), { connections: 4 });
  for (const id of ids)
    assert.deepEqual(await starter.result(id), ['a', 'b', 'c']);
  for (const { workflow_id, name } of recorded)
    assert.equal(await count(workflow_id, name), 1, `${workflow_id}: ${name}`);
});

test('SIGTERM drains', { timeout }, async () => {
  const child = program();
  const starter = worker({ other: async () => {} });
  const flow = await starter.start('slow', null, { id: 'drained' });
  await child.says('in the step');
  child.kill('SIGTERM');
  assert.deepEqual(await child.exited, [null, 'SIGTERM']);
  assert.equal(await flow.status(), 'SUCCESS');
  // and what it did not take is left
  const other = await starter.start('slow', null, { id: 'not taken' });
  assert.equal(await other.status(), 'PENDING');
  assert.deepEqual(await query('SELECT * FROM wf_executions'), []);
  await other.cancel();
});

test('stop() gives up what does not end', { timeout }, async () => {
  let begun;
  const hasBegun = new Promise((resolve) => { begun = resolve; });
  let aborted = false;
  const wf = worker({
    endless: (ctx) => ctx.step('endless', ({ signal }) => new Promise(() => {
      signal.addEventListener('abort', () => { aborted = true; });
      begun();
    })),
  });
  const flow = await wf.start('endless');
  await hasBegun;
  assert.equal(wf.worker.running, 1);
  await wf.worker.stop({ drainTimeout: 10 });
  assert.ok(aborted);
  await until('NOT EXISTS (SELECT FROM wf_executions)');
  worker({ endless: (ctx) => ctx.step('endless', () => 'after all') });
  assert.equal(await flow.result(), 'after all');
});

test('stop() ends waits that have just begun', { timeout }, async () => {
  for (let n = 0; n < 20; n++) {
    const wf = worker({ quick: async () => n }, { connections: 4 });
    assert.equal(await (await wf.start('quick')).result(), n);
    await wf.close();
  }
});

test('cancelled: in a wait, in a step, and the worker goes on', { timeout }, async () => {
  const seen = [];
  let begun;
  const hasBegun = new Promise((resolve) => { begun = resolve; });
  const wf = worker({
    cancelled: async (ctx, where) => {
      try {
        if (where === 'wait')
          return await ctx.recv('never', { timeout: null });
        return await ctx.step('work', async ({ signal }) => {
          begun();
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
        }, { timeout: where === 'step' ? 3000 : null });
      } catch (error) {
        seen.push(error);
        throw error;
      } finally {
        seen.push('finally');
      }
    },
    next: async () => 'next',
  }, { connections: 1 });
  const waiting = await wf.start('cancelled', 'wait', { id: 'cancelled wait' });
  await until(`EXISTS (SELECT FROM wf_waiters WHERE workflow_id = 'cancelled wait')`);
  await waiting.cancel();
  await assert.rejects(waiting.result(), WorkflowCancelledError);
  assert.equal(await (await wf.start('next')).result(), 'next');
  assert.deepEqual(seen, []);

  // a step is not interrupted, but what it would record is refused
  const working = await wf.start('cancelled', 'step', { id: 'cancelled step' });
  await hasBegun;
  await working.cancel();
  assert.equal(await (await wf.start('next')).result(), 'next');
  assert.deepEqual(seen, []);
});

test('a restart of the server under workers and clients', { timeout }, async () => {
  let begun = 0;
  const wf = worker({
    long: async (ctx, n) => {
      await ctx.step('once', () => query('INSERT INTO done VALUES ($1, $2)', [ctx.id, 'once']).then(() => begun++));
      const a = await ctx.recv('a', { timeout: null });
      await ctx.step('twice', () => n);
      return [a, await ctx.recv('b', { timeout: null })];
    },
  });
  const ids = Array.from({ length: 10 }, (_, n) => `long-${n}`);
  await wf.sendMany([]);
  const flows = await Promise.all(ids.map((id, n) => wf.start('long', n, { id })));
  const results = flows.map((flow) => flow.result());
  await wf.sendMany(flows.slice(0, 5).map((to) => ({ to, message: 'a' })), 'a');
  await until(`(SELECT count(*) FROM durable_wf.step WHERE name = 'once') >= 2`);
  await run('pg_ctl', ['-m', 'fast', '-w', '-l', process.env.DWF_LOG, 'restart']);
  await wf.sendMany(flows.slice(5).map((to) => ({ to, message: 'a' })), 'a');
  await wf.sendMany(flows.map((to) => ({ to, message: 'b' })), 'b');
  assert.deepEqual(await Promise.all(results), flows.map(() => ['a', 'b']));
  for (const id of ids)
    assert.ok([1, 2].includes(await count(id, 'once')));
});

test('settings of a role change nothing', { timeout }, async () => {
  await query('CREATE ROLE odd LOGIN');
  for (const set of [`statement_timeout = '2 s'`, `DateStyle = 'German, DMY'`, `TimeZone = 'Asia/Kolkata'`,
    `default_transaction_isolation = 'serializable'`, 'default_transaction_read_only = on',
    `idle_session_timeout = '2 s'`, `IntervalStyle = 'iso_8601'`])
    await query(`ALTER ROLE odd SET ${set}`);
  const wf = new DurableWf({ user: 'odd' });
  clients.push(wf);
  wf.workflow('odd', async (ctx) => {
    const now = await ctx.now();
    await ctx.sleep(2500);
    return [Math.abs(now - await ctx.step('now', () => Date.now())) < 60_000,
      (await ctx.sleep('1 s')).getTime() > now.getTime()];
  });
  wf.work({ signals: false, logger: silent });
  const client = new pg.Client({ user: 'odd' });
  await client.connect();
  await client.query('BEGIN READ WRITE');
  await client.query(`SELECT wf_start('odd', queue => 'odd')`);
  await client.query('COMMIT');
  await client.end();
  assert.deepEqual(await wf.result('odd'), [true, true]);
});

test('a worker needs workflows, and says so', () => {
  const wf = new DurableWf();
  clients.push(wf);
  assert.throws(() => wf.work(), /no workflow/);
  wf.workflow('a', async () => {});
  assert.throws(() => wf.workflow('a', async () => {}), /already/);
  assert.throws(() => wf.workflow('b', 1), TypeError);
  assert.throws(() => wf.work({ queues: ['b'] }), /no workflow "b"/);
});

// ----- suspended workflows

test('a thousand suspended over two connections', { timeout }, async () => {
  const ids = Array.from({ length: 1000 }, (_, n) => `suspended-${n}`);
  const worked = new Map();
  const wf = worker({
    patient: async (ctx) => {
      const first = await ctx.step('first', () => {
        worked.set(ctx.id, (worked.get(ctx.id) ?? 0) + 1);
        return ctx.id;
      });
      const message = await ctx.recv('go', { timeout: '1 day' });
      return [first, message];
    },
  }, { suspendAfter: 0 });
  await query(`SELECT wf_start(id, queue => 'patient') FROM unnest($1::text[]) id`, [ids]);
  await until(`(SELECT count(*) = 1000 FROM wf_workflows WHERE queue = 'patient' AND status = 'WAITING')`);

  // two connections, of which one waits for work, and no statement while nothing comes
  const state = `SELECT pid, query_start, state FROM pg_stat_activity
                  WHERE application_name = 'durable-wf worker' ORDER BY pid`;
  await oneFree();
  const before = await atRest(() => query(state));
  assert.equal(before.length, 2);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  assert.deepEqual(await query(state), before);

  const results = ids.map((id) => wf.result(id));
  await wf.sendMany(ids.map((to, n) => ({ to, message: n })), 'go');
  assert.deepEqual(await Promise.all(results), ids.map((id, n) => [id, n]));
  assert.ok(ids.every((id) => worked.get(id) === 1));
});

test('suspended: killed, restarted, cancelled', { timeout }, async () => {
  const child = program({ CONNECTIONS: '1' });
  const starter = worker({ other: async () => {} });
  const flows = [];
  for (let n = 0; n < 5; n++)
    flows.push(await starter.start('row', {}, { id: `put aside ${n}` }));
  const ids = flows.map(({ id }) => id);
  await until(`(SELECT count(*) = 5 FROM wf_workflows
                 WHERE workflow_id = ANY ($1) AND status = 'WAITING')`, [ids]);
  child.kill('SIGKILL');
  await child.exited;
  await flows[0].send(0, 'go');
  await run('pg_ctl', ['-m', 'immediate', '-w', '-l', process.env.DWF_LOG, 'restart']);
  await flows[1].cancel();
  await starter.sendMany(flows.slice(2).map((to, n) => ({ to, message: n + 2 })), 'go');
  worker({ row });
  await assert.rejects(flows[1].result(), WorkflowCancelledError);
  for (const n of [0, 2, 3, 4]) {
    assert.equal(await flows[n].result(), `b w ${n}`);
    assert.equal(await count(ids[n], 'work'), 1);
  }
});

test('a bad deploy and its repair, under fifty suspended', { timeout }, async () => {
  const ids = Array.from({ length: 50 }, (_, n) => `deployed-${n}`);
  const old = async (ctx) => {
    await ctx.step('price', () => 5);
    await ctx.sleep('10 ms');
    return ctx.recv('go', { timeout: null });
  };
  const first = worker({ deployed: old }, { suspendAfter: 0 });
  for (const id of ids)
    await first.start('deployed', null, { id });
  await until(`(SELECT count(*) = 50 FROM wf_workflows w JOIN wf_list_steps(w.workflow_id) s
                  ON s.name = 'wf_recv(go)' WHERE queue = 'deployed' AND status = 'WAITING')`);
  await first.close();

  // the step has another name: each is tried, refused and left as it was
  const complaints = new Set();
  const bad = worker({
    deployed: async (ctx) => {
      await ctx.step('cost', () => 6);
      return ctx.recv('go', { timeout: null });
    },
  }, { logger: { warn() {}, error(message, error) {
    assert.equal(error.code, 'WF004');
    complaints.add(/workflow "([^"]+)"/.exec(message)[1]);
    bad.emitted?.();
  } } });
  const all = new Promise((resolve) => { bad.emitted = () => complaints.size === 50 && resolve(); });
  await bad.sendMany(ids.map((to, n) => ({ to, message: n })), 'go');
  await all;
  await bad.close();
  assert.deepEqual(await query(`SELECT count(*)::int AS n FROM wf_workflows
    WHERE queue = 'deployed' AND finished_at IS NULL`), [{ n: 50 }]);

  const repaired = worker({
    deployed: async (ctx) => {
      await ctx.step('price', () => 5);
      await ctx.sleep('10 ms');
      const message = await ctx.recv('go', { timeout: null });
      return [message, await ctx.step('thank', () => 'you')];
    },
  });
  for (const [n, id] of ids.entries())
    assert.deepEqual(await repaired.result(id), [n, 'you']);
});

test('stop() ends a start that another transaction blocks', { timeout }, async () => {
  const wf = worker({ blocked: async () => 'here' });
  await until("EXISTS (SELECT FROM wf_waiters WHERE door = 'queue' AND key = 'blocked')");
  const other = await sql.connect();
  try {
    await other.query("BEGIN; SELECT wf_start('blocked start', queue => 'blocked')");
    const start = assert.rejects(wf.start('blocked', undefined, { id: 'blocked start' }));
    await until("EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock')");
    await wf.worker.stop({ drainTimeout: 10 });     // or this test takes all of its time
    await start;
  } finally {
    await other.query('ROLLBACK');
    other.release();
  }
});

test('a name that is none is refused before the work', { timeout }, async () => {
  let worked = 0;
  const wf = worker({ misnamed: async (ctx) => ctx.step('x'.repeat(513), () => { worked++; }) });
  await assert.rejects((await wf.start('misnamed')).result(), /step|name|512/);
  assert.equal(worked, 0);
});
