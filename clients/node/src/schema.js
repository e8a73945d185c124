// Hooks whose payloads have a schema: any Standard Schema (Zod, Valibot,
// ArkType, …), https://standardschema.dev.
//
// resume() checks and sends what it was given; the workflow gets what the
// schema makes of it.  So a schema may transform into what is no JSON, a Date
// say, and what comes by another door (wf_resume_hook() in SQL) is checked, too.

import { SchemaError } from './errors.js';

/** What the schema makes of a value; throws SchemaError if it is not valid. */
export async function validate(schema, value) {
  if (!schema)
    return value;
  const result = await schema['~standard'].validate(value);
  if (result.issues)
    throw new SchemaError(result.issues);
  return result.value;
}

export class HookDefinition {
  #wf;

  constructor(schema, wf) {
    schema = schema?.schema ?? schema;
    if (typeof schema?.['~standard']?.validate !== 'function')
      throw new TypeError('defineHook() wants a Standard Schema');
    this.schema = schema;
    this.#wf = wf;
  }

  /** In a workflow: create such a hook. */
  create(ctx, options) {
    return ctx.createHook({ ...options, schema: this.schema });
  }

  /** Outside: check a payload, and resume the hook with it. */
  async resume(token, payload, options) {
    await validate(this.schema, payload);
    return this.#wf.resumeHook(token, payload, options);
  }
}
