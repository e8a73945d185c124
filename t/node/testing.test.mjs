// durable-wf/testing: workflows without a server, time skipped, journals
// replayed. What holds of a run here holds of a run by a worker, which has the
// same src/run.js.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FatalError, RetryableError, StepError, ReplayMismatchError, SchemaError }
  from 'durable-wf';
import { replay, testWorkflow } from 'durable-wf/testing';

const checkout = async (ctx, input) => {
  const order = await ctx.step('reserve', () => ({ sku: input.sku, at: new Date(0) }));
  await ctx.setEvent('payment_url', `https://pay.example/${ctx.id}`);
  const paid = await ctx.recv('paid', { timeout: '30 min' });
  if (paid === undefined) {
    await ctx.step('release', () => {});
    return { status: 'expired', at: await ctx.now() };
  }
  await ctx.send('ledger', { order, paid }, 'booked');
  return { status: 'paid', paid };
};

test('a message that is there, and one that never comes', async () => {
  const paid = testWorkflow(checkout, { input: { sku: 'A1' } }).send({ amount: 5 }, 'paid');
  assert.deepEqual(await paid.run(),
    { status: 'SUCCESS', output: { status: 'paid', paid: { amount: 5 } } });
  assert.deepEqual(paid.events, { payment_url: 'https://pay.example/test' });
  assert.deepEqual(paid.sent, [{ to: 'ledger', topic: 'booked', idempotencyKey: undefined,
    message: { order: { sku: 'A1', at: '1970-01-01T00:00:00.000Z' }, paid: { amount: 5 } } }]);

  // half an hour passes at once
  const late = testWorkflow(checkout, { input: { sku: 'A1' }, now: new Date(0) })
    .send({ amount: 5 }, { topic: 'paid', after: '31 min' });
  const outcome = await late.run();
  assert.equal(outcome.output.status, 'expired');
  assert.equal(outcome.output.at, '1970-01-01T00:30:00.000Z');
});

test('a run goes on against its journal, and no step is done twice', async () => {
  const done = [];
  const code = async (ctx) => {
    for (let n = 0; n < 3; n++) {
      await ctx.step('count', () => void done.push(n));
      await ctx.recv('go', { timeout: null });
    }
    return done.length;
  };
  const workflow = testWorkflow(code);
  assert.deepEqual(await workflow.run(), { status: 'WAITING' });
  workflow.send(1, 'go');
  assert.deepEqual(await workflow.run(), { status: 'WAITING' });
  workflow.send(2, 'go').send(3, 'go');
  assert.deepEqual(await workflow.run(), { status: 'SUCCESS', output: 3 });
  assert.deepEqual(done, [0, 1, 2]);
  assert.deepEqual(workflow.journal.map(({ name }) => name),
    ['count', 'go', 'count #2', 'go', 'count #3', 'go']);
});

test('the suspension cannot be caught', async () => {
  const seen = [];
  const code = async (ctx) => {
    try {
      return await ctx.recv('never', { timeout: null });
    } catch (error) {
      seen.push(error);
    } finally {
      seen.push('finally');
    }
  };
  const workflow = testWorkflow(code);
  assert.deepEqual(await workflow.run(), { status: 'WAITING' });
  assert.deepEqual(seen, []);
  workflow.send('now', 'never');
  assert.deepEqual(await workflow.run(), { status: 'SUCCESS', output: 'now' });
  assert.deepEqual(seen, ['finally']);
});

test('attempts, backoff, and errors that say what to do', async () => {
  let tried = 0;
  const code = (error, options) => async (ctx) => ctx.step('try', ({ attempt, key }) => {
    assert.equal(key, 'test/1');
    tried = attempt;
    throw error;
  }, options);
  const run = async (error, options) => {
    const workflow = testWorkflow(code(error, options), { now: new Date(0) });
    const outcome = await workflow.run();
    return [outcome.error, tried, workflow.now.getTime() / 1000];
  };
  assert.deepEqual(await run(new Error('no')), ['no', 1, 0]);
  assert.deepEqual(await run(new Error('no'), { attempts: 5 }), ['no', 5, 1 + 2 + 4 + 8]);
  assert.deepEqual(await run(new Error('no'), { attempts: 3, backoff: '1 min' }), ['no', 3, 120]);
  assert.deepEqual(await run(new Error('no'),
    { attempts: 4, backoff: { initial: 100, factor: 10, max: '5 s' } }), ['no', 4, 0.1 + 1 + 5]);
  assert.deepEqual(await run(new Error('no'), { attempts: 3, backoff: (n) => n * 7000 }), ['no', 3, 21]);
  assert.deepEqual(await run(new FatalError('stop'), { attempts: 5 }), ['stop', 1, 0]);
  assert.deepEqual(await run(new RetryableError('soon', { retryAfter: '3 s' }), { attempts: 2 }),
    ['soon', 2, 3]);
  assert.deepEqual(await run(new TypeError('bad'), {}), ['TypeError: bad', 1, 0]);
});

