// The one connection of a process that LISTENs.
//
// It listens for all workflows that its role owns, for single ones of other
// roles that are followed, and, once a workflow is awaited that does not exist
// yet, as each role that it may act for.  When it is lost it is opened again,
// with growing pauses; then, and when the server says `resync`, whoever waits
// is told to look again, since news may have passed unheard.  It sends no
// statement while nothing happens.

import { reconnectDelay, pause } from './time.js';
import { isConnectionError } from './errors.js';
import { sever } from './connection.js';

const rolesMax = 100;

export class Listener {
  #connections;
  #client;                            // connected, and listens
  #starting;                          // a promise, while it is not
  #closing = new AbortController();
  #followed = new Map();              // workflow ids, how often
  #work = Promise.resolve();          // statements one after the other
  #asOthers = false;
  #users = 0;
  #onNews;

  /** onNews gets what the server says, parsed. */
  constructor(connections, onNews) {
    this.#connections = connections;
    this.#onNews = onNews;
  }

  /** Resolves when the connection listens; rejects if it cannot be had. */
  ready() {
    if (this.#closing.signal.aborted)
      return Promise.reject(new Error('the client was closed'));
    if (this.#client)
      return Promise.resolve();
    this.#starting ??= this.#start(false);
    return this.#starting;
  }

  /** While somebody uses it, the process does not end by itself. */
  use() {
    if (this.#users++ === 0)
      this.#client?.ref();
  }

  /** The opposite. */
  unuse() {
    if (--this.#users === 0)
      this.#client?.unref();
  }

  // Open the connection, and listen to all that shall be.  The first time an
  // error goes to whoever waits; once it has worked it is tried for ever.
  async #start(again) {
    for (let n = 0; !this.#closing.signal.aborted; n++) {
      let client;
      try {
        client = await this.#connections.open('durable-wf listener',
          () => this.#lost(client));
        client.on('notification', ({ payload }) => this.#hear(payload));
        await client.query('SELECT wf_listen()');
        if (this.#asOthers)
          await this.#listenAsOthers(client);
        for (const id of this.#followed.keys())
          await this.#listenTo(client, id);
        if (client.isLost)
          throw new Error('Connection terminated');
        if (this.#closing.signal.aborted) {
          sever(client);
          break;
        }
        this.#client = client;
        this.#starting = undefined;
        if (this.#users === 0)
          client.unref();
        if (again)
          this.#onNews({ workflow_id: null, kind: 'resync', key: null });
        return;
      } catch (error) {
        if (client)
          sever(client);
        if (!again && !isConnectionError(error)) {
          this.#starting = undefined;
          throw error;
        }
        if (!again && n >= 5) {
          this.#starting = undefined;
          throw error;
        }
        await pause(reconnectDelay(n), this.#closing.signal);
      }
    }
    throw new Error('the client was closed');
  }

  #lost(client) {
    if (client)
      client.isLost = true;
    if (this.#client !== client || !client)
      return;
    this.#client = undefined;
    if (this.#closing.signal.aborted)
      return;
    this.#starting = this.#start(true);
    this.#starting.catch(() => {});
  }

  #hear(payload) {
    let news;
    try {
      news = JSON.parse(payload);
    } catch {
      return;                         // not of ours
    }
    this.#onNews(news);
  }

  async #listenTo(client, id) {
    try {
      await client.query('SELECT wf_listen($1)', [id]);
    } catch (error) {
      if (error.code !== 'WF001' && error.code !== '42501')
        throw error;                  // it is gone, or not ours any more
    }
  }

  // Listen as each role whose workflows we may see: a workflow that does not
  // exist yet has no channel, but that of all workflows of its owner will tell.
  async #listenAsOthers(client) {
    const { rows } = await client.query(
      `SELECT rolname FROM pg_catalog.pg_roles
        WHERE pg_catalog.pg_has_role(oid, 'USAGE') AND rolname <> current_user
          AND rolname !~ '^pg_' ORDER BY oid LIMIT ${rolesMax}`);
    for (const { rolname } of rows) {
      try {
        await client.query(`SET ROLE ${client.escapeIdentifier(rolname)}`);
        await client.query('SELECT wf_listen()');
      } catch (error) {
        if (isConnectionError(error))
          throw error;
      } finally {
        await client.query('RESET ROLE');
      }
    }
  }

  /**
   * Hear of the workflows of other roles, too: of one that exists, or of those
   * that do not yet.  When it resolves the caller must look again.
   */
  async hearOf(id, exists) {
    const isNew = exists ? !this.#followed.has(id) : !this.#asOthers;
    if (exists)
      this.#followed.set(id, (this.#followed.get(id) ?? 0) + 1);
    else
      this.#asOthers = true;
    if (isNew)
      await this.#inTurn((client) => exists ? this.#listenTo(client, id) :
        this.#listenAsOthers(client));
    else
      await this.#inTurn(() => {});   // another's may be under way
  }

  /** No longer hear of one workflow that hearOf() has followed. */
  forget(id) {
    const count = (this.#followed.get(id) ?? 0) - 1;
    if (count > 0)
      return void this.#followed.set(id, count);
    this.#followed.delete(id);
    this.#inTurn((client) => this.#followed.has(id) ? undefined :
      client.query('SELECT wf_unlisten($1)', [id])).catch(() => {});
  }

  // A statement of its own on the connection.  If that is lost meanwhile, the
  // next one will listen to the same.
  #inTurn(task) {
    const result = this.#work.then(async () => {
      try {
        await this.ready();
        await task(this.#client);
      } catch (error) {
        if (!isConnectionError(error))
          throw error;
        await this.ready();
      }
    });
    this.#work = result.catch(() => {});
    return result;
  }

  async close() {
    this.#closing.abort();
    const client = this.#client;
    this.#client = undefined;
    if (client) {
      client.ending = true;
      await client.end().catch(() => {});
    }
  }
}
