// A client that LISTENs, with node-postgres: one connection follows many
// workflows, knows from the payload where to look, and finds its way back
// after a restart of the server.
//
// ./run test-node gives it a server: its address in PGHOST and so on, its
// directory in PGDATA, its log in DWF_LOG.  Nothing here judges by time.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { test, before, after } from 'node:test';
import { promisify } from 'node:util';
import pg from 'pg';

const run = promisify(execFile);
const timeout = 120_000;

// Follows workflows on one connection, and takes what comes into their
// mailboxes.  This is how a client should do it: first listen, then look, then
// wait; and look again where a notification says.
class Follower extends EventEmitter {
  constructor(ids) {
    super();
    this.ids = ids;
    this.received = [];               // [workflow, topic, message] as they come
    this.news = [];                   // the payloads, parsed
    this.channels = [];
    this.toLook = new Map();          // queues, by their names
    this.looks = 0;
    this.working = Promise.resolve();
  }

  async connect() {
    const client = new pg.Client();

    this.client = client;
    this.lost = new Promise((resolve) => {
      client.on('error', () => {});   // 'end' comes, too
      client.on('end', resolve);
    });
    client.on('notification', ({ payload }) => this.#hear(JSON.parse(payload)));
    await client.connect();
    const { rows } = await client.query(
      'SELECT wf_listen(id) AS channel FROM unnest($1::text[]) id', [this.ids]);
    this.channels = rows.map((row) => row.channel);
    await this.lookEverywhere();
  }

  // What a notification says, and what to do about it.
  #hear(news) {
    this.news.push(news);
    if (news.kind === 'resync')
      this.#work(() => this.lookEverywhere());
    else if (news.kind === 'message')
      this.#lookAt(news.workflow_id, news.key);
    this.emit('news', news);
  }

  // Look at one queue, soon; once for all that say so until then.
  #lookAt(id, topic) {
    const name = JSON.stringify([id, topic]);

    if (this.toLook.has(name))
      return;
    this.toLook.set(name, true);
    this.#work(() => {
      this.toLook.delete(name);
      return this.#take(id, topic);
    });
  }

  async lookEverywhere() {
    const { rows } = await this.client.query(
      `SELECT workflow_id, key FROM wf_mailbox
        WHERE door = 'message' AND workflow_id = ANY ($1)`, [this.ids]);

    for (const row of rows)
      await this.#take(row.workflow_id, row.key);
  }

  async #take(id, topic) {
    const { rows } = await this.client.query(
      `SELECT message FROM wf_recv_many($1, 100, '0', $2)`, [topic, id]);

    this.looks++;
    for (const row of rows)
      this.received.push([id, topic, row.message]);
    if (rows.length > 0)
      this.emit('received');
  }

  // One thing after the other; what a lost connection cuts short is made good
  // by the look after the next listen.
  #work(task) {
    this.working = this.working.then(task).catch((error) => {
      if (!this.client._ending && !this.client._ended)
        this.emit('error', error);
    });
  }

  async until(count) {
    while (this.received.length < count)
      await once(this, 'received');
  }

  async end() {
    await this.working;
    await this.client.end();
  }
}

// Call in several sessions until the items are used up.
async function inParallel(items, sessions, call) {
  const left = items.values();

  await Promise.all(Array.from({ length: sessions }, async () => {
    const client = new pg.Client();

    await client.connect();
    for (const item of left)
      await call(client, item);
    await client.end();
  }));
}

async function query(sql, parameters) {
  const client = new pg.Client();

  await client.connect();
  try {
    return (await client.query(sql, parameters)).rows;
  } finally {
    await client.end();
  }
}

const sorted = (list) => list.map((item) => JSON.stringify(item)).sort();
const send = (client, [id, topic, message]) =>
  client.query('SELECT wf_send($1, $2, $3)', [id, JSON.stringify(message), topic]);

const ids = Array.from({ length: 1000 }, (_, n) => `wf-${n} "ä"`);
let follower;

before(async () => {
  await query('CREATE EXTENSION durable_wf');
  await query(`SELECT wf_start(id) FROM unnest($1::text[]) id`, [[...ids, 'other']]);
  follower = new Follower(ids);
  await follower.connect();
});

after(() => follower.end());

test('one connection follows a thousand workflows', { timeout }, async () => {
  const topics = [null, 'paid', 'größe "x"\n'];
  const sent = topics.flatMap((topic, n) =>
    ids.map((id, i) => [id, topic, { n: n * ids.length + i }]));

  assert.equal(new Set(follower.channels).size, ids.length);
  await inParallel(sent, 4, send);
  await query(`SELECT wf_send('other', '1')`);
  await follower.until(sent.length);
  await follower.working;

  // each exactly once, and nothing else
  assert.deepEqual(sorted(follower.received), sorted(sent));
  assert.deepEqual(
    await query(`SELECT workflow_id FROM wf_mailbox`), [{ workflow_id: 'other' }]);
  // it looked where it was told to, and no more often than it was told
  assert.ok(!follower.news.some((news) => news.workflow_id === 'other'));
  if (!follower.news.some((news) => news.kind === 'resync'))
    assert.ok(follower.looks <= follower.news.length);
});

test('the payload says what has come, too', { timeout }, async () => {
  const [id] = ids;

  follower.news.length = 0;
  await query(`SELECT wf_set_event('state', '"done"', $1)`, [id]);
  await query(`SELECT wf_notify('cart', NULL, $1)`, [id]);
  await query(`SELECT wf_cancel($1)`, [id]);
  while (!follower.news.some((news) => news.kind === 'result'))
    await once(follower, 'news');
  assert.deepEqual(
    follower.news.filter((news) => news.kind !== 'resync'), [
      { workflow_id: id, kind: 'event', key: 'state' },
      { workflow_id: id, kind: 'notify', key: 'cart' },
      { workflow_id: id, kind: 'result', key: null },
    ]);
});

test('after a restart: listen again, look, go on', { timeout }, async () => {
  const [, one, two, three] = ids;
  const old = follower.channels;

  follower.received.length = 0;
  await query('SELECT wf_send($1, $2)', [one, '"before"']);
  await follower.until(1);

  await run('pg_ctl', ['-m', 'fast', '-w', '-l', process.env.DWF_LOG, 'restart']);
  await follower.lost;
  assert.deepEqual(await query('SELECT listens::int FROM wf_stat WHERE door IS NULL'),
    [{ listens: 0 }]);

  // what comes while it is away is found by the look
  await query('SELECT wf_send($1, $2)', [two, '"away"']);
  await follower.connect();
  assert.ok(!follower.channels.some((channel) => old.includes(channel)));
  await follower.until(2);

  // and the news come again
  await query('SELECT wf_send($1, $2, $3)', [three, '"back"', 'again']);
  await follower.until(3);
  await follower.working;
  assert.deepEqual(follower.received, [
    [one, null, 'before'], [two, null, 'away'], [three, 'again', 'back'],
  ]);
});
