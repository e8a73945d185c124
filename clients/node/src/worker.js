// The worker: some connections, each of which executes one workflow at a time.
//
// One connection at a time, the scout, waits in the server for a workflow that
// is due. When it has one, the next one that is free becomes the scout; and it
// executes the workflow to its end or its suspension, and is free again. So a
// workflow that becomes due wakes one session of a worker. A suspended workflow
// has no connection, and a few connections serve thousands. What a connection is
// lost in is executed again, here or by another worker, against its journal.
//
// What this process starts itself begins on a connection that is free, if there
// is one: the statement that starts it attaches to it. Else it is due in its
// queue, like any other.

import { Context } from './context.js';
import { Run } from './run.js';
import { Session } from './session.js';
import { fromServer, isConnectionError } from './errors.js';
import { fromJson } from './json.js';
import { Workflow } from './names.js';
import { pause, reconnectDelay, toMs } from './time.js';

const retryMax = 60_000;

export class Worker {
  #connections;
  #workflows;
  #onNews;
  #queues;
  #options;
  #stopping = new AbortController();
  #starting = new Set();               // sessions that start what they execute
  #scout;                             // the session that waits for a workflow
  #free = [];                         // { session, resolve, reject }, last used last
  #runs = new Map();                  // run → session
  #ids = new Set();                   // of the workflows that it executes
  #startsHere;                        // what is started here may begin here
  #resolveStopped;
  #said = new Set();
  #signals = [];

