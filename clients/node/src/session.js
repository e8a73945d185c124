// The session of a worker: a connection of its own, attached to one workflow
// at a time.  run.js has another one for tests, in memory (testing.js).

import { asText } from './json.js';
import { sever } from './connection.js';
import { isTraced, withTrace } from './trace.js';

// What a role or a database may have set must not end a wait for work, nor
// change what a moment looks like.
const settings = {
  'durable_wf.client_suspend_after': undefined,
  'durable_wf.workflow_id': '',
  DateStyle: 'ISO',
  TimeZone: 'UTC',
  statement_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
};

// Each text of a statement gets a name, by which a session plans it once.
const names = new Map();

function nameOf(text) {
  if (!names.has(text))
    names.set(text, `durable-wf ${names.size + 1}`);
  return names.get(text);
}

export class Session {
  #client;
  #traceparent;

  /** It can do two things in one statement: see Run. */
  merges = true;

  static async open(connections, suspendAfter, lost) {
    const client = await connections.open('durable-wf worker', lost);
    const set = { ...settings, 'durable_wf.client_suspend_after': `${suspendAfter} ms` };
    try {
      await client.query({
        text: `SELECT set_config(name, value, false)
                 FROM unnest($1::text[], $2::text[]) s (name, value)`,
        values: [Object.keys(set), Object.values(set)],
      });
    } catch (error) {
      sever(client);
      throw error;
    }
    return new Session(client, connections.traceparent);
  }

  constructor(client, traceparent) {
    this.#client = client;
    this.#traceparent = traceparent;
    this.pid = client.processID;
  }

  async #texts(text, values) {
    const { rows } = await this.#client.query({
      text, values, name: nameOf(text), types: asText, rowMode: 'array' });
    return rows.length === 1 ? rows[0] : rows.flat();
  }

  /** Wait for a workflow that is due, and attach to it. */
  async attach(queues) {
    const [workflowId, queue, input, attempt] = await this.#texts(
      'CALL wf_attach_any($1::text[], NULL, NULL, NULL, NULL, NULL)', [queues]);
    if (workflowId === null)
      return undefined;
    const [traceparent] = isTraced(this.#traceparent) ?
      await this.#texts('SHOW durable_wf.traceparent') : [];
    return { workflowId, queue, input, attempt: Number(attempt),
      traceparent: traceparent || undefined };
  }

  /**
   * Start a workflow, and attach to it.  One that exists already has no queue:
   * this session is not attached then.
   */
  async startAttached({ id, input, queue, timeout, attributes, traceparent }) {
    const call = 'wf_start_attached($1, $2::jsonb, $3, $4::interval, $5::jsonb)';
    const values = [id, input, queue, timeout, attributes];
    const from = traceparent === undefined ? call : `(
      SELECT (s).* FROM (
        SELECT ${call} AS s
          FROM (SELECT set_config('durable_wf.traceparent', $6, true) OFFSET 0) traced
        OFFSET 0) s) s`;
    const [workflowId, its, given, attempt] = await this.#texts(
      `SELECT workflow_id, queue, input, attempt FROM ${from}`,
      traceparent === undefined ? values : [...values, traceparent]);
    return { workflowId, queue: its, input: given, attempt: Number(attempt), traceparent,
      isNew: true };
  }

  /** Leave it unfinished; it is due again after that. */
  async detach(ms = 0) {
    await this.#texts('SELECT wf_detach($1::interval)', [`${ms} ms`]);
  }

  /** Leave it, if that takes no longer than a second, so that it counts as no crash. */
  async leave() {
    const timer = setTimeout(() => this.sever(), 1000);
    await this.detach().catch(() => {});
    clearTimeout(timer);
  }

  /** Make a journalled call; one that waits has a timeout or a deadline. */
  async call({ sql, values, decode }, { timeout, deadline } = {}) {
    const n = `$${values.length + 1}`;
    let [text, given] = withTrace(sql, values, this.#traceparent);
    if (deadline !== undefined) {
      text = sql.replace('$T', `greatest(${n}::timestamptz - clock_timestamp(), '0')`);
      given = [...values, new Date(deadline).toISOString()];
    } else if (timeout !== undefined) {
      text = sql.replace('$T', `${n}::interval`);
      given = [...values, timeout === Infinity ? null : `${timeout} ms`];
    }
    return decode(await this.#texts(text, given));
  }

  /** The trace context of what was received last; this is no step. */
  async receivedTraceparent() {
    const [traceparent] = await this.#texts('SELECT wf_received_traceparent()');
    return traceparent ?? undefined;
  }

  /** Begin a step of work that is done here. */
  async begin(name) {
    const [stepNo, done, output, error] = await this.#texts(
      'SELECT step_no, done, output, error FROM wf_begin_step($1)', [name]);
    return { stepNo: Number(stepNo), done: done === 't', output, error };
  }

  /** Record its output; returns that as a replay will get it (jsonb orders keys). */
  async save(name, output) {
    const [, saved] = await this.#texts('SELECT wf_save_step($1, $2::jsonb), $2::jsonb',
      [name, output]);
    return saved;
  }

  async fail(name, error) {
    await this.#texts('SELECT wf_fail_step($1, $2)', [name, error]);
  }

  async complete(output) {
    await this.#texts('SELECT wf_complete($1::jsonb)', [output]);
  }

  /** Record the output of a step, and with it the end of the workflow. */
  async saveAndComplete(name, output, result) {
    await this.#texts('SELECT wf_save_step($1, $2::jsonb), wf_complete($3::jsonb)',
      [name, output, result]);
  }

  async failWorkflow(error) {
    await this.#texts('SELECT wf_fail($1)', [error]);
  }

  async continueAsNew(input) {
    await this.#texts('SELECT wf_continue_as_new($1::jsonb)', [input]);
  }

  /** The numbers of the steps that are complete, in the order in which they were. */
  async completions(workflowId) {
    const numbers = await this.#texts(
      `SELECT step_no FROM wf_list_steps($1) WHERE completed_at IS NOT NULL
        ORDER BY completed_at, step_no`, [workflowId]);
    return numbers.map(Number);
  }

  /** Has a workflow ended? This is no step. */
  async hasEnded(workflowId) {
    const [status] = await this.#texts(
      'SELECT status FROM wf_workflows WHERE workflow_id = $1', [workflowId]);
    return !['PENDING', 'RUNNING', 'WAITING'].includes(status);
  }

  async close() {
    this.#client.ending = true;
    await this.#client.end().catch(() => {});
  }

  sever() {
    sever(this.#client);
  }
}
