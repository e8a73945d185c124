"""ctx: what the code of a workflow acts by. Each call is one of _ops.py; _run.py
says when it is made. Context is for coroutines, SyncContext for functions; they
have the same methods, without ``await`` there."""

from __future__ import annotations

import functools
import inspect
import json
from base64 import b64decode
from datetime import datetime
from typing import Any, AsyncIterator, Awaitable, Callable, Iterator, Optional, Sequence, TypeVar, Union

from . import _ops as ops
from ._errors import RunOver, WaitTimeout, code_of
from ._names import Outcome, id_of
from ._ops import Arrival, EventWait, Link, Notified, Received
from ._run import Run
from ._step import Backoff, BackoffLike, StepOptions
from ._values import UNSET, Duration, to_datetime, to_seconds

T = TypeVar("T")
Parse = Callable[[Any], Any]


class _Base:
    """What both kinds of context and their hooks are made of."""

    def __init__(self, run: Run) -> None:
        self._run = run


class WebhookRequest(_Base):
    """A request that a webhook has received."""

    def __init__(self, run: Run, payload: dict[str, Any]) -> None:
        super().__init__(run)
        self.request_id: int = payload.get("request_id", 0)
        self.method: Optional[str] = payload.get("method")
        self.url: Optional[str] = payload.get("url")
        self.path: Optional[str] = payload.get("path")
        self.query: Any = payload.get("query")
        self.headers: dict[str, str] = payload.get("headers") or {}
        self.body: Any = payload.get("body")
        received_at = payload.get("received_at")
        self.received_at: Optional[datetime] = to_datetime(received_at) if received_at else None
        self._bytes = b64decode(payload.get("body_base64") or "")

    def bytes(self) -> bytes:
        """The exact bytes of the body."""
        return self._bytes

    def text(self) -> str:
        """The body as text, UTF-8."""
        return self._bytes.decode()

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self._bytes)

    def _respond(self, status: int, headers: Optional[dict[str, str]], body: Any) -> Any:
        headers = dict(headers or {})
        if not isinstance(body, str):
            headers = {"content-type": "application/json", **headers}
            body = json.dumps(body)
        return self._run.call(ops.respond(self.request_id, status, headers, body))

    async def respond(self, status: int = 200, body: Any = "",
                      headers: Optional[dict[str, str]] = None) -> bool:
        """Answer, if the webhook is manual. False: nobody waits for it any more."""
        return bool(await self._respond(status, headers, body))


class SyncWebhookRequest(WebhookRequest):
    """The same for functions."""

    def respond(self, status: int = 200, body: Any = "",  # type: ignore[override]
                headers: Optional[dict[str, str]] = None) -> bool:
        """Answer, if the webhook is manual. False: nobody waits for it any more."""
        return bool(self._respond(status, headers, body).result())


class _HookBase(_Base):
    def __init__(self, run: Run, token: str, parse: Optional[Parse]) -> None:
        super().__init__(run)
        self.token = token
        self._parse = parse
        self._disposed = False

    def _parsed(self, payload: Any, default: Any) -> Any:
        return payload if payload is default or self._parse is None else self._parse(payload)


class Hook(_HookBase):
    """A hook: receive() takes the next payload, and so does each round of
    ``async for``. ``async with`` disposes of it."""

    async def receive(self, timeout: Duration = None, default: Any = None) -> Any:
        """The next payload; ``default`` after the timeout."""
        missing = object()
        payload = await self._run.wait(ops.await_hook(self.token, timeout, missing))
        return default if payload is missing else self._parsed(payload, missing)

    async def dispose(self) -> bool:
        """False if there was no such hook any more."""
        if self._disposed:
            return False
        self._disposed = True
        return bool(await self._run.call(ops.dispose_hook(self.token)))

    async def __aiter__(self) -> AsyncIterator[Any]:
        while not self._disposed:
            try:
                payload = await self.receive()
            except Exception as error:
                if code_of(error) == "WF006":
                    return            # disposed of by another session
                raise
            yield payload

    async def __aenter__(self: T) -> T:
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.dispose()


class Webhook(Hook):
    """The hook of a URL: what it receives are requests."""

    def __init__(self, run: Run, link: Link) -> None:
        super().__init__(run, link.token, lambda payload: WebhookRequest(run, payload))
        self.url = link.url


