// Types of durable-wf. They name no type of `pg`, so that @types/pg is not
// needed; a pg.Pool fits where PoolLike is wanted.

/** Milliseconds, or as PostgreSQL has it: '10 min', '1 day'. null: for ever. */
export type Duration = number | string | null;

/** What JSON.stringify can write; undefined becomes null. */
export type Json = unknown;

export interface PoolLike {
  query(config: unknown): Promise<{ rows: any[] }>;
  options: object;
  end(): Promise<void>;
}

export interface ConnectionOptions {
  connectionString?: string;
  host?: string;
  port?: number;
  user?: string;
  password?: string | (() => string | Promise<string>);
  database?: string;
  ssl?: boolean | object;
  /** How many connections the pool has (4). */
  max?: number;
  [option: string]: unknown;
}

export interface ClientOptions extends ConnectionOptions {
  /**
   * The trace context (W3C traceparent) that sends take along; false for none.
   * Left out: that of OpenTelemetry's active span, if the program has its API.
   */
  traceparent?: string | false | (() => string | undefined);
  /** A pool of yours; close() leaves it open. */
  pool?: PoolLike;
  /**
   * Where connections go that need a session of their own (the one that LISTENs,
   * and those of workers), if the pool goes through a proxy that pools
   * transactions.
   */
  direct?: string | ConnectionOptions;
}

export interface WaitOptions {
  timeout?: Duration;
}

export interface ClientWaitOptions extends WaitOptions {
  signal?: AbortSignal;
}

export type WorkflowStatus =
  'PENDING' | 'RUNNING' | 'WAITING' | 'SUCCESS' | 'ERROR' | 'CANCELLED';

export interface Outcome<Output = any> {
  status: WorkflowStatus;
  output: Output | undefined;
  error: string | undefined;
}

/** A workflow's id, or something that has it. */
export type WorkflowRef = string | { readonly id: string };

/** What executes a workflow: its name, `{ body }` for a procedure, null for none. */
export type Executable = string | { queue?: string; body?: string } | null;

export interface StartOptions {
  /** Its id; one that exists is taken as it is. Made up if left out. */
  id?: string;
  startAfter?: Duration;
  /** It is cancelled when this is over. */
  timeout?: Duration;
  /** To search by: `attributes @> …` in wf_workflows. */
  attributes?: Record<string, Json>;
}

export interface SendOptions {
  topic?: string | null;
  idempotencyKey?: string;
}

export interface MessageToSend {
  to: WorkflowRef;
  message: Json;
  topic?: string | null;
  idempotencyKey?: string;
}

export interface Notified {
  workflowId: string;
  messageId: number;
  waitingSince: Date | undefined;
  deadline: Date | undefined;
}

export interface HookInfo {
  workflowId: string;
  metadata: any;
  isWebhook: boolean;
  createdAt: Date;
}

export interface News {
  /** undefined with the kind resync: look at everything. */
  workflowId: string | undefined;
  kind: 'message' | 'event' | 'stream' | 'notify' | 'hook' | 'result' | 'resync';
  key: string | null;
}

export interface NewsIterator extends AsyncIterableIterator<News> {
  /** Resolves when listening is in force: look then. */
  readonly ready: Promise<void>;
  return(): Promise<IteratorResult<News>>;
}

/** After the timeout without a new item: WaitTimeoutError. */
export interface ReadOptions extends ClientWaitOptions {
  /** Begin behind this item (0). */
  after?: number;
  /** How many items are read at a time (100). */
  batch?: number;
}

export interface StreamReader<T = any> extends AsyncIterableIterator<T> {
  /** The number of the last item that was given. */
  readonly position: number;
}

/** Any Standard Schema: https://standardschema.dev */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

export type SchemaResult<Output> =
  { readonly value: Output; readonly issues?: undefined } |
  { readonly issues: ReadonlyArray<{ readonly message: string }> };

