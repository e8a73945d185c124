// The errors of this library, and what the errors of the server mean to it.
//
// What the server raises with an SQLSTATE of its own (WF001 and so on) becomes
// a DurableError; everything else that comes from the server stays what
// node-postgres makes of it.

/** Something that the server refused; `code` is the SQLSTATE. */
export class DurableError extends Error {
  constructor(message, { code, detail, hint, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'DurableError';
    this.code = code;
    this.detail = detail;
    this.hint = hint;
  }
}

/** A workflow that was awaited has ended with ERROR. */
export class WorkflowFailedError extends DurableError {
  constructor(workflowId, error) {
    super(error ?? 'the workflow has failed', { code: 'WF_ERROR' });
    this.name = 'WorkflowFailedError';
    this.workflowId = workflowId;
  }
}

/** A workflow that was awaited was cancelled. */
export class WorkflowCancelledError extends DurableError {
  constructor(workflowId) {
    super(`workflow "${workflowId}" was cancelled`, { code: 'WF002' });
    this.name = 'WorkflowCancelledError';
    this.workflowId = workflowId;
  }
}

/** A workflow had not ended when the time was over. */
export class WaitTimeoutError extends Error {
  constructor(message) {
    super(message);
    this.name = 'WaitTimeoutError';
  }
}

/** The journal has another call than the code makes (WF004). */
export class ReplayMismatchError extends DurableError {
  constructor(message, options) {
    super(message, { code: 'WF004', ...options });
    this.name = 'ReplayMismatchError';
  }
}

/** A step has failed for good: the same in the first run and in a replay. */
export class StepError extends Error {
  constructor(step, message, cause) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'StepError';
    this.step = step;
  }
}

/** An attempt at a step took longer than its timeout. */
export class StepTimeoutError extends Error {
  constructor(step, timeout) {
    super(`step "${step}" took longer than ${timeout} ms`);
    this.name = 'StepTimeoutError';
  }
}

/** Thrown in a step: do not try again. */
export class FatalError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = 'FatalError';
  }
}

/** Thrown in a step: try again, after `retryAfter` rather than the backoff. */
export class RetryableError extends Error {
  constructor(message, { retryAfter, ...options } = {}) {
    super(message, options);
    this.name = 'RetryableError';
    this.retryAfter = retryAfter;
  }
}

/** What has come is not what the schema of its hook says. */
export class SchemaError extends Error {
  constructor(issues) {
    super(issues.map((issue) => issue.message).join('; ') || 'the payload is not valid');
    this.name = 'SchemaError';
    this.issues = issues;
  }
}

/** Make an error of the server's one of ours, if it is. */
export function fromServer(error) {
  if (error instanceof DurableError || !/^WF0/.test(error?.code ?? ''))
    return error;
  const { code, detail, hint } = error;
  if (code === 'WF004')
    return new ReplayMismatchError(error.message, { detail, hint, cause: error });
  return new DurableError(error.message, { code, detail, hint, cause: error });
}

/** How an error is written down when a step or a workflow fails. */
export function describe(error) {
  if (!(error instanceof Error))
    return String(error);
  const message = error.message || error.code || error.name;
  return error.name === 'Error' || error instanceof StepError ||
    error instanceof DurableError || error instanceof FatalError ||
    error instanceof RetryableError ? String(message) : `${error.name}: ${message}`;
}

const networkCodes = new Set(['ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE',
  'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', 'ENOENT', 'EHOSTUNREACH', 'ENETUNREACH',
  'ERR_STREAM_DESTROYED', 'ERR_SOCKET_CLOSED']);

/** Is the connection gone, so that the same may work on another one? */
export function isConnectionError(error) {
  const code = error?.code ?? '';
  return /^08/.test(code) || /^57P/.test(code) || networkCodes.has(code) ||
    /^53300$/.test(code) ||
    /Connection terminated|connection error|not queryable|Client was closed/i
      .test(error?.message ?? '');
}

/** Did a statement fail for a reason that goes away by itself? */
export function isTransient(error) {
  return isConnectionError(error) ||
    /^(40001|40P01|55P03|57014|53...|58...)$/.test(error?.code ?? '');
}
