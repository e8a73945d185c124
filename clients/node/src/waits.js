// Waits of a client: any number of them, without a connection for each.
//
// A wait is an entry in a map and a source as wf_wait_any() has it.  It is
// looked at once the connection that LISTENs is there, and again when news
// name what it waits for, after a `resync`, and when its time is over.  First
// listen, then look: so nothing that commits in between is missed.  Looks of
// the same moment are one statement.

import { fromServer, isConnectionError } from './errors.js';
import { asText, fromJson } from './json.js';
import { after, pause, reconnectDelay } from './time.js';

const batchSize = 250;
const batchesAtOnce = 2;

// Look at several sources.  A source that is not there yet says whether its
// workflow is, and whose: who listens for it depends on that.
const lookSql = `
  SELECT a.source, a.value,
         (SELECT w.owner = current_user FROM wf_workflows w
           WHERE w.workflow_id = u.source->>'workflow_id')
    FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY u (source, n)
   CROSS JOIN LATERAL wf_wait_any(jsonb_build_array(u.source), '0') a
   ORDER BY u.n`;

export class Waits {
  #connections;
  #listener;
  #entries = new Map();               // workflow id → set of entries
  #toLook = new Set();
  #batches = 0;
  #scheduled = false;
  #failures = 0;
  #closed;

  constructor(connections, listener) {
    this.#connections = connections;
    this.#listener = listener;
  }

  get size() {
    let sum = 0;
    for (const set of this.#entries.values())
      sum += set.size;
    return sum;
  }

  /**
   * Wait for a source; resolves to `{ arrived, value }`, where the value is
   * undefined when there is none: at the timeout (not arrived), or for an
   * event that the ended workflow never published.
   */
  wait(source, { timeout = Infinity, signal } = {}) {
    return new Promise((resolve, reject) => {
      if (this.#closed)
        return reject(this.#closed);
      if (signal?.aborted)
        return reject(signal.reason);
      const entry = { source, isLooking: false, isOver: false, followed: false };
      const abort = () => entry.end(reject, signal.reason);

      entry.end = (settle, value) => {
        if (entry.isOver)
          return;
        entry.isOver = true;
        this.#remove(entry);
        entry.cancelTimer?.();
        signal?.removeEventListener('abort', abort);
        settle(value);
      };
      entry.resolve = (value) => entry.end(resolve, value);
      entry.reject = (error) => entry.end(reject, error);
      signal?.addEventListener('abort', abort);
      this.#add(entry);

      if (timeout === 0) {
        entry.isLast = true;
        this.#look(entry);
        return;
      }
      entry.cancelTimer = after(timeout, () => {
        entry.isLast = true;
        this.#look(entry);
      });
      this.#listener.ready().then(() => this.#look(entry), entry.reject);
    });
  }

  #add(entry) {
    const id = entry.source.workflow_id;
    if (!this.#entries.has(id))
      this.#entries.set(id, new Set());
    this.#entries.get(id).add(entry);
    this.#listener.use();
  }

  #remove(entry) {
    const id = entry.source.workflow_id;
    const set = this.#entries.get(id);
    set.delete(entry);
    if (set.size === 0)
      this.#entries.delete(id);
    this.#toLook.delete(entry);
    if (entry.followed)
      this.#listener.forget(id);
    this.#listener.unuse();
  }

  /** What the server has told the connection that LISTENs. */
  hear({ workflow_id, kind, key }) {
    if (kind === 'resync') {
      for (const set of this.#entries.values())
        for (const entry of set)
          this.#look(entry);
      return;
    }
    for (const entry of this.#entries.get(workflow_id) ?? []) {
      const { source } = entry;
      if (kind === 'result' || (kind === 'event' && source.key === key) ||
          (kind === 'stream' && source.stream === key))
        this.#look(entry);
    }
  }

  // Look at an entry soon, together with others.
  #look(entry) {
    if (entry.isOver)
      return;
    this.#toLook.add(entry);
    if (this.#scheduled || this.#batches >= batchesAtOnce)
      return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      while (this.#toLook.size > 0 && this.#batches < batchesAtOnce)
        this.#lookAtBatch();
    });
  }

  async #lookAtBatch() {
    const batch = [];
    for (const entry of this.#toLook) {
      this.#toLook.delete(entry);
      batch.push(entry);
      if (batch.length === batchSize)
        break;
    }
    this.#batches++;
    try {
      await this.#lookAt(batch);
      this.#failures = 0;
    } finally {
      this.#batches--;
      for (const entry of this.#toLook) {
        this.#look(entry);            // there is more: go on
        break;
      }
    }
  }

  async #lookAt(batch) {
    let rows;
    const last = batch.map((entry) => entry.isLast);
    try {
      rows = await this.#connections.query(lookSql,
        [JSON.stringify(batch.map((entry) => entry.source))], asText);
    } catch (error) {
      return this.#failed(batch, error);
    }
    await Promise.all(batch.map(async (entry, n) => {
      const [source, value, mine] = rows[n];
      if (source !== null)
        entry.resolve({ arrived: true, value: fromJson(value) });
      else if (last[n])
        entry.resolve({ arrived: false, value: undefined });
      else if (mine !== 't' && !entry.isOver)
        await this.#hearOf(entry, mine !== null);
    }));
  }

  // The workflow is another role's, or is not there yet and may become so: have
  // the connection listen for it, once, and look again.
  async #hearOf(entry, exists) {
    const kind = exists ? 'followed' : 'heardOfOthers';
    if (entry[kind])
      return;
    entry[kind] = true;
    try {
      await this.#listener.hearOf(entry.source.workflow_id, exists);
      this.#look(entry);
    } catch (error) {
      entry.reject(fromServer(error));
    }
  }

  // One of several has failed: each alone.  The connection has: again, soon.
  async #failed(batch, error) {
    if (isConnectionError(error) && !this.#closed) {
      const waiting = batch.filter((entry) => !entry.isLast);
      batch.filter((entry) => entry.isLast).forEach((entry) => entry.reject(error));
      await pause(reconnectDelay(this.#failures++));
      waiting.forEach((entry) => this.#look(entry));
    } else if (batch.length === 1) {
      batch[0].reject(fromServer(error));
    } else {
      for (const entry of batch)
        await this.#lookAt([entry]);
    }
  }

  /** End all waits. */
  close(error) {
    this.#closed = error;
    for (const set of [...this.#entries.values()])
      for (const entry of [...set])
        entry.reject(error);
  }
}