class SyncHook(_HookBase):
    """The same for functions: ``for``, ``with``."""

    def receive(self, timeout: Duration = None, default: Any = None) -> Any:
        """The next payload; ``default`` after the timeout."""
        missing = object()
        payload = self._run.wait(ops.await_hook(self.token, timeout, missing)).result()
        return default if payload is missing else self._parsed(payload, missing)

    def dispose(self) -> bool:
        """False if there was no such hook any more."""
        if self._disposed:
            return False
        self._disposed = True
        return bool(self._run.call(ops.dispose_hook(self.token)).result())

    def __iter__(self) -> Iterator[Any]:
        while not self._disposed:
            try:
                payload = self.receive()
            except Exception as error:
                if code_of(error) == "WF006":
                    return
                raise
            yield payload

    def __enter__(self: T) -> T:
        return self

    def __exit__(self, *error: Any) -> None:
        self.dispose()


class SyncWebhook(SyncHook):
    """The same for functions."""

    def __init__(self, run: Run, link: Link) -> None:
        super().__init__(run, link.token, lambda payload: SyncWebhookRequest(run, payload))
        self.url = link.url


class Context(_Base):
    """What a workflow has. Timeouts are durations; None is for ever."""

    def __init__(self, run: Run, input: Any) -> None:
        super().__init__(run)
        self.id = run.workflow_id
        self.queue = run.queue
        self.attempt = run.attempt
        self.traceparent = run.traceparent
        self.input = input

    @property
    def is_over(self) -> bool:
        """Is this run over: cancelled, suspended, its connection lost?"""
        return self._run.is_over

    async def received_traceparent(self) -> Optional[str]:
        """The trace context that the sender had of what was received last."""
        received: Optional[str] = await self._run.received_traceparent()
        return received

    # ----- steps

    async def step(self, name: str, fn: Callable[..., Union[T, Awaitable[T]]], *args: Any,
                   attempts: int = 1, backoff: BackoffLike = Backoff(),
                   timeout: Duration = None) -> T:
        """Do something outside, once: fn(*args), a coroutine function or an ordinary
        one, which runs in a thread."""
        result: T = await self._run.step(name, functools.partial(fn, *args), StepOptions(attempts, backoff, timeout))
        return result

    async def sql(self, name: str, command: str, args: Any = None, *, attempts: int = 1,
                  backoff: Duration = 1) -> Any:
        """Run an SQL command exactly once: what it writes and its record commit together."""
        op = ops.sql(name, command, args, attempts, backoff)
        return await (self._run.wait(op) if attempts > 1 else self._run.call(op))

    async def now(self) -> datetime:
        """The time, recorded once."""
        moment: datetime = await self._run.call(ops.now())
        return moment

    async def random(self) -> float:
        """A random number, recorded once."""
        return float(await self._run.call(ops.random()))

    async def uuid(self) -> str:
        """A random UUID, recorded once."""
        return str(await self._run.call(ops.uuid()))

    async def patched(self, change: str) -> bool:
        """True in runs that first reach this place with the changed code."""
        return bool(await self._run.call(ops.patched(change)))

    async def sleep(self, duration: Union[Duration, datetime]) -> datetime:
        """Sleep a duration, or until a moment; returns when it was to be over."""
        moment: datetime = await self._run.wait(*sleep_arguments(duration))
        return moment

    # ----- messages, events, notifications

    async def recv(self, topic: Optional[str] = None, timeout: Duration = 60,
                   default: Any = None) -> Any:
        """The next message of a topic; ``default`` after the timeout."""
        return await self._run.wait(ops.recv(topic, timeout, default))

    async def recv_any(self, topics: Sequence[Optional[str]],
                       timeout: Duration = 60) -> Optional[Received]:
        """The oldest message of several topics; None after the timeout."""
        received: Optional[Received] = await self._run.wait(ops.recv_any(topics, timeout))
        return received

    async def any(self, sources: Any, timeout: Duration = 60) -> Optional[Arrival]:
        """Whichever comes first of a list, or a dict, of sources: topics, hooks,
        handles, or dicts as wf_wait_any() has them; None after the timeout."""
        arrival: Optional[Arrival] = await self._run.wait(any_op(sources, timeout))
        return arrival

    async def send(self, destination: Any, message: Any, topic: Optional[str] = None,
                   idempotency_key: Optional[str] = None) -> int:
        """Send a message; returns its id."""
        return int(await self._run.call(ops.send(destination, message, topic, idempotency_key)))

    async def send_many(self, messages: Sequence[tuple[Any, ...]],
                        topic: Optional[str] = None) -> list[int]:
        """Send (destination, message) or (destination, message, key): all or none."""
        ids: list[int] = await self._run.call(ops.send_many(messages, topic))
        return ids

    async def set_event(self, key: str, value: Any) -> None:
        """Publish a value."""
        await self._run.call(ops.set_event(key, value))

    async def get_event(self, workflow: Any, key: str, timeout: Duration = 60,
                        default: Any = None) -> Any:
        """What a workflow has published; ``default`` if it does not."""
        return await self._run.wait(ops.get_event(workflow, key, timeout, default))

    async def wait_for_event(self, event_id: str, timeout: Duration = "7 d") -> EventWait:
        """Wait to be notified."""
        wait: EventWait = await self._run.wait(ops.wait_for_event(event_id, timeout))
        return wait

    async def notify(self, event_id: str, data: Any = None,
                     workflow: Any = None) -> list[Notified]:
        """Notify what waits, or one workflow, for which it is kept."""
        notified: list[Notified] = await self._run.call(ops.notify(event_id, data, workflow))
        return notified

    # ----- hooks

    async def create_hook(self, token: Optional[str] = None, metadata: Any = UNSET,
                          validator: Optional[str] = None,
                          parse: Optional[Parse] = None) -> Hook:
        """A hook; ``parse`` checks each payload and makes of it what receive() gives."""
        return Hook(self._run, await self._run.call(ops.create_hook(token, metadata, validator)),
                    parse)

    async def create_webhook(self, respond_with: Any = UNSET, metadata: Any = UNSET,
                             validator: Optional[str] = None) -> Webhook:
        """A webhook: ``respond_with`` is "manual", or {"status", "headers", "body"}."""
        return Webhook(self._run, await self._run.call(
            ops.create_webhook(respond_with, metadata, validator)))

    async def resume_hook(self, token: Any, payload: Any,
                          idempotency_key: Optional[str] = None) -> str:
        """Send a payload to a hook of any workflow; returns the workflow's id."""
        return str(await self._run.call(
            ops.resume_hook(getattr(token, "token", token), payload, idempotency_key)))

    # ----- other workflows, streams

    async def start_child(self, what: Any, input: Any = UNSET, *, id: Optional[str] = None,
                          start_after: Duration = 0, timeout: Duration = None,
                          attributes: Optional[dict[str, Any]] = None) -> Child:
        """Start a workflow whose parent this one is."""
        return Child(self, await self._run.call(
            ops.start(what, input, id, start_after, timeout, attributes)))

    def workflow(self, workflow: Any) -> Child:
        """Another workflow, by its id."""
        return Child(self, id_of(workflow))

    async def result(self, workflow: Any, timeout: Duration = None) -> Any:
        """The output of another workflow; raises if there is none, or not in time."""
        return await self._run.wait(ops.result(workflow, timeout))

    async def outcome(self, workflow: Any, timeout: Duration = None) -> Outcome:
        """How another workflow has ended, or that it has not."""
        outcome: Outcome = await self._run.wait(ops.outcome(workflow, timeout))
        return outcome

    async def status(self, workflow: Any) -> str:
        """The status of another workflow."""
        return str(await self._run.call(ops.status(workflow)))

    async def cancel(self, workflow: Any, reason: Optional[str] = None,
                     children: bool = False) -> bool:
        """Cancel another workflow; False when it has ended already."""
        return bool(await self._run.call(ops.cancel(workflow, reason, children)))

    async def set_attributes(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """Merge into what this workflow can be searched by."""
        merged: dict[str, Any] = await self._run.call(ops.set_attributes(attributes))
        return merged

    async def write_stream(self, stream: str, *values: Any) -> int:
        """Append to a stream of this workflow; the number of the last item."""
        op = ops.write_stream(stream, values[0]) if len(values) == 1 else \
            ops.write_stream_many(stream, values)
        return int(await self._run.call(op))

    async def close_stream(self, stream: str) -> None:
        """Nothing more will come."""
        await self._run.call(ops.close_stream(stream))

    async def create_stream_url(self, stream: str) -> Link:
        """A token and a URL by which anybody may read it."""
        link: Link = await self._run.call(ops.create_stream_url(stream))
        return link

    async def read_stream(self, workflow: Any, stream: str, after: int = 0,
                          timeout: Duration = None, batch: int = 100) -> AsyncIterator[Any]:
        """The values of a stream of any workflow, as they come, to its end."""
        ended = False
        while not ended:
            part = await self._run.wait(ops.read_stream(workflow, stream, after, batch, timeout))
            if not part.items and not part.ended:
                raise WaitTimeout(f'nothing new in stream "{stream}"')
            after, ended = part.last, part.ended
            for item in part.items:
                yield item

    async def continue_as_new(self, input: Any = UNSET) -> None:
        """End this run, and begin the workflow anew with another input."""
        await self._run.continue_as_new(input)


class Child:
    """Another workflow, as a workflow sees it. Of a SyncContext its methods return
    what they say, of a Context awaitables."""

    def __init__(self, context: Any, workflow_id: str) -> None:
        self._context = context
        self.id = workflow_id

    def __str__(self) -> str:
        return self.id

    def result(self, timeout: Duration = None) -> Any:
        """Its output; raises if there is none, or not in time."""
        return self._context.result(self.id, timeout)

    def outcome(self, timeout: Duration = None) -> Any:
        """How it has ended, or that it has not."""
        return self._context.outcome(self.id, timeout)

    def status(self) -> Any:
        """Its status."""
        return self._context.status(self.id)

    def send(self, message: Any, topic: Optional[str] = None,
             idempotency_key: Optional[str] = None) -> Any:
        """Send it a message."""
        return self._context.send(self.id, message, topic, idempotency_key)

    def get_event(self, key: str, timeout: Duration = 60, default: Any = None) -> Any:
        """What it has published."""
        return self._context.get_event(self.id, key, timeout, default)

    def cancel(self, reason: Optional[str] = None, children: bool = False) -> Any:
        """Cancel it."""
        return self._context.cancel(self.id, reason, children)


def sleep_arguments(duration: Union[Duration, datetime]) -> tuple[Any, ...]:
    """The call of a sleep, and its deadline if it has one."""
    if isinstance(duration, datetime):
        if duration.tzinfo is None:
            raise ValueError("sleep() wants a datetime with a time zone")
        return ops.sleep(0), duration.timestamp()
    seconds = to_seconds(duration)
    if seconds == float("inf"):
        raise ValueError("sleep() wants a duration or a datetime")
    return (ops.sleep(seconds),)


def any_op(sources: Any, timeout: Duration) -> ops.Op:
    """The call of any()."""
    named = sources if isinstance(sources, dict) else dict(enumerate(sources))
    return ops.any_of([ops.to_source(source) for source in named.values()], list(named), timeout)


def _blocking(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of Context for a thread. What it awaits are our futures only, which
    are waited for here: no loop is needed to drive it."""
    @functools.wraps(method)
    def call(self: Any, *args: Any, **options: Any) -> Any:
        coroutine = method(self, *args, **options)
        value: Any = None
        error: Optional[BaseException] = None
        try:
            while True:
                waited = coroutine.send(value) if error is None else coroutine.throw(error)
                value, error = None, None
                try:
                    value = waited.result()
                except (Exception, RunOver) as raised:
                    error = raised
        except StopIteration as end:
            return end.value
    return call


class SyncContext(Context):
    """The same for functions: no method is to be awaited."""


def _make_sync() -> None:
    for name, method in vars(Context).items():
        if inspect.iscoroutinefunction(method):
            setattr(SyncContext, name, _blocking(method))


_make_sync()


def _sync_create_hook(self: SyncContext, token: Optional[str] = None, metadata: Any = UNSET,
                      validator: Optional[str] = None, parse: Optional[Parse] = None) -> SyncHook:
    """A hook; ``parse`` checks each payload and makes of it what receive() gives."""
    made = self._run.call(ops.create_hook(token, metadata, validator)).result()
    return SyncHook(self._run, made, parse)


def _sync_create_webhook(self: SyncContext, respond_with: Any = UNSET, metadata: Any = UNSET,
                         validator: Optional[str] = None) -> SyncWebhook:
    """A webhook: ``respond_with`` is "manual", or {"status", "headers", "body"}."""
    made = self._run.call(ops.create_webhook(respond_with, metadata, validator)).result()
    return SyncWebhook(self._run, made)


def _sync_read_stream(self: SyncContext, workflow: Any, stream: str, after: int = 0,
                      timeout: Duration = None, batch: int = 100) -> Iterator[Any]:
    """The values of a stream of any workflow, as they come, to its end."""
    ended = False
    while not ended:
        part = self._run.wait(ops.read_stream(workflow, stream, after, batch, timeout)).result()
        if not part.items and not part.ended:
            raise WaitTimeout(f'nothing new in stream "{stream}"')
        after, ended = part.last, part.ended
        yield from part.items


SyncContext.create_hook = _sync_create_hook           # type: ignore[assignment]
SyncContext.create_webhook = _sync_create_webhook     # type: ignore[assignment]
SyncContext.read_stream = _sync_read_stream           # type: ignore[assignment]