test('a step that failed fails alike in a replay', async () => {
  const seen = [];
  const code = async (ctx) => {
    try {
      await ctx.step('charge', () => { throw new RangeError('too much'); });
    } catch (error) {
      seen.push([error instanceof StepError, error.step, error.message]);
    }
    return ctx.recv('go', { timeout: null });
  };
  const workflow = testWorkflow(code);
  await workflow.run();
  workflow.send(1, 'go');
  assert.equal((await workflow.run()).status, 'SUCCESS');
  assert.deepEqual(seen, Array(2).fill([true, 'charge', 'RangeError: too much']));
});

test('a step times out, and what it does not wait for is aborted', async () => {
  let aborted = false;
  const outcome = await testWorkflow(async (ctx) => ctx.step('slow', ({ signal }) =>
    new Promise(() => signal.addEventListener('abort', () => { aborted = true; })),
  { timeout: 10 })).run();
  assert.match(outcome.error, /^StepTimeoutError: step "slow" took longer than 10 ms/);
  assert.ok(aborted);
});

test('keys are in the order of jsonb', async () => {
  assert.equal((await testWorkflow(async (ctx) => JSON.stringify(
    await ctx.step('s', () => ({ ccc: 1, é: 3, bb: [{ z: 1, y: 2 }] })))).run()).output,
  '{"bb":[{"y":2,"z":1}],"é":3,"ccc":1}');
});

test('what is no JSON', async () => {
  const output = async (code) => {
    const { output, error } = await testWorkflow(code).run();
    return output === undefined ? error : output;
  };
  assert.equal(await output((ctx) => ctx.step('none', () => {})), null);
  assert.deepEqual(await output((ctx) => ctx.step('date', () => [new Date(0), NaN, undefined])),
    ['1970-01-01T00:00:00.000Z', null, null]);
  assert.match(await output((ctx) => ctx.step('big', () => 1n)), /TypeError.*BigInt/);
  assert.match(await output(async () => () => 1), /TypeError: a function is no JSON/);
  assert.equal(await output(async () => {}), undefined);
});

test('parallel steps replay in the order in which they were done', async () => {
  // b's second step began before a's, as b was done first
  const gate = {};
  let passes = 0;
  const code = (slow) => async (ctx) => {
    const branch = async (name) => {
      await ctx.step(`${name}1`, async () => { if (name === slow) await gate.promise; });
      await ctx.step(`${name}2`, () => { if (name !== slow) gate.open(); });
      return name;
    };
    const both = await Promise.all([branch('a'), branch('b')]);
    await ctx.recv('go', { timeout: null });
    passes++;
    return both;
  };
  for (const slow of ['a', 'b']) {
    gate.promise = new Promise((resolve) => { gate.open = resolve; });
    const workflow = testWorkflow(code(slow));
    assert.deepEqual(await workflow.run(), { status: 'WAITING' });
    const order = workflow.journal.map(({ name }) => name);
    assert.deepEqual(order, slow === 'a' ? ['a1', 'b1', 'b2', 'a2', 'go'].slice(0, 4) :
      ['a1', 'b1', 'a2', 'b2']);
    workflow.send(1, 'go');
    assert.deepEqual(await workflow.run(), { status: 'SUCCESS', output: ['a', 'b'] });
  }
  assert.equal(passes, 2);
});

test('steps of one name at a time keep their own results', async () => {
  const code = async (ctx) => {
    const all = await Promise.all([30, 10, 20].map((ms) => ctx.step('fetch', async () => {
      await new Promise((resolve) => setTimeout(resolve, ms));
      return ms;
    })));
    await ctx.recv('go', { timeout: null });
    return all;
  };
  const workflow = testWorkflow(code);
  await workflow.run();
  workflow.send(1, 'go');
  assert.deepEqual((await workflow.run()).output, [30, 10, 20]);
});

