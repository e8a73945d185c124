// One execution of a workflow: its code, from the top, against the journal.
//
// The code makes calls; each has the next number, and the server has recorded
// or does what it is for (session.js). Three things make a replay right:
//
// R1  Calls go to the server one at a time, in the order in which the code has
//     made them. When the run is over none of those that are left is sent: the
//     session may belong to no workflow any more, or to the next one.
// R2  What calls return is handed to the code one after the other, and the code
//     goes as far as it can before the next. A replay hands it over in the order
//     in which the calls were completed then (completed_at). So code that does
//     several things at a time makes the same calls in the same order again,
//     whichever of them was ready first.
// R3  A call that waits is sent when nothing else is under way: all other calls
//     have returned, all steps are saved, and the code awaits. Then the
//     workflow may be suspended with nothing left to lose. Several waits at a
//     time are one wf_wait_any(), repeated for those that are left.
//
// R4  What a step returns is handed to the code before it is recorded, if nothing
//     else is under way. It is recorded by the next statement, whatever that is:
//     with the end of the workflow in one transaction, if that comes next, else
//     before anything that the code asks for is begun, the work of the next step
//     included; and at once if the code asks for nothing.
// R5  The journal of a workflow that this process has started into this run
//     (isNew) is empty. So its steps need not ask for their record; the server
//     learns of a step when it is saved, or when it takes longer than a moment,
//     or when another call follows while it is open.
//
// A run that is over (suspended, cancelled, its connection lost) never settles
// another promise of the code. So no `catch` or `finally` of the code takes the
// suspension for an error; the code is simply not gone on with, and collected.

import * as ops from './ops.js';
import { describe, fromServer, isConnectionError, isTransient, StepError } from './errors.js';
import { fitsJsonb, fromJson, fromJsonb, toJson } from './json.js';
import { runningStep, work } from './step.js';
import { after } from './time.js';

const sourcesMax = 128;
const momentMs = 20;                  // steps that take longer are begun (R5)
const newsOf = { wf_set_event: 'event', wf_write_stream: 'stream', wf_write_stream_many: 'stream',
  wf_close_stream: 'stream' };
const never = () => new Promise(() => {});
const turn = () => new Promise(setImmediate);
// Could the server take this as a step's name? If not, it says so at once.
const isName = (name) => typeof name === 'string' && !name.includes('\0') &&
  name !== '' && Buffer.byteLength(name) <= 512;

const notRecorded = Symbol();         // instead of a value: the run has ended

export class Run {
  #session;
  #over = false;                      // then an error that says why
  #end;                               // resolves what execute() has returned
  #abort;                             // made when somebody wants the signal
  #whenOver = new Set();              // callbacks
  #tail = Promise.resolve();          // the last call to be sent (R1)
  #last = 0;                          // the number of the last call
  #names = new Map();                 // of steps, how often
  #patches = new Set();
  #outstanding = 0;                   // calls whose result the code has not got
  #results = [];                      // to be handed over: { no, settle }
  #handedOver = 0;                    // the highest number so far
  #order;                             // of completion; undefined: not needed yet
  #place = 0;                         // in it
  #waits = [];
  #pumping = false;
  #onNews;
  #outcome;                           // of the code
  #isUntold = false;                  // what was handed over is not recorded
  #isNew;                             // its journal has only what this run did
  #isEarly;                           // results may be handed over early (R4)
  #unsaved;                           // { name, json }: handed over, not recorded
  #unbegun;                           // the name of a step, or undefined (R5)

  /**
   * onNews is told what this run has published. `isCareful`: hand over nothing
   * before it is recorded.
   */
  constructor(session,
    { workflowId, queue, attempt, traceparent, isNew = false, isCareful = false },
    onNews = () => {}) {
    this.#session = session;
    this.#onNews = onNews;
    this.#isNew = isNew;
    this.#isEarly = session.merges === true && !isCareful;
    if (isNew)
      this.#order = [];
    this.workflowId = workflowId;
    this.queue = queue;
    this.attempt = attempt;
    this.traceparent = traceparent;
  }

