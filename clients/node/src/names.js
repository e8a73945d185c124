// How workflows are named in arguments, and what their outcome means.

import { WaitTimeoutError, WorkflowCancelledError, WorkflowFailedError } from './errors.js';

/** The id of a workflow, given as such or as a handle. */
export const idOf = (workflow) =>
  typeof workflow === 'object' && workflow !== null ? workflow.id : workflow;

/** A workflow as code: what wf.workflow() returns. */
export class Workflow {
  #wf;

  constructor(wf, name, run) {
    this.#wf = wf;
    this.name = name;
    this.run = run;
  }

  start(input, options) { return this.#wf.start(this, input, options); }
}

/** What executes a workflow: `{ queue }`, `{ body }` or nothing, from a name. */
export function executedBy(what) {
  if (what === null || what === undefined)
    return { queue: null, body: null };
  if (typeof what === 'string')
    return { queue: what, body: null };
  if (what instanceof Workflow)
    return { queue: what.name, body: null };
  return { queue: what.queue ?? null, body: what.body ?? null };
}

/** The output of an outcome, or its error. */
export function toResult(id, status, output, error) {
  switch (status) {
    case 'SUCCESS': return output;
    case 'ERROR': throw new WorkflowFailedError(id, error);
    case 'CANCELLED': throw new WorkflowCancelledError(id);
    default: throw new WaitTimeoutError(`workflow "${id}" has not ended: ${status}`);
  }
}
