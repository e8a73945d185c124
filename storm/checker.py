"""Decides from the ledger whether the guarantees were kept.

Each check is a function that yields what it finds wrong, in words.  None knows
anything but the evidence.  "a is before b" means: a was acknowledged before b
was called, by the one clock of the machine.
"""

import heapq
from collections import defaultdict

from evidence import NEVER

CHECKS = []


def check(words):
    """Register a function as a check."""
    def register(function):
        CHECKS.append((words, function))
        return function
    return register


# ----- clients -----

@check("no wait, and no other call, that should have ended and did not")
def stuck(e):
    for op in e.ops:
        if op.answered is None:
            yield "%s has no answer" % op
    for name in e.died:
        yield "a client failed: %s" % name


@check("no call was refused without a reason")
def refused(e):
    for op in e.ops:
        if "unexpected" in op.reply:
            yield "%s: %s" % (op, op.reply["unexpected"])


# ----- queues -----

def explained(e, missing):
    """Which of the items that are gone may open receives have taken?

    A matching: each open receive explains as many as it may take."""
    places = []
    by_channel = defaultdict(list)
    for take in e.takes:
        if take.state == "open":
            for _ in range(take.most):
                for ch in take.channels:
                    by_channel[ch].append(len(places))
                places.append(take)
    holder = {}

    def assign(item, tried):
        for place in by_channel[item.key[0]]:
            if place not in tried and places[place].end > item.called:
                tried.add(place)
                if place not in holder or assign(holder[place], tried):
                    holder[place] = item
                    return True
        return False
    return {item.key for item in missing if assign(item, set())}


@check("every acknowledged send, notification and payload arrived")
def lost(e):
    wanted = {item.key for item in e.items.values() if item.certain}
    for keys in e.groups:
        # a transaction of which something is there was committed
        if any(e.items[key].takes or e.items[key].left for key in keys):
            wanted.update(keys)
    missing = [e.items[key] for key in wanted if not e.items[key].takes and not e.items[key].left]
    missing.sort(key=lambda item: item.called)
    # what may be lost in a crash needs no receive that may have taken it
    near = [item for item in missing if item.light and e.near_crash(item.acked)]
    missing = [item for item in missing if item not in near]
    e.near += len(near)
    fine = explained(e, missing)
    for item in missing:
        if item.key not in fine and item.key[0].split(":")[1] not in e.unfinished:
            yield "lost: %s, sent by %s" % (item, item.sends[0])


@check("no item twice")
def doubled(e):
    for item in e.items.values():
        if item.left > 1:
            yield "doubled: %s lies there %d times" % (item, item.left)
        if len(item.takes) + min(item.left, 1) < 2:
            continue
        # a take may be undone by a crash if its commit did not wait
        firm = [t for t in item.takes if not (t.light and e.near_crash(t.op.answered))]
        if len(firm) + min(item.left, 1) > 1:
            yield "doubled: %s was taken by %s%s" % (
                item, " and ".join(map(str, item.takes)), ", and is there" if item.left else "")
        else:
            e.near += 1


@check("nothing that was rolled back, refused or never sent")
def phantoms(e):
    sent_by_body = {"m:sink:sink"}
    for item in e.items.values():
        if not item.takes and not item.left or item.key[0] in sent_by_body:
            continue
        if item.key in e.undone:
            yield "undone, and there: %s" % item
        elif not item.sends:
            yield "never sent, and there: %s" % item
        elif item.refused:
            yield "refused, and there: %s, by %s" % (item, item.sends[0])


@check("an idempotency key has one message")
def keys(e):
    ids = defaultdict(set)
    for op in e.by_op["send"]:
        if op.ok and op.call.get("key") and op.reply.get("id") is not None:
            ids[op.call["key"]].add(op.reply["id"])
    for op in e.by_op["send"]:
        if len(ids.get(op.call.get("key"), ())) > 1 and not op.light:
            yield "key %s: ids %s" % (op.call["key"], sorted(ids[op.call["key"]]))
            del ids[op.call["key"]]


