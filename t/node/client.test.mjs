// The client of clients/node: waits that share one connection, what they do
// when that is lost, and the JSON rules.
//
// ./run test-node gives it a server: its address in PGHOST and so on, its
// directory in PGDATA, its log in DWF_LOG.  Nothing here judges by time.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { setMaxListeners } from 'node:events';
import { test, before, after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual, promisify } from 'node:util';
import pg from 'pg';
import {
  DurableWf, DurableError, SchemaError, WaitTimeoutError, WorkflowCancelledError,
  WorkflowFailedError,
} from 'durable-wf';

const run = promisify(execFile);
const here = fileURLToPath(new URL('.', import.meta.url));
const timeout = 120_000;
const wf = new DurableWf({ max: 2 });
const sql = new pg.Pool({ max: 4, application_name: 'test' });
sql.on('error', () => {});

const query = async (text, values) => (await sql.query(text, values)).rows;
const restart = () =>
  run('pg_ctl', ['-m', 'fast', '-w', '-l', process.env.DWF_LOG, 'restart']);

// Wait for what the server shows; its waiters do not change by themselves, so
// looking again and again is for the test only.
async function until(text, values) {
  for (;;) {
    const [row] = await query(`SELECT (${text}) AS met`, values);
    if (row.met)
      return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// How many connections of ours the server has, beside those of the test.
const connections = async () => (await query(
  `SELECT count(*)::int AS n FROM pg_stat_activity
    WHERE backend_type = 'client backend'
      AND application_name IN ('', 'durable-wf listener')`))[0].n;

before(async () => {
  await query(`CREATE EXTENSION durable_wf`);
});

after(async () => {
  await wf.close();
  await sql.end();
});

test('a thousand getEvent at once share one connection', { timeout }, async () => {
  const ids = Array.from({ length: 1000 }, (_, n) => `event-${n}`);
  await query('SELECT wf_start(id) FROM unnest($1::text[]) id', [ids]);
  const before = await connections();
  const waits = ids.map((id) => wf.getEvent(id, 'done', { timeout: null }));

  await wf.listen().ready;
  await until(`SELECT count(*) > 0 FROM pg_stat_activity
                WHERE application_name = 'durable-wf listener'`);
  // two of the pool, and the one that listens
  assert.ok(await connections() <= before + 3);
  await until('NOT EXISTS (SELECT FROM wf_waiters)');

  await query(`SELECT wf_set_event('done', to_jsonb(id), id) FROM unnest($1::text[]) id`, [ids]);
  assert.deepEqual(await Promise.all(waits), ids);
  assert.ok(await connections() <= before + 3);
});

test('a wait for what is there already, is not, and never will be', { timeout }, async () => {
  const one = await wf.start(null, undefined, { id: 'there' });
  await wf.setEvent(one, 'x', { a: 1 });
  await wf.setEvent(one, 'null', null);
  assert.deepEqual(await one.getEvent('x'), { a: 1 });
  assert.equal(await one.getEvent('null'), null);
  assert.equal(await one.getEvent('y', { timeout: 0 }), undefined);
  assert.equal(await one.getEvent('y', { timeout: 30 }), undefined);

  const never = one.getEvent('y', { timeout: null });
  await query(`SELECT wf_complete('7', 'there')`);
  assert.equal(await never, undefined);
});

test('a wait for a workflow that does not exist yet', { timeout }, async () => {
  const early = wf.getEvent('later', 'x', { timeout: null });
  const stream = wf.readStream('later', 's').next();
  await wf.getEvent('later', 'x', { timeout: 20 });
  await wf.start(null, undefined, { id: 'later' });
  await wf.setEvent('later', 'x', 5);
  assert.equal(await early, 5);
  await query(`SELECT wf_write_stream('s', '"one"', 'later')`);
  assert.deepEqual(await stream, { value: 'one', done: false });
});

test('a workflow of another role, now or later', { timeout }, async () => {
  await query('CREATE ROLE clerk LOGIN');
  await query('CREATE ROLE boss LOGIN IN ROLE clerk');
  const boss = new DurableWf({ user: 'boss', max: 2 });
  const as = async (text) => {
    const client = new pg.Client({ user: 'clerk' });
    await client.connect();
    await client.query(text);
    await client.end();
  };
  await as(`SELECT wf_start('clerk-1')`);
  const now = boss.getEvent('clerk-1', 'x', { timeout: null });
  const also = boss.getEvent('clerk-1', 'x', { timeout: null });
  const later = boss.getEvent('clerk-2', 'x', { timeout: null });
  const alsoLater = boss.getEvent('clerk-2', 'x', { timeout: null });
  await until(`SELECT max(listens) >= 3 FROM wf_stat`);
  await as(`SELECT wf_set_event('x', '1', 'clerk-1')`);
  assert.equal(await now, 1);
  assert.equal(await also, 1);
  await as(`SELECT wf_start('clerk-2')`);
  await as(`SELECT wf_set_event('x', '2', 'clerk-2')`);
  assert.equal(await later, 2);
  assert.equal(await alsoLater, 2);

  await query(`SELECT wf_start('secret')`);
  await assert.rejects(boss.getEvent('secret', 'x', { timeout: 0 }), { code: '42501' });
  // one that must not be awaited does not spoil the others of its batch
  const [good, bad] = await Promise.allSettled([
    boss.getEvent('clerk-1', 'x'), boss.getEvent('secret', 'x')]);
  assert.equal(good.value, 1);
  assert.equal(bad.reason.code, '42501');
  await boss.close();
});

test('results: output, error, cancelled, not yet', { timeout }, async () => {
  const handles = [];
  for (const n of [1, 2, 3, 4])
    handles.push(await wf.start(null, undefined, { id: `result-${n}` }));
  const [good, bad, cancelled, open] = handles;
  const waits = Promise.allSettled(handles.slice(0, 3).map((handle) => handle.result()));

  await query(`SELECT wf_complete('{"n": 1}', 'result-1')`);
  await query(`SELECT wf_fail('no luck', 'result-2')`);
  assert.equal(await cancelled.cancel({ reason: 'enough' }), true);
  assert.equal(await cancelled.cancel(), false);
  const [one, two, three] = await waits;
  assert.deepEqual(one.value, { n: 1 });
  assert.ok(two.reason instanceof WorkflowFailedError);
  assert.equal(two.reason.message, 'no luck');
  assert.ok(three.reason instanceof WorkflowCancelledError);
  await assert.rejects(open.result({ timeout: 10 }), WaitTimeoutError);
  assert.deepEqual(await open.outcome({ timeout: 0 }),
    { status: 'PENDING', output: undefined, error: undefined });
  assert.equal((await bad.outcome()).error, 'no luck');
  assert.equal(await good.status(), 'SUCCESS');
  await assert.rejects(wf.result('nobody'), { code: 'WF001' });

  await cancelled.retry();
  assert.equal(await cancelled.status(), 'PENDING');
});

test('send, sendMany, and their keys', { timeout }, async () => {
  const to = await wf.start(null, undefined, { id: 'mailbox' });
  const id = await to.send({ a: 1 }, { topic: 't', idempotencyKey: 'k' });
  assert.equal(await to.send({ a: 2 }, { topic: 't', idempotencyKey: 'k' }), id);
  assert.ok(await to.send('plain') > id);
  await to.send('topic', 't');
  const ids = await wf.sendMany([
    { to, message: 1 }, { to, message: 2, topic: 't' }, { to: 'mailbox', message: null },
    { to, message: 3, idempotencyKey: 'k' },
  ]);
  assert.equal(ids.length, 4);
  assert.equal(ids[3], id);
  const got = async (topic) => (await query(
    `SELECT message::text FROM wf_recv_many($1, 100, '0', 'mailbox')`, [topic]))
    .map((row) => row.message);
  assert.deepEqual(await got(null), ['"plain"', '1', 'null']);
  assert.deepEqual(await got('t'), ['{"a": 1}', '"topic"', '2']);
  assert.deepEqual(await wf.sendMany([]), []);
  await assert.rejects(wf.sendMany([{ to, message: 1 }, { to: 'nobody', message: 1 }]),
    (error) => error instanceof DurableError && error.code === 'WF001');
  assert.deepEqual(await got(null), []);
});

test('JSON: null, undefined, and what is no JSON', { timeout }, async () => {
  const to = await wf.start(null, undefined, { id: 'json' });
  const given = [null, undefined, 'ä"\\', 0, false, [], { u: undefined, n: null },
    new Date(0), NaN, 2 ** 53 - 1, { deep: [{ x: [1.5e300] }] }];
  for (const value of given)
    await wf.setEvent(to, 'v', value).then(async () => assert.deepEqual(
      await to.getEvent('v'),
      JSON.parse(JSON.stringify(value === undefined ? null : value))));
  await assert.rejects(to.send(1n), TypeError);
  await assert.rejects(to.send(() => 1), TypeError);
  await assert.rejects(to.send('\u0000'), { code: '22P05' });
  assert.deepEqual(await query(`SELECT input FROM wf_workflows WHERE workflow_id = 'json'
                                   AND input IS NULL`), [{ input: null }]);
});

test('notify, hooks, and a schema before a hook', { timeout }, async () => {
  await wf.start(null, undefined, { id: 'waiter' });
  assert.deepEqual(await wf.notify('alarm', 1), []);
  const [row] = await wf.notify('alarm', { n: 1 }, { workflowId: 'waiter' });
  assert.equal(row.workflowId, 'waiter');
  assert.equal(row.waitingSince, undefined);
  const waiting = query(`SELECT event_data FROM wf_wait_for_event('fire', '1 min', 'waiter')`);
  await until(`EXISTS (SELECT FROM wf_waiters WHERE key = 'fire')`);
  const [told] = await wf.notify('fire', 'run');
  assert.ok(told.waitingSince instanceof Date && told.deadline > told.waitingSince);
  assert.deepEqual(await waiting, [{ event_data: 'run' }]);

  await query(`SELECT wf_create_hook('token', '{"ask": 1}', workflow_id => 'waiter')`);
  assert.deepEqual((await wf.getHook('token')).metadata, { ask: 1 });
  assert.equal(await wf.getHook('no such'), undefined);
  assert.equal(await wf.resumeHook('token', { ok: true }, { idempotencyKey: 'k' }), 'waiter');
  await assert.rejects(wf.resumeHook('no such', 1), { code: 'WF006' });

  const approval = wf.defineHook({ '~standard': {
    version: 1, vendor: 'test',
    validate: (value) => typeof value?.approved === 'boolean' ? { value } :
      { issues: [{ message: 'approved is missing' }] },
  } });
  await assert.rejects(approval.resume('token', { approved: 'yes' }), (error) =>
    error instanceof SchemaError && error.issues.length === 1);
  assert.equal(await approval.resume('token', { approved: true }), 'waiter');
  assert.deepEqual(await query(`SELECT depth::int FROM wf_mailbox WHERE key = 'token'`),
    [{ depth: 2 }]);
  assert.throws(() => wf.defineHook({}), TypeError);
});

test('a webhook by a route of the program', { timeout }, async () => {
  await wf.start(null, undefined, { id: 'hooked' });
  const create = async (respondWith) => (await query(
    `SELECT token FROM wf_create_webhook($1, workflow_id => 'hooked')`,
    [respondWith && JSON.stringify(respondWith)]))[0].token;
  const request = (body) => new Request('https://shop.example/in?x=1', {
    method: 'POST', body, headers: { 'content-type': 'application/json' } });
  const plain = await create(null);
  assert.equal((await wf.resumeWebhook(plain, request('{"a": 1}'))).status, 202);
  const [{ got }] = await query(`SELECT wf_await_hook($1, '0') AS got`, [plain]);
  assert.deepEqual([got.method, got.path, got.query, got.body], ['POST', '/in', 'x=1', { a: 1 }]);
  const fixed = await wf.resumeWebhook(await create({ status: 201, body: { ok: true } }), request('1'));
  assert.deepEqual([fixed.status, await fixed.json()], [201, { ok: true }]);

  const manual = await create('manual');
  const response = wf.resumeWebhook(manual, request('"how much?"'));
  await query(`SELECT wf_respond((wf_await_hook($1, '1 min')->>'request_id')::bigint, 200, '{}', '250')`,
    [manual]);
  assert.equal(await (await response).text(), '250');
  assert.equal((await wf.resumeWebhook(manual, request('1'), { timeout: 10 })).status, 504);
  await assert.rejects(wf.resumeWebhook('no such', request('1')), { code: 'WF006' });
});

test('a stream is read to its end, from any place', { timeout }, async () => {
  await wf.start(null, undefined, { id: 'writer' });
  const write = (value) => query(`SELECT wf_write_stream('log', $1, 'writer')`,
    [JSON.stringify(value)]);
  const all = (async () => {
    const values = [];
    for await (const value of wf.readStream('writer', 'log', { batch: 2 }))
      values.push(value);
    return values;
  })();
  const given = [1, null, 'three', { n: 4 }, 5];
  for (const value of given)
    await write(value);
  const reader = wf.readStream('writer', 'log', { after: 3, timeout: 20 });
  const rest = [];
  await assert.rejects(async () => {
    for await (const value of reader)
      rest.push(value);
  }, WaitTimeoutError);
  assert.deepEqual(rest, [{ n: 4 }, 5]);
  assert.equal(reader.position, 5);
  await query(`SELECT wf_complete(NULL, 'writer')`);
  assert.deepEqual(await all, given);

  const stop = new AbortController();
  const aborted = wf.readStream('later', 's', { after: 1, signal: stop.signal }).next();
  stop.abort();
  await assert.rejects(aborted, { name: 'AbortError' });
});

test('news of one workflow, and of all', { timeout }, async () => {
  await wf.start(null, undefined, { id: 'followed' });
  const one = wf.listen('followed'), all = wf.listen();
  await Promise.all([one.ready, all.ready]);
  await wf.start(null, undefined, { id: 'not followed' });
  await wf.send('not followed', 1);
  await wf.setEvent('followed', 'k', 1);
  const first = async (news, met) => {
    for (;;) {
      const { value } = await news.next();
      if (value.kind !== 'resync' && met(value))
        return value;
    }
  };
  assert.deepEqual(await first(one, ({ kind }) => kind === 'event'),
    { workflowId: 'followed', kind: 'event', key: 'k' });
  assert.deepEqual(await first(all, ({ kind }) => kind === 'message'),
    { workflowId: 'not followed', kind: 'message', key: null });
  await one.return();
  assert.deepEqual(await one.next(), { value: undefined, done: true });
  await all.return();
});

test('idle waits send no statement', { timeout }, async () => {
  const stop = new AbortController();
  setMaxListeners(0, stop.signal);
  await query(`SELECT wf_start(id) FROM unnest($1::text[]) id`,
    [Array.from({ length: 300 }, (_, n) => `idle-${n}`)]);
  const waits = Array.from({ length: 300 }, (_, n) =>
    wf.getEvent(`idle-${n}`, 'x', { timeout: null, signal: stop.signal }).catch(() => {}));
  const state = `SELECT count(*)::int AS n, max(query_start) AS last FROM pg_stat_activity
                  WHERE application_name = 'durable-wf listener' OR
                        (application_name = '' AND backend_type = 'client backend')`;
  // the first of them begins on a connection
  await new Promise((resolve) => setTimeout(resolve, 1000));
  await wf.getEvent('idle-0', 'x', { timeout: 100 });
  // (on a slow machine it takes longer until all of them wait)
  let [first] = await query(state);
  for (let before; !isDeepStrictEqual(first, before);) {
    before = first;
    await new Promise((resolve) => setTimeout(resolve, 500));
    [first] = await query(state);
  }
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.deepEqual(await query(state), [first]);
  stop.abort();
  await Promise.all(waits);
});

test('after a restart nothing was missed', { timeout }, async () => {
  const ids = Array.from({ length: 200 }, (_, n) => `restart-${n}`);
  await query('SELECT wf_start(id) FROM unnest($1::text[]) id', [ids]);
  const waits = ids.map((id) => wf.getEvent(id, 'x', { timeout: null }));
  const result = wf.result('restart-0');
  const reader = wf.readStream('restart-1', 's');
  const read = reader.next();
  const news = wf.listen();
  await news.ready;

  // what comes while nobody listens: right after the start, before the client
  // can be back
  await restart();
  await query(`SELECT wf_set_event('x', to_jsonb(id), id) FROM unnest($1::text[]) id`, [ids]);
  await query(`SELECT wf_write_stream('s', '1', 'restart-1')`);
  await query(`SELECT wf_complete('9', 'restart-0')`);

  assert.deepEqual(await Promise.all(waits), ids);
  assert.equal(await result, 9);
  assert.deepEqual(await read, { value: 1, done: false });
  for (;;) {
    const { value } = await news.next();
    if (value.kind === 'resync')
      break;
  }
  await news.return();
});

test('a connection that is ended under a wait is opened again', { timeout }, async () => {
  await query(`SELECT wf_start('cut')`);
  const wait = wf.getEvent('cut', 'x', { timeout: null });
  await wf.getEvent('cut', 'x', { timeout: 50 });
  await query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE application_name IN ('', 'durable-wf listener')
                  AND backend_type = 'client backend'`);
  await query(`SELECT wf_set_event('x', '1', 'cut')`);
  assert.equal(await wait, 1);
});

test('a client that cannot connect says so', { timeout }, async () => {
  const nowhere = new DurableWf({ database: 'no such database' });
  await assert.rejects(nowhere.getEvent('x', 'y'), { code: '3D000' });
  await assert.rejects(nowhere.listen().next(), { code: '3D000' });
  await nowhere.close();
});

test('close ends what waits', { timeout }, async () => {
  const other = new DurableWf();
  const wait = other.getEvent('cut', 'never', { timeout: null });
  const news = other.listen();
  await news.ready;
  const next = news.next();
  await Promise.all([assert.rejects(wait, /closed/), other.close()]);
  assert.deepEqual(await next, { value: undefined, done: true });
  await assert.rejects(other.getEvent('cut', 'never'), /closed/);
});

test('a process with nothing to wait for ends', { timeout }, async () => {
  const code = `
    import { DurableWf } from 'durable-wf';
    const wf = new DurableWf();
    await wf.getEvent('cut', 'x');
    console.log('done');`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', code],
    { cwd: here });
  assert.equal(stdout, 'done\n');
});
