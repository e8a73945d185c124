"""What goes wrong, one fault after the other, as the plan says.

Each is a line in faults.jsonl: its kind, when it began, when the server was
there again, and whether commits that did not wait for the disk can be lost."""

import json
import os
import random
import signal
import threading
import time

from cluster import until
from plan import faults

# How processes are called in pg_stat_activity.
TYPES = {
    "client backend": ("client backend",),
    "worker": ("durable_wf worker",),
    "executor": ("durable_wf executor",),
    "launcher": ("durable_wf launcher",),
    "gateway": ("durable_wf gateway", "durable_wf gateway helper"),
    "other": ("checkpointer", "walwriter", "background writer", "walsender",
              "autovacuum launcher", "autovacuum worker"),
}


class Faults:
    """Makes the faults of a run happen."""

    def __init__(self, plan, cluster, proxy, path, say):
        self.plan, self.cluster, self.proxy, self.say = plan, cluster, proxy, say
        self.file = open(path, "w")
        self.count = {}
        self.copying = None         # the thread that makes a new standby
        self.stuck = []             # what should have happened and did not

    def run(self, seconds):
        """Let things fail for so long; then all is well again."""
        end = time.monotonic() + seconds
        self.follow()
        for kind, pause, number in faults(self.plan.seed):
            if time.monotonic() + pause > end:
                break
            time.sleep(pause)
            self.fault(kind, number)
        self.await_copy()
        self.file.close()

    def fault(self, kind, number):
        line = {"kind": kind, "t0": time.monotonic(), "crash": False}
        how, _, what = kind.partition(" ")
        done = getattr(self, how)(what, random.Random(number), line)
        line["t1"] = time.monotonic()
        if done is not False:
            self.count[kind] = self.count.get(kind, 0) + 1
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()
            self.say("%s: %.1f s" % (kind, line["t1"] - line["t0"]))

    # ----- processes -----

    def victim(self, what, rng):
        """Choose a process of a kind; None when there is none."""
        rows = self.cluster.primary.query(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = ANY(%s) AND pid <> pg_backend_pid() ORDER BY 1",
            (list(TYPES[what]),))
        return rng.choice(rows)[0] if rows else None

    def kill(self, what, rng, line):
        line["crash"] = True
        if what == "postmaster":
            return self.stop("kill", rng, line)
        life = self.cluster.primary.checkpointer()
        pid = self.victim(what, rng)
        if pid is None or life is None:
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        until(lambda: self.cluster.primary.checkpointer() not in (None, [], life),
              "the server begins anew after kill %s" % what)
        return True

    def end(self, what, rng, line):
        pid = self.victim(what, rng)
        if pid is None:
            return False
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            return False
        return True

    def stop(self, mode, rng, line):
        line["crash"] = mode in ("immediate", "kill")
        self.await_copy()
        server = self.cluster.primary
        server.stop(mode)
        if mode == "smart":
            # it waits for its clients; the network takes them away
            time.sleep(rng.random())
            self.proxy.order(to=None)
            self.proxy.order(cut="reset", share=1, seed=0, **{"for": 0})
            if self.cluster.following:
                pass                # the walsender ends by itself
        server.await_stopped()
        server.start()
        until(server.ready, "the server starts after %s" % mode)
        self.proxy.order(to=self.cluster.ports())
        return True

    # ----- the standby -----

    def promote(self, what, rng, line):
        """The standby takes over, from a primary that died or was stopped."""
        self.await_copy()
        cluster = self.cluster
        if not cluster.caught_up(20):
            return False
        mode = rng.choice(("kill", "immediate", "fast"))
        line["crash"], line["kind"] = True, "promote after " + mode
        self.proxy.order(to=None)
        cluster.primary.stop(mode)
        cluster.primary.await_stopped()
        # the old connections lead nowhere; some clients hear of it late
        self.proxy.order(cut=rng.choice(("reset", "deaf")), share=1, seed=0, **{"for": rng.random()})
        cluster.promote()
        self.proxy.order(to=cluster.ports())
        self.follow()
        return True

    def part(self, what, rng, line):
        """The standby and the primary do not reach each other, while all goes on.

        No commit that waits for the standby is acknowledged meanwhile.  The
        standby can take over all the same: from a primary that ends at once,
        so that what only it has is never seen."""
        self.await_copy()
        cluster = self.cluster
        if not cluster.caught_up(20):
            return False
        seconds = rng.uniform(1, self.plan.hold)
        line["crash"] = what in ("crash", "promote")
        self.proxy.order(part="down" if what == "down" else "hole",
                         **{"for": None if what == "promote" else seconds})
        until(lambda: cluster.behind() > 0, "the standby falls behind")
        if what == "crash":
            return self.kill("client backend", rng, line)
        time.sleep(seconds)
        if what != "promote":
            return True
        line["behind"] = cluster.behind()
        self.proxy.order(to=None)
        cluster.primary.stop("immediate")
        cluster.primary.await_stopped()
        self.proxy.order(cut="reset", share=1, seed=0, **{"for": 0})
        cluster.promote()
        self.proxy.order(to=cluster.ports())
        self.follow()
        return True

    def follow(self):
        """Make a standby, in the background: faults go on meanwhile."""
        self.copying = threading.Thread(target=self.copy, daemon=True)
        self.copying.start()

    def copy(self):
        for _ in range(20):
            try:
                self.proxy.order(primary=self.cluster.primary.port)
                self.cluster.follow()
                return
            except (RuntimeError, OSError) as error:
                # a crash of the primary breaks the copy off
                time.sleep(0.2)
                self.say("the copy has to be made again: %s" % str(error).strip().splitlines()[-1][-100:])
                if self.cluster.following or self.cluster.standby.postmaster():
                    self.cluster.standby.stop("immediate")
                    self.cluster.standby.await_stopped()
                    self.cluster.following = False
        self.stuck.append("no standby could be made")

    def await_copy(self):
        if self.copying:
            self.copying.join()
            self.copying = None

    # ----- the network -----

    def cut(self, kind, rng, line):
        self.proxy.order(cut=kind, share=rng.choice((0.1, 0.4, 1)), seed=rng.randrange(1 << 30),
                         **{"for": rng.uniform(0.1, self.plan.hold)})
        return True
