"""The dump at the end, the checker's findings, and the figures of a run.

    verdict.py LEDGER       judges a ledger again
"""

import json
import sys
from collections import Counter

import checker
from evidence import Evidence

MARGIN = 2.0        # seconds: the machine may be busy with other things

DUMPS = {
    "messages": """SELECT door::text || ':' || workflow_id || ':' || key,
                          CASE WHEN jsonb_typeof(payload) = 'object' THEN payload->'body' ELSE payload END, message_id
                     FROM durable_wf.message""",
    "got": "SELECT channel, value, by FROM storm_got",
    "sent": "SELECT value FROM storm_sent",
    "effects": "SELECT workflow_id, step, value FROM storm_effect",
    "workflows": "SELECT workflow_id, status, output, error FROM wf_workflows",
    "items": "SELECT workflow_id || ':' || stream, item_no, value FROM durable_wf.stream_item",
    "events": "SELECT workflow_id || ':' || key, value FROM durable_wf.event WHERE key = 'k'",
    "steps": "SELECT workflow_id, step_no, name, undone FROM durable_wf.step",
    "prepared": "SELECT gid FROM pg_prepared_xacts",
    "waits": "SELECT workflow_id FROM durable_wf.wait",
}


def dump(server, path):
    """Write what is in the tables, by plain SELECTs."""
    from cluster import until       # the verdict itself needs no driver
    final = {}
    for name, sql in DUMPS.items():
        rows = until(lambda: [server.query(sql)], "the dump")[0]
        if rows is None:
            raise RuntimeError("no dump of %s" % name)
        final[name] = [row[0] if len(row) == 1 else list(row) for row in rows]
    with open(path, "w") as file:
        json.dump(final, file)


def figures(e):
    """Print what was done, by door, and what failed, by kind."""
    by_door, answers, light = Counter(), Counter(), 0
    for op in e.ops:
        by_door[op.door] += 1
        answers[op.ok] += 1
        light += op.light
    print("operations by door: " + ", ".join("%s %d" % pair for pair in sorted(by_door.items())))
    print("operations: %d; acknowledged %d, refused or rolled back %d, indeterminate %d; "
          "%d with synchronous_commit off" % (len(e.ops), answers[True], answers[False], answers[None], light))
    kinds = Counter(fault["kind"] for fault in e.faults)
    killed = sum(n for kind, n in kinds.items() if "kill" in kind)
    print("kills: %d (%s)" % (killed, ", ".join(
        "%s %d" % (k, n) for k, n in sorted(kinds.items()) if "kill" in k)))
    for words, beginning in (("processes ended", "end "), ("stops", "stop "), ("promotions", "promote"),
                             ("network", "cut "), ("standby and primary parted", "part ")):
        these = {k: n for k, n in kinds.items() if k.startswith(beginning)}
        print("%s: %d (%s)" % (words, sum(these.values()),
                               ", ".join("%s %d" % pair for pair in sorted(these.items()))))
    behind = [fault["behind"] for fault in e.faults if "behind" in fault]
    if behind:
        print("the standby took over %d bytes behind, at most; %d at least" % (max(behind), min(behind)))
    ends = Counter(row[1] for row in e.final["workflows"] if row[0].startswith("wf-"))
    print("workflows: %s; steps recorded: %d; items of streams: %d" % (
        ", ".join("%s %d" % pair for pair in ends.items()), len(e.final["steps"]), len(e.final["items"])))
    print("lost near a crash with synchronous_commit off, as it may be: %d; "
          "slowest from commit to receipt: %.1f s" % (
        e.near, e.slowest))


def judge(directory, stuck=(), wal_writer_delay=0.2):
    """Check the ledger; print all; return whether all is well."""
    evidence = Evidence(directory, 3 * wal_writer_delay + MARGIN)
    results = checker.run(evidence)
    results.append(("the servers did what they should, and none failed by itself", list(stuck)))
    figures(evidence)
    passed = failed = 0
    for words, found in results:
        print("%s: %s" % ("FAILED" if found else "ok", words))
        for line in found[:10]:
            print("    " + line[:600])
        if len(found) > 10:
            print("    and %d more" % (len(found) - 10))
        failed += bool(found)
        passed += not found
    print("%d passed, %d failed" % (passed, failed))
    return failed == 0


if __name__ == "__main__":
    sys.exit(0 if judge(sys.argv[1]) else 1)
