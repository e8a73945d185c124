"""One execution of a workflow: its code, from the top, against the journal.

The code makes calls; each has the next number, and the server has recorded or
does what it is for (_session.py). Three things make a replay right:

R1  Calls go to the server one at a time, in the order in which the code has made
    them. When the run is over none of those that are left is sent: the session
    may belong to no workflow any more, or to the next one.
R2  What calls return is handed to the code one after the other, and the code goes
    as far as it can before the next (_code.py). A replay hands it over in the
    order in which the calls were completed then (completed_at). So code that does
    several things at a time makes the same calls in the same order again,
    whichever of them was ready first.
R3  A call that waits is sent when nothing else is under way: all other calls have
    returned, all steps are saved, and the code awaits. Then the workflow may be
    suspended with nothing left to lose. Several waits at a time are one
    wf_wait_any(), repeated for those that are left.

A run that is over (suspended, cancelled, its connection lost) never hands over
another result. Its coroutines are closed where they await (GeneratorExit), its
thread gets RunOver: no ``except Exception`` sees that, and what ``finally`` and
``with`` do by the context has no effect.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, AsyncIterator, Callable, Optional, Union

from . import _ops as ops
from ._code import AsyncCode, ThreadCode
from ._errors import (RunOver, StepError, code_of, describe, from_server, is_connection_error,
                      is_transient)
from ._ops import Op
from ._step import StepInfo, StepOptions, running_step, work
from ._trace import TraceOption, traced
from ._values import UNSET, from_json, to_json

SOURCES_MAX = 128
NEWS = {"wf_set_event": "event", "wf_write_stream": "stream", "wf_write_stream_many": "stream",
        "wf_close_stream": "stream"}


@dataclass
class Attached:
    """The workflow that a session has taken."""

    workflow_id: str
    queue: str
    input: Optional[str]
    attempt: int
    traceparent: Optional[str] = None


@dataclass(frozen=True)
class Limit:
    """Until when a call waits: for so many seconds, or until a moment."""

    seconds: float = math.inf
    deadline: Optional[float] = None


class _Wait:
    def __init__(self, op: Op, deadline: Optional[float], future: Any) -> None:
        self.op = op
        self.deadline = deadline
        self.future = future


class Run:
    """See above. All of it runs in the loop of the worker, but what code calls."""

    def __init__(self, session: Any, attached: Attached, is_async: bool,
                 on_news: Callable[[dict[str, Any]], None]) -> None:
        self.workflow_id = attached.workflow_id
        self.queue = attached.queue
        self.attempt = attached.attempt
        self.traceparent = attached.traceparent
        self._trace_option: TraceOption = getattr(session, "traceparent", False)
        self.is_async = is_async
        self.is_over = False
        self._session = session
        self._on_news = on_news       # is told what this run has published
        self._loop = asyncio.get_running_loop()
        self._code: Union[AsyncCode, ThreadCode] = \
            AsyncCode() if is_async else ThreadCode(self._loop)
        self._end: asyncio.Future[tuple[str, Any]] = self._loop.create_future()
        self._lock = asyncio.Lock()   # one call at a time, in order (R1)
        self._last = 0                # the number of the last call
        self._names: dict[str, int] = {}
        self._patches: set[str] = set()
        self._outstanding = 0         # calls whose result the code has not got
        self._results: list[tuple[Optional[int], Callable[[], None]]] = []
        self._handed_over = 0         # the highest number so far
        self._order: Optional[list[int]] = None
        self._order_state = "not needed"
        self._place = 0               # in the order
        self._waits: list[_Wait] = []
        self._awaiting = False
        self._pumping = False
        self._outcome: Optional[tuple[Any, Any]] = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def execute(self, code: Callable[[], Any]) -> tuple[str, Any]:
        """Execute the code. The kind of its end: completed, failed, continued (as
        new), suspended, ended (by others), mismatch, retry, lost; and the error."""
        self._code.start(code, self._code_has_ended)
        self._pump()
        try:
            return await self._end
        finally:
            self._over("lost", None)

    def _code_has_ended(self, value: Any, error: Any) -> None:
        if not self.is_over:
            self._outcome = (value, error)
            self._pump()

    def abandon(self, error: Any) -> None:
        """Give up: the session is gone, or shall be."""
        self._over("lost", error)

    def _over(self, kind: str, error: Any = None) -> None:
        if self.is_over:
            return
        self.is_over = True
        if not self._end.done():
            self._end.set_result((kind, error))
        if kind in ("completed", "failed"):
            self._tell("result", None)
        # not from here: this may be one of those tasks
        self._loop.call_soon(self._clean_up)

    def _clean_up(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        self._code.close()

    def _spawn(self, coroutine: Any) -> None:
        """Do something in the loop of the worker for as long as the run lasts."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)

        def done(task: asyncio.Task[Any]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and task.exception() is not None:
                self._over("retry", task.exception())

        task.add_done_callback(done)

    # ----- calls, as the code makes them

    def _may_call(self, name: str) -> None:
        if self.is_over:
            raise RunOver()
        step = running_step()
        if step is not None:
            raise RuntimeError(f'{name} cannot be called inside of a step ("{step}")')

    def _submit(self, begin: Callable[[Any], None]) -> Any:
        """Begin something in the loop of the worker; the future of its result."""
        future = self._code.future()
        if self.is_async:
            begin(future)
            return future

        def begin_unless_over() -> None:
            if self.is_over:
                _fail(future, RunOver())
            else:
                begin(future)

        self._loop.call_soon_threadsafe(begin_unless_over)
        return future

    def call(self, op: Op) -> Any:
        """Make a call that does not wait."""
        self._may_call(op.fn)
        made = traced(op, self._trace_option)
        return self._submit(lambda future: self._send_for(made, future))

    def received_traceparent(self) -> Any:
        """The trace context of what was received last. This takes no number."""
        self._may_call("received_traceparent()")

        async def ask(future: Any) -> None:
            try:
                async with self._in_turn():
                    value = await self._session.received_traceparent()
            except Exception as error:
                known = await self._what_it_means(error)
                if known is not None:
                    self._hand_over(None, lambda: _fail(future, known))
                return
            self._hand_over(None, lambda: _settle(future, value))

        def begin(future: Any) -> None:
            self._begins()
            self._spawn(ask(future))

        return self._submit(begin)

    def wait(self, op: Op, deadline: Optional[float] = None) -> Any:
        """Make a call that may wait, as soon as nothing else is under way."""
        self._may_call(op.fn)

        def begin(future: Any) -> None:
            self._waits.append(_Wait(op, deadline, future))
            self._pump()

        return self._submit(begin)

    def step(self, given: str, fn: Callable[[], Any], options: StepOptions) -> Any:
        """Run a step: work that is done here, and recorded."""
        self._may_call("step()")
        # steps of one name that are open at a time must be told apart
        count = self._names.get(given, 0) + 1
        name = given if count == 1 else f"{given} #{count}"
        self._names[given] = count

        def begin(future: Any) -> None:
            self._begins()
            self._spawn(self._step(name, fn, options, future))

        return self._submit(begin)

    def continue_as_new(self, input: Any) -> Any:
        """End this run, and begin anew with another input."""
        self._may_call("continue_as_new()")
        text = to_json(input)

        async def go() -> None:
            try:
                async with self._in_turn():
                    await self._session.continue_as_new(text)
                self._over("continued")
            except Exception as error:
                known = await self._what_it_means(error)
                if known is not None:
                    self._over("retry", known)

        return self._submit(lambda future: self._spawn(go()))

    # ----- calls, as they are sent

    def _send_for(self, op: Op, future: Any, limit: Optional[Limit] = None) -> None:
        self._begins()
        self._spawn(self._send(op, future, limit))

    async def _send(self, op: Op, future: Any, limit: Optional[Limit]) -> None:
        """Send a call; its result is handed over in its turn."""
        no: Optional[int] = None
        try:
            async with self._in_turn():
                if op.fn == "wf_patched":
                    value = await self._session.call(op, limit)
                    # only runs of the changed code have a step for it
                    if value and op.name not in self._patches:
                        self._last += 1
                        no = self._last
                    self._patches.add(str(op.name))
                else:
                    self._last += 1
                    no = self._last
                    value = await self._session.call(op, limit)
        except Exception as error:
            known = await self._what_it_means(error, op.is_step)
            if known is not None:
                self._hand_over(no, lambda: _fail(future, known))
            return
        if op.fn in NEWS:
            self._tell(NEWS[op.fn], op.name)
        self._hand_over(no, lambda: _settle(future, value))

    def _tell(self, kind: str, key: Optional[str]) -> None:
        self._on_news({"workflow_id": self.workflow_id, "kind": kind, "key": key})

    async def _step(self, name: str, fn: Callable[[], Any], options: StepOptions,
                    future: Any) -> None:
        no: Optional[int] = None
        try:
            async with self._in_turn():
                begun: tuple[int, bool, Optional[str], Any] = await self._session.begin(name)
                no, done, output, error = begun
                self._last = begun[0]
            if not done:
                output, error = await self._work(name, begun[0], fn, options)
        except Exception as raised:
            known = await self._what_it_means(raised)
            if known is not None:
                self._hand_over(no, lambda: _fail(future, known))
            return
        if error is None:
            self._hand_over(no, lambda: _settle(future, from_json(output)))
        elif isinstance(error, str):
            self._hand_over(no, lambda: _fail(future, StepError(name, error)))
        else:
            failure = StepError(name, describe(error))
            failure.__cause__ = error
            self._hand_over(no, lambda: _fail(future, failure))

    async def _work(self, name: str, no: int, fn: Callable[[], Any],
                    options: StepOptions) -> tuple[Optional[str], Any]:
        """Do the work of a step, and record it."""
        session = self._session
        key = f"{self.workflow_id}/{no}"
        output, error = await work(
            session.replace(name, fn), lambda attempt: StepInfo(name, no, attempt, key), options,
            session.pause)
        if error is None:
            try:
                async with self._in_turn():
                    saved: Optional[str] = await session.save(name, output)
                return saved, None
            except Exception as raised:
                # text that jsonb cannot hold: the step has failed, and says so
                if not code_of(raised).startswith("22"):
                    raise
                error = raised
        async with self._in_turn():
            await session.fail(name, describe(error))
        return None, error

    @asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        """The turn of a call; none comes when the run is over. An error that ends the
        run does so before the next one's turn."""
        async with self._lock:
            if self.is_over:
                raise asyncio.CancelledError()
            try:
                yield
            except Exception as error:
                self._ends_run(from_server(error))
                raise

    def _ends_run(self, error: Any) -> bool:
        """End the run, if that is what an error means whatever call it comes from."""
        code = code_of(error)
        if code == "WF010":
            self._over("suspended")
        elif is_connection_error(error):
            self._over("lost", error)
        elif code == "WF004":
            self._over("mismatch", error)
        elif code in ("WF007", "WF008"):
            self._over("ended", error)
        return self.is_over

    async def _what_it_means(self, given: Exception, is_step: bool = False) -> Any:
        """What an error of the server's means: None if it is the end of this run,
        else the error for the code."""
        error = from_server(given)
        code = code_of(error)
        if self._ends_run(error):
            return None
        if code in ("WF002", "WF003"):
            # it may be another workflow that has ended: that is for the code
            try:
                async with self._in_turn():
                    ended = await self._session.has_ended(self.workflow_id)
            except Exception as other:
                self._over("lost", other)
                return None
            if not ended:
                return error
            self._over("ended", error)
        elif is_transient(error) and not is_step:
            self._over("retry", error)
        else:
            return error
        return None

    # ----- results, in order (R2)

    def _begins(self) -> None:
        """A call begins. From the second one at a time on, the order of completion
        matters: get what is recorded of it."""
        self._outstanding += 1
        if self._outstanding < 2 or self._order_state != "not needed":
            return
        self._order_state = "asked for"
        handed_over = self._handed_over

        async def ask() -> None:
            try:
                async with self._in_turn():
                    numbers = await self._session.completions(self.workflow_id)
            except Exception as error:
                self._over("lost" if is_connection_error(error) else "retry", error)
                return
            self._order = [no for no in numbers if no > handed_over]
            self._order_state = "known"
            self._pump()

        self._spawn(ask())

    def _hand_over(self, no: Optional[int], settle: Callable[[], None]) -> None:
        self._results.append((no, settle))
        self._pump()

    def _next_result(self) -> Optional[tuple[Optional[int], Callable[[], None]]]:
        """The result that is next, if it is there."""
        results = self._results
        if not results or self._order_state == "asked for":
            return None
        while self._order is not None and self._place < len(self._order):
            wanted = self._order[self._place]
            for at, (no, _) in enumerate(results):
                if no is None or no == wanted:
                    if no is not None:
                        self._place += 1
                    return results.pop(at)
            # it is on its way, or code that has changed does not ask for it
            if self._outstanding > len(results):
                return None
            self._place += 1
        return results.pop(0)

    def _pump(self) -> None:
        if not self._pumping and not self.is_over:
            self._pumping = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Hand over a result and let the code go on from there; when there is
        nothing to hand over or to come, end, or wait (R3)."""
        self._pumping = False
        if self.is_over:
            return
        self._code.advance()
        result = self._next_result()
        if result is not None:
            no, settle = result
            self._outstanding -= 1
            self._handed_over = max(self._handed_over, no or 0)
            settle()
            self._code.advance()
            self._pump()
        elif self._outstanding > 0:
            pass
        elif self._outcome is not None:
            self._outstanding += 1    # nothing comes after this
            self._spawn(self._finish(*self._outcome))
        elif self._waits and not self._awaiting:
            self._awaiting = True
            self._spawn(self._await())

    async def _finish(self, value: Any, error: Any) -> None:
        try:
            if error is None:
                try:
                    text = None if value is None or value is UNSET else to_json(value)
                    async with self._in_turn():
                        await self._session.complete(text)
                    self._over("completed")
                    return
                except Exception as raised:
                    if not isinstance(raised, (TypeError, ValueError)) and \
                            not code_of(raised).startswith("22"):
                        raise
                    error = raised
            async with self._in_turn():
                await self._session.fail_workflow(describe(error))
            self._over("failed", error)
        except Exception as raised:
            known = await self._what_it_means(raised)
            if known is not None:
                self._over("retry", known)

    # ----- waits (R3)

    async def _own(self, op: Op, limit: Limit) -> Any:
        """A call whose result is for us."""
        future = self._loop.create_future()
        self._send_for(op, future, limit)
        return await future

    async def _await(self) -> None:
        """Wait: for one call as it is, for several with one call."""
        waits = list(self._waits)
        steps = [wait for wait in waits if wait.op.is_step]
        alone = waits[0] if len(waits) == 1 else steps[0] if steps else None
        if alone is None:
            await self._await_several(waits)
        else:
            self._waits.remove(alone)
            self._send_for(alone.op, alone.future, Limit(alone.op.timeout, alone.deadline))
        self._awaiting = False
        self._pump()

    async def _await_several(self, waits: list[_Wait]) -> None:
        # a time to count from, the same in each run
        undated = [wait for wait in waits
                   if wait.deadline is None and wait.op.timeout != math.inf]
        if undated:
            begin = (await self._own(ops.now(), Limit())).timestamp()
            for wait in undated:
                wait.deadline = begin + wait.op.timeout
        deadline = min((wait.deadline for wait in waits if wait.deadline is not None),
                       default=None)
        limit = Limit(math.inf, deadline)

        # which wait wants which source
        places = [(wait, source, n) for wait in waits
                  for n, source in enumerate(wait.op.sources)][:SOURCES_MAX]
        got = None
        if places:
            try:
                got = await self._own(ops.several([source for _, source, _ in places]), limit)
            except Exception:
                await self._await_each(waits)
                return
        else:
            await self._own(ops.sleep(0), limit)

        if got is not None:
            place, text = got
            wait, _, n = places[place]
            self._settle_wait(wait, lambda: wait.op.pick(text, n))
        else:
            late = next(wait for wait in waits if wait.deadline == deadline)
            self._settle_wait(late, lambda: late.op.late(late.deadline or 0))

    async def _await_each(self, waits: list[_Wait]) -> None:
        """One of several waits raises an error: find which, and tell that."""
        for wait in waits:
            if not wait.op.sources:
                continue
            try:
                got = await self._own(ops.several(wait.op.sources), Limit(0))
            except Exception as error:
                self._waits.remove(wait)
                _fail(wait.future, error)
                self._pump()
                return
            if got is not None:
                place, text = got
                self._settle_wait(wait, lambda: wait.op.pick(text, place))
                return
        self._pump()

    def _settle_wait(self, wait: _Wait, get: Callable[[], Any]) -> None:
        self._waits.remove(wait)
        try:
            _settle(wait.future, get())
        except Exception as error:
            _fail(wait.future, error)
        self._pump()


def _settle(future: Any, value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: Any, error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
