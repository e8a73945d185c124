// Types of durable-wf/testing.

import type { Context, Duration, Json, Workflow, WorkflowFunction, WorkflowRef } from './index.js';

type Code = Workflow | WorkflowFunction | ((ctx: Context, input: any) => Promise<any>);

export interface TestOptions {
  id?: string;
  input?: Json;
  /** Where the clock of the test begins. */
  now?: Date;
  /** What takes the place of steps: a value, or a function. */
  steps?: Record<string, unknown>;
  /** What children come to, by their names; without one, finish() says it. */
  children?: Record<string, (input: any, id: string) => unknown>;
  /** What ctx.sql() returns. */
  sql?: (name: string, command: string, args: any) => unknown;
}

export type TestOutcome =
  { status: 'SUCCESS'; output: any } |
  { status: 'ERROR'; error: string; cause?: unknown } |
  { status: 'WAITING' };

export interface JournalRecord {
  fn: string;
  name: string | null;
  texts?: (string | null)[] | null;
  error?: string[] | null;
  done: boolean;
  at?: number | null;
}

export interface Journal {
  id: string;
  input: any;
  steps: JournalRecord[];
}

interface After {
  after?: Duration;
}

export interface TestWorkflow {
  readonly id: string;
  send(message: Json, options?: string | (After & { topic?: string | null })): this;
  notify(eventId: string, data?: Json, options?: After): this;
  resumeHook(token: string | { readonly token: string }, payload: Json, options?: After): this;
  request(webhook: string | { readonly token: string },
    request?: After & { method?: string; headers?: Record<string, string>; body?: Json }): this;
  publish(workflow: WorkflowRef, key: string, value: Json, options?: After): this;
  finish(workflow: WorkflowRef, outcome?: After & { output?: Json; error?: string }): this;
  /** Run it on: to its end, or to a wait for what is not there. */
  run(changed?: Code): Promise<TestOutcome>;
  readonly journal: JournalRecord[];
  readonly now: Date;
  readonly events: Record<string, any>;
  readonly sent: { to: string; message: any; topic?: string; idempotencyKey?: string }[];
  readonly notified: { eventId: string; data: any; workflowId?: string }[];
  readonly started: { id: string; queue?: string; body?: string; input: any }[];
  readonly resumed: { token: string; payload: any }[];
  readonly responses: { requestId: number; status: number; headers: Record<string, string>; body: string }[];
  readonly attributes: Record<string, any>;
  readonly hooks: string[];
  stream(name: string): any[];
}

export function testWorkflow(workflow: Code, options?: TestOptions): TestWorkflow;

export function journalOf(
  queryable: { query(text: string, values: unknown[]): Promise<{ rows: any[] }> },
  workflow: WorkflowRef): Promise<Journal>;

export function replay(workflow: Code, journal: Journal | (Partial<Journal> & { journal: JournalRecord[] })):
  Promise<TestOutcome>;
