"""The worker: some connections, each of which executes one workflow at a time.

A connection waits in the server for a workflow that is due, executes it to its
end or its suspension, and takes the next one. A suspended workflow has no
connection; so a few connections serve thousands. What a connection is lost in is
executed again, here or by another worker, against its journal.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from typing import Any, Callable, Optional, Sequence

from ._code import is_async
from ._connections import Connections
from ._context import Context, SyncContext
from ._errors import code_of, from_server, is_connection_error
from ._names import Workflow
from ._run import Attached, Run
from ._session import Session
from ._values import UNSET, Duration, from_json, reconnect_delay, to_seconds

logger = logging.getLogger("durable_wf")
RETRY_MAX = 60.0


async def execute(session: Any, attached: Attached, code: Any, runs: dict[Run, Any],
                  on_news: Callable[[dict[str, Any]], None] = lambda news: None) -> tuple[str, Any]:
    """Execute code in a session; how the run has ended."""
    asynchronous = is_async(code)
    run = Run(session, attached, asynchronous, on_news)
    given = from_json(attached.input)
    context = (Context if asynchronous else SyncContext)(run, given)
    runs[run] = session
    try:
        return await run.execute(lambda: code(context, given))
    finally:
        del runs[run]


class Worker:
    """What work() gives: ``await worker`` until it has stopped; ``stop()``."""

    def __init__(self, connections: Connections, workflows: dict[str, Workflow],
                 queues: Optional[Sequence[Any]], count: int, suspend_after: Duration,
                 drain_timeout: Duration, signals: Sequence[int],
                 on_news: Callable[[dict[str, Any]], None]) -> None:
        self._on_news = on_news
        self._connections = connections
        self._workflows = workflows
        self._queues = [getattr(queue, "name", queue)
                        for queue in (workflows if queues is None else queues)]
        for queue in self._queues:
            if queue not in workflows:
                raise ValueError(f'there is no workflow "{queue}": define it first')
        if not self._queues:
            raise ValueError("there is no workflow: define one first")
        if count < 1:
            raise ValueError("a worker needs a connection")
        self._suspend_after = to_seconds(suspend_after)
        self._drain_timeout = drain_timeout
        self._stopping = asyncio.Event()
        self._idle: set[Session] = set()
        self._runs: dict[Run, Session] = {}
        self._tries: dict[str, int] = {}
        self._said: set[str] = set()
        self._signals: list[int] = []
        loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():
            for number in signals:
                loop.add_signal_handler(number, self._on_signal, number)
                self._signals.append(number)
        slots = [asyncio.ensure_future(self._slot()) for _ in range(count)]
        self.stopped: asyncio.Future[Any] = asyncio.ensure_future(self._until_stopped(slots))

    def __await__(self) -> Any:
        return asyncio.shield(self.stopped).__await__()

    @property
    def running(self) -> int:
        """How many workflows it executes now."""
        return len(self._runs)

    async def _until_stopped(self, slots: list[Any]) -> None:
        await asyncio.gather(*slots)
        for number in self._signals:
            asyncio.get_running_loop().remove_signal_handler(number)

    def _on_signal(self, number: int) -> None:
        """Drain, then let the signal do what it would have done."""
        async def drain() -> None:
            await self.stop()
            os.kill(os.getpid(), number)
        asyncio.ensure_future(drain())

    def _complain(self, message: str, error: Any) -> None:
        """Say something once, until it works again."""
        if message not in self._said:
            logger.error("%s: %s", message, error)
        self._said.add(message)

    async def _slot(self) -> None:
        """A connection, opened again as often as it is lost."""
        failures = 0
        while not self._stopping.is_set():
            session = None
            try:
                session = await Session.open(self._connections, self._suspend_after)
                while not self._stopping.is_set():
                    attached = await self._next(session)
                    failures = 0
                    self._said.clear()
                    if attached is not None:
                        await self._execute(session, attached)
            except Exception as error:
                if not self._stopping.is_set():
                    self._complain("no connection" if is_connection_error(error)
                                   else "cannot work", error)
                    await self._rest(reconnect_delay(failures))
                    failures += 1
            finally:
                if session is not None:
                    await session.close()

    async def _rest(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except asyncio.TimeoutError:
            pass

    async def _next(self, session: Session) -> Optional[Attached]:
        """Wait for a workflow."""
        self._idle.add(session)
        try:
            attached = await session.attach(self._queues)
        except Exception as error:
            if code_of(error) == "57014":   # stop(), or somebody's pg_cancel_backend
                return None
            raise
        finally:
            self._idle.discard(session)
        if attached is not None and self._stopping.is_set():
            await session.detach()
            return None
        return attached

    async def _execute(self, session: Session, attached: Attached) -> None:
        code = self._workflows[attached.queue].code
        kind, error = await execute(session, attached, code, self._runs, self._on_news)
        named = f'workflow "{attached.workflow_id}" ({attached.queue})'
        if kind == "lost":
            if self._stopping.is_set():
                await session.leave()
            raise error
        if kind == "mismatch":        # the code was changed: until it is mended
            logger.error("%s is not what it was: %s", named, error)
            await session.detach(self._retry_after(attached.workflow_id))
            return
        if kind == "retry":
            logger.warning("%s is tried again: %s", named, from_server(error))
            await session.detach(self._retry_after(attached.workflow_id))
            return
        if kind == "failed":
            logger.warning("%s has failed", named, exc_info=error)
        elif kind == "ended":
            await session.detach()
        self._tries.pop(attached.workflow_id, None)

    def _retry_after(self, workflow_id: str) -> float:
        """The pause before a workflow is tried again: 1 s, 2 s, …, 1 min."""
        n = self._tries.get(workflow_id, 0)
        self._tries[workflow_id] = n + 1
        return min(RETRY_MAX, 2.0 ** min(n, 10))

    async def stop(self, drain_timeout: Duration = UNSET) -> None:
        """Take no more workflows, wait for those that run to end or to be suspended,
        and close the connections."""
        self._stopping.set()
        await asyncio.gather(*(self._cancel(session) for session in list(self._idle)))
        seconds = to_seconds(drain_timeout, self._drain_timeout)
        done, _ = await asyncio.wait([self.stopped],
                                     timeout=None if seconds == float("inf") else seconds)
        if not done:
            for run in list(self._runs):
                run.abandon(RuntimeError("stopped"))
            await self.stopped

    async def _cancel(self, session: Session) -> None:
        """End a session's wait for work. It may just have got some, and then leaves
        that, or its next statement is cancelled and the connection closed: the
        workflow is due again in both cases. A cancel that comes before the statement
        does nothing: then it takes another one."""
        try:
            while session in self._idle:
                await self._connections.query("SELECT pg_cancel_backend(%s)", (session.pid,))
                await asyncio.sleep(0.05)
        except Exception:
            await session.close()


DEFAULT_SIGNALS = (signal.SIGTERM,)