def held(takes, item, begin, end):
    """Tell whether a transaction that did not keep it may have held the item."""
    for take in takes:
        if take.begin < end and take.end > begin and take.state != "took" \
                and (take.got is None or item.key in take.got or take.op.call["how"] == "savepoint"):
            return True
        # a take whose commit was lost with the crash
        if take.light and take.state == "took" and item.key in (take.got or ()):
            return True
        # what a savepoint gave back first, it may have held as well
        if take.state == "took" and take.begin < end and take.end > begin \
                and take.op.call["how"] == "savepoint":
            return True
    return False


def by_channel(e):
    """Sort items and receives by their channels."""
    items, takes = defaultdict(list), defaultdict(list)
    for item in e.items.values():
        items[item.key[0]].append(item)
    for take in e.takes:
        if take.op is not None:
            for ch in take.channels:
                takes[ch].append(take)
    return items, takes


def taken_from(item):
    """When was the take called that kept the item?"""
    return min((t.begin for t in item.takes), default=NEVER)


@check("first in, first out, in each queue")
def order(e):
    items, takes = by_channel(e)
    for ch, all_takes in takes.items():
        known = {item.key: item for item in items[ch]}
        waiting = [(item.acked, n, item) for n, item in enumerate(items[ch])
                   if item.acked < NEVER and item.left + len(item.takes) > 0]
        heapq.heapify(waiting)
        took = sorted((t for t in all_takes if t.state == "took" and t.got), key=lambda t: t.end)
        for take in took:
            mine = [known[key] for key in take.got if key in known]
            for first, second in zip(mine, mine[1:]):
                if second.acked < first.called:
                    yield "out of order: %s took %s before %s" % (take, first, second)
            if not mine:
                continue
            # what was taken, or may have been, before this take ended
            while waiting and taken_from(waiting[0][2]) <= take.end:
                heapq.heappop(waiting)
            for acked, _, item in heapq.nsmallest(3, waiting):
                later = [m for m in mine if m.sends and acked < m.called and m is not item]
                if later and taken_from(item) > take.end \
                        and not held(all_takes, item, take.begin, take.end):
                    yield "out of order: %s took %s, and %s was there" % (take, later[0], item)


@check("no wait timed out beside what it waited for")
def in_vain(e):
    items, takes = by_channel(e)
    for ch, all_takes in takes.items():
        there = sorted((i for i in items[ch] if i.acked < NEVER and not (
            i.light and e.near_crash(i.acked))), key=lambda i: i.acked)
        for take in all_takes:
            if take.state != "took" or take.got or take.timeout is None or take.op.ok is not True:
                continue
            deadline = take.begin + take.timeout
            for item in there:
                if item.acked >= deadline or item.acked >= take.end:
                    break
                if taken_from(item) >= take.end and (item.takes or item.left) \
                        and not held(all_takes, item, max(item.acked, take.begin), take.end):
                    yield "in vain: %s timed out, and %s was there" % (take, item)
                    break


@check("no wait was woken late: 30 seconds after the commit, in one session")
def late(e):
    items, takes = by_channel(e)
    for ch, all_takes in takes.items():
        for take in all_takes:
            if take.state != "took" or not take.got or take.op.ok is not True:
                continue
            item = e.items[take.got[0]]
            since = max(take.begin, item.acked)
            if since == NEVER or since >= take.op.answered or held(all_takes, item, since, take.end):
                continue
            delay = take.op.answered - since
            e.slowest = max(e.slowest, delay)
            if delay > 30:
                yield "late: %s took %.1f s for %s" % (take, delay, item)


@check("what a transaction wrote beside its receive is there if it was acknowledged, and only then")
def rows(e):
    for op, key in e.lost_rows:
        if op.light and e.near_crash(op.answered):
            e.near += 1
        else:
            yield "lost row: %s received %s" % (op, key)
    for client, key in e.stray_rows:
        yield "a row that nobody wrote: %s %s" % (client, key)
    seen = set()
    for value in e.final["sent"]:
        if value in seen:
            yield "doubled row: %s" % value
        seen.add(value)


@check("a prepared transaction stays until it is decided")
def prepared(e):
    for op in e.ops:
        trail = op.reply.get("trail")
        if trail and trail[0] == "prepared" and trail[1] == "gone":
            yield "lost: %s was prepared, and is gone" % op
    for gid in e.final["prepared"]:
        yield "left: prepared transaction %s" % gid