test('several waits at a time: the first wins, the others stay', async () => {
  const race = async (ctx) => {
    const winner = await Promise.race([
      ctx.recv('answer', { timeout: '2 h' }), ctx.sleep('1 h').then(() => 'asleep')]);
    return [winner, await ctx.now()];
  };
  const run = async (workflow) => (await workflow.run()).output;
  const options = { now: new Date(0) };
  assert.deepEqual(await run(testWorkflow(race, options)), ['asleep', '1970-01-01T01:00:00.000Z']);
  assert.deepEqual(await run(testWorkflow(race, options).send('yes', { topic: 'answer', after: '5 min' })),
    ['yes', '1970-01-01T00:05:00.000Z']);

  const all = async (ctx) => Promise.all([
    ctx.recv('a', { timeout: null }), ctx.recv('b', { timeout: '1 min' }),
    ctx.waitForEvent('c', { timeout: '1 h' }), ctx.sleep('10 s').then((date) => date.getTime())]);
  const workflow = testWorkflow(all, options).notify('c', 3, { after: '2 s' });
  assert.deepEqual(await workflow.run(), { status: 'WAITING' });
  workflow.send(1, 'a');
  assert.deepEqual((await workflow.run()).output,
    [1, null, { eventData: 3, timedOut: false }, 10_000]);
});

test('any, recvAny, hooks, streams, children', async () => {
  const code = async (ctx) => {
    const hook = await ctx.createHook({ token: 'shop' });
    const seen = [];
    for (;;) {
      const got = await ctx.any({ paid: { topic: 'paid' }, hook, child: ctx.workflow('c') },
        { timeout: '1 day' });
      if (!got)
        break;
      seen.push([got.source, got.value]);
      if (got.source === 'child')
        break;
    }
    await hook.dispose();
    seen.push(await ctx.recvAny(['x', null], { timeout: 0 }));
    const child = await ctx.startChild('double', 21);
    seen.push(await child.result());
    await ctx.stream('log').writeMany([1, 2]);
    await ctx.stream('log').close();
    for await (const item of ctx.readStream(ctx.id, 'log'))
      seen.push(item);
    return seen;
  };
  const workflow = testWorkflow(code, { children: { double: (n) => n * 2 } })
    .send(5, { topic: 'paid', after: '1 s' }).resumeHook('shop', { ok: 1 }, { after: '2 s' })
    .send('plain', { after: '2 s' }).finish('c', { output: 9, after: '3 s' });
  assert.deepEqual((await workflow.run()).output, [
    ['paid', 5], ['hook', { ok: 1 }], ['child', { status: 'SUCCESS', output: 9, error: null }],
    { topic: null, message: 'plain' }, 42, 1, 2]);
  assert.deepEqual(workflow.stream('log'), [1, 2]);
  assert.deepEqual(workflow.hooks, []);
  assert.equal(workflow.started[0].queue, 'double');

  const child = async (ctx) => (await ctx.startChild('bad', 1)).result();
  assert.equal((await testWorkflow(child, { children: { bad: () => { throw new Error('no'); } } })
    .run()).error, 'no');
});

test('hooks: a schema, iteration, disposal at the end of a block', async () => {
  const schema = { '~standard': { version: 1, vendor: 'test', validate: (value) =>
    typeof value.at === 'string' ? { value: { at: new Date(value.at) } } :
      { issues: [{ message: 'at is missing' }] } } };
  const code = async (ctx) => {
    const hook = await ctx.defineHook(schema).create({ token: 't' });
    const years = [];
    for await (const { at } of hook) {
      years.push(at.getUTCFullYear());
      if (years.length === 2)
        break;
    }
    hook[Symbol.dispose ?? Symbol.for('Symbol.dispose')]();
    return years;
  };
  const good = testWorkflow(code)
    .resumeHook('t', { at: '2026-01-01' }).resumeHook('t', { at: '1999-01-01' });
  assert.deepEqual((await good.run()).output, [2026, 1999]);
  assert.deepEqual(good.hooks, []);

  const bad = await testWorkflow(code).resumeHook('t', {}).run();
  assert.ok(bad.cause instanceof SchemaError);
});

