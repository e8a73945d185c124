"""Connections: a small pool for what is short, and connections of their own.

What belongs to a session cannot go through a proxy that pools transactions;
``direct`` says where such connections go, if the pool goes through one.
"""

from __future__ import annotations

import asyncio
import select
from contextlib import asynccontextmanager
from typing import Any, AsyncIterator, Optional, Sequence

import psycopg
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus

Texts = list[Optional[str]]


async def texts_of(connection: Any, sql: str, values: Sequence[Any] = ()) -> list[Texts]:
    """Run a statement; the rows as the texts that the server has sent."""
    async with connection.cursor() as cursor:
        await cursor.execute(sql, values or None)
        result = cursor.pgresult
        if result is None or result.status != ExecStatus.TUPLES_OK:
            return []
        rows = []
        for row in range(result.ntuples):
            cells = [result.get_value(row, column) for column in range(result.nfields)]
            rows.append([None if cell is None else cell.decode() for cell in cells])
        return rows


class Connections:
    """Where to connect: the pool, and how to open a connection of its own."""

    def __init__(self, conninfo: str, pool_size: int, direct: Optional[str],
                 options: dict[str, Any], traceparent: Any = None) -> None:
        self.traceparent = traceparent
        self._conninfo = conninfo
        self._direct = direct
        self._options = options
        self._idle: list[Any] = []
        self.size = pool_size
        self._places = asyncio.Semaphore(pool_size)
        self._closed = False

    async def open(self, application_name: str, pooled: bool = False) -> Any:
        """Open a connection of its own, in autocommit."""
        conninfo = self._direct if self._direct is not None and not pooled else self._conninfo
        options: dict[str, Any] = {"keepalives": 1, "client_encoding": "utf8", **self._options}
        if not pooled:
            options.setdefault("application_name", application_name)
        return await psycopg.AsyncConnection.connect(
            conninfo, autocommit=True, prepare_threshold=None if pooled else 5, **options)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection of the pool."""
        async with self._places:
            if self._closed:
                raise RuntimeError("the client was closed")
            connection = None
            while self._idle and connection is None:
                connection = self._idle.pop()
                if not is_alive(connection):
                    await close_quietly(connection)
                    connection = None
            if connection is None:
                connection = await self.open("", pooled=True)
            try:
                yield connection
            finally:
                # one that is broken, or was left in the middle, is not used again
                if not connection.closed and not self._closed and \
                        connection.info.transaction_status == TransactionStatus.IDLE:
                    self._idle.append(connection)
                else:
                    await close_quietly(connection)

    async def query(self, sql: str, values: Sequence[Any] = ()) -> list[Texts]:
        """A statement in the pool."""
        async with self.connection() as connection:
            return await texts_of(connection, sql, values)

    async def close(self) -> None:
        """Close the pool."""
        self._closed = True
        for connection in self._idle:
            await close_quietly(connection)
        self._idle.clear()


def is_alive(connection: Any) -> bool:
    """Has the server not ended an idle connection? Asks the socket, not the server."""
    if connection.closed:
        return False
    try:
        # the last words of the server first, then the end
        while select.select([connection.fileno()], [], [], 0)[0]:
            connection.pgconn.consume_input()
    except psycopg.Error:
        return False
    return bool(connection.pgconn.status == ConnStatus.OK)


async def close_quietly(connection: Any) -> None:
    """Close a connection, whatever state it is in."""
    try:
        await connection.close()
    except Exception:  # it is gone
        pass
