"""What the ledger says, put in order for the checker.

Reads files only.  An operation is certain when the server acknowledged it,
refused when the server said so, and else open: it may have happened.  Some
transactions write a row of their own (storm_got, storm_sent); the dump that was
taken at the end decides these.
"""

import glob
import json
import os
from collections import defaultdict

from ledger import read

NEVER = float("inf")


class Item:
    """A message, addressed notification or payload: a channel and a value."""

    __slots__ = ("key", "sends", "certain", "refused", "called", "acked", "light", "takes", "left")

    def __init__(self, key):
        self.key = key
        self.sends = []         # operations that sent it
        self.certain = False
        self.refused = True     # no operation that may have sent it is known
        self.called = NEVER     # when the first of them began
        self.acked = NEVER      # when it was certainly visible
        self.light = False      # its commit did not wait for the disk
        self.takes = []         # those that certainly took it
        self.left = 0           # how often it lies in the queue at the end

    def __str__(self):
        return "%s in %s" % (self.key[1], self.key[0])


class Take:
    """A receive: what it waited for, and what it took."""

    __slots__ = ("op", "channels", "got", "state", "begin", "end", "light", "most", "timeout")

    def __init__(self, op, channels, got, state, begin, end):
        self.op, self.channels, self.got = op, channels, got
        self.state = state      # took, back (what it took is back), open (unknown)
        self.begin, self.end = begin, end
        self.light = op is not None and op.light
        self.most = op.call.get("max", 1) if op is not None else 0
        self.timeout = op.call.get("timeout") if op is not None else None

    def __str__(self):
        return str(self.op)


class Evidence:
    """All operations, all faults, and the dump."""

    def __init__(self, directory, slack):
        self.ops = []
        for path in sorted(glob.glob(os.path.join(directory, "*.jsonl"))):
            self.ops += read(path)
        self.ops.sort(key=lambda op: op.called)
        self.died = [os.path.basename(path) for path in
                     sorted(glob.glob(os.path.join(directory, "*.died")))]
        with open(os.path.join(directory, "faults")) as file:
            self.faults = [json.loads(line) for line in file]
        with open(os.path.join(directory, "final")) as file:
            self.final = json.load(file)
        self.slack = slack
        self.crashes = [f for f in self.faults if f["crash"]]
        self.by_op = defaultdict(list)
        for op in self.ops:
            self.by_op[op.op].append(op)
        self.collect_items()
        self.collect_takes()

    def near_crash(self, time):
        """Tell whether a commit of that time that did not wait can be lost."""
        return any(f["t0"] - self.slack <= time <= f["t1"] for f in self.crashes)

    # ----- what was sent -----

    def item(self, key):
        if key not in self.items:
            self.items[key] = Item(key)
        return self.items[key]

    def collect_items(self):
        self.items = {}
        self.undone = set()
        self.groups = []        # items of one open transaction: all or none
        sent = set(self.final["sent"])
        for op in self.by_op["send"]:
            keys = [tuple(pair) for pair in op.call["v"]]
            ok, acked = op.ok, op.answered
            if ok is None and op.call.get("evidence"):
                ok = keys[0][1] in sent
                acked = op.ended
            if op.call["how"] == "broadcast":
                if ok:
                    keys = [tuple(pair) for pair in op.reply["v"]]
                elif ok is None:
                    keys = [tuple(pair) for pair in op.call["may"]]
            elif ok is None and len(keys) > 1:
                self.groups.append(keys)
            for key in keys:
                item = self.item(key)
                item.sends.append(op)
                item.called = min(item.called, op.called)
                if ok:
                    item.certain, item.light = True, item.light or op.light
                    item.acked = min(item.acked, acked if acked is not None else NEVER)
                if ok is not False:
                    item.refused = False
            self.undone.update(tuple(pair) for pair in op.call.get("undone", ()))
        for ch, value, _ in self.final["messages"]:
            self.item((ch, value)).left += 1

    # ----- what was taken -----

    def collect_takes(self):
        self.takes = []
        # what a workflow has taken is known when it has ended
        self.unfinished = {row[0] for row in self.final["workflows"]
                           if row[0].startswith("wf-") and row[1] != "SUCCESS"}
        self.lost_rows = []     # acknowledged, and their row is not there
        rows = defaultdict(set)
        for ch, value, by in self.final["got"]:
            rows[by].add((ch, value))
        unclaimed = []
        # those that were acknowledged have the first claim to a row, and of
        # these the ones that no crash may have undone
        for op in sorted(self.by_op["recv"], key=lambda op: (
                op.ok is not True, op.light and op.answered is not None and self.near_crash(op.answered))):
            got = op.reply.get("got")
            got = None if got is None else [tuple(pair) for pair in got]
            state = {True: "took", False: "back", None: "open"}[op.ok]
            if op.call.get("back"):
                state = "back"
            elif op.call.get("evidence") and op.ok:
                for key in got:
                    if key in rows[op.client]:
                        rows[op.client].discard(key)
                    else:
                        self.lost_rows.append((op, key))
            elif op.call.get("evidence") and op.ok is None:
                state = "back"
                if got and set(got) <= rows[op.client]:
                    state = "took"
                    rows[op.client].difference_update(got)
                elif not got:
                    unclaimed.append(op)
            self.takes.append(Take(op, op.call["ch"], got, state, op.called,
                                   op.ended if op.ended is not None else NEVER))
        # rows of calls whose answers never came
        self.stray_rows = []
        by_op = {take.op: take for take in self.takes}
        for client, keys in rows.items():
            for key in keys:
                op = next((op for op in unclaimed if op.client == client
                           and key[0] in op.call["ch"]), None)
                if op is None:
                    self.stray_rows.append((client, key))
                else:
                    unclaimed.remove(op)
                    by_op[op].state, by_op[op].got = "took", [key]
        self.collect_outputs()
        for take in self.takes:
            if take.state == "took":
                for key in take.got or ():
                    self.item(key).takes.append(take)

    def collect_outputs(self):
        """What a workflow has received is in its output."""
        doors = {"recv": "m:%s:go", "recv_any": "m:%s:go", "wait_any": "m:%s:go",
                 "notify": "n:%s:go", "hook": "h:%s:hook-%s"}
        kinds = {op.call["wf"]: op.call["kinds"] for op in self.by_op["start"]}
        for workflow, status, output, _ in self.final["workflows"]:
            if status == "SUCCESS" and workflow in kinds:
                got = []
                for kind, value in zip(kinds[workflow], (output or {}).get("got", ())):
                    if kind in doors and value is not None:
                        ch = doors[kind] % ((workflow,) * doors[kind].count("%s"))
                        got.append((ch, value))
                self.takes.append(Take(None, [], got, "took", 0, NEVER))
