// Testing workflows without a server: `import … from 'durable-wf/testing'`.
//
// A test workflow runs the code of a workflow as a worker does (run.js), on a
// session that lives in memory: a mailbox, a journal and a clock that jumps to
// the next thing that happens. run() goes on until the code has ended or waits
// for something that is not there; the next run() begins at the top again,
// against the journal, as after a suspension.
//
// replay() runs changed code against a journal that a server has recorded, and
// fails where a worker would: with WF004.

import { Context } from './context.js';
import { Run } from './run.js';
import { ReplayMismatchError } from './errors.js';
import { fromJson, toJson } from './json.js';
import { idOf } from './names.js';
import { toMs } from './time.js';

const refuse = (code, message) => Object.assign(new Error(message), { code });
const timestamp = (ms) => new Date(ms).toISOString().replace('T', ' ').replace('Z', '+00');
const sameName = (fn, a, b) => fn === 'wf_wait_any' && a !== null && b !== null ?
  isDeepEqual(JSON.parse(a), JSON.parse(b)) : a === b;
const shown = (fn, name) => fn === 'wf_save_step' || fn === 'wf_step' ? `step "${name}"` :
  name === null ? `${fn}()` : `${fn}(${name})`;

function isDeepEqual(a, b) {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null)
    return a === b;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => isDeepEqual(a[key], b[key]));
}

// A value with its keys in the order of jsonb: the shorter first, then by bytes.
function asJsonb(value) {
  if (Array.isArray(value))
    return value.map(asJsonb);
  if (typeof value !== 'object' || value === null)
    return value;
  const keys = Object.keys(value).map((key) => [key, Buffer.from(key)])
    .sort(([, a], [, b]) => a.length - b.length || Buffer.compare(a, b));
  return Object.fromEntries(keys.map(([key]) => [key, asJsonb(value[key])]));
}

// What a workflow finds around it: mailbox, clock, other workflows.
class World {
  constructor({ now, children, sql }) {
    this.clock = now.getTime();
    this.children = children;
    this.sql = sql;
    this.coming = [];                 // { at, arrive }
    this.queues = new Map();          // JSON of a source → payloads
    this.published = new Map();       // JSON of [id, key] → text
    this.outcomes = new Map();        // id → { status, output, error }
    this.streams = new Map();         // JSON of [id, stream] → { items, ended }
    this.hooks = new Map();           // token → { metadata }
    this.events = {};
    this.sent = [];
    this.notified = [];
    this.started = [];
    this.resumed = [];
    this.responses = [];
    this.attributes = {};
    this.count = 0;
    this.done = 0;                    // the order in which calls were completed
  }

  // Have something happen, now or later.
  happen(after, arrive) {
    const at = this.clock + toMs(after, 0);
    if (at <= this.clock)
      return void arrive();
    this.coming.push({ at, arrive });
    this.coming.sort((a, b) => a.at - b.at);
  }

  put(source, value) {
    const key = JSON.stringify(source);
    if (!this.queues.has(key))
      this.queues.set(key, []);
    this.queues.get(key).push({ text: toJson(value) ?? 'null', order: ++this.count });
  }

  stream(id, name) {
    const key = JSON.stringify([id, name]);
    if (!this.streams.has(key))
      this.streams.set(key, { items: [], ended: false });
    return this.streams.get(key);
  }

  // Look at a source: the text of its value, or undefined.
  look(source) {
    if ('token' in source && !this.hooks.has(source.token))
      throw refuse('WF006', 'there is no such hook');
    if ('key' in source) {
      const text = this.published.get(JSON.stringify([source.workflow_id, source.key]));
      return text !== undefined ? text :
        this.outcomes.has(source.workflow_id) ? null : undefined;
    }
    if ('stream' in source) {
      const { items, ended } = this.stream(source.workflow_id, source.stream);
      if (items.length > source.after)
        return JSON.stringify({ item_no: source.after + 1, ended: false,
          value: JSON.parse(items[source.after]) });
      return ended || this.outcomes.has(source.workflow_id) ?
        JSON.stringify({ item_no: null, value: null, ended: true }) : undefined;
    }
    if ('workflow_id' in source) {
      const outcome = this.outcomes.get(source.workflow_id);
      return outcome && JSON.stringify(outcome);
    }
    return this.queues.get(JSON.stringify(source))?.shift()?.text;
  }

