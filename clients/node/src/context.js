// ctx: what a workflow's code acts by. Each call is one of ops.js; run.js says
// when it is made.

import * as ops from './ops.js';
import { WaitTimeoutError } from './errors.js';
import { Hook, Webhook, toRespondWith } from './hook.js';
import { HookDefinition } from './schema.js';

/** Another workflow, as this one sees it. */
class Other {
  #run;

  constructor(run, id) {
    this.#run = run;
    this.id = id;
  }

  result(options) { return this.#run.wait(ops.result(this.id, options)); }
  outcome(options) { return this.#run.wait(ops.outcome(this.id, options)); }
  status() { return this.#run.call(ops.status(this.id)); }
  send(message, options) { return this.#run.call(ops.send(this.id, message, options)); }
  getEvent(key, options) { return this.#run.wait(ops.getEvent(this.id, key, options)); }
  cancel(options) { return this.#run.call(ops.cancel(this.id, options)); }
  toString() { return this.id; }
}

/** A stream of this workflow. */
class Stream {
  #run;

  constructor(run, name) {
    this.#run = run;
    this.name = name;
  }

  write(value) { return this.#run.call(ops.writeStream(this.name, value)); }
  writeMany(values) { return this.#run.call(ops.writeStreamMany(this.name, values)); }
  close() { return this.#run.call(ops.closeStream(this.name)); }
  /** `{ token, url }`: whoever has them may read it. */
  url() { return this.#run.call(ops.createStreamUrl(this.name)); }
}

export class Context {
  #run;

  constructor(run, input) {
    this.#run = run;
    this.id = run.workflowId;
    this.queue = run.queue;
    this.attempt = run.attempt;
    this.traceparent = run.traceparent;
    this.input = input;
  }

  /** Aborts when this run is over: cancelled, suspended, its connection lost. */
  get signal() { return this.#run.signal; }

  /** The trace context that the sender had of what was received last. */
  receivedTraceparent() { return this.#run.receivedTraceparent(); }

  // ----- steps

  /** Do something outside, once: `{ attempts, backoff, timeout }`. */
  step(name, fn, options = {}) {
    return this.#run.step(name, fn, options);
  }

  /** Run an SQL command exactly once: what it writes and its record commit together. */
  sql(name, command, args, options = {}) {
    const op = ops.sql(name, command, args, options);
    return (options.attempts ?? 1) > 1 ? this.#run.wait(op) : this.#run.call(op);
  }

  now() { return this.#run.call(ops.now()); }
  random() { return this.#run.call(ops.random()); }
  uuid() { return this.#run.call(ops.uuid()); }
  patched(change) { return this.#run.call(ops.patched(change)); }

  /** Sleep a duration, or until a moment. */
  sleep(duration) {
    if (duration instanceof Date)
      return this.#run.wait(ops.sleep(0), duration.getTime());
    if (duration === undefined || duration === null || duration === Infinity)
      throw new RangeError('sleep() wants a duration or a Date');
    return this.#run.wait(ops.sleep(duration));
  }

  // ----- messages, events, notifications

  /** The next message of a topic; undefined after the timeout (60 s). */
  recv(topic, options) {
    if (typeof topic === 'object' && topic !== null)
      return this.#run.wait(ops.recv(undefined, topic));
    return this.#run.wait(ops.recv(topic, options));
  }

  /** The oldest message of several topics: `{ topic, message }`. */
  recvAny(topics, options) { return this.#run.wait(ops.recvAny(topics, options)); }

  /** Whichever comes first: `{ source, value }`, source being its name or place. */
  any(sources, options) {
    const keys = Array.isArray(sources) ? [...sources.keys()] : Object.keys(sources);
    return this.#run.wait(ops.any(keys.map((key) => ops.toSource(sources[key])), keys, options));
  }

  send(destination, message, options) {
    return this.#run.call(ops.send(destination, message, options));
  }

  sendMany(messages, options) {
    return this.#run.call(ops.sendMany(messages,
      typeof options === 'string' ? options : options?.topic));
  }

  setEvent(key, value) { return this.#run.call(ops.setEvent(key, value)); }
  getEvent(workflow, key, options) { return this.#run.wait(ops.getEvent(workflow, key, options)); }

  /** `{ eventData, timedOut }`. */
  waitForEvent(eventId, options) { return this.#run.wait(ops.waitForEvent(eventId, options)); }
  notify(eventId, data, options) { return this.#run.call(ops.notify(eventId, data, options)); }

  // ----- hooks

  async createHook({ schema, ...options } = {}) {
    const token = await this.#run.call(ops.createHook(options));
    return new Hook(this.#run, token, schema?.schema ?? schema);
  }

  async createWebhook({ respondWith, ...options } = {}) {
    const response = await toRespondWith(respondWith);
    return new Webhook(this.#run, await this.#run.call(ops.createWebhook(response, options)));
  }

  /** A hook whose payloads have a schema: `create({ token })`. */
  defineHook(schema) {
    const definition = new HookDefinition(schema);
    return { schema: definition.schema, create: (options) => definition.create(this, options) };
  }

  resumeHook(token, payload, options) {
    return this.#run.call(ops.resumeHook(token?.token ?? token, payload, options));
  }

  // ----- other workflows, streams

  /** Start a workflow whose parent this one is. */
  async startChild(what, input, options) {
    return new Other(this.#run, await this.#run.call(ops.start(what, input, options)));
  }

  /** Another workflow, by its id. */
  workflow(id) { return new Other(this.#run, typeof id === 'string' ? id : id.id); }

  setAttributes(attributes) { return this.#run.call(ops.setAttributes(attributes)); }
  stream(name) { return new Stream(this.#run, name); }

  /** The values of a stream of any workflow, as they come, to its end. */
  async *readStream(workflow, name, { after = 0, timeout, batch } = {}) {
    for (let ended = false; !ended;) {
      const got = await this.#run.wait(ops.readStream(workflow, name, after, { timeout, batch }));
      if (got.items.length === 0 && !got.ended)
        throw new WaitTimeoutError(`nothing new in stream "${name}"`);
      ({ last: after, ended } = got);
      yield* got.items;
    }
  }

  /** End this run, and begin the workflow anew with another input. */
  continueAsNew(input) { return this.#run.continueAsNew(input); }
}
