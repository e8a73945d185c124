"""How workflows are named in arguments, and what their outcome means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Optional

from ._errors import WaitTimeout, WorkflowCancelled, WorkflowFailed

ENDED = ("SUCCESS", "ERROR", "CANCELLED")


@dataclass(frozen=True)
class Outcome:
    """How a workflow has ended, or that it has not."""

    status: str
    output: Any = None
    error: Optional[str] = None


@dataclass(frozen=True)
class Body:
    """A workflow that the server runs: the name of a procedure."""

    name: str


class Workflow:
    """A workflow as code: what ``workflow()`` returns. Its name is its queue."""

    def __init__(self, name: str, code: Callable[..., Any], client: Any) -> None:
        self.name = name
        self.code = code
        self._client = client
        self.__doc__ = code.__doc__

    def start(self, input: Any = None, **options: Any) -> Any:
        """Start one, as the client's start() does."""
        return self._client.start(self, input, **options)


def id_of(workflow: Any) -> Any:
    """The id of a workflow, given as such or as a handle."""
    return getattr(workflow, "id", workflow)


def executed_by(what: Any) -> tuple[Optional[str], Optional[str]]:
    """Queue and body of what is started."""
    if what is None:
        return None, None
    if isinstance(what, Body):
        return None, what.name
    return getattr(what, "name", what), None


def to_result(workflow_id: str, outcome: Outcome) -> Any:
    """The output of an outcome, or its error."""
    if outcome.status == "SUCCESS":
        return outcome.output
    if outcome.status == "ERROR":
        raise WorkflowFailed(workflow_id, outcome.error)
    if outcome.status == "CANCELLED":
        raise WorkflowCancelled(workflow_id)
    raise WaitTimeout(f'workflow "{workflow_id}" has not ended: {outcome.status}')
