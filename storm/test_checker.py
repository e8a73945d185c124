"""The checker finds what it has to find, and nothing else.

Each test has a small ledger, made by hand: a history that is right, and one
thing in it that is not.  The check of that name has to say so, and no other.
"""

import json
import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import checker
from evidence import Evidence

Q = "m:q:a"


class History:
    """A ledger that grows line by line; each call takes 1 s after the last."""

    def __init__(self):
        self.files = {}
        self.faults = []
        self.time = 100.0
        self.final = {name: [] for name in (
            "messages", "got", "sent", "effects", "workflows", "items", "events", "steps",
            "prepared", "waits")}

    def lines(self, client, light=False):
        return self.files.setdefault(client, [{"client": client, "door": "d", "async": light}])

    def op(self, client, op, ok=True, reply=None, light=False, at=None, takes=0.5, fence=True, **call):
        """Add a call, and its answer unless ok is "none"."""
        at = self.time if at is None else at
        self.time = max(self.time, at) + 1
        lines = self.lines(client, light)
        n = sum("op" in line for line in lines) + 1
        lines.append({"n": n, "t": at, "op": op, **call})
        if ok != "none":
            lines.append({"n": n, "t": at + takes, "ok": ok, **(reply or {})})
        if ok is None and fence:
            lines.append({"fence": n, "t": at + takes})
        return at

    def send(self, value, ch=Q, client="s", **more):
        more.setdefault("how", "plain")
        return self.op(client, "send", v=[[ch, value]], **more)

    def recv(self, *values, ch=Q, client="r", ok=True, timeout=0, **more):
        got = None if values == (None,) else [[ch, value] for value in values]
        more.setdefault("how", "select")
        return self.op(client, "recv", ok=ok, reply={} if got is None else {"got": got},
                       ch=[ch], timeout=timeout, **more)

    def left(self, value, ch=Q):
        self.final["messages"].append([ch, value, 1])

    def crash(self, at, lasts=1.0):
        self.faults.append({"kind": "kill worker", "t0": at, "t1": at + lasts, "crash": True})

    def write(self, directory):
        for client, lines in self.files.items():
            with open(os.path.join(directory, client + ".jsonl"), "w") as file:
                file.writelines(json.dumps(line) + "\n" for line in lines)
        with open(os.path.join(directory, "faults"), "w") as file:
            file.writelines(json.dumps(line) + "\n" for line in self.faults)
        with open(os.path.join(directory, "final"), "w") as file:
            json.dump(self.final, file)


def good():
    """A history in which all is well, with something of everything."""
    h = History()
    h.send("v1")
    h.send("v2", client="s2", how="keyed", key="v2", reply={"id": 5})
    h.send("v2", client="s2", how="keyed", key="v2", reply={"id": 5})
    h.recv("v1")
    h.recv("v2", back=True)
    h.recv("v2", client="r2", evidence=True, how="commit")
    h.final["got"].append([Q, "v2", "r2"])
    h.recv()
    h.send("v3", ok=None)
    h.op("s", "send", how="savepoint", v=[[Q, "v4"], ["m:q:b", "v5"]], undone=[[Q, "v6"]])
    h.left("v4")
    h.left("v5", "m:q:b")
    h.op("t", "send", how="two-phase", v=[[Q, "v7"]], reply={"trail": ["prepared", "there", "COMMIT"]})
    h.left("v7")
    h.op("w", "write", stream="s-0:log", v=["i1"], reply={"last": 1})
    h.op("w", "write", stream="s-0:log", v=["i2", "i3"], reply={"last": 3})
    h.final["items"] += [["s-0:log", n, "i%d" % n] for n in (1, 2, 3)]
    h.op("x", "read", stream="s-0:log", after=0, timeout=1, reply={"items": [[1, "i1"], [2, "i2"]]})
    h.op("x", "read", stream="s-0:log", after=2, timeout=1, reply={"items": [[3, "i3"]]})
    h.op("p", "publish", reg="e:k", v=1)
    h.op("p", "publish", reg="e:k", v=2)
    h.op("l", "look", reg="e:k", reply={"v": 2})
    h.final["events"].append(["e:k", 2])
    h.op("b", "start", wf="wf-1", kinds=["recv", "sleep"])
    h.send("wf-1/1", "m:wf-1:go", "b", how="feed", key="wf-1/1")
    h.op("k", "step", wf="wf-1", name="step 1", reply={"value": "e1"})
    h.op("k", "step", wf="wf-1", name="step 2", reply={"value": "e2"})
    h.op("k", "step", wf="wf-1", name="step 1", reply={"value": "e1"})
    h.op("k", "finish", wf="wf-1")
    h.op("b", "result", wf="wf-1", reply={"status": "SUCCESS", "output": {"got": ["wf-1/1", None]}, "error": None})
    h.final["workflows"].append(["wf-1", "SUCCESS", {"got": ["wf-1/1", None]}, None])
    for i in (1, 2):
        h.final["effects"].append(["wf-1", "step %d" % i, "e%d" % i])
        h.final["items"].append(["wf-1:log", i, "wf-1/%d" % i])
        h.final["messages"].append(["m:sink:sink", "wf-1/%d" % i, 50 + i])
        h.final["steps"].append(["wf-1", i, "step %d" % i, False])
    return h


