// Waits of a client: any number of them, without a connection for each.
//
// A wait is an entry in a map and a source as wf_wait_any() has it.  It is
// looked at once the connection that LISTENs is there, and again when news
// name what it waits for, after a `resync`, and when its time is over.  First
// listen, then look: so nothing that commits in between is missed.  Looks of
// the same moment are one statement.
//
// The server tells news to those that LISTEN in batches, 50 ms apart.  So, while
// they are few, waits begin on a connection of the pool, for half a second at
// most: what comes soon comes at once.
//
// The end of a workflow that this process executes is told by its run, with the
// outcome.  So a wait for it asks the server nothing in the first half second:
// after that it does, since others can end the workflow, too.

import { fromServer, isConnectionError } from './errors.js';
import { asText, fromJson, fromJsonb } from './json.js';
import { after, pause, reconnectDelay } from './time.js';

const batchSize = 250;
const batchesAtOnce = 2;
const expressMs = 500;
const hereMs = 500;

// Look at several sources.  A source that is not there yet says whether its
// workflow is, and whose: who listens for it depends on that.
const lookSql = `
  SELECT a.source, a.value,
         (SELECT w.owner = current_user FROM wf_workflows w
           WHERE w.workflow_id = u.source->>'workflow_id')
    FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY u (source, n)
   CROSS JOIN LATERAL wf_wait_any(jsonb_build_array(u.source), '0') a
   ORDER BY u.n`;

const isForResult = ({ key, stream }) => key === undefined && stream === undefined;

export class Waits {
  #connections;
  #listener;
  #entries = new Map();               // workflow id → set of entries
  #toLook = new Set();
  #batches = 0;
  #scheduled = false;
  #failures = 0;
  #express = 0;                       // waits on a connection of the pool
  #expressMax;
  #isHere;
  #asking = 0;                        // waits that go by what the server tells
  #closed;

  /** isHere tells whether this process executes a workflow. */
  constructor(connections, listener, isHere = () => false) {
    this.#connections = connections;
    this.#listener = listener;
    this.#isHere = isHere;
    this.#expressMax = Math.min(4, Math.floor(connections.size / 2));
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
        entry.cancelHere?.();
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
      entry.until = Date.now() + timeout;
      if (isForResult(source) && this.#isHere(source.workflow_id))
        entry.cancelHere = after(hereMs, () => this.#begin(entry));
      else
        this.#begin(entry);
    });
  }

  // Wait for what the server tells.
  #begin(entry) {
    if (entry.isAsking)
      return;
    entry.isAsking = true;
    this.#asking++;
    this.#waitOnConnection(entry, Math.max(0, entry.until - Date.now())).then(() =>
      entry.isOver || this.#listener.ready().then(() => this.#look(entry))).catch(entry.reject);
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
    if (entry.isAsking)
      this.#asking--;
    if (entry.followed)
      this.#listener.forget(id);
    this.#listener.unuse();
  }

  // Wait on a connection of the pool for a moment, if few do. What goes wrong
  // there is found by the look that follows.
  async #waitOnConnection(entry, timeout) {
    if (this.#express >= this.#expressMax || this.#asking > this.#expressMax)
      return;
    this.#express++;
    try {
      const [[source, value]] = await this.#connections.query(
        'CALL wf_wait_any($1::jsonb, $2::interval, NULL, NULL, NULL)',
        [JSON.stringify([entry.source]), `${Math.min(timeout, expressMs)} ms`], asText);
      if (source !== null)
        entry.resolve({ arrived: true, value: fromJson(value) });
    } catch {
      // see above
    } finally {
      this.#express--;
    }
  }

  /**
   * What the server has told the connection that LISTENs, or a run of this
   * process: the outcome, too, or that it has left the workflow unfinished.
   */
  hear({ workflow_id, kind, key, outcome }) {
    if (kind === 'resync') {
      for (const set of this.#entries.values())
        for (const entry of set)
          this.#look(entry);
      return;
    }
    for (const entry of this.#entries.get(workflow_id) ?? []) {
      const { source } = entry;
      if (outcome && isForResult(source))
        entry.resolve({ arrived: true, value: {
          status: outcome.status, output: fromJsonb(outcome.json), error: outcome.error } });
      else if (kind === 'left' && entry.cancelHere)
        this.#begin(entry);
      else if (kind === 'result' || (kind === 'event' && source.key === key) ||
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
