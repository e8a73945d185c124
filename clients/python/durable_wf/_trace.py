"""Traces: what is sent takes along the trace context of the span that is active, so
that the receiver's spans join it (docs/tracing.md).

The context is what the client's option ``traceparent`` says: a string, or a function
that gives one; False for none. Without the option it is that of OpenTelemetry's
active span, if the program has loaded its API: this library depends on nothing.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from typing import Any, Callable, Optional, Sequence, Union

from ._ops import Op

TraceOption = Union[None, bool, str, Callable[[], Optional[str]]]

_SENDS = re.compile(r"\s*SELECT wf_(send|send_many|start|resume_hook|resume_webhook)\(")
_NOTIFIES = re.compile(r"FROM (wf_notify\(.*\))", re.DOTALL)


def _of_opentelemetry() -> Optional[str]:
    """The traceparent of OpenTelemetry's active span."""
    api: Any = sys.modules.get("opentelemetry.trace")
    if api is None:
        return None
    context = api.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags) & 255:02x}"


def current_traceparent(option: TraceOption) -> Optional[str]:
    """The traceparent to send with."""
    if option is None:
        return _of_opentelemetry()
    if isinstance(option, (bool, str)):
        return option if isinstance(option, str) and option else None
    return option() or None


def is_traced(option: TraceOption) -> bool:
    """Does this program trace at all?"""
    return "opentelemetry.trace" in sys.modules if option is None else option is not False


def with_trace(sql: str, values: Sequence[Any], option: TraceOption) -> tuple[str, Sequence[Any]]:
    """A statement that sends, with the trace context that it takes along: set for this
    statement only, and before the call in it is made."""
    notifies = "FROM wf_notify(" in sql
    if not notifies and not _SENDS.match(sql):
        return sql, values
    traceparent = current_traceparent(option)
    if traceparent is None:
        return sql, values
    setting = "(SELECT set_config('durable_wf.traceparent', %s, true) OFFSET 0) traced"
    if notifies:
        sql = _NOTIFIES.sub(lambda match: "FROM (SELECT (n).* FROM (SELECT " + match[1] +
                            f" AS n FROM {setting} OFFSET 0) n) n", sql)
    else:
        sql = f"{sql} FROM {setting}"
    return sql, [*values, traceparent]


def traced(op: Op, option: TraceOption) -> Op:
    """A call with the trace context of who makes it."""
    sql, values = with_trace(op.sql, op.values, option)
    return op if sql is op.sql else replace(op, sql=sql, values=values)