  /** Aborts when the run is over. */
  get signal() {
    this.#abort ??= new AbortController();
    if (this.#over && !this.#abort.signal.aborted)
      this.#abort.abort(this.#over);
    return this.#abort.signal;
  }

  /** Why it is over, or false. */
  get isOver() {
    return this.#over;
  }

  /** Call back when it is over; returns how not to. */
  whenOver(callback) {
    this.#whenOver.add(callback);
    return () => this.#whenOver.delete(callback);
  }

  /**
   * Execute the code. Resolves to `{ kind }`: completed, failed, continued
   * (as new), suspended, ended (by others), mismatch, retry, lost; the last
   * three with an error.
   */
  execute(code) {
    return new Promise((resolve) => {
      this.#end = resolve;
      (async () => code())().then(
        (value) => { this.#outcome = { value }; this.#pump(); },
        (error) => { this.#outcome = { error, hasFailed: true }; this.#pump(); });
      this.#pump();
    });
  }

  /** Give up: the session is gone, or shall be. */
  abandon(error) {
    this.#isOver('lost', error);
  }

  // `outcome` is what is recorded of the end: `{ status, json, error }`.
  #isOver(kind, error, outcome) {
    if (this.#over)
      return;
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;        // its stack says nothing
    this.#over = new Error(`the run is over: ${kind}`);
    Error.stackTraceLimit = stackTraceLimit;
    this.#abort?.abort(this.#over);
    for (const callback of this.#whenOver)
      callback(this.#over);
    this.#end({ kind, error });
    this.#onNews(kind === 'completed' || kind === 'failed' ?
      { workflow_id: this.workflowId, kind: 'result', key: null, outcome } :
      { workflow_id: this.workflowId, kind: 'left', key: null });
  }

  // ----- calls

  // Send something in its turn; nothing when the run is over by then. An error
  // that ends the run does so before the next one's turn. What the server has to
  // know before is sent first, unless the task does that.
  #inTurn(task, tells = false, always = false) {
    const result = this.#tail.then(async () => {
      if (this.#over)
        return never();
      if (this.#isUntold && !always)
        return notRecorded;
      if (!always && !tells && !await this.#tell())
        return notRecorded;
      try {
        return await task();
      } catch (error) {
        this.#endsRun(fromServer(error));
        throw error;
      }
    });
    this.#tail = result.catch(() => {});
    return result.then((value) => value === notRecorded ? never() : value);
  }

  // Record what was handed over (R4), and begin the step that the server does not
  // know of (R5). False if that has failed: then this run goes no further.
  async #tell() {
    const unsaved = this.#unsaved, unbegun = this.#unbegun;
    try {
      if (unsaved) {
        this.#unsaved = undefined;
        await this.#session.save(unsaved.name, unsaved.json);
      } else if (unbegun !== undefined) {
        this.#unbegun = undefined;
        await this.#session.begin(unbegun);
      }
    } catch (error) {
      this.#notTold(error);
      return false;
    }
    return !this.#over;
  }

  // The code goes by what is not recorded: it is executed anew.
  #notTold(error) {
    this.#isUntold = true;              // nothing that is in turn begins
    this.#failed({ fn: 'wf_save_step' }, error, (known) => this.#isOver('retry', known));
  }

  // End the run, if that is what an error means whatever call it comes from.
  #endsRun(error) {
    const code = error?.code ?? '';
    if (code === 'WF010')
      this.#isOver('suspended');
    else if (isConnectionError(error))
      this.#isOver('lost', error);
    else if (code === 'WF004')
      this.#isOver('mismatch', error);
    else if (code === 'WF007' || code === 'WF008')
      this.#isOver('ended', error);
    return this.#over;
  }

  #mayCall(name) {
    const step = runningStep();
    if (step !== undefined)
      throw new Error(`${name} cannot be called inside of a step ("${step}")`);
  }

  /** Make a call that does not wait. */
  call(op) {
    this.#mayCall(op.fn);
    return this.#over ? never() : this.#send(op);
  }

  /** The trace context of what was received last. This takes no number. */
  receivedTraceparent() {
    this.#mayCall('receivedTraceparent()');
    if (this.#over)
      return never();
    this.#begins();
    return new Promise((resolve, reject) => {
      this.#inTurn(() => this.#session.receivedTraceparent?.()).then(
        (value) => this.#handOver(undefined, () => resolve(value)),
        (error) => this.#failed({ fn: 'wf_received_traceparent' }, error,
          (known) => this.#handOver(undefined, () => reject(known))));
    });
  }

  /** Make a call that may wait, as soon as nothing else is under way. */
  wait(op, deadline) {
    this.#mayCall(op.fn);
    if (this.#over)
      return never();
    return new Promise((resolve, reject) => {
      this.#waits.push({ op, deadline, resolve, reject });
      this.#pump();
    });
  }

  // Send a call; its result is handed over in its turn.
  #send(op, limit) {
    this.#begins();
    return new Promise((resolve, reject) => {
      let no;
      this.#inTurn(async () => {
        if (op.fn === 'wf_patched' && this.#patches.has(op.name))
          return this.#session.call(op);
        no = ++this.#last;
        if (op.fn !== 'wf_patched')
          return this.#session.call(op, limit);
        // only runs of the changed code have a step for it
        this.#patches.add(op.name);
        const patched = await this.#session.call(op);
        if (!patched) {
          no = undefined;
          this.#last--;
        }
        return patched;
      }).then((value) => {
        if (newsOf[op.fn])
          this.#onNews({ workflow_id: this.workflowId, kind: newsOf[op.fn], key: op.name });
        this.#handOver(no, () => resolve(value));
      },
        (error) => this.#failed(op, error, (known) =>
          this.#handOver(no, () => reject(known))));
    });
  }

  /** Run a step: work that is done here, and recorded. */
  step(given, fn, options) {
    this.#mayCall('step()');
    if (this.#over)
      return never();
    // steps of one name that are open at a time must be told apart
    const count = (this.#names.get(given) ?? 0) + 1;
    const name = count === 1 ? given : `${given} #${count}`;
    this.#names.set(given, count);
    this.#begins();
    return new Promise((resolve, reject) => {
      const fail = (error) => this.#failed({ fn: 'wf_begin_step' }, error,
        (known) => this.#handOver(undefined, () => reject(known)));
      this.#inTurn(async () => {
        if (this.#isNew && isName(name)) {
          this.#unbegun = name;
          return { stepNo: ++this.#last, done: false };
        }
        const begun = await this.#session.begin(name);
        this.#last = begun.stepNo;
        return begun;
      }).then((begun) => begun.done ?
        this.#handOver(begun.stepNo, () => begun.error === null ?
          resolve(fromJson(begun.output)) : reject(new StepError(name, begun.error))) :
        this.#work(name, begun.stepNo, fn, options)
          .then((settle) => this.#handOver(begun.stepNo, () => settle(resolve, reject))),
      ).catch(fail);
    });
  }

  // Do the work of a step, record it, and return how to settle its promise.
  async #work(name, stepNo, fn, options) {
    const info = { stepNo, key: `${this.workflowId}/${stepNo}` };
    const session = this.#session;
    const stopTimer = this.#unbegun === name ? after(momentMs, () => {
      if (this.#unbegun === name && !this.#over)
        this.#inTurn(() => {});
    }) : undefined;
    const done = await work(name, session.replace?.(name, fn) ?? fn, info, options, this,
      session.pause?.bind(session));
    stopTimer?.();
    if (done === undefined || this.#over)
      return never();
    let { json, error } = done;
    if (!error && this.#mayBeEarly(json)) {
      this.#unsaved = { name, json };
      if (this.#unbegun === name)
        this.#unbegun = undefined;    // the save takes its number
      return (resolve) => resolve(fromJsonb(json ?? 'null'));
    }
    if (!error) {
      try {
        const saved = await this.#inTurn(() => this.#session.save(name, json));
        return (resolve) => resolve(fromJson(saved ?? 'null'));
      } catch (caught) {
        // text that jsonb cannot hold: the step has failed, and says so
        if (!/^22/.test(caught?.code ?? ''))
          throw caught;
        error = caught;
      }
    }
    const text = describe(error);
    await this.#inTurn(() => this.#session.fail(name, text));
    return (resolve, reject) => reject(new StepError(name, text, error));
  }

  // May a step's result be handed over before it is recorded (R4)?  Nothing else
  // is under way, so that the order of completion is that of the hand-over.
  #mayBeEarly(json) {
    return this.#isEarly && this.#outstanding === 1 && this.#results.length === 0 &&
      this.#waits.length === 0 && this.#outcome === undefined &&
      (json === null || fitsJsonb(json));
  }

  /** End this run, and begin anew with another input. */
  continueAsNew(input) {
    this.#mayCall('continueAsNew()');
    const json = toJson(input);
    this.#inTurn(() => this.#session.continueAsNew(json)).then(
      () => this.#isOver('continued'),
      (error) => this.#failed({ fn: 'wf_continue_as_new' }, error,
        (known) => this.#isOver('retry', known)));
    return never();
  }

  // What an error of the server's means: the end of this run or, by
  // toCode(error), an error for the code.
  #failed(op, given, toCode) {
    const error = fromServer(given);
    const code = error?.code ?? '';
    if (this.#endsRun(error))
      return undefined;
    if (code === 'WF002' || code === 'WF003') {
      // it may be another workflow that has ended: that is for the code
      this.#inTurn(() => this.#session.hasEnded(this.workflowId), false, true).then(
        (ended) => ended ? this.#isOver('ended', error) : toCode(error),
        (other) => this.#isOver('lost', other));
      return undefined;
    }
    if (isTransient(error) && !op.isStep)
      return this.#isOver('retry', error);
    return toCode(error);
  }

  // ----- results, in order (R2)

  // A call begins. From the second one at a time on, the order of completion
  // matters: get what is recorded of it.
  #begins() {
    this.#outstanding++;
    if (this.#outstanding < 2 || this.#order !== undefined)
      return;
    const from = this.#handedOver;
    this.#order = null;               // not known yet
    this.#inTurn(() => this.#session.completions(this.workflowId)).then(
      (numbers) => {
        this.#order = numbers.filter((no) => no > from);
        this.#pump();
      },
      (error) => this.#isOver(isConnectionError(error) ? 'lost' : 'retry', error));
  }

  #handOver(no, settle) {
    this.#results.push({ no, settle });
    this.#pump();
  }

  // The result that is next, if it is there.
  #nextResult() {
    const results = this.#results;
    if (results.length === 0 || this.#order === null)
      return undefined;
    while (this.#order !== undefined && this.#place < this.#order.length) {
      const at = results.findIndex(({ no }) => no === undefined ||
        no === this.#order[this.#place]);
      if (at >= 0) {
        const [result] = results.splice(at, 1);
        if (result.no !== undefined)
          this.#place++;
        return result;
      }
      // it is on its way, or code that has changed does not ask for it
      if (this.#outstanding > results.length)
        return undefined;
      this.#place++;
    }
    return results.shift();
  }

  #pump() {
    if (this.#pumping || this.#over)
      return;
    this.#pumping = true;
    this.#turns();
  }

  // Turn by turn: hand over a result and let the code go on from there; when
  // there is nothing to hand over or to come, end, or wait (R3).
  async #turns() {
    for (;;) {
      await turn();
      if (this.#over)
        return;
      const result = this.#nextResult();
      if (!result)
        break;
      this.#outstanding--;
      if (result.no > this.#handedOver)
        this.#handedOver = result.no;
      result.settle();
    }
    this.#pumping = false;
    if (this.#outstanding > 0)
      return;
    if (this.#outcome)
      this.#finish();
    else if (this.#waits.length > 0)
      this.#await();
    else if (this.#unsaved)
      this.#inTurn(() => {});         // the code awaits something else
  }

  async #finish() {
    let { value, error, hasFailed } = this.#outcome;
    this.#outstanding++;              // nothing comes after this
    try {
      if (!hasFailed) {
        try {
          const json = toJson(value);
          if (this.#unsaved && (json === null || fitsJsonb(json)))
            await this.#inTurn(() => this.#saveAndComplete(json), true);
          else
            await this.#inTurn(() => this.#session.complete(json));
          return this.#isOver('completed', undefined, { status: 'SUCCESS', json });
        } catch (caught) {
          if (!(caught instanceof TypeError) && !/^22/.test(caught?.code ?? ''))
            throw caught;
          error = caught;
        }
      }
      const text = describe(error);
      await this.#inTurn(() => this.#session.failWorkflow(text));
      this.#isOver('failed', error, { status: 'ERROR', error: text });
    } catch (caught) {
      this.#failed({ fn: 'wf_complete' }, caught, (known) => this.#isOver('retry', known));
    }
  }

  // Record the last step and the end of the workflow, all or nothing.
  async #saveAndComplete(json) {
    if (!this.#unsaved)
      return this.#session.complete(json);
    const { name, json: output } = this.#unsaved;
    this.#unsaved = undefined;
    try {
      await this.#session.saveAndComplete(name, output, json);
    } catch (error) {
      this.#notTold(error);
      return notRecorded;
    }
    return undefined;
  }

  // ----- waits (R3)

  #settled(wait) {
    this.#waits.splice(this.#waits.indexOf(wait), 1);
  }

  // Wait: for one call as it is, for several with one call.
  #await() {
    const alone = this.#waits.length === 1 ? this.#waits[0] :
      this.#waits.find(({ op }) => op.isStep);
    (alone ? this.#awaitOne(alone) : this.#awaitSeveral()).catch((error) => {
      this.#isOver('retry', error);
    });
  }

  async #awaitOne(wait) {
    const { op, deadline } = wait;
    try {
      const value = await this.#send(op, deadline === undefined ?
        { timeout: op.timeout } : { deadline });
      this.#settled(wait);
      wait.resolve(value);
    } catch (error) {
      this.#settled(wait);
      wait.reject(error);
    }
  }

  async #awaitSeveral() {
    const waits = [...this.#waits];

    // a time to count from, the same in each run
    const undated = waits.filter(({ op, deadline }) =>
      deadline === undefined && op.timeout !== Infinity);
    if (undated.length > 0) {
      const begin = await this.#send(ops.now());
      for (const wait of undated)
        wait.deadline = begin.getTime() + wait.op.timeout;
    }
    const deadline = Math.min(...waits.map((wait) => wait.deadline ?? Infinity));
    const limit = deadline === Infinity ? { timeout: Infinity } : { deadline };

    // who wants which source
    const places = waits.flatMap((wait) => wait.op.sources.map((source, n) =>
      ({ wait, source, n }))).slice(0, sourcesMax);
    let got;
    if (places.length === 0) {
      await this.#send(ops.sleep(0), limit);
    } else {
      try {
        got = await this.#send(ops.anyOf(places.map(({ source }) => source)), limit);
      } catch {
        return this.#awaitEach(waits);
      }
    }

    if (got) {
      const { wait, n } = places[got.place];
      this.#settle(wait, () => wait.op.pick(got.value, n));
    } else {
      const wait = waits.find((each) => each.deadline === deadline);
      this.#settle(wait, () => wait.op.late?.(deadline));
    }
  }

  // One of several waits raises an error: find which, and tell that.
  async #awaitEach(waits) {
    for (const wait of waits) {
      if (wait.op.sources.length === 0)
        continue;
      try {
        const got = await this.#send(ops.anyOf(wait.op.sources), { timeout: 0 });
        if (got)
          return this.#settle(wait, () => wait.op.pick(got.value, got.place));
      } catch (error) {
        this.#settled(wait);
        return wait.reject(error);
      }
    }
    return undefined;
  }

  #settle(wait, get) {
    this.#settled(wait);
    try {
      wait.resolve(get());
    } catch (error) {
      wait.reject(error);
    }
  }
}
