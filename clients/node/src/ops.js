// The journalled calls of a workflow, each as an object:
//
//   fn      the function, as the journal names it
//   name    the argument that names the call there; null if it has none
//   sql     the statement; $T stands for the timeout of a call that waits
//   values  its parameters
//   decode  makes a value of the texts of its columns, row after row: the same
//           texts come from a live call and from a recorded one
//
// Calls that wait have also
//
//   timeout what they wait at most, in milliseconds
//   sources what wf_wait_any() would wait for in their place; none for a sleep
//   pick    makes their value of what one of these sources has brought

import { asText, fromJson, toJson } from './json.js';
import { toInterval, toMs, toDate } from './time.js';
import { executedBy, idOf, toResult } from './names.js';

export { asText };

const nothing = () => undefined;
const first = ([text]) => text;
const number = ([text]) => Number(text);
const isTrue = ([text]) => text === 't';
const json = ([text]) => fromJson(text);

const rowsOf = (texts, width) => Array.from({ length: texts.length / width },
  (_, n) => texts.slice(n * width, (n + 1) * width));
const dateOrNot = (text) => text === null ? undefined : toDate(text);

/** A text[] as PostgreSQL writes it: the journal names wf_recv_any() by it. */
export function arrayText(items) {
  return `{${items.map((item) => item === null ? 'NULL' :
    item === '' || /[\s{}",\\]|^null$/i.test(item) ?
      `"${item.replace(/[\\"]/g, '\\$&')}"` : item).join(',')}}`;
}

const call = (fn, name, sql, values, decode = nothing) => ({ fn, name, sql, values, decode });

// ----- calls that do not wait

export const setEvent = (key, value) => call('wf_set_event', key,
  'SELECT wf_set_event($1, $2::jsonb)', [key, toJson(value)]);

export const send = (to, message, options = {}) => {
  const { topic, idempotencyKey } = typeof options === 'string' ? { topic: options } : options ?? {};
  const id = idOf(to);
  return call('wf_send', id, 'SELECT wf_send($1, $2::jsonb, $3, $4)',
    [id, toJson(message), topic ?? null, idempotencyKey ?? null], number);
};

export const sendMany = (messages, topic) => call('wf_send_many', null,
  'SELECT wf_send_many($1::text[], $2::jsonb[], $3, $4::text[])',
  [messages.map(({ to }) => idOf(to)), messages.map(({ message }) => toJson(message)),
    topic ?? null, messages.map(({ idempotencyKey }) => idempotencyKey ?? null)],
  ([text]) => text.slice(1, -1).split(',').map(Number));

export const notify = (eventId, data, { workflowId } = {}) => call('wf_notify', eventId,
  `SELECT workflow_id, message_id, waiting_since, deadline
     FROM wf_notify($1, $2::jsonb, $3)`,
  [eventId, toJson(data), idOf(workflowId) ?? null],
  (texts) => rowsOf(texts, 4).map(([id, message, since, deadline]) => ({
    workflowId: id, messageId: Number(message), waitingSince: dateOrNot(since),
    deadline: dateOrNot(deadline),
  })));

export const now = () => call('wf_now', null, 'SELECT wf_now()', [], ([text]) => toDate(text));
export const random = () => call('wf_random', null, 'SELECT wf_random()', [], number);
export const uuid = () => call('wf_uuid', null, 'SELECT wf_uuid()', [], first);
export const patched = (change) => call('wf_patched', change, 'SELECT wf_patched($1)', [change], isTrue);
export const status = (id) => call('wf_status', idOf(id), 'SELECT wf_status($1)', [idOf(id)], first);

export const start = (what, input, { id, startAfter, timeout, attributes } = {}) => {
  const { queue, body } = executedBy(what);
  return call('wf_start', id ?? null,
    `SELECT wf_start($1, $2, $3::jsonb, $4, $5::interval, $6::interval, $7::jsonb)`,
    [id ?? null, body, toJson(input), queue, toInterval(startAfter, 0),
      toInterval(timeout, null), toJson(attributes)], first);
};

