// A stream of a workflow as an async iterator.
//
// Items are read in batches by their numbers; when all was read the iterator
// waits like any other wait of the client, without a connection.  A reader that
// comes back later goes on after `position`.

import { fromServer, isConnectionError, WaitTimeoutError } from './errors.js';
import { asText, fromJson } from './json.js';
import { toMs } from './time.js';

const readSql =
  `SELECT item_no, value, ended FROM wf_read_stream($1, $2, $3, $4, '0')`;

export class StreamReader {
  #connections;
  #waits;
  #id;
  #stream;
  #options;
  #items = [];
  #ended = false;
  #turn = Promise.resolve();

  constructor(connections, waits, id, stream, { after = 0, timeout, signal, batch = 100 } = {}) {
    this.#connections = connections;
    this.#waits = waits;
    this.#id = id;
    this.#stream = stream;
    this.#options = { timeout: toMs(timeout, null), signal, batch };
    this.position = Number(after);
  }

  /** The next value; done at the end of the stream. */
  next() {
    const result = this.#turn.then(() => this.#next());
    this.#turn = result.catch(() => {});
    return result;
  }

  async #next() {
    const { timeout, signal } = this.#options;
    while (this.#items.length === 0 && !this.#ended) {
      signal?.throwIfAborted();
      if (await this.#read())
        continue;
      const { arrived } = await this.#waits.wait({
        workflow_id: this.#id, stream: this.#stream, after: this.position,
      }, { timeout, signal });
      if (!arrived)
        throw new WaitTimeoutError(`nothing new in stream "${this.#stream}"`);
    }
    if (this.#items.length === 0)
      return { value: undefined, done: true };
    const [number, value] = this.#items.shift();
    this.position = number;
    return { value, done: false };
  }

  // Read what is there; false if there is nothing, or no connection: then the
  // wait looks again until there is one.
  async #read() {
    let rows;
    try {
      rows = await this.#connections.query(readSql,
        [this.#id, this.#stream, this.position, this.#options.batch], asText);
    } catch (error) {
      if (isConnectionError(error))
        return false;
      throw fromServer(error);
    }
    for (const [number, value, ended] of rows)
      if (ended === 't')
        this.#ended = true;
      else
        this.#items.push([Number(number), fromJson(value)]);
    return rows.length > 0;
  }

  async return() {
    this.#ended = true;
    this.#items.length = 0;
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}