# ----- streams and events -----

@check("streams have no gap, no doubled item, and keep the order of their writers")
def streams(e):
    final = defaultdict(dict)
    for stream, number, value in e.final["items"]:
        final[stream][number] = value
    e.streams = final
    place, writes = {}, {}
    for stream, items in final.items():
        if sorted(items) != list(range(1, len(items) + 1)):
            yield "gap: %s has %d items up to number %d" % (stream, len(items), max(items))
        for number, value in items.items():
            if (stream, value) in place:
                yield "doubled: %s in %s" % (value, stream)
            place[stream, value] = number
    for op in e.by_op["write"]:
        stream, values = op.call["stream"], op.call["v"]
        numbers = [place.get((stream, v)) for v in values]
        for value in values:
            writes[stream, value] = op
        there = [n for n in numbers if n is not None]
        if op.ok is False and there:
            yield "refused, and there: %s" % op
        if there and len(there) < len(numbers):
            yield "torn: %s" % op
        if there and there != list(range(there[0], there[0] + len(there))):
            yield "items of one transaction are apart: %s" % op
        if op.ok and not there or op.ok and there and there[-1] != op.reply["last"]:
            if op.light and e.near_crash(op.answered):
                e.near += 1
            else:
                yield "%s: %s" % ("moved" if there else "lost", op)
        for value in op.call.get("undone", ()):
            if (stream, value) in place:
                yield "undone, and there: %s" % value
    e.writes = writes
    for stream, items in final.items():
        if not stream.startswith("s-"):
            continue
        soonest = NEVER
        for number in sorted(items, reverse=True):
            op = writes.get((stream, items[number]))
            if op is None:
                yield "never written, and there: %s in %s" % (items[number], stream)
                continue
            if soonest < op.called:
                yield "out of order: item %d of %s" % (number, stream)
            if op.ok:
                soonest = min(soonest, op.answered)


@check("readers of streams saw each item, once, in its place")
def readers(e):
    for op in e.by_op["read"]:
        stream, after = op.call["stream"], op.call["after"]
        items = op.reply.get("items") or [part["item"] for part in op.parts]
        for number, value in items:
            if number != after + 1:
                yield "gap: %s got item %d after %d" % (op, number, after)
            after = number
            write = e.writes.get((stream, value))
            if write is None:
                yield "never written, and read: %s by %s" % (value, op)
            elif e.streams[stream].get(number) != value:
                if write.light and (write.answered is None or e.near_crash(write.answered)):
                    e.near += 1
                else:
                    yield "read, and not there: %s, item %d, by %s" % (value, number, op)
        if op.ok and not items and "timeout" in op.call:
            value = e.streams[stream].get(after + 1)
            write = e.writes.get((stream, value))
            if write and write.ok and not write.light and write.answered < op.called + op.call["timeout"]:
                yield "in vain: %s timed out, and item %d was there" % (op, after + 1)


@check("an event is the latest that was published")
def registers(e):
    final = {reg: value for reg, value in e.final["events"]}
    published = defaultdict(list)
    for op in e.by_op["publish"]:
        published[op.call["reg"]].append(op)
    for reg, ops in published.items():
        certain = max((op.call["v"] for op in ops if op.ok), default=0)
        if (final.get(reg) or 0) < certain:
            yield "lost: %s is %s, and %s was acknowledged" % (reg, final.get(reg), certain)
    for op in e.by_op["look"]:
        if not op.ok or op.reply["v"] is None and op.called == NEVER:
            continue
        ops = published[op.call["reg"]]
        low = max((p.call["v"] for p in ops if p.ok and p.answered < op.called), default=0)
        high = max((p.call["v"] for p in ops if p.called < op.answered), default=0)
        if not low <= (op.reply["v"] or 0) <= high:
            yield "stale: %s saw %s, of %s to %s" % (op, op.reply["v"], low, high)


# ----- workflows -----