export const cancel = (id, { reason, children = false } = {}) => call('wf_cancel', idOf(id),
  'SELECT wf_cancel($1, $2, $3)', [idOf(id), reason ?? null, children], isTrue);

export const setAttributes = (attributes) => call('wf_set_attributes', null,
  'SELECT wf_set_attributes($1::jsonb)', [toJson(attributes)],
  ([text]) => text === null ? {} : JSON.parse(text));

export const createHook = ({ token, metadata, validator } = {}) => call('wf_create_hook', token ?? null,
  'SELECT wf_create_hook($1, $2::jsonb, $3)',
  [token ?? null, toJson(metadata), validator ?? null], first);

export const createWebhook = (respondWith, { metadata, validator } = {}) =>
  call('wf_create_webhook', null,
    'SELECT token, url FROM wf_create_webhook($1::jsonb, $2::jsonb, $3)',
    [toJson(respondWith), toJson(metadata), validator ?? null],
    ([token, url]) => ({ token, url }));

export const disposeHook = (token) => call('wf_dispose_hook', token,
  'SELECT wf_dispose_hook($1)', [token], isTrue);

export const resumeHook = (token, payload, { idempotencyKey } = {}) => call('wf_resume_hook', token,
  'SELECT wf_resume_hook($1, $2::jsonb, $3)', [token, toJson(payload), idempotencyKey ?? null], first);

export const respond = (requestId, { status, headers, body }) => call('wf_respond', null,
  'SELECT wf_respond($1::bigint, $2::int, $3::jsonb, $4)',
  [requestId, status, toJson(headers), body], isTrue);

export const writeStream = (stream, value) => call('wf_write_stream', stream,
  'SELECT wf_write_stream($1, $2::jsonb)', [stream, toJson(value)], number);

export const writeStreamMany = (stream, values) => call('wf_write_stream_many', stream,
  'SELECT wf_write_stream_many($1, $2::jsonb[])', [stream, values.map(toJson)], number);

export const closeStream = (stream) => call('wf_close_stream', stream,
  'SELECT wf_close_stream($1)', [stream]);

export const createStreamUrl = (stream) => call('wf_create_stream_url', stream,
  'SELECT token, url FROM wf_create_stream_url($1)', [stream], ([token, url]) => ({ token, url }));

// ----- calls that wait

const wait = (timeout, byDefault, rest) => ({ timeout: toMs(timeout, byDefault), ...rest });

export const sql = (name, command, args, { attempts = 1, backoff } = {}) => ({
  ...call('wf_step', name, 'CALL wf_step($1, $2, $3::jsonb, $4::int, $5::interval, NULL)',
    [name, command, toJson(args), attempts, toInterval(backoff, '1 s')],
    ([text]) => JSON.parse(text)),
  isStep: true,
});

export const recv = (topic, { timeout } = {}) => wait(timeout, '60 s', {
  ...call('wf_recv', topic ?? null, 'CALL wf_recv($1, $T, NULL, NULL)', [topic ?? null], json),
  sources: [{ topic: topic ?? null }],
  pick: (value) => value,
});

export const recvAny = (topics, { timeout } = {}) => wait(timeout, '60 s', {
  ...call('wf_recv_any', arrayText(topics), 'CALL wf_recv_any($1::text[], $T, NULL, NULL, NULL)',
    [topics], ([topic, message]) => message === null ? undefined :
      { topic, message: fromJson(message) }),
  sources: topics.map((topic) => ({ topic })),
  pick: (message, n) => ({ topic: topics[n], message }),
});

export const waitForEvent = (eventId, { timeout } = {}) => wait(timeout, '7 d', {
  ...call('wf_wait_for_event', eventId, 'CALL wf_wait_for_event($1, $T, NULL, NULL, NULL)',
    [eventId], ([data, timedOut]) => ({ eventData: fromJson(data), timedOut: timedOut === 't' })),
  sources: [{ event_id: eventId }],
  pick: (eventData) => ({ eventData, timedOut: false }),
  late: () => ({ eventData: undefined, timedOut: true }),
});

export const getEvent = (workflow, key, { timeout } = {}) => wait(timeout, '60 s', {
  ...call('wf_get_event', key, 'CALL wf_get_event($1, $2, $T, NULL)', [idOf(workflow), key], json),
  sources: [{ workflow_id: idOf(workflow), key }],
  pick: (value) => value,
});

