"""Memory of the server's processes and sizes of its tables, again and again."""

import json
import os
import time
from collections import defaultdict

KB = 1024

SIZES = """
SELECT c.relname, c.relkind, pg_relation_size(c.oid) + pg_relation_size(c.oid, 'fsm') + pg_relation_size(c.oid, 'vm'),
       coalesce(s.n_live_tup, 0), coalesce(s.n_dead_tup, 0)
  FROM pg_class c LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
 WHERE c.relnamespace IN ('durable_wf'::regnamespace, 'public'::regnamespace) AND c.relkind IN ('r', 'i')
UNION ALL
SELECT 'system catalogs', 'c', sum(pg_total_relation_size(oid)), 0, 0
  FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'
"""


def memory(pid):
    """A process's memory in bytes: resident, its share of it, and its own."""
    found = {}
    try:
        with open("/proc/%d/smaps_rollup" % pid) as file:
            for line in file:
                name, _, rest = line.partition(":")
                if name in ("Rss", "Pss", "Pss_Anon"):
                    found[name] = int(rest.split()[0]) * KB
    except (OSError, ValueError):
        return None
    return found.get("Rss", 0), found.get("Pss", 0), found.get("Pss_Anon", 0)


class Samples:
    """What was seen: of each process, and of each relation."""

    def __init__(self, server, path):
        self.server = server
        self.file = open(path, "w")
        self.began = time.monotonic()
        self.processes = defaultdict(list)  # (kind, pid): [(t, rss, pss, own)]
        self.relations = defaultdict(list)  # (name, kind): [(t, bytes, live, dead)]

    def take(self):
        t = time.monotonic() - self.began
        rows = self.server.query("SELECT pid, backend_type, application_name FROM pg_stat_activity"
                                 " WHERE pid <> pg_backend_pid()") or []
        kinds = {pid: kind for pid, kind, _ in rows}
        for pid in self.server.members():
            kind = kinds.get(pid)
            if pid == self.server.process.pid:
                kind = "postmaster"
            seen = memory(pid) if kind else None
            if seen:
                self.note("processes", kind, pid, t, *seen)
        for name, kind, size, live, dead in self.server.query(SIZES) or []:
            self.note("relations", name, kind, t, int(size), live, dead)
        self.file.flush()

    def note(self, what, name, key, *point):
        getattr(self, what)[name, key].append(point)
        self.file.write(json.dumps([what, name, key, *point]) + "\n")

    @classmethod
    def read(cls, path):
        """Read what another run has written."""
        self = cls.__new__(cls)
        self.processes, self.relations = defaultdict(list), defaultdict(list)
        with open(path) as file:
            for line in file:
                what, name, key, *point = json.loads(line)
                getattr(self, what)[name, key].append(tuple(point))
        return self

    def length(self):
        return max((points[-1][0] for points in self.relations.values()), default=0)