class Checker(unittest.TestCase):
    def found(self, h):
        directory = tempfile.mkdtemp()
        try:
            h.write(directory)
            evidence = Evidence(directory, 2.6)
            found = {words: lines for words, lines in checker.run(evidence) if lines}
            self.near = evidence.near
            return found
        finally:
            shutil.rmtree(directory)

    def fine(self, h):
        self.assertEqual(self.found(h), {})

    def wrong(self, h, words, *beginnings):
        """One check finds something, and what it says begins like this."""
        found = self.found(h)
        self.assertEqual([key for key in found if words in key], list(found), found)
        lines = sum(found.values(), [])
        self.assertEqual(len(lines), len(beginnings), lines)
        for line, beginning in zip(lines, beginnings):
            self.assertIn(beginning, line)

    def test_all_is_well(self):
        self.fine(good())

    # ----- lost -----

    def test_lost(self):
        h = good()
        h.send("gone")
        self.wrong(h, "arrived", "lost: gone")

    def test_lost_though_prepared(self):
        h = good()
        h.op("t", "send", how="two-phase", v=[[Q, "gone"]], ok=False, reply={"trail": ["prepared", "gone"]})
        self.wrong(h, "prepared", "lost:")

    def test_lost_with_half_of_its_transaction(self):
        h = good()
        h.op("s", "send", ok=None, how="many", v=[[Q, "here"], [Q, "gone"]])
        h.left("here")
        self.wrong(h, "arrived", "lost: gone")

    def test_an_open_receive_may_have_it(self):
        h = good()
        h.send("gone", "m:q:c")
        h.recv(None, ch="m:q:c", ok=None)
        self.fine(h)

    def test_an_open_receive_has_one_only(self):
        h = good()
        h.send("gone", "m:q:c")
        h.send("too", "m:q:c")
        h.recv(None, ch="m:q:c", ok=None)
        self.wrong(h, "arrived", "lost: ")

    def test_an_open_receive_was_over_before(self):
        h = good()
        h.recv(None, ch="m:q:c", ok=None)
        h.send("gone", "m:q:c")
        self.wrong(h, "arrived", "lost: gone")

    def test_lost_near_a_crash_without_waiting_for_the_disk(self):
        h = good()
        at = h.send("gone", client="a", light=True)
        h.crash(at + 2)
        self.fine(h)
        self.assertEqual(self.near, 1)

    def test_lost_far_from_a_crash_without_waiting_for_the_disk(self):
        h = good()
        at = h.send("gone", client="a", light=True)
        h.crash(at + 4)
        self.wrong(h, "arrived", "lost: gone")

    def test_lost_near_a_crash_explained_by_it(self):
        """... and leaves the receive that may have taken another item to that one."""
        h = good()
        at = h.send("gone", ch="m:q:d", client="a", light=True)
        h.send("taken", ch="m:q:d")
        h.recv(None, ch="m:q:d", client="r3", ok=None)
        h.crash(at + 1)
        self.fine(h)
        self.assertEqual(self.near, 1)
        h.send("taken, too", ch="m:q:d")
        h.time += 10
        self.wrong(h, "arrived", "lost: taken, too")

    def test_lost_near_a_crash_though_it_waited(self):
        h = good()
        at = h.send("gone")
        h.crash(at + 1)
        self.wrong(h, "arrived", "lost: gone")

    def test_row_lost_near_a_crash_and_written_again(self):
        h = good()
        h.send("v", "m:q:c")
        at = h.recv("v", ch="m:q:c", client="a", light=True, evidence=True, how="commit")
        h.crash(at + 2)
        h.recv("v", ch="m:q:c", client="a", light=True, evidence=True, how="commit", at=at + 20)
        h.final["got"].append(["m:q:c", "v", "a"])
        self.fine(h)

    def test_lost_row(self):
        h = good()
        h.send("v", "m:q:c")
        h.recv("v", ch="m:q:c", evidence=True, how="commit")
        self.wrong(h, "beside", "lost row")

    def test_unknown_row(self):
        h = good()
        h.final["got"].append([Q, "v1", "r"])
        self.wrong(h, "beside", "a row that nobody wrote")

    def test_doubled_row(self):
        h = good()
        h.final["sent"] += ["v", "v"]
        self.wrong(h, "beside", "doubled row")

    # ----- doubled -----

    def test_doubled_by_two_receivers(self):
        h = good()
        h.recv("v1", client="r2")
        self.wrong(h, "twice", "doubled: v1")

    def test_doubled_taken_and_there(self):
        h = good()
        h.left("v1")
        self.wrong(h, "twice", "doubled: v1")

    def test_doubled_in_the_queue(self):
        h = good()
        h.left("v4")
        self.wrong(h, "twice", "doubled: v4")

    def test_a_receive_that_a_crash_undid(self):
        h = good()
        h.send("v", "m:q:c")
        at = h.recv("v", ch="m:q:c", client="a", light=True)
        h.crash(at + 1)
        h.recv("v", ch="m:q:c")
        self.fine(h)

    def test_a_receive_that_no_crash_undid(self):
        h = good()
        h.send("v", "m:q:c")
        h.recv("v", ch="m:q:c", client="a", light=True)
        h.recv("v", ch="m:q:c")
        self.wrong(h, "twice", "doubled: v")

    # ----- phantoms -----

    def test_undone_by_a_savepoint(self):
        h = good()
        h.left("v6")
        self.wrong(h, "rolled back", "undone, and there: v6")

    def test_refused(self):
        h = good()
        h.send("v", ok=False)
        h.left("v")
        self.wrong(h, "rolled back", "refused, and there: v")

    def test_never_sent(self):
        h = good()
        h.recv("v")
        self.wrong(h, "rolled back", "never sent, and there: v")

    def test_broadcast_to_another(self):
        h = good()
        h.op("s", "send", how="broadcast", v=[], may=[["n:w:bell", "v"]], reply={"v": []})
        h.recv("v", ch="n:w:bell")
        self.wrong(h, "rolled back", "never sent, and there: v")

    def test_broadcast_lost(self):
        h = good()
        h.op("s", "send", how="broadcast", v=[], may=[["n:w:bell", "v"]], reply={"v": [["n:w:bell", "v"]]})
        self.wrong(h, "arrived", "lost: v")

    def test_key_with_two_messages(self):
        h = good()
        h.send("v2", client="s2", how="keyed", key="v2", reply={"id": 6})
        self.wrong(h, "key", "key v2")

    # ----- order -----

    def later_first(self, **more):
        h = good()
        h.send("first", "m:q:c")
        h.send("second", "m:q:c", client="s2")
        h.recv("second", ch="m:q:c", **more)
        return h

    def test_out_of_order(self):
        h = self.later_first()
        h.recv("first", ch="m:q:c")
        self.wrong(h, "first in", "out of order")

    def test_out_of_order_and_left(self):
        h = self.later_first()
        h.left("first", "m:q:c")
        self.wrong(h, "first in", "out of order")

    def test_out_of_order_in_one_batch(self):
        h = good()
        h.send("first", "m:q:c")
        h.send("second", "m:q:c", client="s2")
        h.recv("second", "first", ch="m:q:c", how="many", max=5)
        self.wrong(h, "first in", "out of order")

    def test_another_had_the_first_one(self):
        h = good()
        at = h.send("first", "m:q:c")
        h.send("second", "m:q:c", client="s2")
        h.recv("first", ch="m:q:c", client="r2", back=True, at=at + 2, takes=5)
        h.recv("second", ch="m:q:c", at=at + 3)
        h.recv("first", ch="m:q:c", at=at + 10)
        self.fine(h)

    def test_sent_at_the_same_time(self):
        h = good()
        at = h.send("first", "m:q:c", takes=3)
        h.send("second", "m:q:c", client="s2", at=at + 1)
        h.recv("second", ch="m:q:c")
        h.recv("first", ch="m:q:c")
        self.fine(h)

    # ----- waits -----

    def test_stuck(self):
        h = good()
        h.recv(ok="none", timeout=None)
        self.wrong(h, "should have ended", "has no answer")

    def test_timed_out_in_vain(self):
        h = good()
        at = h.send("v", "m:q:c")
        h.recv(ch="m:q:c", timeout=2, at=at + 1, takes=2.1)
        h.recv("v", ch="m:q:c", at=at + 4)
        self.wrong(h, "beside", "in vain")

    def test_timed_out_before_it_came(self):
        h = good()
        at = h.recv(ch="m:q:c", timeout=2, takes=2.1)
        h.send("v", "m:q:c", at=at + 1, takes=1.05)
        h.left("v", "m:q:c")
        self.fine(h)

    def test_woken_late(self):
        h = good()
        at = h.recv("v", ch="m:q:c", timeout=None, takes=40)
        h.send("v", "m:q:c", at=at + 1)
        self.wrong(h, "late", "late:")

    def test_woken_late_as_another_had_it(self):
        h = good()
        at = h.recv("v", ch="m:q:c", timeout=None, takes=40)
        h.send("v", "m:q:c", at=at + 1)
        h.recv("v", ch="m:q:c", client="r2", back=True, at=at + 2, takes=35)
        self.fine(h)

    def test_unexpected_error(self):
        h = good()
        h.op("r", "recv", ok=False, ch=[Q], timeout=0, how="select", reply={"unexpected": "WF001"})
        self.wrong(h, "refused", "WF001")

    # ----- prepared transactions -----

    def test_prepared_and_left(self):
        h = good()
        h.final["prepared"].append("gid")
        self.wrong(h, "prepared", "left: prepared")

    # ----- streams -----

    def test_stream_with_a_gap(self):
        h = good()
        h.final["items"].append(["s-0:log", 5, "i4"])
        h.op("w", "write", stream="s-0:log", v=["i4"], reply={"last": 5})
        self.wrong(h, "no gap", "gap: s-0:log")

    def test_stream_with_an_item_twice(self):
        h = good()
        h.final["items"].append(["s-0:log", 4, "i3"])
        found = self.found(h)
        self.assertTrue(any("doubled: i3" in line for line in sum(found.values(), [])), found)

    def test_stream_lost(self):
        h = good()
        h.op("w", "write", stream="s-0:log", v=["i4"], reply={"last": 4})
        self.wrong(h, "no gap", "lost:")

    def test_stream_torn(self):
        h = good()
        h.op("w", "write", ok=None, stream="s-0:log", v=["i4", "i5"])
        h.final["items"].append(["s-0:log", 4, "i4"])
        self.wrong(h, "no gap", "torn:")

    def test_stream_undone(self):
        h = good()
        h.op("w", "write", stream="s-0:log", v=["i5"], undone=["i4"], reply={"last": 5})
        h.final["items"] += [["s-0:log", 4, "i4"], ["s-0:log", 5, "i5"]]
        found = self.found(h)
        self.assertTrue(any("undone, and there: i4" in line for line in sum(found.values(), [])), found)

    def test_stream_out_of_order(self):
        h = good()
        h.op("w", "write", stream="s-1:log", v=["j1"], reply={"last": 2})
        h.op("w2", "write", stream="s-1:log", v=["j2"], reply={"last": 1})
        h.final["items"] += [["s-1:log", 2, "j1"], ["s-1:log", 1, "j2"]]
        self.wrong(h, "no gap", "out of order: item 1")

    def test_reader_missed_one(self):
        h = good()
        h.op("x", "read", stream="s-0:log", after=0, timeout=1, reply={"items": [[1, "i1"], [3, "i3"]]})
        self.wrong(h, "readers", "gap:")

    def test_reader_saw_another(self):
        h = good()
        h.op("x", "read", stream="s-0:log", after=0, timeout=1, reply={"items": [[1, "i2"]]})
        self.wrong(h, "readers", "read, and not there: i2")

    def test_reader_waited_in_vain(self):
        h = good()
        h.op("x", "read", stream="s-0:log", after=2, timeout=1, reply={"items": []})
        self.wrong(h, "readers", "in vain:")

    # ----- events -----

    def test_event_lost(self):
        h = good()
        h.final["events"] = [["e:k", 1]]
        self.wrong(h, "event", "lost: e:k")

    def test_event_stale(self):
        h = good()
        h.op("l", "look", reg="e:k", reply={"v": 1})
        self.wrong(h, "event", "stale:")

    # ----- workflows -----

    def test_start_lost(self):
        h = good()
        h.op("b", "start", wf="wf-2", kinds=["recv"])
        self.wrong(h, "every workflow", "lost:")

    def test_workflow_waits_for_ever(self):
        h = good()
        h.op("b", "start", wf="wf-2", kinds=["recv"])
        h.final["workflows"].append(["wf-2", "WAITING", None, None])
        self.wrong(h, "every workflow", "not at its end:")

    def test_workflow_with_another_output(self):
        h = good()
        h.final["workflows"][0][2] = {"got": [None, "wf-1/1"]}
        found = self.found(h)
        lines = [line for key, lines in found.items() if "every workflow" in key for line in lines]
        self.assertEqual(["wrong output" in lines[0], "another result" in lines[1]], [True, True], found)

    def test_end_lost(self):
        h = good()
        h.op("b", "start", ok=None, wf="wf-2", kinds=["recv"])
        h.op("k", "finish", wf="wf-2")
        self.wrong(h, "every workflow", "lost:")

    def test_cancel_lost(self):
        h = good()
        h.op("b", "cancel", wf="cx-1", reply={"done": True})
        h.final["workflows"].append(["cx-1", "WAITING", None, None])
        self.wrong(h, "every workflow", "lost:")

    def test_step_twice(self):
        h = good()
        h.final["effects"].append(["wf-1", "step 1", "e3"])
        self.wrong(h, "took effect once", "step twice: step 1")

    def test_step_answers_differ(self):
        h = good()
        h.op("k", "step", wf="wf-1", name="step 1", reply={"value": "e3"})
        self.wrong(h, "took effect once", "the effect of a step is lost")

    def test_step_without_effect(self):
        h = good()
        del h.final["effects"][1]
        h.files["k"] = [line for line in h.files["k"] if line.get("n") != 2]
        self.wrong(h, "took effect once", "no effect: step 2")

    def test_step_recorded_twice(self):
        h = good()
        h.final["steps"].append(["wf-1", 3, "step 2", False])
        self.wrong(h, "recorded once", "recorded 2 times: step 2")

    def test_step_sent_twice(self):
        h = good()
        h.final["messages"].append(["m:sink:sink", "wf-1/1", 60])
        found = self.found(h)
        self.assertTrue(any("sent 2 times: wf-1/1" in line for line in sum(found.values(), [])), found)

    def test_gap_in_a_journal(self):
        h = good()
        h.final["steps"][1][1] = 3
        self.wrong(h, "recorded once", "gap in the journal")

    def test_ended_and_waits(self):
        h = good()
        h.final["waits"].append("wf-1")
        self.wrong(h, "recorded once", "has ended, and waits")


if __name__ == "__main__":
    unittest.main()
