// Hooks and webhooks, as a workflow's code has them.

import * as ops from './ops.js';
import { validate } from './schema.js';

const dispose = Symbol.dispose ?? Symbol.for('Symbol.dispose');
const asyncDispose = Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose');

/**
 * A hook: receive() takes the next payload, and so does each round of
 * `for await`. `using` and `await using` dispose of it.
 */
export class Hook {
  #run;
  #schema;
  #disposed;

  constructor(run, token, schema) {
    this.#run = run;
    this.token = token;
    this.#schema = schema;
  }

  /** The next payload; undefined after the timeout. */
  async receive(options) {
    const payload = await this.#run.wait(ops.awaitHook(this.token, options));
    return payload === undefined ? undefined : this.parse(payload);
  }

  /** What receive() makes of a payload. */
  parse(payload) {
    return validate(this.#schema, payload);
  }

  /** False if there was no such hook any more. */
  dispose() {
    this.#disposed ??= this.#run.call(ops.disposeHook(this.token));
    return this.#disposed;
  }

  // The run waits for it before it ends; an error is that of the workflow's end.
  [dispose]() {
    this.dispose().catch(() => {});
  }

  async [asyncDispose]() {
    await this.dispose();
  }

  async *[Symbol.asyncIterator]() {
    while (!this.#disposed) {
      let payload;
      try {
        payload = await this.receive();
      } catch (error) {
        if (error.code === 'WF006')   // disposed of by another session
          return;
        throw error;
      }
      yield payload;
    }
  }
}

/** The hook of a URL: what it receives are requests. */
export class Webhook extends Hook {
  #run;

  constructor(run, { token, url }) {
    super(run, token);
    this.#run = run;
    this.url = url;
  }

  parse(payload) {
    return new WebhookRequest(this.#run, payload);
  }
}

/** A request that a webhook has received. */
export class WebhookRequest {
  #run;
  #payload;

  constructor(run, payload) {
    this.#run = run;
    this.#payload = payload;
    this.requestId = payload.request_id;
    this.method = payload.method;
    this.url = payload.url;
    this.path = payload.path;
    this.query = payload.query;
    this.headers = new Headers(payload.headers ?? {});
    this.body = payload.body;         // JSON, text, or null
    this.receivedAt = payload.received_at ? new Date(payload.received_at) : undefined;
  }

  /** The exact bytes. */
  bytes() {
    return Buffer.from(this.#payload.body_base64 ?? '', 'base64');
  }

  async text() {
    return this.bytes().toString('utf8');
  }

  async json() {
    return JSON.parse(await this.text());
  }

  async arrayBuffer() {
    const bytes = this.bytes();
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  }

  /**
   * Answer, if the webhook was created with respondWith: 'manual'. False if
   * nobody waits for it any more.
   */
  async respondWith(response) {
    return this.#run.call(ops.respond(this.requestId, await toResponse(response)));
  }
}

/** A Response, or `{ status, headers, body }`, as the server wants it. */
async function toResponse(response = {}) {
  if (typeof Response !== 'undefined' && response instanceof Response)
    return { status: response.status, headers: Object.fromEntries(response.headers),
      body: await response.text() };
  const { status = 200, headers = {}, body = '' } = response;
  if (typeof body === 'string')
    return { status, headers, body };
  return { status, headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body) };
}

/** What wf_create_webhook() wants. */
export async function toRespondWith(respondWith) {
  return respondWith === undefined || respondWith === 'manual' ? respondWith :
    toResponse(respondWith);
}
