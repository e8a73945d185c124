"""The attempts at a step, in this process."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from dataclasses import dataclass
from typing import Any, Awaitable, Callable, Optional, Union

from ._errors import FatalError, RetryableError, StepTimeout
from ._values import UNSET, Duration, to_json, to_seconds

# Set while the function of a step runs: no call of the workflow's is allowed
# there, since a replay would not make it.
_running: contextvars.ContextVar[Optional[str]] = contextvars.ContextVar("step", default=None)


@dataclass(frozen=True)
class StepInfo:
    """What a step may know of itself; see step_info()."""

    name: str
    step_no: int
    attempt: int
    key: str


_info: contextvars.ContextVar[StepInfo] = contextvars.ContextVar("step_info")


def running_step() -> Optional[str]:
    """The name of the step whose function makes this call, if one does."""
    return _running.get()


def step_info() -> StepInfo:
    """In a step: its number, the attempt (from 1), and ``key``, which is the same in
    each attempt and run and no other's: an idempotency key."""
    return _info.get()


@dataclass(frozen=True)
class Backoff:
    """The pause after an attempt: initial, times factor each time, at most max."""

    initial: Duration = 1.0
    factor: float = 2
    max: Duration = 3600.0


BackoffLike = Union[Duration, Backoff, Callable[[int, BaseException], Duration]]


@dataclass(frozen=True)
class StepOptions:
    """How a step is tried."""

    attempts: int = 1
    backoff: BackoffLike = Backoff()
    timeout: Duration = None


def delay_after(backoff: BackoffLike, attempt: int, error: BaseException) -> float:
    """How long to pause after an attempt, in seconds."""
    if isinstance(error, RetryableError) and error.retry_after is not None:
        return to_seconds(error.retry_after)
    if isinstance(backoff, Backoff):
        return min(to_seconds(backoff.initial) * backoff.factor ** (attempt - 1),
                   to_seconds(backoff.max))
    if callable(backoff):
        return to_seconds(backoff(attempt, error))
    return to_seconds(backoff)


async def _attempt(fn: Callable[[], Any], info: StepInfo, timeout: float) -> Any:
    """One attempt. A function that is not async runs in a thread."""
    async def call() -> Any:
        _running.set(info.name)
        _info.set(info)
        if inspect.iscoroutinefunction(fn) or \
                inspect.iscoroutinefunction(getattr(fn, "func", None)):
            return await fn()
        value = await asyncio.to_thread(fn)
        return await value if inspect.isawaitable(value) else value

    task = asyncio.ensure_future(call())
    try:
        done, _ = await asyncio.wait([task], timeout=None if timeout == float("inf") else timeout)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not done:
        task.cancel()
        raise StepTimeout(f'step "{info.name}" took longer than {timeout:g} s')
    return task.result()


async def work(fn: Callable[[], Any], info: Callable[[int], StepInfo], options: StepOptions,
               rest: Callable[[float], Awaitable[None]] = asyncio.sleep) -> tuple[Any, Any]:
    """Do the work of a step: the JSON of its value and no error, or the error when
    it was tried as often as it may be. ``rest`` pauses between attempts."""
    attempt = 0
    while True:
        attempt += 1
        try:
            value = await _attempt(fn, info(attempt), to_seconds(options.timeout))
            return to_json(None if value is UNSET else value), None
        except Exception as error:
            if attempt >= options.attempts or isinstance(error, FatalError):
                return None, error
            pause = delay_after(options.backoff, attempt, error)
        await rest(pause)
