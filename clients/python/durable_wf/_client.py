"""The asynchronous client: what a program does with workflows, and workers.

Whatever does not wait is one statement in the pool. Whatever waits is an entry in
_waits.py, so that thousands of waits need no connection of their own.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Callable, Optional, Sequence

import psycopg

from . import _ops as ops
from ._connections import Connections, Texts
from ._errors import WaitTimeout, from_server, is_connection_error
from ._listener import Listener
from ._names import Outcome, Workflow, executed_by, id_of, to_result
from ._ops import Notified
from ._trace import TraceOption, with_trace
from ._values import UNSET, Duration, from_json, to_interval, to_json, to_seconds
from ._waits import Waits
from ._worker import DEFAULT_SIGNALS, Worker


@dataclass(frozen=True)
class News:
    """What listen() gives. Of the kind ``resync``: look at everything."""

    workflow_id: Optional[str]
    kind: str
    key: Optional[str]


@dataclass(frozen=True)
class HookInfo:
    """What there is to know of a hook."""

    workflow_id: str
    metadata: Any
    is_webhook: bool


class Handle:
    """A workflow that was started, or is known by its id. Of the synchronous client
    its methods return what they say, of the asynchronous one awaitables."""

    def __init__(self, client: Any, workflow_id: str) -> None:
        self._client = client
        self.id = workflow_id

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"Handle({self.id!r})"

    def status(self) -> Any:
        """PENDING, RUNNING, WAITING, SUCCESS, ERROR or CANCELLED."""
        return self._client.status(self.id)

    def result(self, timeout: Duration = None) -> Any:
        """The output; raises if there is none, or not in time."""
        return self._client.result(self.id, timeout)

    def outcome(self, timeout: Duration = None) -> Any:
        """How it has ended, or that it has not."""
        return self._client.outcome(self.id, timeout)

    def send(self, message: Any, topic: Optional[str] = None,
             idempotency_key: Optional[str] = None) -> Any:
        """Send it a message."""
        return self._client.send(self.id, message, topic, idempotency_key)

    def get_event(self, key: str, timeout: Duration = 60, default: Any = None) -> Any:
        """What it has published."""
        return self._client.get_event(self.id, key, timeout, default)

    def read_stream(self, stream: str, after: int = 0, timeout: Duration = None) -> Any:
        """The values of a stream of it."""
        return self._client.read_stream(self.id, stream, after, timeout)

    def cancel(self, reason: Optional[str] = None, children: bool = False) -> Any:
        """Cancel it; False when it has ended already."""
        return self._client.cancel(self.id, reason, children)

    def retry(self, from_step: Optional[int] = None) -> Any:
        """Let it go on after ERROR or CANCELLED."""
        return self._client.retry(self.id, from_step)


class StreamReader:
    """The values of a stream, as they come, to its end. ``position`` is the number of
    the last one that was given."""

    def __init__(self, connections: Connections, waits: Waits, workflow_id: str, stream: str,
                 after: int, timeout: Duration, batch: int) -> None:
        self._connections = connections
        self._waits = waits
        self._workflow_id = workflow_id
        self._stream = stream
        self._timeout = to_seconds(timeout)
        self._batch = batch
        self._items: list[tuple[int, Any]] = []
        self._ended = False
        self.position = after

    def __aiter__(self) -> StreamReader:
        return self

    async def __anext__(self) -> Any:
        while not self._items and not self._ended:
            if await self._read():
                continue
            arrived = await self._waits.wait(
                {"workflow_id": self._workflow_id, "stream": self._stream, "after": self.position},
                self._timeout)
            if arrived is None:
                raise WaitTimeout(f'nothing new in stream "{self._stream}"')
        if not self._items:
            raise StopAsyncIteration
        self.position, value = self._items.pop(0)
        return value

    async def _read(self) -> bool:
        """Read what is there; False if there is nothing, or no connection: then the
        wait looks again until there is one."""
        try:
            rows = await self._connections.query(
                "SELECT item_no, value, ended FROM wf_read_stream(%s, %s, %s::bigint, %s::int, '0')",
                (self._workflow_id, self._stream, self.position, self._batch))
        except Exception as error:
            if is_connection_error(error):
                return False
            raise from_server(error)
        for number, value, ended in rows:
            if ended == "t":
                self._ended = True
            else:
                self._items.append((int(number or 0), from_json(value)))
        return bool(rows)


class Subscription:
    """What listen() gives: an asynchronous iterator of News, and a context manager.
    ``await ready()`` before you look at what is there."""

    def __init__(self, client: AsyncDurableWf, workflow_id: Optional[str]) -> None:
        self._client = client
        self.workflow_id = workflow_id
        self.queue: asyncio.Queue[News] = asyncio.Queue()
        self._ready: Optional[asyncio.Task[None]] = None
        client._subscriptions.add(self)

    async def _listen(self) -> None:
        await self._client._listener.ready()
        if self.workflow_id is not None:
            await self._client._listener.hear_of(self.workflow_id, True)

    async def ready(self) -> None:
        """Returns when listening is in force."""
        if self._ready is None:
            self._ready = asyncio.ensure_future(self._listen())
        await asyncio.shield(self._ready)

    def close(self) -> None:
        """No longer listen."""
        if self in self._client._subscriptions:
            self._client._subscriptions.discard(self)
            if self.workflow_id is not None and self._ready is not None:
                self._client._listener.forget(self.workflow_id)

    async def __aenter__(self) -> Subscription:
        await self.ready()
        return self

    async def __aexit__(self, *error: Any) -> None:
        self.close()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> News:
        await self.ready()
        return await self.queue.get()


class AsyncDurableWf:
    """Connects as psycopg does: by a connection string, keyword arguments, or PGHOST
    and so on. It belongs to the loop in which it is made."""

    def __init__(self, conninfo: str = "", *, pool_size: int = 4, direct: Optional[str] = None,
                 traceparent: TraceOption = None, **options: Any) -> None:
        self._connections = Connections(conninfo, pool_size, direct, options, traceparent)
        self._listener = Listener(self._connections, self._hear)
        self._waits = Waits(self._connections, self._listener)
        self._subscriptions: set[Subscription] = set()
        self._workflows: dict[str, Workflow] = {}
        self._workers: set[Worker] = set()

    async def __aenter__(self) -> AsyncDurableWf:
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.close()

    def _hear(self, news: dict[str, Any]) -> None:
        self._waits.hear(news)
        for each in self._subscriptions:
            if news["kind"] == "resync" or each.workflow_id in (None, news["workflow_id"]):
                each.queue.put_nowait(News(news["workflow_id"], news["kind"], news["key"]))

    async def _rows(self, sql: str, values: Sequence[Any]) -> list[Texts]:
        try:
            return await self._connections.query(
                *with_trace(sql, values, self._connections.traceparent))
        except psycopg.Error as error:
            raise from_server(error)

    async def _value(self, sql: str, values: Sequence[Any]) -> Any:
        return (await self._rows(sql, values))[0][0]

    # ----- life

    async def start(self, what: Any, input: Any = UNSET, *, id: Optional[str] = None,
                    start_after: Duration = 0, timeout: Duration = None,
                    attributes: Optional[dict[str, Any]] = None) -> Handle:
        """Start a workflow: one of this library's by its name, Body(procedure), or None
        for one that nothing executes."""
        queue, body = executed_by(what)
        return Handle(self, await self._value(
            "SELECT wf_start(%s, %s, %s::jsonb, %s, %s::interval, %s::interval, %s::jsonb)",
            (id, body, to_json(input), queue, to_interval(start_after), to_interval(timeout),
             None if attributes is None else to_json(attributes))))

    def handle(self, workflow: Any) -> Handle:
        """A handle for a workflow that exists, or will."""
        return Handle(self, id_of(workflow))

    async def status(self, workflow: Any) -> str:
        """PENDING, RUNNING, WAITING, SUCCESS, ERROR or CANCELLED."""
        return str(await self._value("SELECT wf_status(%s)", (id_of(workflow),)))

    async def outcome(self, workflow: Any, timeout: Duration = None) -> Outcome:
        """How a workflow has ended; an unfinished status after the timeout."""
        workflow_id = id_of(workflow)
        arrived = await self._waits.wait({"workflow_id": workflow_id}, to_seconds(timeout))
        if arrived is None:
            return Outcome(await self.status(workflow_id))
        got = from_json(arrived[0])
        return Outcome(got["status"], got["output"], got["error"])

    async def result(self, workflow: Any, timeout: Duration = None) -> Any:
        """The output; raises if there will be none, or not in time."""
        return to_result(id_of(workflow), await self.outcome(workflow, timeout))

    async def cancel(self, workflow: Any, reason: Optional[str] = None,
                     children: bool = False) -> bool:
        """Cancel a workflow; False when it has ended already."""
        return bool(await self._value("SELECT wf_cancel(%s, %s, %s)",
                                      (id_of(workflow), reason, children)) == "t")

    async def retry(self, workflow: Any, from_step: Optional[int] = None) -> None:
        """Let a workflow go on after ERROR or CANCELLED."""
        await self._value("SELECT wf_retry(%s, %s)", (id_of(workflow), from_step))

    # ----- messages, events, notifications, hooks

    async def send(self, destination: Any, message: Any, topic: Optional[str] = None,
                   idempotency_key: Optional[str] = None) -> int:
        """Send a message; returns its id."""
        return int(await self._value("SELECT wf_send(%s, %s::jsonb, %s, %s)",
                                     (id_of(destination), to_json(message), topic, idempotency_key)))

    async def send_many(self, messages: Sequence[tuple[Any, ...]],
                        topic: Optional[str] = None) -> list[int]:
        """Send (destination, message) or (destination, message, key): all or none."""
        if not messages:
            return []
        op = ops.send_many(messages, topic)
        ids: list[int] = op.decode((await self._rows(op.sql, op.values))[0])
        return ids

    async def set_event(self, workflow: Any, key: str, value: Any) -> None:
        """Publish a value as a workflow."""
        await self._value("SELECT wf_set_event(%s, %s::jsonb, %s)",
                          (key, to_json(value), id_of(workflow)))

    async def get_event(self, workflow: Any, key: str, timeout: Duration = 60,
                        default: Any = None) -> Any:
        """What a workflow has published; ``default`` after the timeout, or when it has
        ended without it."""
        arrived = await self._waits.wait({"workflow_id": id_of(workflow), "key": key},
                                         to_seconds(timeout))
        return default if arrived is None else from_json(arrived[0], default)

    async def notify(self, event_id: str, data: Any = None, workflow: Any = None) -> list[Notified]:
        """Notify what waits, or one workflow, for which it is kept."""
        rows = await self._rows("""
            SELECT workflow_id, message_id, to_json(waiting_since)#>>'{}', to_json(deadline)#>>'{}'
              FROM wf_notify(%s, %s::jsonb, %s)""", (event_id, to_json(data), id_of(workflow)))
        return ops.to_notified([text for row in rows for text in row])

    async def resume_hook(self, token: Any, payload: Any,
                          idempotency_key: Optional[str] = None) -> str:
        """Send a payload to a hook; returns the id of its workflow."""
        return str(await self._value("SELECT wf_resume_hook(%s, %s::jsonb, %s)",
                                     (getattr(token, "token", token), to_json(payload),
                                      idempotency_key)))

    async def resume_webhook(self, token: str, request: dict[str, Any],
                             timeout: Duration = 30) -> dict[str, Any]:
        """What the URL of a webhook does, for a route of yours: takes a request and
        gives the response, as wf_resume_webhook() has them. Of a manual one it waits for
        what the workflow responds, on a connection of the pool; 504 after the timeout."""
        response: dict[str, Any] = from_json(await self._value(
            "SELECT wf_resume_webhook(%s, %s::jsonb)", (token, to_json(request))))
        if "request_id" in response:
            response = from_json(await self._value(
                "CALL wf_await_response(%s, %s::bigint, %s::interval, NULL)",
                (token, response["request_id"], to_interval(timeout))), {"status": 504})
        return {"headers": {}, "body": "", **response}

    async def get_hook(self, token: str) -> Optional[HookInfo]:
        """What there is to know of a hook; None if there is none."""
        rows = await self._rows("SELECT workflow_id, metadata, is_webhook FROM wf_get_hook(%s)",
                                (token,))
        return HookInfo(str(rows[0][0]), from_json(rows[0][1]), rows[0][2] == "t") if rows else None

    # ----- streams, news

    def read_stream(self, workflow: Any, stream: str, after: int = 0, timeout: Duration = None,
                    batch: int = 100) -> StreamReader:
        """The values of a stream: ``async for``."""
        return StreamReader(self._connections, self._waits, id_of(workflow), stream, after,
                            timeout, batch)

    def listen(self, workflow: Any = None) -> Subscription:
        """News of a workflow, or of all that this role owns: ``async for``."""
        return Subscription(self, id_of(workflow))

    # ----- workflows of this process

    def workflow(self, name: str) -> Callable[[Callable[..., Any]], Workflow]:
        """A decorator: what executes the workflows of that name, which is their queue,
        too. A coroutine function gets a Context, a function a SyncContext."""
        def define(code: Callable[..., Any]) -> Workflow:
            if name in self._workflows:
                raise ValueError(f'there is a workflow "{name}" already')
            workflow = self._workflows[name] = Workflow(name, code, self)
            return workflow
        return define

    def work(self, queues: Optional[Sequence[Any]] = None, *, connections: int = 4,
             suspend_after: Duration = 0.2, drain_timeout: Duration = 30,
             signals: Sequence[int] = DEFAULT_SIGNALS) -> Worker:
        """Execute workflows, until stop() or SIGTERM."""
        worker = Worker(self._connections, self._workflows, queues, connections, suspend_after,
                        drain_timeout, signals, self._waits.hear)
        self._workers.add(worker)
        worker.stopped.add_done_callback(lambda _: self._workers.discard(worker))
        return worker

    async def close(self) -> None:
        """Stop the workers, end all waits, close all connections."""
        for worker in list(self._workers):
            await worker.stop()
        self._waits.close()
        for each in list(self._subscriptions):
            each.close()
        await self._listener.close()
        await self._connections.close()


