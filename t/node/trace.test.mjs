// Traces: what is sent takes along the active span's context, by OpenTelemetry's
// API or by the client's option; a worker's code has its workflow's and that of
// what it receives; spans of OpenTelemetry's SDK join over a wait.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { ROOT_CONTEXT, context, defaultTextMapGetter, propagation, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import pg from 'pg';
import { DurableWf } from 'durable-wf';

// as a program sets OpenTelemetry up
const exporter = new InMemorySpanExporter();
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
propagation.setGlobalPropagator(new W3CTraceContextPropagator());
trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
const tracer = trace.getTracer('shop');

const of = (digit) => `00-${digit.repeat(32)}-${digit.repeat(16)}-01`;
const within = (digit, run) => context.with(trace.setSpan(ROOT_CONTEXT, trace.wrapSpanContext(
  { traceId: digit.repeat(32), spanId: digit.repeat(16), traceFlags: 1 })), run);

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

// docs/tracing.md has this
const parentOf = (traceparent) =>
  propagation.extract(ROOT_CONTEXT, { traceparent }, defaultTextMapGetter);

test("OpenTelemetry's spans join over a wait, and over the worker's end", async () => {
  const wf = client();
  let runs = 0;
  wf.workflow('shipment', async (ctx) => {
    runs++;
    await ctx.recv('paid');
    const [order, paid] = [parentOf(ctx.traceparent), parentOf(await ctx.receivedTraceparent())];
    return await tracer.startActiveSpan('ship', { links: [{ context: trace.getSpanContext(order) }] }, paid,
      async (span) => {
        await ctx.send('node-carrier', 'parcel');
        span.end();
        return span.spanContext().spanId;
      });
  });
  await wf.start(null, undefined, { id: 'node-carrier' });
  let worker = wf.work({ suspendAfter: '10 ms', signals: false });
  const span = (name, run) => tracer.startActiveSpan(name, async (each) => {
    const result = await run();
    each.end();
    return result;
  });

  const order = await span('order', () => wf.start('shipment'));
  for (let waits = false; !waits;)
    waits = await order.status() === 'WAITING';
  await worker.stop();
  await span('pay', () => order.send(12, 'paid'));
  worker = wf.work({ suspendAfter: '10 ms', signals: false });
  const shipped = await order.result({ timeout: '60 s' });
  await worker.stop();

  const spans = Object.fromEntries(exporter.getFinishedSpans().map((each) => [each.name, each]));
  assert.deepEqual(Object.keys(spans).sort(), ['order', 'pay', 'ship']);
  const { traceId, spanId } = spans.pay.spanContext();
  assert.equal(runs, 2);
  assert.equal(spans.ship.spanContext().spanId, shipped);
  const { rows } = await sql.query("SELECT traceparent FROM durable_wf.message WHERE workflow_id = 'node-carrier'");
  assert.deepEqual(rows, [{ traceparent: `00-${traceId}-${shipped}-01` }]);
  assert.equal(spans.ship.spanContext().traceId, traceId);
  assert.equal(spans.ship.parentSpanContext.spanId, spanId);
  assert.ok(spans.ship.parentSpanContext.isRemote);
  assert.equal(spans.ship.links[0].context.spanId, spans.order.spanContext().spanId);
  assert.notEqual(spans.order.spanContext().traceId, traceId);
});
