"""The one connection of a client that LISTENs.

It listens for all workflows that its role owns, for single ones of other roles
that are followed, and, once a workflow is awaited that does not exist yet, as
each role that it may act for. When it is lost it is opened again, with growing
pauses; then, and when the server says ``resync``, whatever waits looks again,
since news may have passed unheard. It sends no statement while nothing happens.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Callable, Optional

import psycopg
from psycopg import sql

from ._connections import Connections, close_quietly, texts_of
from ._errors import code_of, is_connection_error
from ._values import reconnect_delay

ROLES_MAX = 100
RESYNC = {"workflow_id": None, "kind": "resync", "key": None}


class Listener:
    """Opens the connection when it is first wanted, and keeps it."""

    def __init__(self, connections: Connections, on_news: Callable[[dict[str, Any]], None]) -> None:
        self._connections = connections
        self._on_news = on_news
        self._connection: Any = None
        self._watched: Optional[int] = None   # the descriptor that is read from
        self._starting: Optional[asyncio.Task[None]] = None
        self._followed: dict[str, int] = {}
        self._as_others = False
        self._lock = asyncio.Lock()   # statements one after the other
        self._closed = False

    async def ready(self) -> None:
        """Returns when the connection listens; raises if it cannot be had."""
        if self._closed:
            raise RuntimeError("the client was closed")
        if self._connection is not None:
            return
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._start(False))
        await asyncio.shield(self._starting)

    async def _start(self, again: bool) -> None:
        """Open the connection, and listen to all that shall be. The first time an
        error goes to whoever waits; once it has worked it is tried for ever."""
        n = 0
        while not self._closed:
            connection = None
            try:
                connection = await self._connections.open("durable-wf listener")
                connection.add_notify_handler(self._hear)
                await texts_of(connection, "SELECT wf_listen()")
                if self._as_others:
                    await self._listen_as_others(connection)
                for workflow_id in list(self._followed):
                    await self._listen_to(connection, workflow_id)
            except Exception as error:
                if connection is not None:
                    await close_quietly(connection)
                if not again and (not is_connection_error(error) or n >= 5 or _is_final(error)):
                    self._starting = None
                    raise
                await asyncio.sleep(reconnect_delay(n))
                n += 1
                continue
            self._connection = connection
            self._starting = None
            self._watch()
            if again:
                self._on_news(RESYNC)
            return
        raise RuntimeError("the client was closed")

    def _watch(self) -> None:
        """Read what the server sends while no statement of ours runs."""
        connection = self._connection
        loop = asyncio.get_running_loop()

        def read() -> None:
            try:
                connection.pgconn.consume_input()
                while (notify := connection.pgconn.notifies()) is not None:
                    self._hear_payload(notify.extra.decode())
                if connection.pgconn.status != psycopg.pq.ConnStatus.OK:
                    raise psycopg.OperationalError("the connection is lost")
            except psycopg.Error:
                self._is_lost(connection)

        descriptor: int = connection.fileno()
        self._watched = descriptor
        loop.add_reader(descriptor, read)
        read()

    def _unwatch(self) -> None:
        if self._watched is not None:
            asyncio.get_running_loop().remove_reader(self._watched)
        self._watched = None

    def _is_lost(self, connection: Any) -> None:
        if self._connection is not connection or connection is None:
            return
        self._unwatch()
        self._connection = None
        asyncio.ensure_future(close_quietly(connection))
        if not self._closed:
            self._starting = asyncio.ensure_future(self._start(True))
            self._starting.add_done_callback(_ignore)

    def _hear(self, notify: Any) -> None:
        self._hear_payload(notify.payload)

    def _hear_payload(self, payload: str) -> None:
        try:
            news = json.loads(payload)
        except ValueError:
            return                    # not of ours
        self._on_news(news)

    async def _listen_to(self, connection: Any, workflow_id: str) -> None:
        try:
            await texts_of(connection, "SELECT wf_listen(%s)", (workflow_id,))
        except psycopg.Error as error:
            if code_of(error) not in ("WF001", "42501"):
                raise                 # else it is gone, or not ours any more

    async def _listen_as_others(self, connection: Any) -> None:
        """Listen as each role whose workflows we may see: a workflow that does not
        exist yet has no channel, but that of all of its owner's will tell."""
        rows = await texts_of(connection, f"""
            SELECT rolname FROM pg_catalog.pg_roles
             WHERE pg_catalog.pg_has_role(oid, 'USAGE') AND rolname <> current_user
               AND rolname !~ '^pg_' ORDER BY oid LIMIT {ROLES_MAX}""")
        for (role,) in rows:
            try:
                await connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(str(role))))
                await texts_of(connection, "SELECT wf_listen()")
            except psycopg.Error as error:
                if is_connection_error(error):
                    raise
            finally:
                if not connection.closed:
                    await connection.execute("RESET ROLE")

    async def hear_of(self, workflow_id: str, exists: bool) -> None:
        """Hear of the workflows of other roles, too: of one that exists, or of
        those that do not yet. Afterwards the caller must look again."""
        is_new = workflow_id not in self._followed if exists else not self._as_others
        if exists:
            self._followed[workflow_id] = self._followed.get(workflow_id, 0) + 1
        else:
            self._as_others = True

        async def listen(connection: Any) -> None:
            if is_new and exists:
                await self._listen_to(connection, workflow_id)
            elif is_new:
                await self._listen_as_others(connection)

        await self._in_turn(listen)

    def forget(self, workflow_id: str) -> None:
        """No longer hear of one workflow that hear_of() has followed."""
        count = self._followed.get(workflow_id, 0) - 1
        if count > 0:
            self._followed[workflow_id] = count
            return
        self._followed.pop(workflow_id, None)

        async def unlisten(connection: Any) -> None:
            if workflow_id not in self._followed:
                await texts_of(connection, "SELECT wf_unlisten(%s)", (workflow_id,))

        if not self._closed:
            asyncio.ensure_future(self._in_turn(unlisten)).add_done_callback(_ignore)

    async def _in_turn(self, task: Callable[[Any], Any]) -> None:
        """A statement of its own on the connection. If that is lost meanwhile,
        the next one will listen to the same."""
        async with self._lock:
            await self.ready()
            connection = self._connection
            self._unwatch()
            try:
                await task(connection)
            except psycopg.Error as error:
                if not is_connection_error(error):
                    raise
                self._is_lost(connection)
            else:
                if self._connection is connection:
                    self._watch()
            await self.ready()

    async def close(self) -> None:
        """Stop listening."""
        self._closed = True
        if self._starting is not None:
            self._starting.cancel()
        if self._connection is not None:
            self._unwatch()
            connection, self._connection = self._connection, None
            await close_quietly(connection)


def _is_final(error: Any) -> bool:
    """Does it make no sense to connect again? (libpq has no SQLSTATE for it.)"""
    message = str(error)
    return "does not exist" in message or "authentication failed" in message


def _ignore(task: Any) -> None:
    if not task.cancelled():
        task.exception()
