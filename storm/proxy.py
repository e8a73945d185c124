"""A TCP proxy between the clients and the servers, which can be told to fail.

It runs in a process of its own and takes orders, lines of JSON, from a pipe:

    {"to": {"pg": 5433, "http": 8081}}     where new connections go; null: nowhere
    {"cut": KIND, "share": 0.5, "for": 2.0, "seed": 1}
    {"primary": 5433}                      where the standby's connections go
    {"part": "hole", "for": 2.0}           cut these: for so long, or null: for ever

A cut hits that share of the clients' connections that are open.  Its kinds:

    reset      both sides get a reset, at once
    hole       nothing passes in either direction for a time, then both end
    deaf       the server side closes at once, the client hears of it later
    zombie     the client side closes at once, the server hears of it later
    half       the server is told that nothing more comes, and may go on writing
    down       as reset; and new connections are refused for a time

The standby's connections are cut all at once.  In a "hole" nothing passes, and
what was said meanwhile arrives when its time is over; or they are "down".
"""

import asyncio
import json
import os
import random
import socket
import struct

KINDS = ("reset", "hole", "deaf", "zombie", "half", "down")
RESET = struct.pack("ii", 1, 0)     # SO_LINGER: close() sends a reset


class Link:
    """A connection of a client, and ours to the server."""

    def __init__(self, proxy, client_reader, client_writer):
        self.proxy = proxy
        self.readers = [client_reader, None]
        self.writers = [client_writer, None]
        self.passing = asyncio.Event()
        self.passing.set()

    async def run(self, port, links):
        try:
            self.readers[1], self.writers[1] = await asyncio.open_connection(
                "127.0.0.1", port)
        except OSError:
            self.close(0)
            return
        links.add(self)
        try:
            await asyncio.gather(self.pump(0, 1), self.pump(1, 0))
        finally:
            links.discard(self)
            self.close(0)
            self.close(1)

    async def pump(self, side, other):
        """Pass on what one side says; when it ends, end the other."""
        try:
            while True:
                data = await self.readers[side].read(65536)
                await self.passing.wait()
                if not data:
                    break
                self.writers[other].write(data)
                await self.writers[other].drain()
        except OSError:
            pass
        # a client that closes ends all; so does a server
        await self.passing.wait()
        self.close(other)

    def close(self, side, hard=False):
        writer = self.writers[side]
        if writer is None or writer.is_closing():
            return
        if hard:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()
        else:
            writer.close()

    def cut(self, kind, seconds):
        """Fail in this manner."""
        if kind in ("reset", "down"):
            self.end()
            return
        self.passing.clear()
        if kind == "deaf":
            self.close(1)
        elif kind == "zombie":
            self.close(0, hard=True)
        elif kind == "half":
            try:
                self.writers[1].write_eof()
            except OSError:
                pass
            self.passing.set()
        asyncio.get_running_loop().call_later(seconds, self.end)

    def hold(self, seconds):
        """Pass nothing for a time, and then all that was said."""
        self.passing.clear()
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, self.passing.set)

    def end(self):
        self.close(0, hard=True)
        self.close(1, hard=True)
        self.passing.set()


class Proxy:
    """All links, and where new ones go."""

    def __init__(self):
        self.links, self.standbys = set(), set()
        self.to = self.primary = None
        self.down = self.parted = 0

    async def accept(self, kind, reader, writer):
        link = Link(self, reader, writer)
        if kind == "wal":
            if self.primary is None or self.parted:
                link.close(0, hard=True)
            else:
                await link.run(self.primary, self.standbys)
        elif self.to is None or self.down:
            link.close(0, hard=True)
        else:
            await link.run(self.to[kind], self.links)

    def order(self, order):
        if "to" in order:
            self.to = order["to"]
            return
        if "primary" in order:
            self.primary = order["primary"]
            for link in list(self.standbys):
                link.end()          # it followed another one
            self.parted = 0
            return
        if "part" in order:
            self.part(order["part"], order["for"])
            return
        rng = random.Random(order["seed"])
        for link in list(self.links):
            if rng.random() < order["share"]:
                link.cut(order["cut"], order["for"])
        if order["cut"] == "down":
            self.down += 1
            asyncio.get_running_loop().call_later(order["for"], self.up)

    def up(self):
        self.down -= 1

    def part(self, kind, seconds):
        """Part the standby from the primary."""
        for link in list(self.standbys):
            if kind == "down":
                link.end()
            else:
                link.hold(seconds)
        self.parted = 1
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, self.join)

    def join(self):
        self.parted = 0

    async def serve(self, sockets, orders):
        servers = [await asyncio.start_server(
            lambda r, w, kind=kind: self.accept(kind, r, w), sock=sock)
            for kind, sock in sockets.items()]
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(orders, "rb"))
        while True:
            line = await reader.readline()
            if not line:
                break               # our parent has gone
            self.order(json.loads(line))
        for server in servers:
            server.close()


class Remote:
    """The proxy as its parent sees it: its ports, and orders."""

    def __init__(self):
        sockets = {kind: socket.create_server(("127.0.0.1", 0)) for kind in ("pg", "http", "wal")}
        self.ports = {kind: s.getsockname()[1] for kind, s in sockets.items()}
        receiving, self.sending = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.sending)
            try:
                loop = asyncio.new_event_loop()
                loop.set_exception_handler(lambda *_: None)
                loop.run_until_complete(Proxy().serve(sockets, receiving))
            finally:
                os._exit(0)
        os.close(receiving)
        for sock in sockets.values():
            sock.close()

    def order(self, **order):
        os.write(self.sending, json.dumps(order).encode() + b"\n")

    def close(self):
        os.close(self.sending)
        os.waitpid(self.pid, 0)
