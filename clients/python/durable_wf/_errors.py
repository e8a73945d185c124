"""The errors of this library, and what the errors of the server mean to it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Optional, Union

import psycopg


class DurableError(Exception):
    """Something that the server refused; ``code`` is the SQLSTATE."""

    def __init__(self, message: str, code: Optional[str] = None,
                 detail: Optional[str] = None, hint: Optional[str] = None) -> None:
        super().__init__(message)
        self.code = code
        self.detail = detail
        self.hint = hint


class WorkflowFailed(DurableError):
    """A workflow that was awaited has ended with ERROR."""

    def __init__(self, workflow_id: str, error: Optional[str]) -> None:
        super().__init__(error or "the workflow has failed")
        self.workflow_id = workflow_id


class WorkflowCancelled(DurableError):
    """A workflow that was awaited was cancelled."""

    def __init__(self, workflow_id: str) -> None:
        super().__init__(f'workflow "{workflow_id}" was cancelled', "WF002")
        self.workflow_id = workflow_id


class ReplayMismatch(DurableError):
    """The journal has another call than the code makes (WF004)."""


class WaitTimeout(TimeoutError):
    """A workflow had not ended when the time was over."""


class StepError(Exception):
    """A step has failed for good: the same in the first run and in a replay."""

    def __init__(self, step: str, message: str) -> None:
        super().__init__(message)
        self.step = step


class StepTimeout(Exception):
    """An attempt at a step took longer than its timeout."""


class FatalError(Exception):
    """Raised in a step: do not try again."""


class RetryableError(Exception):
    """Raised in a step: try again, after ``retry_after`` rather than the backoff."""

    def __init__(self, message: str = "",
                 retry_after: Union[None, float, str, timedelta] = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RunOver(BaseException):
    """The run is over: suspended, cancelled, its connection lost.

    It unwinds what is left of the code, and is no ``Exception``, so that nothing
    takes it for an error. Calls of the context raise it again, without an effect.
    """


def from_server(error: Any) -> Any:
    """Make an error of the server's one of ours, if it is."""
    code = code_of(error)
    if isinstance(error, DurableError) or not code.startswith("WF0"):
        return error
    diag = error.diag
    kind = ReplayMismatch if code == "WF004" else DurableError
    made = kind(diag.message_primary or str(error), code, diag.message_detail, diag.message_hint)
    made.__cause__ = error
    return made


def code_of(error: Any) -> str:
    """The SQLSTATE of an error, '' if it has none."""
    return getattr(error, "sqlstate", None) or getattr(error, "code", None) or ""


def describe(error: BaseException) -> str:
    """How an error is written down when a step or a workflow fails."""
    message = str(error)
    plain = isinstance(error, (StepError, DurableError, FatalError, RetryableError)) or \
        type(error) is Exception
    if plain and message:
        return message
    name = type(error).__name__
    return f"{name}: {message}" if message else name


def is_connection_error(error: Any) -> bool:
    """Is the connection gone, so that the same may work on another one?"""
    code = code_of(error)
    if code:
        return code.startswith(("08", "57P")) or code == "53300"
    return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError, OSError)) and \
        not isinstance(error, TimeoutError)


def is_transient(error: Any) -> bool:
    """Did a statement fail for a reason that goes away by itself?"""
    code = code_of(error)
    return is_connection_error(error) or code in ("40001", "40P01", "55P03", "57014") or \
        code.startswith(("53", "58"))