  constructor(connections, workflows, options, onNews) {
    const { queues, connections: count = 4, suspendAfter = '200 ms', drainTimeout = '30 s',
      signals = ['SIGTERM'], logger = console, startHere = connections.areAlike } = options;

    this.#connections = connections;
    this.#workflows = workflows;
    this.#onNews = onNews;
    this.#queues = (queues ?? [...workflows.keys()]).map((queue) =>
      queue instanceof Workflow ? queue.name : queue);
    for (const queue of this.#queues)
      if (!workflows.has(queue))
        throw new Error(`there is no workflow "${queue}": call wf.workflow() first`);
    if (this.#queues.length === 0)
      throw new Error('there is no workflow: call wf.workflow() first');
    if (!(count >= 1))
      throw new RangeError('a worker needs a connection');
    this.#options = {
      suspendAfter: toMs(suspendAfter), drainTimeout: toMs(drainTimeout), logger,
    };
    this.#startsHere = startHere;

    /** Resolves when the worker has stopped. */
    this.stopped = new Promise((resolve) => { this.#resolveStopped = resolve; });
    this.#stopOn(signals || []);
    Promise.all(Array.from({ length: count }, () => this.#slot())).then(() => {
      for (const [signal, handler] of this.#signals)
        process.removeListener(signal, handler);
      this.#resolveStopped();
    });
  }

  // A signal drains the worker. If nobody else handles it, it then does what it
  // would have done.
  #stopOn(signals) {
    for (const signal of signals) {
      const handler = async () => {
        await this.stop();
        if (process.listenerCount(signal) === 0)
          process.kill(process.pid, signal);
      };
      process.once(signal, handler);
      this.#signals.push([signal, handler]);
    }
  }

  /** How many workflows it executes now. */
  get running() {
    return this.#runs.size;
  }

  #log(level, message, error) {
    this.#options.logger?.[level]?.(`durable-wf: ${message}`, error ?? '');
  }

  // Say something once, until it works again.
  #complain(message, error) {
    if (!this.#said.has(message))
      this.#log('error', message, error);
    this.#said.add(message);
  }

  // A connection, opened again as often as it is lost.
  async #slot() {
    let failures = 0;
    while (!this.#stopping.signal.aborted) {
      let session;
      try {
        let lost;
        session = await Session.open(this.#connections, this.#options.suspendAfter,
          (error) => lost?.(error));
        lost = (error) => {
          for (const [run, of] of this.#runs)
            if (of === session)
              run.abandon(error);
          for (const free of this.#free)
            if (free.session === session)
              free.reject(error);
        };
        while (!this.#stopping.signal.aborted) {
          const attached = await this.#next(session);
          failures = 0;
          this.#said.clear();
          if (attached)
            await this.#execute(session, attached);
        }
      } catch (error) {
        if (!this.#stopping.signal.aborted) {
          this.#complain(isConnectionError(error) ? 'no connection' : 'cannot work', error);
          session?.sever();
          session = undefined;
          await pause(reconnectDelay(failures++), this.#stopping.signal);
        }
      }
      await session?.close();
    }
  }

  // Get a workflow: as the scout; else be free, until there is something to start
  // or the scout has one.
  async #next(session) {
    if (this.#scout) {
      const start = await this.#beFree(session);
      if (start)
        return this.#startOn(session, start);
      if (this.#scout || this.#stopping.signal.aborted)
        return undefined;
    }
    let attached;
    this.#scout = session;
    try {
      attached = await session.attach(this.#queues);
    } catch (error) {
      if (error.code === '57014')     // stop(), or somebody's pg_cancel_backend
        return undefined;
      throw error;
    } finally {
      this.#scout = undefined;
      this.#free.at(-1)?.resolve();
    }
    if (attached && this.#stopping.signal.aborted) {
      await session.detach();
      return undefined;
    }
    return attached;
  }

  // Resolves to what is to be started, or to nothing: then look what to do.
  #beFree(session) {
    return new Promise((resolve, reject) => {
      const end = (settle) => (value) => {
        const at = this.#free.indexOf(free);
        if (at < 0)
          return;
        this.#free.splice(at, 1);
        settle(value);
      };
      const free = { session, resolve: end(resolve), reject: end(reject) };
      this.#free.push(free);
    });
  }

  /** Does it execute this workflow now? */
  executes(workflowId) {
    return this.#ids.has(workflowId);
  }

  /**
   * Start a workflow of a queue, to be executed here. Resolves to its id; undefined
   * if there is no connection for it.
   */
  start(start) {
    if (!this.#startsHere || this.#stopping.signal.aborted || this.#free.length === 0 ||
        !this.#queues.includes(start.queue))
      return undefined;
    return new Promise((resolve, reject) => {
      this.#free.at(-1).resolve({ ...start, resolve, reject });
    });
  }

  // Start what was asked for, and say so when it is being executed.
  async #startOn(session, { resolve, reject, ...start }) {
    let attached;
    this.#starting.add(session);
    try {
      attached = await session.startAttached(start);
    } catch (error) {
      if (error.code === '42883') {   // its objects are those of an older version
        this.#startsHere = false;
        resolve(undefined);
        return undefined;
      }
      reject(fromServer(error));
      if (isConnectionError(error))
        throw error;
      return undefined;
    } finally {
      this.#starting.delete(session);
    }
    const { workflowId, queue } = attached;
    if (queue !== null)
      this.#ids.add(workflowId);
    resolve(workflowId);
    return queue === null ? undefined : attached;
  }

  async #execute(session, attached) {
    const { workflowId, queue, input, attempt } = attached;
    const { run: code } = this.#workflows.get(queue);
    const isCareful = this.#tries.has(workflowId);
    const run = new Run(session, { ...attached, isCareful }, (news) => this.#hear(news));
    const given = fromJson(input);

    this.#runs.set(run, session);
    this.#ids.add(workflowId);
    const { kind, error } = await run.execute(() => code(new Context(run, given), given));
    this.#runs.delete(run);
    switch (kind) {
      case 'lost':
        if (this.#stopping.signal.aborted)
          await session.leave();
        session.sever();
        throw error;
      case 'mismatch':                // the code was changed: until it is mended
        this.#log('error', `workflow "${workflowId}" (${queue}) is not what it was`, error);
        await session.detach(this.#retryAfter(workflowId));
        break;
      case 'retry':
        this.#log('warn', `workflow "${workflowId}" (${queue}) is tried again`, error);
        await session.detach(this.#retryAfter(workflowId));
        break;
      case 'failed':
        this.#log('warn', `workflow "${workflowId}" (${queue}) has failed`, error);
        break;
      case 'ended':
        await session.detach();
        break;
      default:
        break;
    }
    if (kind !== 'mismatch' && kind !== 'retry')
      this.#tries.delete(workflowId);
  }

  // What a run tells; it is over when that is its result, or that it has left.
  #hear(news) {
    if (news.kind === 'result' || news.kind === 'left')
      this.#ids.delete(news.workflow_id);
    this.#onNews(news);
  }

  #tries = new Map();                 // workflow id → how often in a row

  // The pause before a workflow is tried again: 1 s, 2 s, …, 1 min.
  #retryAfter(workflowId) {
    const n = this.#tries.get(workflowId) ?? 0;
    this.#tries.set(workflowId, n + 1);
    return Math.min(retryMax, 1000 * 2 ** n);
  }

  /**
   * Take no more workflows, wait for those that run to end or to be suspended,
   * for `drainTimeout` at most, and close the connections.
   */
  async stop({ drainTimeout } = {}) {
    this.#stopping.abort();
    for (const free of [...this.#free])
      free.resolve();
    if (this.#scout)
      this.#cancel(this.#scout);
    const limit = new AbortController();
    pause(toMs(drainTimeout, this.#options.drainTimeout), limit.signal).then(() => {
      if (limit.signal.aborted)
        return;
      for (const run of this.#runs.keys())
        run.abandon(new Error('stopped'));
      for (const session of this.#starting)
        session.sever();              // another transaction may block it
      this.#scout?.sever();           // there is no connection to cancel by
    });
    await this.stopped;
    limit.abort();
  }

  // End a session's wait for work. It may just have got some, and then leaves
  // that, or its next statement is cancelled and the connection closed: the
  // workflow is due again in both cases. A cancel that comes before the statement
  // does nothing: then it takes another one.
  async #cancel(session) {
    try {
      while (this.#scout === session) {
        await this.#connections.query('SELECT pg_cancel_backend($1)', [session.pid]);
        await pause(50);
      }
    } catch {
      session.sever();
    }
  }
}
