// Connections: the pool for what is short, and connections of their own for
// the one that LISTENs and for those of workers.  What belongs to a session
// cannot go through a proxy that pools transactions; `direct` says where such
// connections go, if the pool goes through one.

import pg from 'pg';

/** Where to connect: the pool, and how to open a connection of its own. */
export class Connections {
  constructor(options = {}) {
    const { pool, direct, connectionString, traceparent, ...rest } = options;
    const config = connectionString === undefined ? rest : { connectionString, ...rest };

    this.traceparent = traceparent;
    this.ownsPool = !pool;
    this.pool = pool ?? new pg.Pool({ max: 4, allowExitOnIdle: true, ...config });
    // a server that restarts ends idle connections: the pool opens new ones
    if (this.ownsPool)
      this.pool.on('error', () => {});
    this.config = typeof direct === 'string' ? { connectionString: direct } :
      direct ?? this.pool.options;
    this.Client = this.pool.Client ?? pg.Client;
  }

  /**
   * Is a connection of its own like one of the pool: the same role of the same
   * database? A pool that was given may set another role on its connections.
   */
  get areAlike() {
    if (!this.ownsPool)
      return false;
    const [pooled, own] = [this.pool.options, this.config].map((config) => new this.Client(config));
    return pooled.user === own.user && pooled.database === own.database;
  }

  /** How many connections the pool may have. */
  get size() {
    return this.pool.options?.max ?? 10;
  }

  /** A statement in the pool; rows are arrays of texts. */
  async query(text, values, types) {
    const { rows } = await this.pool.query({ text, values, types, rowMode: 'array' });
    return rows;
  }

  /** Open a connection; `lost` is called once, when it is gone. */
  async open(application_name, lost) {
    const { password, ssl } = this.config;
    const client = new this.Client({
      keepAlive: true, ...this.config, password, ssl,
      application_name: this.config.application_name ?? application_name,
    });
    let told = false;
    const tell = (error) => {
      if (!told && !client.ending) {
        told = true;
        lost(error);
      }
    };
    client.on('error', tell);
    client.on('end', () => tell(new Error('Connection terminated')));
    await client.connect();
    return client;
  }

  async close() {
    if (this.ownsPool)
      await this.pool.end();
  }
}

/** Close a connection without a word, and without waiting for its statement. */
export function sever(client) {
  client.ending = true;
  client.connection?.stream?.destroy();
  client.end().catch(() => {});
}