/** A workflow that was started, or is known by its id. */
export interface WorkflowHandle<Output = any> {
  readonly id: string;
  status(): Promise<WorkflowStatus>;
  /** The output; throws if there is none, or not in time. */
  result(options?: ClientWaitOptions): Promise<Output>;
  outcome(options?: ClientWaitOptions): Promise<Outcome<Output>>;
  send(message: Json, options?: SendOptions | string): Promise<number>;
  getEvent<T = any>(key: string, options?: ClientWaitOptions): Promise<T | undefined>;
  readStream<T = any>(stream: string, options?: ReadOptions): StreamReader<T>;
  cancel(options?: { reason?: string; children?: boolean }): Promise<boolean>;
  retry(options?: { fromStep?: number }): Promise<void>;
  toString(): string;
}

/** A workflow as code. */
export interface Workflow<Input = any, Output = any> {
  readonly name: string;
  readonly run: WorkflowFunction<Input, Output>;
  start(input: Input, options?: StartOptions): Promise<WorkflowHandle<Output>>;
}

export type WorkflowFunction<Input = any, Output = any> =
  (ctx: Context, input: Input) => Promise<Output>;

export interface WorkOptions {
  /** Which workflows; all that this process knows if left out. */
  queues?: (string | Workflow)[];
  /** How many workflows are executed at a time (4). */
  connections?: number;
  /**
   * Whether what this process starts begins on a connection of this worker that is
   * free: true, unless the pool was given, or `direct` is another role or database.
   */
  startHere?: boolean;
  /** How long a wait keeps its connection ('200 ms'). */
  suspendAfter?: Duration;
  /** How long stop() waits for what runs ('30 s'). */
  drainTimeout?: Duration;
  /** Signals that stop the worker (['SIGTERM']); false for none. */
  signals?: NodeJS.Signals[] | false;
  /** console if left out, null for none. */
  logger?: Pick<Console, 'warn' | 'error'> | null;
}

export interface Worker {
  /** How many workflows it executes now. */
  readonly running: number;
  /** Resolves when it has stopped. */
  readonly stopped: Promise<void>;
  stop(options?: { drainTimeout?: Duration }): Promise<void>;
}

export class DurableWf {
  constructor(options?: ClientOptions);

  start<Input, Output>(workflow: Workflow<Input, Output>, input: Input, options?: StartOptions):
    Promise<WorkflowHandle<Output>>;
  start(what: Executable, input?: Json, options?: StartOptions): Promise<WorkflowHandle>;
  handle<Output = any>(id: WorkflowRef): WorkflowHandle<Output>;
  status(workflow: WorkflowRef): Promise<WorkflowStatus>;
  result<Output = any>(workflow: WorkflowRef, options?: ClientWaitOptions): Promise<Output>;
  outcome<Output = any>(workflow: WorkflowRef, options?: ClientWaitOptions): Promise<Outcome<Output>>;
  cancel(workflow: WorkflowRef, options?: { reason?: string; children?: boolean }): Promise<boolean>;
  retry(workflow: WorkflowRef, options?: { fromStep?: number }): Promise<void>;

  send(destination: WorkflowRef, message: Json, options?: SendOptions | string): Promise<number>;
  sendMany(messages: MessageToSend[], options?: { topic?: string | null } | string): Promise<number[]>;
  setEvent(workflow: WorkflowRef, key: string, value: Json): Promise<void>;
  getEvent<T = any>(workflow: WorkflowRef, key: string, options?: ClientWaitOptions):
    Promise<T | undefined>;
  notify(eventId: string, data?: Json, options?: { workflowId?: WorkflowRef }): Promise<Notified[]>;
  resumeHook(token: string | { readonly token: string }, payload: Json,
    options?: { idempotencyKey?: string }): Promise<string>;
  /** What the URL of a webhook does, for a route of yours. */
  resumeWebhook(token: string, request: Request, options?: WaitOptions): Promise<Response>;
  getHook(token: string): Promise<HookInfo | undefined>;
  defineHook<Input, Output>(schema: StandardSchema<Input, Output> |
    { schema: StandardSchema<Input, Output> }): HookDefinition<Input, Output>;

