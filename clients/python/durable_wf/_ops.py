"""The journalled calls of a workflow, each as an object.

The same texts come from a live call and from a recorded one, so ``decode`` makes
a value of either. Calls that wait have a timeout, and the sources that
wf_wait_any() would wait for in their place.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Callable, NamedTuple, Optional, Sequence

from ._connections import Texts
from ._names import Outcome, executed_by, id_of, to_result
from ._values import (Duration, from_json, moment, to_datetime, to_interval, to_json,
                      to_seconds)


class Received(NamedTuple):
    """What recv_any() gives."""

    topic: Optional[str]
    message: Any


class Arrival(NamedTuple):
    """What any() gives: the name or place of the source, and what it has."""

    source: Any
    value: Any


class EventWait(NamedTuple):
    """What wait_for_event() gives."""

    event_data: Any
    timed_out: bool


class Notified(NamedTuple):
    """A workflow that was notified."""

    workflow_id: str
    message_id: int
    waiting_since: Optional[datetime]
    deadline: Optional[datetime]


class Link(NamedTuple):
    """A token, and the URL that has it."""

    token: str
    url: str


class StreamPart(NamedTuple):
    """Some items of a stream."""

    items: list[Any]
    last: int
    ended: bool


def _nothing(texts: Texts) -> None:
    return None


@dataclass(frozen=True)
class Op:
    """A call: the function and the argument that name it in the journal, the
    statement ({timeout} stands for the timeout of a call that waits), and its
    parameters."""

    fn: str
    name: Optional[str]
    sql: str
    values: Sequence[Any] = ()
    decode: Callable[[Texts], Any] = _nothing
    timeout: float = math.inf
    sources: list[dict[str, Any]] = field(default_factory=list)
    pick: Callable[[Optional[str], int], Any] = lambda text, n: from_json(text)
    late: Callable[[float], Any] = lambda deadline: None
    is_step: bool = False


def _first(texts: Texts) -> Any:
    return texts[0]


def _number(texts: Texts) -> int:
    return int(texts[0] or 0)


def _is_true(texts: Texts) -> bool:
    return texts[0] == "t"


def array_text(items: Sequence[Optional[str]]) -> str:
    """A text[] as PostgreSQL writes it: the journal names wf_recv_any() by it."""
    def item_text(item: Optional[str]) -> str:
        if item is None:
            return "NULL"
        if item == "" or re.search(r'[\s{}",\\]', item) or item.lower() == "null":
            return '"' + re.sub(r'([\\"])', r"\\\1", item) + '"'
        return item
    return "{" + ",".join(map(item_text, items)) + "}"


# ----- calls that do not wait

def set_event(key: str, value: Any) -> Op:
    return Op("wf_set_event", key, "SELECT wf_set_event(%s, %s::jsonb)", (key, to_json(value)))


def send(to: Any, message: Any, topic: Optional[str], idempotency_key: Optional[str]) -> Op:
    to = id_of(to)
    return Op("wf_send", to, "SELECT wf_send(%s, %s::jsonb, %s, %s)",
              (to, to_json(message), topic, idempotency_key), _number)


def send_many(messages: Sequence[tuple[Any, ...]], topic: Optional[str]) -> Op:
    columns = many_columns(messages)
    return Op("wf_send_many", None,
              "SELECT wf_send_many(%s::text[], %s::jsonb[], %s, %s::text[])",
              (columns[0], columns[1], topic, columns[2]),
              lambda texts: [int(n) for n in (texts[0] or "{}")[1:-1].split(",") if n])


def many_columns(messages: Sequence[tuple[Any, ...]]) -> tuple[list[Any], list[Any], list[Any]]:
    """(to, message) or (to, message, idempotency_key), as columns."""
    rows = [tuple(row) + (None,) * (3 - len(row)) for row in messages]
    return ([id_of(to) for to, _, _ in rows], [to_json(message) for _, message, _ in rows],
            [key for _, _, key in rows])


def to_notified(texts: Texts) -> list[Notified]:
    def when(text: Optional[str]) -> Optional[datetime]:
        return None if text is None else to_datetime(text)
    return [Notified(str(texts[n]), int(texts[n + 1] or 0), when(texts[n + 2]), when(texts[n + 3]))
            for n in range(0, len(texts), 4)]


def notify(event_id: str, data: Any, workflow_id: Any) -> Op:
    return Op("wf_notify", event_id,
              "SELECT workflow_id, message_id, waiting_since, deadline "
              "FROM wf_notify(%s, %s::jsonb, %s)",
              (event_id, to_json(data), id_of(workflow_id)), to_notified)


def now() -> Op:
    return Op("wf_now", None, "SELECT wf_now()", (), lambda texts: to_datetime(str(texts[0])))


def random() -> Op:
    return Op("wf_random", None, "SELECT wf_random()", (), lambda texts: float(texts[0] or 0))


def uuid() -> Op:
    return Op("wf_uuid", None, "SELECT wf_uuid()", (), _first)


def patched(change: str) -> Op:
    return Op("wf_patched", change, "SELECT wf_patched(%s)", (change,), _is_true)


def status(workflow: Any) -> Op:
    return Op("wf_status", id_of(workflow), "SELECT wf_status(%s)", (id_of(workflow),), _first)


def start(what: Any, input: Any, id: Optional[str], start_after: Duration, timeout: Duration,
          attributes: Any) -> Op:
    queue, body = executed_by(what)
    return Op("wf_start", id,
              "SELECT wf_start(%s, %s, %s::jsonb, %s, %s::interval, %s::interval, %s::jsonb)",
              (id, body, to_json(input), queue, to_interval(start_after), to_interval(timeout),
               None if attributes is None else to_json(attributes)), _first)


def cancel(workflow: Any, reason: Optional[str], children: bool) -> Op:
    return Op("wf_cancel", id_of(workflow), "SELECT wf_cancel(%s, %s, %s)",
              (id_of(workflow), reason, children), _is_true)


def set_attributes(attributes: dict[str, Any]) -> Op:
    return Op("wf_set_attributes", None, "SELECT wf_set_attributes(%s::jsonb)",
              (to_json(attributes),), lambda texts: from_json(texts[0], {}))


def create_hook(token: Optional[str], metadata: Any, validator: Optional[str]) -> Op:
    return Op("wf_create_hook", token, "SELECT wf_create_hook(%s, %s::jsonb, %s)",
              (token, to_json(metadata), validator), _first)


def create_webhook(respond_with: Any, metadata: Any, validator: Optional[str]) -> Op:
    return Op("wf_create_webhook", None,
              "SELECT token, url FROM wf_create_webhook(%s::jsonb, %s::jsonb, %s)",
              (to_json(respond_with), to_json(metadata), validator),
              lambda texts: Link(str(texts[0]), str(texts[1])))


def dispose_hook(token: str) -> Op:
    return Op("wf_dispose_hook", token, "SELECT wf_dispose_hook(%s)", (token,), _is_true)


def resume_hook(token: str, payload: Any, idempotency_key: Optional[str]) -> Op:
    return Op("wf_resume_hook", token, "SELECT wf_resume_hook(%s, %s::jsonb, %s)",
              (token, to_json(payload), idempotency_key), _first)


def respond(request_id: int, status: int, headers: dict[str, str], body: str) -> Op:
    return Op("wf_respond", None, "SELECT wf_respond(%s::bigint, %s::int, %s::jsonb, %s)",
              (request_id, status, to_json(headers), body), _is_true)


def write_stream(stream: str, value: Any) -> Op:
    return Op("wf_write_stream", stream, "SELECT wf_write_stream(%s, %s::jsonb)",
              (stream, to_json(value)), _number)


def write_stream_many(stream: str, values: Sequence[Any]) -> Op:
    return Op("wf_write_stream_many", stream, "SELECT wf_write_stream_many(%s, %s::jsonb[])",
              (stream, [to_json(value) for value in values]), _number)


def close_stream(stream: str) -> Op:
    return Op("wf_close_stream", stream, "SELECT wf_close_stream(%s)", (stream,))


def create_stream_url(stream: str) -> Op:
    return Op("wf_create_stream_url", stream, "SELECT token, url FROM wf_create_stream_url(%s)",
              (stream,), lambda texts: Link(str(texts[0]), str(texts[1])))


# ----- calls that wait

def sql(name: str, command: str, args: Any, attempts: int, backoff: Duration) -> Op:
    return Op("wf_step", name,
              "CALL wf_step(%s, %s, %s::jsonb, %s::int, %s::interval, NULL)",
              (name, command, to_json(args), attempts, to_interval(backoff)),
              lambda texts: from_json(texts[0]), is_step=True)


def recv(topic: Optional[str], timeout: Duration, default: Any) -> Op:
    return Op("wf_recv", topic, "CALL wf_recv(%s, {timeout}, NULL, NULL)", (topic,),
              lambda texts: from_json(texts[0], default), to_seconds(timeout),
              [{"topic": topic}], late=lambda deadline: default)


def recv_any(topics: Sequence[Optional[str]], timeout: Duration) -> Op:
    return Op("wf_recv_any", array_text(topics),
              "CALL wf_recv_any(%s::text[], {timeout}, NULL, NULL, NULL)", (list(topics),),
              lambda texts: None if texts[1] is None else Received(texts[0], from_json(texts[1])),
              to_seconds(timeout), [{"topic": topic} for topic in topics],
              lambda text, n: Received(topics[n], from_json(text)))


def wait_for_event(event_id: str, timeout: Duration) -> Op:
    return Op("wf_wait_for_event", event_id,
              "CALL wf_wait_for_event(%s, {timeout}, NULL, NULL, NULL)", (event_id,),
              lambda texts: EventWait(from_json(texts[0]), texts[1] == "t"), to_seconds(timeout),
              [{"event_id": event_id}], lambda text, n: EventWait(from_json(text), False),
              lambda deadline: EventWait(None, True))


def get_event(workflow: Any, key: str, timeout: Duration, default: Any) -> Op:
    return Op("wf_get_event", key, "CALL wf_get_event(%s, %s, {timeout}, NULL)",
              (id_of(workflow), key), lambda texts: from_json(texts[0], default),
              to_seconds(timeout), [{"workflow_id": id_of(workflow), "key": key}],
              lambda text, n: from_json(text, default), lambda deadline: default)


def await_hook(token: str, timeout: Duration, default: Any) -> Op:
    return Op("wf_await_hook", token, "CALL wf_await_hook(%s, {timeout}, NULL)", (token,),
              lambda texts: from_json(texts[0], default), to_seconds(timeout),
              [{"token": token}], late=lambda deadline: default)


def outcome(workflow: Any, timeout: Duration) -> Op:
    def pick(text: Optional[str], n: int) -> Outcome:
        got = from_json(text)
        return Outcome(got["status"], got["output"], got["error"])
    return Op("wf_result", id_of(workflow), "CALL wf_result(%s, {timeout}, NULL, NULL, NULL)",
              (id_of(workflow),),
              lambda texts: Outcome(str(texts[0]), from_json(texts[1]), texts[2]),
              to_seconds(timeout), [{"workflow_id": id_of(workflow)}], pick,
              lambda deadline: Outcome("RUNNING"))


def result(workflow: Any, timeout: Duration) -> Op:
    op = outcome(workflow, timeout)
    workflow_id = id_of(workflow)
    return replace(op, decode=lambda texts: to_result(workflow_id, op.decode(texts)),
                   pick=lambda text, n: to_result(workflow_id, op.pick(text, n)),
                   late=lambda deadline: to_result(workflow_id, op.late(deadline)))


def read_stream(workflow: Any, stream: str, after: int, batch: int, timeout: Duration) -> Op:
    def pick(text: Optional[str], n: int) -> StreamPart:
        got = from_json(text)
        return StreamPart([], after, True) if got["ended"] else \
            StreamPart([got["value"]], got["item_no"], False)
    return Op("wf_read_stream", stream,
              "CALL wf_read_stream(%s, %s, %s::bigint, %s::int, {timeout}, NULL, NULL, NULL)",
              (id_of(workflow), stream, after, batch),
              lambda texts: StreamPart(from_json(texts[0], []), int(texts[1] or 0), texts[2] == "t"),
              to_seconds(timeout),
              [{"workflow_id": id_of(workflow), "stream": stream, "after": after}], pick,
              lambda deadline: StreamPart([], after, False))


def sleep(seconds: float) -> Op:
    return Op("wf_sleep", None, "CALL wf_sleep({timeout}, NULL)", (),
              lambda texts: to_datetime(str(texts[0])), seconds, [], late=moment)


def any_of(sources: list[dict[str, Any]], keys: Sequence[Any], timeout: Duration) -> Op:
    return Op("wf_wait_any", json.dumps(sources),
              "CALL wf_wait_any(%s::jsonb, {timeout}, NULL, NULL, NULL)", (json.dumps(sources),),
              lambda texts: None if texts[0] is None else
              Arrival(keys[int(texts[0]) - 1], from_json(texts[1])),
              to_seconds(timeout), sources, lambda text, n: Arrival(keys[n], from_json(text)))


def several(sources: list[dict[str, Any]]) -> Op:
    """For several waits at a time: the place, and the text of the value."""
    return Op("wf_wait_any", json.dumps(sources),
              "CALL wf_wait_any(%s::jsonb, {timeout}, NULL, NULL, NULL)", (json.dumps(sources),),
              lambda texts: None if texts[0] is None else (int(texts[0]) - 1, texts[1]),
              sources=sources)


def to_source(source: Any) -> dict[str, Any]:
    """A source of any() as wf_wait_any() has it: a dict as there, a hook, or a
    handle of another workflow; a str is a topic."""
    if isinstance(source, str):
        return {"topic": source}
    if isinstance(source, dict):
        source = {key: id_of(value) if key == "workflow_id" else value
                  for key, value in source.items()}
        if "stream" in source:
            source.setdefault("after", 0)
        return source
    if getattr(source, "token", None) is not None:
        return {"token": source.token}
    if getattr(source, "id", None) is not None:
        return {"workflow_id": source.id}
    raise TypeError("a source is a topic, a hook, a handle, or a dict of topic, event_id, token, "
                    "workflow_id, key, stream, after")


