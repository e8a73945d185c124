// The client: what a program does with workflows that it does not execute.
//
// Whatever does not wait is one statement in the pool.  Whatever waits is an
// entry in waits.js, so that thousands of waits need no connection of their
// own.

import { Connections } from './connection.js';
import { Listener } from './listener.js';
import { Waits } from './waits.js';
import { News } from './news.js';
import { StreamReader } from './stream.js';
import { HookDefinition } from './schema.js';
import { Worker } from './worker.js';
import { executedBy, idOf, toResult, Workflow } from './names.js';
import { fromServer } from './errors.js';
import { asText, fromJson, toJson } from './json.js';
import { toInterval, toMs } from './time.js';
import { currentTraceparent, withTrace } from './trace.js';

/** A workflow that was started, or is known by its id. */
export class WorkflowHandle {
  #wf;

  constructor(wf, id) {
    this.#wf = wf;
    this.id = id;
  }

  status() { return this.#wf.status(this.id); }
  result(options) { return this.#wf.result(this.id, options); }
  outcome(options) { return this.#wf.outcome(this.id, options); }
  send(message, options) { return this.#wf.send(this.id, message, options); }
  getEvent(key, options) { return this.#wf.getEvent(this.id, key, options); }
  readStream(stream, options) { return this.#wf.readStream(this.id, stream, options); }
  cancel(options) { return this.#wf.cancel(this.id, options); }
  retry(options) { return this.#wf.retry(this.id, options); }
  toString() { return this.id; }
}

export class DurableWf {
  #connections;
  #listener;
  #waits;
  #news = new Set();                  // { id, news }
  #workflows = new Map();
  #workers = new Set();
  #closing;

  constructor(options) {
    this.#connections = new Connections(options);
    this.#listener = new Listener(this.#connections, (news) => this.#hear(news));
    this.#waits = new Waits(this.#connections, this.#listener, (id) =>
      [...this.#workers].some((worker) => worker.executes(id)));
  }

  #hear(news) {
    this.#waits.hear(news);
    for (const follower of this.#news)
      if (news.kind === 'resync' || follower.id === undefined ||
          follower.id === news.workflow_id)
        follower.news.push({
          workflowId: news.workflow_id ?? undefined, kind: news.kind, key: news.key,
        });
  }

  // The only column of the only row.
  async #value(sql, values) {
    const [[value]] = await this.#rows(sql, values);
    return value;
  }

  async #rows(sql, values) {
    try {
      return await this.#connections.query(
        ...withTrace(sql, values, this.#connections.traceparent), asText);
    } catch (error) {
      throw fromServer(error);
    }
  }

  // ----- life

  /**
   * Start a workflow: one of this library's by its name, `{ body }` for a
   * procedure, null for one that nobody executes.
   */
  async start(what, input, options = {}) {
    const { queue, body } = executedBy(what);
    const { id, startAfter, timeout, attributes } = options;
    if (queue !== null && body === null && startAfter === undefined) {
      const here = await this.#startHere({ id: id ?? null, input: toJson(input), queue,
        timeout: toInterval(timeout, null), attributes: toJson(attributes),
        traceparent: currentTraceparent(this.#connections.traceparent) });
      if (here !== undefined)
        return new WorkflowHandle(this, here);
    }
    const started = await this.#value(
      `SELECT wf_start($1, $2, $3::jsonb, $4, coalesce($5::interval, '0'), $6::interval,
                       $7::jsonb)`,
      [id ?? null, body, toJson(input), queue, toInterval(startAfter, 0),
        toInterval(timeout, null), toJson(attributes)]);
    return new WorkflowHandle(this, started);
  }

  // Start a workflow on a connection of a worker that executes it; undefined if
  // none is free.
  async #startHere(start) {
    for (const worker of this.#workers) {
      const id = await worker.start(start);
      if (id !== undefined)
        return id;
    }
    return undefined;
  }

  /** A handle for a workflow that exists, or will. */
  handle(id) {
    return new WorkflowHandle(this, idOf(id));
  }

  status(workflow) {
    return this.#value('SELECT wf_status($1)', [idOf(workflow)]);
  }

  /** The outcome; the status is still an unfinished one after the timeout. */
  async outcome(workflow, { timeout, signal } = {}) {
    const id = idOf(workflow);
    const { arrived, value } = await this.#waits.wait({ workflow_id: id },
      { timeout: toMs(timeout, null), signal });
    if (arrived)
      return { status: value.status, output: value.output ?? undefined, error: value.error ?? undefined };
    return { status: await this.status(id), output: undefined, error: undefined };
  }

  /** The output; throws if there will be none, or not in time. */
  async result(workflow, options) {
    const id = idOf(workflow);
    const { status, output, error } = await this.outcome(id, options);
    return toResult(id, status, output, error);
  }

  async cancel(workflow, { reason, children = false } = {}) {
    return await this.#value('SELECT wf_cancel($1, $2, $3)',
      [idOf(workflow), reason ?? null, children]) === 't';
  }

  async retry(workflow, { fromStep } = {}) {
    await this.#value('SELECT wf_retry($1, $2)', [idOf(workflow), fromStep ?? null]);
  }

  // ----- messages, events, notifications, hooks

  /** Returns the message's id. `options` may be just the topic. */
  async send(destination, message, options = {}) {
    const { topic, idempotencyKey } =
      typeof options === 'string' ? { topic: options } : options ?? {};
    return Number(await this.#value('SELECT wf_send($1, $2::jsonb, $3, $4)',
      [idOf(destination), toJson(message), topic ?? null, idempotencyKey ?? null]));
  }

  /** All or none, in one statement; returns the ids. */
  async sendMany(messages, options = {}) {
    const shared = (typeof options === 'string' ? options : options?.topic) ?? null;
    if (messages.length === 0)
      return [];
    const { sql, values, order } = sendManySql(messages, shared);
    const [row] = await this.#rows(sql, values);
    const ids = [];
    row.forEach((text, n) => text.slice(1, -1).split(',')
      .forEach((id, i) => { ids[order[n][i]] = Number(id); }));
    return ids;
  }

  async setEvent(workflow, key, value) {
    await this.#value('SELECT wf_set_event($1, $2::jsonb, $3)', [key, toJson(value), idOf(workflow)]);
  }

  /** undefined after the timeout, or when the workflow has ended without it. */
  async getEvent(workflow, key, { timeout, signal } = {}) {
    const { value } = await this.#waits.wait({ workflow_id: idOf(workflow), key },
      { timeout: toMs(timeout, '60 s'), signal });
    return value;
  }

  /** Who was notified. */
  async notify(eventId, data, { workflowId } = {}) {
    const rows = await this.#rows(
      `SELECT workflow_id, message_id, to_json(waiting_since)#>>'{}',
              to_json(deadline)#>>'{}'
         FROM wf_notify($1, $2::jsonb, $3)`,
      [eventId, toJson(data), idOf(workflowId) ?? null]);
    return rows.map(([id, message, since, deadline]) => ({
      workflowId: id, messageId: Number(message),
      waitingSince: since === null ? undefined : new Date(since),
      deadline: deadline === null ? undefined : new Date(deadline),
    }));
  }

  /** The id of the workflow that has the hook. */
  resumeHook(token, payload, { idempotencyKey } = {}) {
    return this.#value('SELECT wf_resume_hook($1, $2::jsonb, $3)',
      [token?.token ?? token, toJson(payload), idempotencyKey ?? null]);
  }

  /**
   * What the URL of a webhook does, for a route of yours: takes a Request, and
   * gives the Response. Of a manual one it waits for what the workflow responds,
   * on a connection of the pool, and is 504 after the timeout (30 s).
   */
  async resumeWebhook(token, request, { timeout } = {}) {
    const url = new URL(request.url);
    const given = {
      method: request.method, url: request.url, path: url.pathname, query: url.search.slice(1),
      headers: Object.fromEntries(request.headers),
      body_base64: Buffer.from(await request.arrayBuffer()).toString('base64'),
      received_at: new Date(),
    };
    let response = fromJson(await this.#value('SELECT wf_resume_webhook($1, $2::jsonb)',
      [token, toJson(given)]));
    if (response.request_id !== undefined)
      response = fromJson(await this.#value('CALL wf_await_response($1, $2::bigint, $3::interval, NULL)',
        [token, response.request_id, toInterval(timeout, '30 s')])) ?? { status: 504 };
    const { status, headers = {}, body = '' } = response;
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    return new Response([204, 205, 304].includes(status) ? null : text, { status, headers });
  }

  /** What there is to know of a hook; undefined if there is none. */
  async getHook(token) {
    const [row] = await this.#rows(
      `SELECT workflow_id, metadata, is_webhook, to_json(created_at)#>>'{}'
         FROM wf_get_hook($1)`, [token]);
    return row && {
      workflowId: row[0], metadata: fromJson(row[1]), isWebhook: row[2] === 't',
      createdAt: new Date(row[3]),
    };
  }

  /** A hook whose payloads have a schema. */
  defineHook(schema) {
    return new HookDefinition(schema, this);
  }

  // ----- streams, news

  /** The values of a stream, as they come, to its end. */
  readStream(workflow, stream, options) {
    return new StreamReader(this.#connections, this.#waits, idOf(workflow), stream, options);
  }

  /**
   * News of a workflow, or of all that this role owns, as an async iterator:
   * `{ workflowId, kind, key }`.  First `await news.ready`, then look, then
   * iterate; look at everything when the kind is `resync`.
   */
  listen(workflow) {
    const id = workflow === undefined ? undefined : idOf(workflow);
    this.#listener.use();
    const follower = { id };
    const ready = id === undefined ? this.#listener.ready() :
      this.#listener.ready().then(() => this.#listener.hearOf(id, true));
    follower.news = new News(ready, () => {
      this.#news.delete(follower);
      if (id !== undefined)
        ready.then(() => this.#listener.forget(id), () => {});
      this.#listener.unuse();
    });
    this.#news.add(follower);
    return follower.news;
  }

  // ----- workflows of this process

  /** Say what executes the workflows of that name; it is their queue, too. */
  workflow(name, run) {
    if (typeof run !== 'function')
      throw new TypeError('a workflow is a function of its context and its input');
    if (this.#workflows.has(name))
      throw new Error(`there is a workflow "${name}" already`);
    const workflow = new Workflow(this, name, run);
    this.#workflows.set(name, workflow);
    return workflow;
  }

  /** Execute workflows, until stop() or SIGTERM. */
  work(options = {}) {
    const worker = new Worker(this.#connections, this.#workflows, options,
      (news) => this.#waits.hear(news));
    this.#workers.add(worker);
    worker.stopped.finally(() => this.#workers.delete(worker));
    return worker;
  }

  /** Stop the workers, end all waits, close what this client has opened. */
  close() {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close() {
    // idle connections do not keep the process alive, but closing them does
    const hold = setInterval(() => {}, 2 ** 30);
    try {
      await Promise.all([...this.#workers].map((worker) => worker.stop()));
      const error = new Error('the client was closed');
      this.#waits.close(error);
      await Promise.all([...this.#news].map(({ news }) => news.return()));
      await this.#listener.close();
      await this.#connections.close();
    } finally {
      clearInterval(hold);
    }
  }
}

/** One statement that sends all messages, a call for each topic. */
function sendManySql(messages, shared) {
  const topics = new Map();
  messages.forEach((message, n) => {
    const topic = message.topic === undefined ? shared : message.topic;
    if (!topics.has(topic))
      topics.set(topic, []);
    topics.get(topic).push(n);
  });
  const values = [], calls = [], order = [];
  for (const [topic, places] of topics) {
    const of = places.map((n) => messages[n]);
    const n = values.length;
    values.push(of.map(({ to }) => idOf(to)), of.map(({ message }) => toJson(message)), topic,
      of.map(({ idempotencyKey }) => idempotencyKey ?? null));
    calls.push(`wf_send_many($${n + 1}::text[], $${n + 2}::jsonb[], $${n + 3}, $${n + 4}::text[])`);
    order.push(places);
  }
  return { sql: `SELECT ${calls.join(', ')}`, values, order };
}