  listen(workflow?: WorkflowRef): NewsIterator;
  readStream<T = any>(workflow: WorkflowRef, stream: string, options?: ReadOptions): StreamReader<T>;

  workflow<Input = any, Output = any>(name: string, run: WorkflowFunction<Input, Output>):
    Workflow<Input, Output>;
  work(options?: WorkOptions): Worker;
  close(): Promise<void>;
}

// ----- what a workflow's code has

export interface StepInfo {
  /** From 1. */
  readonly attempt: number;
  readonly stepNo: number;
  /** The same in each attempt and run, and no other's: an idempotency key. */
  readonly key: string;
  /** Aborts at the step's timeout, and when the run is over. */
  readonly signal: AbortSignal;
}

export interface StepOptions {
  /** How often it is tried (1). */
  attempts?: number;
  /** The pause after an attempt: { initial: '1 s', factor: 2, max: '1 h' }. */
  backoff?: number | string | { initial?: Duration; factor?: number; max?: Duration } |
    ((attempt: number, error: unknown) => number | string);
  /** Of each attempt. */
  timeout?: Duration;
}

export type Source =
  { topic: string | null } | { eventId: string } | { token: string } |
  { workflowId: WorkflowRef } | { workflowId: WorkflowRef; key: string } |
  { workflowId: WorkflowRef; stream: string; after?: number } | { readonly id: string };

export interface Context {
  readonly id: string;
  readonly queue: string;
  readonly input: any;
  /** 1, and one more for each worker that has died in it since it got further. */
  readonly attempt: number;
  readonly signal: AbortSignal;
  /** What the workflow was started with, in a program that traces. */
  readonly traceparent: string | undefined;
  /** That of what was received last. */
  receivedTraceparent(): Promise<string | undefined>;

  step<T>(name: string, fn: (info: StepInfo) => T | Promise<T>, options?: StepOptions): Promise<T>;
  sql<T = any>(name: string, command: string, args?: Json,
    options?: { attempts?: number; backoff?: Duration }): Promise<T>;
  sleep(duration: number | string | Date): Promise<Date>;
  now(): Promise<Date>;
  random(): Promise<number>;
  uuid(): Promise<string>;
  patched(change: string): Promise<boolean>;

  recv<T = any>(topic?: string | null, options?: WaitOptions): Promise<T | undefined>;
  recv<T = any>(options: WaitOptions): Promise<T | undefined>;
  recvAny<T = any>(topics: (string | null)[], options?: WaitOptions):
    Promise<{ topic: string | null; message: T } | undefined>;
  any(sources: Source[], options?: WaitOptions): Promise<{ source: number; value: any } | undefined>;
  any<Name extends string>(sources: Record<Name, Source>, options?: WaitOptions):
    Promise<{ source: Name; value: any } | undefined>;
  send(destination: WorkflowRef, message: Json, options?: SendOptions | string): Promise<number>;
  sendMany(messages: Omit<MessageToSend, 'topic'>[], options?: { topic?: string | null } | string):
    Promise<number[]>;
  setEvent(key: string, value: Json): Promise<void>;
  getEvent<T = any>(workflow: WorkflowRef, key: string, options?: WaitOptions): Promise<T | undefined>;
  waitForEvent<T = any>(eventId: string, options?: WaitOptions):
    Promise<{ eventData: T | undefined; timedOut: boolean }>;
  notify(eventId: string, data?: Json, options?: { workflowId?: WorkflowRef }): Promise<Notified[]>;

  createHook<T = any>(options?: HookOptions & { schema?: StandardSchema<any, T> }): Promise<Hook<T>>;
  createWebhook(options?: Omit<HookOptions, 'token'> & { respondWith?: 'manual' | ResponseLike }):
    Promise<Webhook>;
  defineHook<Input, Output>(schema: StandardSchema<Input, Output> |
    { schema: StandardSchema<Input, Output> }): {
      readonly schema: StandardSchema<Input, Output>;
      create(options?: HookOptions): Promise<Hook<Output>>;
    };
  resumeHook(token: string | { readonly token: string }, payload: Json,
    options?: { idempotencyKey?: string }): Promise<string>;

