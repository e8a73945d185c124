"""The ledger: what each client has asked and was told, outside of the server.

One file of JSON lines for each client.  A line is written, and handed to the
kernel, before the client calls and after it has its answer:

    {"client": "c01", "door": "plain", "async": false}      the first line
    {"n": 7, "t": 12.34, "op": "send", ...}                  a call
    {"n": 7, "t": 12.36, "ok": true, ...}                    its answer
    {"fence": 7, "t": 13.0}       the session of calls 1 to 7 has ended

t is the machine's monotonic clock, the same one for all processes.  "ok" is
true when the server acknowledged the operation, false when it said that it
did not happen, and null when nobody knows: the connection broke.
"""

import json
import time


class Ledger:
    """The file of one client."""

    def __init__(self, path, **head):
        self.file = open(path, "w", buffering=1024 * 64)
        self.n = 0
        self.write(head)

    def write(self, line):
        self.file.write(json.dumps(line, separators=(",", ":")) + "\n")
        self.file.flush()

    def call(self, op, **what):
        """Note a call; return its number."""
        self.n += 1
        self.write({"n": self.n, "t": time.monotonic(), "op": op, **what})
        return self.n

    def answer(self, n, ok, **what):
        """Note the answer to a call."""
        self.write({"n": n, "t": time.monotonic(), "ok": ok, **what})

    def part(self, n, **what):
        """Note a part of an answer that comes piece by piece."""
        self.write({"n": n, "t": time.monotonic(), "part": True, **what})

    def fence(self):
        """Note that the sessions of all calls so far have ended."""
        self.write({"fence": self.n, "t": time.monotonic()})


class Op:
    """A call with its answer, as read from a file."""

    __slots__ = ("client", "door", "light", "n", "op", "called", "answered",
                 "ended", "ok", "call", "reply", "parts")

    def __init__(self, head, line):
        self.client = head["client"]
        self.door = head["door"]
        self.light = line.get("async", head["async"])
        self.n = line["n"]
        self.op = line["op"]
        self.called = line["t"]
        self.answered = None        # when the answer came
        self.ended = None           # when its session can do nothing more
        self.ok = None
        self.call = line
        self.reply = {}
        self.parts = []

    def __repr__(self):
        return "%s#%d %s %s" % (self.client, self.n, self.op, {
            k: v for k, v in self.call.items() if k not in ("n", "t", "op")})


def read(path):
    """Read a client's file; return its operations in their order."""
    ops, open_ops, unknown = [], {}, {}
    with open(path) as file:
        head = json.loads(next(file))
        for text in file:
            if not text.endswith("\n"):
                break               # the client died while it wrote
            line = json.loads(text)
            if "fence" in line:
                for op in unknown.values():
                    op.ended = line["t"]
                unknown.clear()
            elif "op" in line:
                op = Op(head, line)
                ops.append(op)
                open_ops[op.n] = op
            elif line.get("part"):
                open_ops[line["n"]].parts.append(line)
            else:
                op = open_ops.pop(line["n"])
                op.answered, op.ok, op.reply = line["t"], line["ok"], line
                if op.ok is None:
                    unknown[op.n] = op
                else:
                    op.ended = line["t"]
    return ops
