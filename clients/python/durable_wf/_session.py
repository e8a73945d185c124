"""The session of a worker: a connection of its own, attached to one workflow at a
time. _run.py has another one for tests, in memory (testing.py)."""

from __future__ import annotations

import asyncio
import contextlib
import math
from datetime import datetime, timezone
from typing import Any, Callable, Optional, Sequence

from ._connections import Connections, Texts, close_quietly, texts_of
from ._ops import Op
from ._run import Attached, Limit
from ._names import ENDED
from ._trace import TraceOption, is_traced
from ._values import interval_of

# What a role or a database may have set must not end a wait for work, nor change
# what a moment looks like.
SETTINGS = {
    "durable_wf.workflow_id": "",
    "DateStyle": "ISO",
    "TimeZone": "UTC",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
}


class Session:
    """See above."""

    def __init__(self, connection: Any, traceparent: TraceOption = None) -> None:
        self._connection = connection
        self.traceparent = traceparent
        self.pid: int = connection.info.backend_pid

    @classmethod
    async def open(cls, connections: Connections, suspend_after: float) -> Session:
        connection = await connections.open("durable-wf worker")
        settings = {**SETTINGS,
                    "durable_wf.client_suspend_after": f"{round(suspend_after * 1000)} ms"}
        try:
            await texts_of(connection, """
                SELECT set_config(name, value, false)
                  FROM unnest(%s::text[], %s::text[]) s (name, value)""",
                           (list(settings), list(settings.values())))
        except BaseException:
            await close_quietly(connection)
            raise
        return cls(connection, connections.traceparent)

    async def _texts(self, sql: str, values: Sequence[Any] = ()) -> Texts:
        rows = await texts_of(self._connection, sql, values)
        return [text for row in rows for text in row]

    async def attach(self, queues: Sequence[str]) -> Optional[Attached]:
        """Wait for a workflow that is due, and attach to it."""
        workflow_id, queue, input, attempt = await self._texts(
            "CALL wf_attach_any(%s::text[], NULL, NULL, NULL, NULL, NULL)", (list(queues),))
        if workflow_id is None:
            return None
        traceparent = (await self._texts("SHOW durable_wf.traceparent"))[0] \
            if is_traced(self.traceparent) else None
        return Attached(workflow_id, str(queue), input, int(attempt or 1), traceparent or None)

    async def detach(self, seconds: float = 0) -> None:
        """Leave it unfinished; it is due again after that."""
        await self._texts("SELECT wf_detach(%s::interval)", (interval_of(seconds),))

    async def leave(self) -> None:
        """Leave it, if that takes no longer than a second, so that it counts as no crash."""
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self.detach(), 1)

    async def call(self, op: Op, limit: Optional[Limit] = None) -> Any:
        """Make a journalled call; one that waits has a limit."""
        sql, values = op.sql, list(op.values)
        if limit is not None and limit.deadline is not None:
            sql = sql.replace("{timeout}", "greatest(%s::timestamptz - clock_timestamp(), '0')")
            values.append(datetime.fromtimestamp(limit.deadline, timezone.utc).isoformat())
        elif limit is not None:
            sql = sql.replace("{timeout}", "%s::interval")
            values.append(interval_of(limit.seconds))
        # the timeout is not the last of the parameters of each statement
        if "{timeout}" in op.sql:
            before = op.sql[:op.sql.index("{timeout}")].count("%s")
            values.insert(before, values.pop())
        return op.decode(await self._texts(sql, values))

    async def received_traceparent(self) -> Optional[str]:
        """The trace context of what was received last; this is no step."""
        return (await self._texts("SELECT wf_received_traceparent()"))[0]

    async def begin(self, name: str) -> tuple[int, bool, Optional[str], Optional[str]]:
        """Begin a step of work that is done here: number, done, output, error."""
        no, done, output, error = await self._texts(
            "SELECT step_no, done, output, error FROM wf_begin_step(%s)", (name,))
        return int(no or 0), done == "t", output, error

    async def save(self, name: str, output: Optional[str]) -> Optional[str]:
        """Record its output; returns that as a replay will get it (jsonb orders keys)."""
        _, saved = await self._texts(
            "SELECT wf_save_step(%s, output), output FROM (SELECT %s::jsonb AS output) o",
            (name, output))
        return saved

    async def fail(self, name: str, error: str) -> None:
        await self._texts("SELECT wf_fail_step(%s, %s)", (name, error))

    async def complete(self, output: Optional[str]) -> None:
        await self._texts("SELECT wf_complete(%s::jsonb)", (output,))

    async def fail_workflow(self, error: str) -> None:
        await self._texts("SELECT wf_fail(%s)", (error,))

    async def continue_as_new(self, input: Optional[str]) -> None:
        await self._texts("SELECT wf_continue_as_new(%s::jsonb)", (input,))

    async def completions(self, workflow_id: str) -> list[int]:
        """The numbers of the steps that are complete, in the order in which they were."""
        numbers = await self._texts("""
            SELECT step_no FROM wf_list_steps(%s) WHERE completed_at IS NOT NULL
             ORDER BY completed_at, step_no""", (workflow_id,))
        return [int(no or 0) for no in numbers]

    async def has_ended(self, workflow_id: str) -> bool:
        """Has a workflow ended? This is no step."""
        texts = await self._texts("SELECT status FROM wf_workflows WHERE workflow_id = %s",
                                  (workflow_id,))
        return not texts or texts[0] in ENDED

    def replace(self, name: str, fn: Callable[[], Any]) -> Callable[[], Any]:
        """What is done as a step: what the code says."""
        return fn

    async def pause(self, seconds: float) -> None:
        """Pause between two attempts at a step."""
        if seconds != math.inf:
            await asyncio.sleep(seconds)

    async def close(self) -> None:
        await close_quietly(self._connection)
