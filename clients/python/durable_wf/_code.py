"""Where the code of a workflow runs.

Asynchronous code has an event loop of its own, which is no loop for I/O: it has
nothing but what is ready to run. So it can be told when the code can go no
further, which is what decides the order of its calls (run, R2 and R3), and when
a run is over its tasks are closed on the spot. Timers are refused: the code
sleeps by its context. What the context does, steps included, is done in the
loop of the worker.

Ordinary functions run in a thread, and do one thing at a time.
"""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import contextvars
import inspect
import threading
import time
from typing import Any, Callable, Optional

from ._errors import RunOver


class CodeLoop(asyncio.AbstractEventLoop):
    """An event loop without events: run_ready() runs all that is ready."""

    def __init__(self) -> None:
        self._ready: collections.deque[asyncio.Handle] = collections.deque()
        self._tasks: list[asyncio.Task[Any]] = []

    # what futures and tasks want of a loop
    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, **options)
        self._tasks.append(task)
        return task

    def time(self) -> float:
        return time.monotonic()

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What nobody has retrieved is the code's own business."""

    def _refuse(self, *args: Any, **options: Any) -> Any:
        raise RuntimeError("no timers, threads and I/O in the code of a workflow: "
                           "use ctx.sleep(), timeouts of ctx, and ctx.step()")

    call_later = call_at = run_in_executor = _refuse
    call_soon_threadsafe = add_reader = add_writer = _refuse
    create_connection = create_server = getaddrinfo = _refuse  # type: ignore[assignment]
    subprocess_exec = subprocess_shell = _refuse

    def run_ready(self) -> None:
        """Run until nothing is ready. Call it from a callback, not from a task."""
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            while self._ready:
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
        finally:
            asyncio._set_running_loop(outer)

    def close_tasks(self) -> None:
        """End what is not done: GeneratorExit where it awaits."""
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                try:
                    task.get_coro().close()  # type: ignore[union-attr]
                except BaseException:  # it is over, whatever it says
                    pass
        self._ready.clear()


class AsyncCode:
    """A coroutine function, and its loop."""

    def __init__(self) -> None:
        self._loop = CodeLoop()       # type: ignore[abstract]

    def start(self, code: Callable[[], Any], done: Callable[[Any, Any], None]) -> None:
        """Begin; done(value, error) when it has ended."""
        def ended(task: asyncio.Task[Any]) -> None:
            if task.cancelled():
                done(None, asyncio.CancelledError())
            else:
                done(None if task.exception() else task.result(), task.exception())

        async def run() -> Any:
            return await code()

        context = contextvars.copy_context()
        context.run(lambda: self._loop.create_task(run()).add_done_callback(ended))

    def future(self) -> Any:
        """What a call of the context returns, to be awaited."""
        return self._loop.create_future()

    def advance(self) -> None:
        """Let the code go on as far as it can."""
        self._loop.run_ready()

    def close(self) -> None:
        """The run is over."""
        self._loop.close_tasks()


class ThreadFuture(concurrent.futures.Future):  # type: ignore[type-arg]
    """What a thread waits for. ``await`` hands it to what drives the coroutine."""

    def __await__(self) -> Any:
        return (yield self)


class ThreadCode:
    """An ordinary function, in a thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: Optional[ThreadFuture] = None

    def start(self, code: Callable[[], Any], done: Callable[[Any, Any], None]) -> None:
        """Begin; done(value, error) when it has ended."""
        def run() -> None:
            value, error = None, None
            try:
                value = code()
            except BaseException as raised:
                error = raised
            try:
                self._loop.call_soon_threadsafe(done, value, error)
            except RuntimeError:
                pass                  # the worker's loop is closed

        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(run,), daemon=True,
                         name="durable-wf workflow").start()

    def future(self) -> Any:
        """What a call of the context waits for, in its thread."""
        self._waiting = ThreadFuture()
        return self._waiting

    def advance(self) -> None:
        """It goes on by itself."""

    def close(self) -> None:
        """The run is over: what waits is unwound."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(RunOver())


def is_async(code: Any) -> bool:
    """Is it a coroutine function?"""
    return inspect.iscoroutinefunction(code) or \
        inspect.iscoroutinefunction(getattr(code, "__call__", None))