test('a webhook answers', async () => {
  const code = async (ctx) => {
    const webhook = await ctx.createWebhook({ respondWith: 'manual' });
    await ctx.setEvent('url', webhook.url);
    const request = await webhook.receive();
    await request.respondWith({ status: 201, body: { got: await request.json() } });
    return [request.method, request.headers.get('X-Test'), request.body, await request.text()];
  };
  const workflow = testWorkflow(code);
  await workflow.run();
  workflow.request(workflow.events.url, { headers: { 'x-test': '1' }, body: { a: 1 } });
  assert.deepEqual((await workflow.run()).output, ['POST', '1', { a: 1 }, '{"a":1}']);
  assert.equal(workflow.responses[0].status, 201);
  assert.equal(workflow.responses[0].body, '{"got":{"a":1}}');
});

test('calls inside a step are refused, and calls nobody awaits are made', async () => {
  const inside = await testWorkflow((ctx) => ctx.step('s', () => ctx.send('x', 1))).run();
  assert.match(inside.error, /wf_send cannot be called inside of a step \("s"\)/);

  const loose = testWorkflow(async (ctx) => {
    ctx.send('x', 1);
    ctx.step('s', async () => new Promise((resolve) => setTimeout(resolve, 5)))
      .then(() => ctx.send('x', 2));
    ctx.recv('never', { timeout: null });
    return 'end';
  });
  assert.equal((await loose.run()).output, 'end');
  assert.deepEqual(loose.sent.map(({ message }) => message), [1, 2]);
});

test('after a mismatch nothing more is sent, whichever call it was', async () => {
  const first = async (ctx) => {
    await ctx.setEvent('a', 1);
    await ctx.recv('go', { timeout: null });
  };
  for (const begin of [(ctx) => ctx.setEvent('b', 1), (ctx) => ctx.step('b', () => 1)]) {
    const workflow = testWorkflow(first);
    await workflow.run();
    workflow.journal.pop();
    await assert.rejects(workflow.run((ctx) => Promise.all([
      begin(ctx), ctx.recv('x'), ctx.send('x', 1), ctx.send('y', 2)])), ReplayMismatchError);
    await new Promise((resolve) => setTimeout(resolve, 10));
    assert.deepEqual(workflow.sent, []);
  }
});

test('begin anew', async () => {
  const workflow = testWorkflow(async (ctx, n) => {
    await ctx.sleep('1 h');
    if (n < 3)
      await ctx.continueAsNew(n + 1);
    return n;
  }, { input: 0, now: new Date(0) });
  assert.deepEqual(await workflow.run(), { status: 'SUCCESS', output: 3 });
  assert.equal(workflow.now.getTime(), 4 * 3600_000);
  assert.equal(workflow.journal.length, 1);
});

test('changed code against a recorded journal', async () => {
  const workflow = testWorkflow(checkout, { input: { sku: 'A1' } }).send(1, 'paid');
  await workflow.run();
  const recorded = { input: { sku: 'A1' }, journal: workflow.journal };

  assert.equal((await replay(checkout, recorded)).status, 'SUCCESS');
  // cut off, it waits where the journal ends
  assert.deepEqual(await replay(checkout, { ...recorded, journal: workflow.journal.slice(0, 2) }),
    { status: 'WAITING' });

  const changed = async (ctx, input) => {
    await ctx.step('reserve', () => input);
    await ctx.step('check', () => 1);
    return ctx.recv('paid');
  };
  await assert.rejects(replay(changed, recorded), (error) =>
    error instanceof ReplayMismatchError && error.code === 'WF004' &&
    /step 2 was recorded as wf_set_event\(payment_url\), and step "check" was called/
      .test(error.message));

  const patched = async (ctx, input) => {
    await ctx.step('reserve', () => input);
    if (await ctx.patched('check'))
      await ctx.step('check', () => 1);
    await ctx.setEvent('payment_url', 'x');
    return ctx.recv('paid');
  };
  assert.equal((await replay(patched, recorded)).output, 1);
  const fresh = testWorkflow(patched, { input: 1 }).send(2, 'paid');
  assert.equal((await fresh.run()).output, 2);
  assert.deepEqual(fresh.journal.map(({ name }) => name),
    ['reserve', 'check', 'check', 'payment_url', 'paid']);
  assert.equal((await replay(patched, { journal: fresh.journal })).output, 2);
});
