"""The synchronous client: the asynchronous one, in a thread of its own.

It can be called by any number of threads; a call that waits keeps only its own
thread, and no connection. Its workers run in that thread as well; workflows that
are ordinary functions get threads of their own.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import signal
import threading
from typing import Any, Callable, Iterator, Optional, Sequence

from ._client import AsyncDurableWf, Handle, News, Subscription
from ._names import Workflow, id_of
from ._values import Duration
from ._worker import Worker


class SyncWorker:
    """What work() gives: ``wait()`` until it has stopped; ``stop()``."""

    def __init__(self, client: DurableWf, worker: Worker) -> None:
        self._client = client
        self._worker = worker

    @property
    def running(self) -> int:
        """How many workflows it executes now."""
        return self._worker.running

    def wait(self) -> None:
        """Wait until it has stopped. In the main thread, SIGTERM stops it."""
        stop = threading.Event()
        before: Any = None
        in_main = threading.current_thread() is threading.main_thread()
        if in_main:
            before = signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
        try:
            done = asyncio.run_coroutine_threadsafe(self._stopped(), self._client._loop)
            while not done.done() and not stop.is_set():
                stop.wait(0.2)        # a signal is seen between two waits only
            if stop.is_set():
                self.stop()
        finally:
            if in_main:
                signal.signal(signal.SIGTERM, before)
        if stop.is_set():
            signal.raise_signal(signal.SIGTERM)

    async def _stopped(self) -> None:
        await self._worker

    def stop(self, drain_timeout: Duration = 30) -> None:
        """Take no more workflows, wait for those that run, close the connections."""
        self._client._run(self._worker.stop(drain_timeout))


class DurableWf:
    """AsyncDurableWf for programs that are not asynchronous: the same methods."""

    def __init__(self, conninfo: str = "", **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True,
                                        name="durable-wf client")
        self._thread.start()
        self._closed = False

        async def make() -> AsyncDurableWf:
            return AsyncDurableWf(conninfo, **options)

        self._client: AsyncDurableWf = self._run(make())

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def __enter__(self) -> DurableWf:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def handle(self, workflow: Any) -> Handle:
        """A handle for a workflow that exists, or will."""
        return Handle(self, id_of(workflow))

    def read_stream(self, workflow: Any, stream: str, after: int = 0, timeout: Duration = None,
                    batch: int = 100) -> Iterator[Any]:
        """The values of a stream: ``for``."""
        reader = self._client.read_stream(workflow, stream, after, timeout, batch)

        async def step() -> tuple[bool, Any]:
            try:
                return True, await reader.__anext__()
            except StopAsyncIteration:
                return False, None

        while True:
            more, value = self._run(step())
            if not more:
                return
            yield value

    def listen(self, workflow: Any = None) -> Iterator[News]:
        """News of a workflow, or of all that this role owns: ``for``. Listening is in
        force when this returns."""
        async def begin() -> Subscription:
            subscription = self._client.listen(workflow)
            await subscription.ready()
            return subscription

        subscription = self._run(begin())

        def news() -> Iterator[News]:
            try:
                while True:
                    yield self._run(subscription.__anext__())
            finally:
                if not self._closed:
                    self._loop.call_soon_threadsafe(subscription.close)

        return news()

    def workflow(self, name: str) -> Callable[[Callable[..., Any]], Workflow]:
        """A decorator: what executes the workflows of that name."""
        def define(code: Callable[..., Any]) -> Workflow:
            workflow = self._client.workflow(name)(code)
            workflow._client = self
            return workflow
        return define

    def work(self, queues: Optional[Sequence[Any]] = None, **options: Any) -> SyncWorker:
        """Execute workflows, until stop()."""
        async def begin() -> Worker:
            return self._client.work(queues, **options)
        return SyncWorker(self, self._run(begin()))

    def close(self) -> None:
        """Stop the workers, end all waits, close all connections."""
        if self._closed:
            return
        self._closed = True
        self._run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    start: Callable[..., Handle]
    status: Callable[..., str]
    outcome: Callable[..., Any]
    result: Callable[..., Any]
    cancel: Callable[..., bool]
    retry: Callable[..., None]
    send: Callable[..., int]
    send_many: Callable[..., list[int]]
    set_event: Callable[..., None]
    get_event: Callable[..., Any]
    notify: Callable[..., Any]
    resume_hook: Callable[..., str]
    resume_webhook: Callable[..., dict[str, Any]]
    get_hook: Callable[..., Any]


def _blocking(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: DurableWf, *args: Any, **options: Any) -> Any:
        value = self._run(method(self._client, *args, **options))
        return Handle(self, value.id) if isinstance(value, Handle) else value
    return call


for _name in ("start", "status", "outcome", "result", "cancel", "retry", "send", "send_many",
              "set_event", "get_event", "notify", "resume_hook", "resume_webhook",
              "get_hook"):
    assert inspect.iscoroutinefunction(getattr(AsyncDurableWf, _name))
    setattr(DurableWf, _name, _blocking(getattr(AsyncDurableWf, _name)))
