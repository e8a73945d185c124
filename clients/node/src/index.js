// What `import … from 'durable-wf'` gives.

export { DurableWf, WorkflowHandle } from './client.js';
export { Workflow } from './names.js';
export { HookDefinition } from './schema.js';
export {
  DurableError, FatalError, ReplayMismatchError, RetryableError, SchemaError, StepError,
  StepTimeoutError, WaitTimeoutError, WorkflowCancelledError, WorkflowFailedError,
} from './errors.js';