  startChild<Input, Output>(workflow: Workflow<Input, Output>, input: Input, options?: StartOptions):
    Promise<Child<Output>>;
  startChild(what: Executable, input?: Json, options?: StartOptions): Promise<Child>;
  workflow<Output = any>(id: WorkflowRef): Child<Output>;
  setAttributes(attributes: Record<string, Json>): Promise<Record<string, any>>;
  stream(name: string): Stream;
  readStream<T = any>(workflow: WorkflowRef, stream: string,
    options?: WaitOptions & { after?: number; batch?: number }): AsyncGenerator<T>;
  continueAsNew(input: Json): Promise<never>;
}

export interface Child<Output = any> {
  readonly id: string;
  status(): Promise<WorkflowStatus>;
  result(options?: WaitOptions): Promise<Output>;
  outcome(options?: WaitOptions): Promise<Outcome<Output>>;
  send(message: Json, options?: SendOptions | string): Promise<number>;
  getEvent<T = any>(key: string, options?: WaitOptions): Promise<T | undefined>;
  cancel(options?: { reason?: string; children?: boolean }): Promise<boolean>;
  toString(): string;
}

export interface Stream {
  readonly name: string;
  /** The number of the item. */
  write(value: Json): Promise<number>;
  writeMany(values: Json[]): Promise<number>;
  close(): Promise<void>;
  url(): Promise<{ token: string; url: string }>;
}

export interface HookOptions {
  /** Made up, and hard to guess, if left out. */
  token?: string;
  metadata?: Json;
  /** A function (jsonb) → jsonb of the database. */
  validator?: string;
}

export interface Hook<T = any> extends AsyncIterable<T> {
  readonly token: string;
  /** The next payload; undefined after the timeout. */
  receive(options?: WaitOptions): Promise<T | undefined>;
  dispose(): Promise<boolean>;
  [Symbol.dispose](): void;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface Webhook extends Hook<WebhookRequest> {
  readonly url: string;
}

export type ResponseLike = Response | {
  status?: number;
  headers?: Record<string, string>;
  /** A string, or any JSON. */
  body?: Json;
};

export interface WebhookRequest {
  readonly requestId: number;
  readonly method: string;
  readonly url: string;
  readonly path: string;
  readonly query: string | null;
  readonly headers: Headers;
  readonly body: any;
  readonly receivedAt: Date | undefined;
  bytes(): Uint8Array;
  text(): Promise<string>;
  json(): Promise<any>;
  arrayBuffer(): Promise<ArrayBuffer>;
  respondWith(response?: ResponseLike): Promise<boolean>;
}

export interface HookDefinition<Input = unknown, Output = Input> {
  readonly schema: StandardSchema<Input, Output>;
  create(ctx: Context, options?: HookOptions): Promise<Hook<Output>>;
  /** Checks the payload, then resumes; SchemaError if it is not valid. */
  resume(token: string | { readonly token: string }, payload: Input,
    options?: { idempotencyKey?: string }): Promise<string>;
}

// ----- errors

export class DurableError extends Error {
  /** The SQLSTATE. */
  readonly code: string;
  readonly detail?: string;
  readonly hint?: string;
}
export class WorkflowFailedError extends DurableError { readonly workflowId: string; }
export class WorkflowCancelledError extends DurableError { readonly workflowId: string; }
export class ReplayMismatchError extends DurableError {}
export class WaitTimeoutError extends Error {}
export class StepError extends Error { readonly step: string; }
export class StepTimeoutError extends Error {}
/** Thrown in a step: do not try again. */
export class FatalError extends Error {
  constructor(message?: string, options?: { cause?: unknown });
}
/** Thrown in a step: try again after that. */
export class RetryableError extends Error {
  constructor(message?: string, options?: { retryAfter?: Duration | Date; cause?: unknown });
  readonly retryAfter?: Duration | Date;
}
export class SchemaError extends Error {
  readonly issues: ReadonlyArray<{ readonly message: string }>;
}