@check("every workflow whose start was acknowledged came to its end, with what it was fed")
def workflows(e):
    final = {row[0]: row[1:] for row in e.final["workflows"]}
    for op in e.by_op["start"]:
        workflow = op.call["wf"]
        status, output, error = final.get(workflow, (None, None, None))
        if status is None:
            if op.ok:
                yield "lost: %s" % op
            continue
        wanted = [None if kind == "sleep" else "%s/%d" % (workflow, i)
                  for i, kind in enumerate(op.call["kinds"], 1)]
        if status != "SUCCESS":
            yield "not at its end: %s is %s %s" % (op, status, error or "")
        elif (output or {}).get("got") != wanted:
            yield "wrong output: %s has %s" % (op, output)
    for op in e.by_op["result"]:
        if op.ok:
            status, output, _ = final.get(op.call["wf"], (None, None, None))
            if [op.reply["status"], op.reply["output"]] != [status, output]:
                yield "another result: %s got %s, and it is %s" % (op, op.reply, status)
    for op in e.by_op["cancel"]:
        status = final.get(op.call["wf"], [None])[0]
        if op.ok and status != "CANCELLED":
            yield "lost: %s, it is %s" % (op, status)
    for op in e.by_op["finish"]:
        if op.ok and final.get(op.call["wf"], [None])[0] != "SUCCESS":
            yield "lost: %s" % op


@check("each step took effect once, and its answer was always the same")
def steps(e):
    effects = defaultdict(list)
    for workflow, step, value in e.final["effects"]:
        effects[workflow, step].append(value)
    for key, values in effects.items():
        if len(values) > 1:
            yield "step twice: %s in %s" % (key[1], key[0])
    answers = defaultdict(list)
    for op in e.by_op["step"]:
        if op.ok:
            answers[op.call["wf"], op.call["name"]].append(op)
    for key, ops in answers.items():
        for op in ops:
            if op.reply["value"] not in effects[key]:
                if op.light and e.near_crash(op.answered):
                    e.near += 1
                else:
                    yield "the effect of a step is lost: %s" % op
    ended = {row[0] for row in e.final["workflows"] if row[1] == "SUCCESS"}
    rounds = {op.call["wf"]: len(op.call["kinds"]) for op in e.by_op["start"] if op.call["wf"] in ended}
    for workflow, count in rounds.items():
        for i in range(1, count + 1):
            if not effects[workflow, "step %d" % i]:
                yield "no effect: step %d of %s" % (i, workflow)


@check("each step is recorded once, and sent and wrote once")
def journal(e):
    ended = {row[0] for row in e.final["workflows"] if row[1] == "SUCCESS"}
    rounds = {op.call["wf"]: len(op.call["kinds"]) for op in e.by_op["start"] if op.call["wf"] in ended}
    names, numbers = defaultdict(int), defaultdict(list)
    for workflow, number, name, undone in e.final["steps"]:
        numbers[workflow].append(number)
        if name and name.startswith("step ") and not undone:
            names[workflow, name] += 1
    for (workflow, name), count in names.items():
        if count != 1:
            yield "recorded %d times: %s of %s" % (count, name, workflow)
    sink = defaultdict(int)
    for ch, value, _ in e.final["messages"]:
        if ch == "m:sink:sink":
            sink[value] += 1
    for workflow, count in rounds.items():
        wanted = ["%s/%d" % (workflow, i) for i in range(1, count + 1)]
        for value in wanted:
            if sink[value] != 1:
                yield "sent %d times: %s" % (sink[value], value)
        log = e.streams[workflow + ":log"] if workflow + ":log" in e.streams else {}
        if [log[n] for n in sorted(log)] != wanted:
            yield "wrote %s: %s" % (list(log.values()), workflow)
        if sorted(numbers[workflow]) != list(range(1, len(numbers[workflow]) + 1)):
            yield "gap in the journal of %s" % workflow
    for workflow in e.final["waits"]:
        if workflow in ended:
            yield "has ended, and waits: %s" % workflow


def run(evidence):
    """Run all checks; return what each found, by its words."""
    evidence.near = 0           # what was lost with a crash, and may be
    evidence.slowest = 0.0
    return [(words, list(function(evidence))) for words, function in CHECKS]
