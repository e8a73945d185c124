// The attempts at a step, in this process.

import { AsyncLocalStorage } from 'node:async_hooks';
import { FatalError, StepTimeoutError } from './errors.js';
import { toJson } from './json.js';
import { after, pause, toMs } from './time.js';

// Set while the function of a step runs: no call of the workflow's is allowed
// there, since a replay would not make it.
const running = new AsyncLocalStorage();

/** The name of the step whose function makes this call, if one does. */
export const runningStep = () => running.getStore();

/** How long to pause after an attempt, in milliseconds. */
export function delayAfter(backoff, attempt, error) {
  if (error?.retryAfter !== undefined)
    return error.retryAfter instanceof Date ? Math.max(0, error.retryAfter - Date.now()) :
      toMs(error.retryAfter);
  if (typeof backoff === 'function')
    return toMs(backoff(attempt, error));
  if (typeof backoff === 'object' && backoff !== null) {
    const { initial = '1 s', factor = 2, max = '1 h' } = backoff;
    return Math.min(toMs(initial) * factor ** (attempt - 1), toMs(max));
  }
  return toMs(backoff);
}

// One attempt: the function's promise, or the end of its time, or of the run. The
// signal is made when the function asks for it.
function attemptOnce(name, fn, given, timeout, run) {
  return new Promise((resolve, reject) => {
    let controller, reason;
    const stop = (why) => {
      reason ??= why;
      controller?.abort(reason);
    };
    const info = {
      ...given,
      get signal() {
        controller ??= new AbortController();
        if (reason)
          controller.abort(reason);
        return controller.signal;
      },
    };
    const end = (settle) => (value) => {
      cancel();
      forget();
      settle(value);
    };
    const cancel = after(timeout, () => {
      const error = new StepTimeoutError(name, timeout);
      stop(error);
      end(reject)(error);
    });
    const forget = run.whenOver(stop);
    running.run(name, async () => fn(info)).then(end(resolve), end(reject));
  });
}

/**
 * Do the work of a step. Resolves to `{ json }`, or to `{ error }` when it was
 * tried as often as it may be; undefined when the run is over. `rest` pauses
 * between attempts.
 */
export async function work(name, fn, info, options, run, rest = pause) {
  const { attempts = 1, backoff = {}, timeout = null } = options;

  for (let attempt = 1; ; attempt++) {
    let error;
    try {
      const value = await attemptOnce(name, fn, { ...info, attempt }, toMs(timeout), run);
      if (run.isOver)
        return undefined;
      return { json: toJson(value) };
    } catch (caught) {
      error = caught;
    }
    if (run.isOver)
      return undefined;
    if (attempt >= attempts || error instanceof FatalError || error?.fatal === true)
      return { error };
    await rest(delayAfter(backoff, attempt, error), run.signal);
    if (run.isOver)
      return undefined;
  }
}
