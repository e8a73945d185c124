// Traces: what is sent takes along the trace context of the span that is
// active, so that the receiver's spans join it (docs/tracing.md).
//
// The context is what the client's option `traceparent` says: a string, or a
// function that gives one; false for none. Without the option it is that of
// OpenTelemetry, if the program has its API: found where that keeps it, so that
// this library depends on nothing.

const api = Symbol.for('opentelemetry.js.api.1');
const spanKey = Symbol.for('OpenTelemetry Context Key SPAN');
const zeros = /^0*$/;

/** The traceparent of OpenTelemetry's active span, or undefined. */
function ofOpenTelemetry() {
  const span = globalThis[api]?.context?.active?.().getValue?.(spanKey);
  const { traceId = '', spanId = '', traceFlags = 0 } = span?.spanContext?.() ?? {};
  if (zeros.test(traceId) || zeros.test(spanId))
    return undefined;
  return `00-${traceId}-${spanId}-${(traceFlags & 0xff).toString(16).padStart(2, '0')}`;
}

/** The traceparent to send with, or undefined. */
export function currentTraceparent(option) {
  if (option === undefined)
    return ofOpenTelemetry();
  return (typeof option === 'function' ? option() : option) || undefined;
}

/** Does this program trace at all? */
export function isTraced(option) {
  return option === undefined ? globalThis[api]?.context !== undefined : option !== false;
}

const sends = /^\s*SELECT wf_(send|send_many|start|resume_hook|resume_webhook)\(/;

/**
 * A statement that sends, with the trace context that it takes along: set for
 * this statement only, and before the call in it is made.
 */
export function withTrace(sql, values, option) {
  const isNotify = sql.includes('FROM wf_notify(');
  if (!isNotify && !sends.test(sql))
    return [sql, values];
  const traceparent = currentTraceparent(option);
  if (traceparent === undefined)
    return [sql, values];
  const set = `(SELECT set_config('durable_wf.traceparent', $${values.length + 1}, true) OFFSET 0) traced`;
  const text = isNotify ?
    sql.replace(/FROM (wf_notify\([^]*\))/, (_, call) =>
      `FROM (SELECT (n).* FROM (SELECT ${call} AS n FROM ${set} OFFSET 0) n) n`) :
    `${sql} FROM ${set}`;
  return [text, [...values, traceparent]];
}