export const awaitHook = (token, { timeout } = {}) => wait(timeout, null, {
  ...call('wf_await_hook', token, 'CALL wf_await_hook($1, $T, NULL)', [token], json),
  sources: [{ token }],
  pick: (value) => value,
});

/** The outcome of another workflow. */
export const outcome = (workflow, { timeout } = {}) => {
  const toOutcome = (status, output, error) =>
    ({ status, output: output ?? undefined, error: error ?? undefined });
  return wait(timeout, null, {
    ...call('wf_result', idOf(workflow), 'CALL wf_result($1, $T, NULL, NULL, NULL)',
      [idOf(workflow)], ([status, output, error]) =>
        toOutcome(status, fromJson(output), error)),
    sources: [{ workflow_id: idOf(workflow) }],
    pick: ({ status, output, error }) => toOutcome(status, output, error),
    late: () => toOutcome('RUNNING'),
  });
};

/** The output of another workflow, or its error. */
export const result = (workflow, options) => {
  const op = outcome(workflow, options);
  const then = (get) => (...args) => {
    const { status, output, error } = get(...args);
    return toResult(idOf(workflow), status, output, error);
  };
  return { ...op, decode: then(op.decode), pick: then(op.pick), late: then(op.late) };
};

export const readStream = (workflow, stream, after, { timeout, batch = 100 } = {}) =>
  wait(timeout, null, {
    ...call('wf_read_stream', stream,
      'CALL wf_read_stream($1, $2, $3::bigint, $4::int, $T, NULL, NULL, NULL)',
      [idOf(workflow), stream, after, batch], ([items, last, ended]) => ({
        items: fromJson(items) ?? [], last: Number(last), ended: ended === 't',
      })),
    sources: [{ workflow_id: idOf(workflow), stream, after }],
    pick: ({ item_no, value, ended }) =>
      ended ? { items: [], last: after, ended } : { items: [value], last: item_no, ended },
    late: () => ({ items: [], last: after, ended: false }),
  });

export const sleep = (duration) => wait(duration, null, {
  ...call('wf_sleep', null, 'CALL wf_sleep($T, NULL)', [], ([text]) => toDate(text)),
  sources: [],
  late: (deadline) => new Date(deadline),
});

/** The first of several sources: `{ source, value }`. */
export const any = (list, keys, { timeout } = {}) => wait(timeout, '60 s', {
  ...call('wf_wait_any', JSON.stringify(list), 'CALL wf_wait_any($1::jsonb, $T, NULL, NULL, NULL)',
    [JSON.stringify(list)], ([source, value]) => source === null ? undefined :
      { source: keys[source - 1], value: fromJson(value) }),
  sources: list,
  pick: (value, n) => ({ source: keys[n], value }),
});

/** The same with its place in the list, for several waits at a time. */
export const anyOf = (list) => ({
  ...call('wf_wait_any', JSON.stringify(list), 'CALL wf_wait_any($1::jsonb, $T, NULL, NULL, NULL)',
    [JSON.stringify(list)], ([source, value]) => source === null ? undefined :
      { place: source - 1, value: fromJson(value) }),
  sources: list,
});

/** A source of ctx.any() as wf_wait_any() has it. */
export function toSource(source) {
  if (typeof source?.token === 'string')
    return { token: source.token };
  if (source?.eventId !== undefined)
    return { event_id: source.eventId };
  const id = idOf(source?.workflowId ?? (source?.id !== undefined ? source : undefined));
  if (id !== undefined && source.key !== undefined)
    return { workflow_id: id, key: source.key };
  if (id !== undefined && source.stream !== undefined)
    return { workflow_id: id, stream: source.stream, after: source.after ?? 0 };
  if (id !== undefined)
    return { workflow_id: id };
  if (source && 'topic' in source)
    return { topic: source.topic ?? null };
  throw new TypeError('a source is one of { topic }, { eventId }, { token }, { workflowId }, ' +
    '{ workflowId, key }, { workflowId, stream }');
}