  // When the oldest payload of a source came.
  age(source) {
    return this.queues.get(JSON.stringify(source))?.[0]?.order ?? Infinity;
  }

  // Wait for the first of several sources; the clock jumps.
  wait(sources, deadline) {
    for (;;) {
      for (const [n, source] of sources.entries()) {
        const text = this.look(source);
        if (text !== undefined)
          return { n, text };
      }
      const next = this.coming[0];
      if (next && next.at <= deadline) {
        this.coming.shift();
        this.clock = Math.max(this.clock, next.at);
        next.arrive();
      } else if (deadline === Infinity) {
        throw refuse('WF010', 'the workflow is suspended');
      } else {
        this.clock = Math.max(this.clock, deadline);
        return undefined;
      }
    }
  }
}

// The session: what a server would do for each call, and the journal.
class TestSession {
  constructor(world, journal, { id, steps, isReplay }) {
    this.world = world;
    this.journal = journal;
    this.id = id;
    this.steps = steps;
    this.isReplay = isReplay;
    this.no = 0;
    this.made = new Map();            // change → what patched() has said
  }

  // The record at the next number, if there is one.
  #recorded(fn, name) {
    const record = this.journal[this.no];
    this.no++;
    if (record === undefined && this.isReplay)
      throw refuse('WF010', 'the journal ends here');
    if (record !== undefined && (record.fn !== fn || !sameName(fn, record.name, name)))
      throw new ReplayMismatchError(
        `step ${this.no} was recorded as ${shown(record.fn, record.name)}, ` +
        `and ${shown(fn, name)} was called`);
    return record?.done ? record : undefined;
  }

  async call(op, limit) {
    if (op.fn === 'wf_patched') {
      const isNew = this.journal.slice(this.no).every((record) => !record.done) ||
        this.journal[this.no]?.fn === 'wf_patched';
      if (!this.made.has(op.name))
        this.made.set(op.name, isNew);
      else
        return this.made.get(op.name);
      if (!isNew)
        return false;
    }
    const record = this.#recorded(op.fn, op.name);
    const no = this.no;
    if (record?.error)
      throw refuse(record.error[0], record.error[1]);
    if (record)
      return op.decode(record.texts);
    let texts, error;
    try {
      texts = await this.#do(op, limit);
    } catch (caught) {
      if (caught.code === 'WF010')
        throw caught;
      error = [caught.code ?? 'P0001', caught.message];
      this.journal[no - 1] = { fn: op.fn, name: op.name, error, done: true, at: ++this.world.done };
      throw caught;
    }
    this.journal[no - 1] = { fn: op.fn, name: op.name, texts, done: true, at: ++this.world.done };
    return op.decode(texts);
  }

  // What a call does, as the texts of its columns.
  async #do({ fn, name, values, sources }, { timeout, deadline } = {}) {
    const { world } = this;
    const until = deadline ?? world.clock + (timeout ?? 0);
    switch (fn) {
      case 'wf_set_event':
        world.events[name] = JSON.parse(values[1] ?? 'null');
        return [];
      case 'wf_send':
        world.sent.push({ to: values[0], message: JSON.parse(values[1] ?? 'null'),
          topic: values[2] ?? undefined, idempotencyKey: values[3] ?? undefined });
        return [String(world.sent.length)];
      case 'wf_send_many':
        values[0].forEach((to, n) => world.sent.push({ to, topic: values[2] ?? undefined,
          message: JSON.parse(values[1][n] ?? 'null'), idempotencyKey: values[3][n] ?? undefined }));
        return [`{${values[0].map((_, n) => world.sent.length - values[0].length + n + 1)}}`];
      case 'wf_notify':
        world.notified.push({ eventId: name, data: JSON.parse(values[1] ?? 'null'),
          workflowId: values[2] ?? undefined });
        return values[2] === null ? [] : [values[2], String(world.notified.length), null, null];
      case 'wf_now': return [timestamp(world.clock)];
      case 'wf_random': return [String(Math.random())];
      case 'wf_uuid': return [globalThis.crypto.randomUUID()];
      case 'wf_patched': return ['t'];
      case 'wf_status': return [world.outcomes.get(name)?.status ?? 'RUNNING'];
      case 'wf_start': return [await this.#start(values)];
      case 'wf_cancel': {
        const alive = !world.outcomes.has(name);
        if (alive)
          world.outcomes.set(name, { status: 'CANCELLED', output: null, error: null });
        return [alive ? 't' : 'f'];
      }
      case 'wf_set_attributes':
        Object.assign(world.attributes, JSON.parse(values[0]));
        for (const key of Object.keys(world.attributes))
          if (world.attributes[key] === null)
            delete world.attributes[key];
        return [JSON.stringify(world.attributes)];
      case 'wf_create_hook': return [this.#createHook(values[0] ?? `hook-${++world.count}`, values[1])];
      case 'wf_create_webhook': {
        const token = this.#createHook(`webhook-${++world.count}`, values[1]);
        return [token, `https://test.invalid/.well-known/workflow/v1/webhook/${token}`];
      }
      case 'wf_dispose_hook': return [world.hooks.delete(name) ? 't' : 'f'];
      case 'wf_resume_hook':
        world.resumed.push({ token: name, payload: JSON.parse(values[1] ?? 'null') });
        return ['another'];
      case 'wf_respond':
        world.responses.push({ requestId: values[0], status: values[1],
          headers: JSON.parse(values[2]), body: values[3] });
        return ['t'];
      case 'wf_write_stream':
        return [String(world.stream(this.id, name).items.push(values[1] ?? 'null'))];
      case 'wf_write_stream_many':
        return [String(world.stream(this.id, name).items.push(...values[1].map((text) => text ?? 'null')))];
      case 'wf_close_stream':
        world.stream(this.id, name).ended = true;
        return [];
      case 'wf_create_stream_url': {
        const token = `stream-${++world.count}`;
        return [token, `https://test.invalid/.well-known/workflow/v1/stream/${token}`];
      }
      case 'wf_step':
        if (!world.sql)
          throw new Error(`ctx.sql("${name}") wants the option sql`);
        return [toJson(await world.sql(name, values[1], fromJson(values[2] ?? null))) ?? 'null'];
      case 'wf_recv_any':
        // the oldest of them
        sources = [...sources].sort((a, b) => world.age(a) - world.age(b));
        break;
      default:
        break;
    }
    const got = world.wait(sources, until);
    return this.#waited(fn, sources, got, until);
  }

  // The columns of a call that waits.
  #waited(fn, sources, got, until) {
    switch (fn) {
      case 'wf_sleep': return [timestamp(until)];
      case 'wf_recv_any': return got ? [sources[got.n].topic, got.text] : [null, null];
      case 'wf_wait_for_event': return [got?.text ?? null, got ? 'f' : 't'];
      case 'wf_wait_any': return got ? [String(got.n + 1), got.text] : [null, null];
      case 'wf_result': {
        const { status, output, error } = got ? JSON.parse(got.text) : { status: 'RUNNING' };
        return [status, toJson(output ?? undefined), error ?? null];
      }
      case 'wf_read_stream': {
        if (!got)
          return [null, String(sources[0].after), 'f'];
        const { item_no, value, ended } = JSON.parse(got.text);
        return ended ? [null, String(sources[0].after), 't'] :
          [JSON.stringify([value]), String(item_no), 'f'];
      }
      default: return [got?.text ?? null];
    }
  }

  #createHook(token, metadata) {
    this.world.hooks.set(token, { metadata: fromJson(metadata) });
    return token;
  }

  async #start([given, body, input, queue]) {
    const { world } = this;
    const id = given ?? `child-${++world.count}`;
    world.started.push({ id, queue: queue ?? undefined, body: body ?? undefined, input: fromJson(input) });
    const child = world.children[queue ?? body];
    if (child && !world.outcomes.has(id)) {
      try {
        const output = await child(fromJson(input), id);
        world.outcomes.set(id, { status: 'SUCCESS', output: JSON.parse(toJson(output) ?? 'null'), error: null });
      } catch (error) {
        world.outcomes.set(id, { status: 'ERROR', output: null, error: error.message });
      }
    }
    return id;
  }

  async begin(name) {
    const record = this.#recorded('wf_save_step', name);
    (this.open ??= new Map()).set(name, this.no);
    return { stepNo: this.no, done: record !== undefined,
      output: record?.error ? null : record?.texts[0] ?? null, error: record?.error?.[1] ?? null };
  }

  #record(name, record) {
    this.journal[this.open.get(name) - 1] =
      { fn: 'wf_save_step', name, done: true, at: ++this.world.done, ...record };
  }

  async save(name, output) {
    const saved = JSON.stringify(asJsonb(JSON.parse(output ?? 'null')));
    this.#record(name, { texts: [saved] });
    return saved;
  }

  async fail(name, error) { this.#record(name, { error: ['38000', error] }); }

  /** What takes the place of a step's function, if the test gave something. */
  replace(name, fn) {
    const given = this.steps[name.replace(/ #\d+$/, '')];
    return given === undefined ? fn : typeof given === 'function' ? given : () => given;
  }

  async pause(ms) { this.world.clock += ms; }

  async complete(output) { this.outcome = { status: 'SUCCESS', output: fromJson(output) }; }
  async failWorkflow(error) { this.outcome = { status: 'ERROR', error }; }
  async continueAsNew(input) {
    this.journal.length = 0;
    this.nextInput = { input: fromJson(input) };
  }

  async completions() {
    return this.journal.map((record, n) => ({ no: n + 1, at: record?.at ?? n, done: record?.done }))
      .filter(({ done }) => done).sort((a, b) => a.at - b.at || a.no - b.no).map(({ no }) => no);
  }

  async hasEnded() { return false; }
}

const codeOf = (workflow) => workflow.run ?? workflow;

export class TestWorkflow {
  #code;
  #world;
  #input;
  #options;
  #journal = [];

  constructor(workflow, { id = 'test', input, now = new Date(), children = {}, steps = {}, sql } = {}) {
    this.#code = codeOf(workflow);
    this.#input = fromJson(toJson(input));
    this.#world = new World({ now, children, sql });
    this.#options = { id, steps };
    this.id = id;
  }

  // ----- what happens around it, at once or `after` a time of the test's clock

  send(message, options = {}) {
    const { topic, after } = typeof options === 'string' ? { topic: options } : options;
    this.#world.happen(after, () => this.#world.put({ topic: topic ?? null }, message));
    return this;
  }

  notify(eventId, data, { after } = {}) {
    this.#world.happen(after, () => this.#world.put({ event_id: eventId }, data));
    return this;
  }

  resumeHook(token, payload, { after } = {}) {
    this.#world.happen(after, () => this.#world.put({ token: token?.token ?? token }, payload));
    return this;
  }

  /** A request to a webhook, given by its token or URL. */
  request(webhook, { method = 'POST', headers = {}, body, after } = {}) {
    const token = String(webhook?.token ?? webhook).split('/').pop();
    const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
    return this.resumeHook(token, {
      request_id: ++this.#world.count, method, url: `/${token}`, path: `/${token}`, query: null,
      headers: Object.fromEntries(Object.entries(headers).map(([name, value]) =>
        [name.toLowerCase(), value])),
      body: body ?? null, body_base64: Buffer.from(text).toString('base64'),
      received_at: new Date(this.#world.clock).toISOString(),
    }, { after });
  }

  /** Another workflow publishes something. */
  publish(workflow, key, value, { after } = {}) {
    this.#world.happen(after, () =>
      this.#world.published.set(JSON.stringify([idOf(workflow), key]), toJson(value) ?? 'null'));
    return this;
  }

  /** Another workflow ends: `{ output }` or `{ error }`. */
  finish(workflow, { output, error, after } = {}) {
    this.#world.happen(after, () => this.#world.outcomes.set(idOf(workflow), {
      status: error === undefined ? 'SUCCESS' : 'ERROR',
      output: fromJson(toJson(output) ?? 'null'), error: error ?? null,
    }));
    return this;
  }

  // ----- what it has done

  get journal() { return this.#journal.map((record) => ({ ...record })); }
  get now() { return new Date(this.#world.clock); }
  get events() { return this.#world.events; }
  get sent() { return this.#world.sent; }
  get notified() { return this.#world.notified; }
  get started() { return this.#world.started; }
  get resumed() { return this.#world.resumed; }
  get responses() { return this.#world.responses; }
  get attributes() { return this.#world.attributes; }
  get hooks() { return [...this.#world.hooks.keys()]; }
  stream(name) {
    return this.#world.stream(this.id, name).items.map((text) => JSON.parse(text));
  }

  /** Run it, or changed code, on: `{ status: 'SUCCESS' | 'ERROR' | 'WAITING', … }`. */
  async run(workflow) {
    if (workflow)
      this.#code = codeOf(workflow);
    for (;;) {
      const session = new TestSession(this.#world, this.#journal, this.#options);
      const outcome = await execute(session, this.#code, this.id, this.#input);
      if (!session.nextInput)
        return outcome;
      this.#input = session.nextInput.input;
    }
  }
}

// Run code on a session.
async function execute(session, code, id, input) {
  const run = new Run(session, { workflowId: id, queue: 'test', attempt: 1 });
  const { kind, error } = await run.execute(() => code(new Context(run, input), input));
  switch (kind) {
    case 'completed':
    case 'failed': return { ...session.outcome, ...(kind === 'failed' ? { cause: error } : {}) };
    case 'suspended': return { status: 'WAITING' };
    case 'continued': return undefined;
    default: throw error;
  }
}

/** A workflow to be tested. */
export function testWorkflow(workflow, options) {
  return new TestWorkflow(workflow, options);
}

/** The journal of a workflow, from a server: `query` is a pool's or client's. */
export async function journalOf(queryable, workflow) {
  const { rows } = await queryable.query(
    `SELECT s.step_no, s.function, s.name, s.result, s.error, w.input,
            (extract(epoch FROM s.completed_at) * 1000000)::bigint AS at
       FROM wf_workflows w LEFT JOIN durable_wf.step s USING (workflow_id)
      WHERE w.workflow_id = $1 ORDER BY s.step_no`, [idOf(workflow)]);
  const steps = [];
  for (const row of rows)
    if (row.step_no !== null)
      steps[row.step_no - 1] = {
        fn: row.function === 'wf_fail_step' ? 'wf_save_step' : row.function,
        name: row.name, texts: row.result, error: row.error,
        done: row.at !== null, at: row.at === null ? null : Number(row.at),
      };
  return { id: idOf(workflow), input: rows[0]?.input ?? undefined, steps };
}

/**
 * Run code against a journal. Resolves to how far it comes: its end, or WAITING
 * where the journal ends; rejects with ReplayMismatchError where it makes another
 * call than was recorded.
 */
export async function replay(workflow, { id = 'test', input, steps, journal }) {
  const records = (steps ?? journal).map((record) => ({ ...record }));
  const world = new World({ now: new Date(), children: {} });
  const session = new TestSession(world, records, { id, steps: {}, isReplay: true });
  return await execute(session, codeOf(workflow), id, input);
}
