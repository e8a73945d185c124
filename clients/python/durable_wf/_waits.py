"""Waits of a client: any number of them, without a connection for each.

A wait is an entry in a dict and a source as wf_wait_any() has it. It is looked
at once the connection that LISTENs is there, and again when news name what it
waits for, after a ``resync``, and when its time is over. First listen, then
look: so nothing that commits in between is missed. Looks of the same moment are
one statement.
"""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any, Optional

from ._connections import Connections, Texts
from ._errors import from_server, is_connection_error
from ._listener import Listener
from ._values import reconnect_delay

BATCH_SIZE = 250
BATCHES_AT_ONCE = 2

# Look at several sources. A source that is not there yet says whether its
# workflow is, and whose: what listens for it depends on that.
LOOK = """
  SELECT a.source, a.value,
         (SELECT w.owner = current_user FROM wf_workflows w
           WHERE w.workflow_id = u.source->>'workflow_id')
    FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY u (source, n)
   CROSS JOIN LATERAL wf_wait_any(jsonb_build_array(u.source), '0') a
   ORDER BY u.n"""


class _Entry:
    def __init__(self, source: dict[str, Any], future: asyncio.Future[Any]) -> None:
        self.source = source
        self.future = future
        self.is_last = False          # the next look decides
        self.followed = False
        self.heard_of_others = False


class Waits:
    """The waits of one client."""

    def __init__(self, connections: Connections, listener: Listener) -> None:
        self._connections = connections
        self._listener = listener
        self._entries: dict[str, set[_Entry]] = {}
        self._to_look: dict[_Entry, None] = {}
        self._batches = 0
        self._scheduled = False
        self._failures = 0
        self._closed = False

    async def wait(self, source: dict[str, Any], seconds: float) -> Optional[Texts]:
        """Wait for a source; a list with the text of its value (None for an event
        that the ended workflow never published), None on timeout."""
        if self._closed:
            raise RuntimeError("the client was closed")
        loop = asyncio.get_running_loop()
        entry = _Entry(source, loop.create_future())
        workflow_id = source["workflow_id"]
        self._entries.setdefault(workflow_id, set()).add(entry)
        timer = None
        try:
            if seconds == 0:
                entry.is_last = True
            else:
                await self._listener.ready()
                if seconds != math.inf:
                    timer = loop.call_later(seconds, self._last_look, entry)
            self._look(entry)
            arrived: Optional[Texts] = await entry.future
            return arrived
        finally:
            if timer is not None:
                timer.cancel()
            entries = self._entries[workflow_id]
            entries.discard(entry)
            if not entries:
                del self._entries[workflow_id]
            self._to_look.pop(entry, None)
            if entry.followed:
                self._listener.forget(workflow_id)

    def hear(self, news: dict[str, Any]) -> None:
        """What the server has told the connection that LISTENs."""
        kind, key = news["kind"], news["key"]
        if kind == "resync":
            for entries in self._entries.values():
                for entry in entries:
                    self._look(entry)
            return
        for entry in self._entries.get(news["workflow_id"], ()):
            source = entry.source
            if kind == "result" or (kind == "event" and source.get("key") == key) or \
                    (kind == "stream" and source.get("stream") == key):
                self._look(entry)

    def _last_look(self, entry: _Entry) -> None:
        entry.is_last = True
        self._look(entry)

    def _look(self, entry: _Entry) -> None:
        """Look at an entry soon, together with others."""
        if entry.future.done():
            return
        self._to_look[entry] = None
        self._schedule()

    def _schedule(self) -> None:
        if self._to_look and not self._scheduled and self._batches < BATCHES_AT_ONCE:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._look_at_all)

    def _look_at_all(self) -> None:
        self._scheduled = False
        while self._to_look and self._batches < BATCHES_AT_ONCE:
            batch = list(self._to_look)[:BATCH_SIZE]
            for entry in batch:
                del self._to_look[entry]
            self._batches += 1
            asyncio.ensure_future(self._look_at_batch(batch))

    async def _look_at_batch(self, batch: list[_Entry]) -> None:
        try:
            await self._look_at(batch)
        finally:
            self._batches -= 1
            self._schedule()

    async def _look_at(self, batch: list[_Entry]) -> None:
        last = [entry.is_last for entry in batch]
        try:
            rows = await self._connections.query(
                LOOK, (json.dumps([entry.source for entry in batch]),))
        except Exception as error:
            await self._failed(batch, error)
            return
        self._failures = 0
        for entry, is_last, (source, value, mine) in zip(batch, last, rows):
            if entry.future.done():
                continue
            if source is not None:
                entry.future.set_result([value])
            elif is_last:
                entry.future.set_result(None)
            elif mine != "t":
                await self._hear_of(entry, mine is not None)

    async def _hear_of(self, entry: _Entry, exists: bool) -> None:
        """The workflow is another role's, or is not there yet and may become so:
        have the connection listen for it, once, and look again."""
        if entry.followed if exists else entry.heard_of_others:
            return
        if exists:
            entry.followed = True
        else:
            entry.heard_of_others = True
        try:
            await self._listener.hear_of(entry.source["workflow_id"], exists)
            self._look(entry)
        except Exception as error:
            if not entry.future.done():
                entry.future.set_exception(from_server(error))

    async def _failed(self, batch: list[_Entry], error: Exception) -> None:
        """One of several has failed: each alone. The connection has: again, soon."""
        batch = [entry for entry in batch if not entry.future.done()]
        if is_connection_error(error) and not self._closed:
            for entry in batch:
                if entry.is_last:
                    entry.future.set_exception(error)
            self._failures += 1
            await asyncio.sleep(reconnect_delay(self._failures))
            for entry in batch:
                self._look(entry)
        elif len(batch) == 1:
            batch[0].future.set_exception(from_server(error))
        else:
            for entry in batch:
                await self._look_at([entry])

    def close(self) -> None:
        """End all waits."""
        self._closed = True
        for entries in self._entries.values():
            for entry in entries:
                if not entry.future.done():
                    entry.future.set_exception(RuntimeError("the client was closed"))
