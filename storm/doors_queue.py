"""Clients of queues: messages, addressed notifications and broadcasts.

An item is known by its channel, "door:workflow:key", and its value, which no
other item has.  In the ledger, send has the items as "v", pairs of channel and
value, and those that a savepoint has undone as "undone"; recv has its channels
as "ch", its timeout in seconds (null: none), and what it got as "got".
"""

import json
import time

from client import Client, Lost


def channel(door, workflow, key):
    return "%s:%s:%s" % (door, workflow, key)


class Queues(Client):
    """What senders and receivers of the shared queues have in common."""

    def queue(self):
        """Choose a shared queue: workflow and topic."""
        return ("q-%d" % self.rng.randrange(self.plan.queues), self.rng.choice("ab"))

    def send_sql(self, queue, value, key=None):
        return self.one("SELECT wf_send(%s, %s::jsonb, %s, %s)", queue[0],
                        json.dumps(value), queue[1], key)[0]


class Sender(Queues):
    """Sends by single statements, many at once, with keys, under savepoints."""

    door = "plain"

    def act(self):
        self.rng.choice((self.plain, self.plain, self.keyed, self.many, self.savepoints))()

    def plain(self):
        queue, value = self.queue(), self.value()
        self.noted("send", lambda seen: {"id": self.send_sql(queue, value)},
                   how="plain", v=[[channel("m", *queue), value]])

    def keyed(self):
        """The same key again until it is acknowledged, and once more."""
        queue, value = self.queue(), self.value()
        key = self.plan.key(value)

        def once():
            return self.noted("send", lambda seen: {"id": self.send_sql(queue, value, key)},
                              how="keyed", key=key, v=[[channel("m", *queue), value]])
        self.until_acknowledged(once)
        if key and self.rng.random() < 0.3:
            self.until_acknowledged(once)

    def many(self):
        topic = self.rng.choice("ab")
        ids = ["q-%d" % self.rng.randrange(self.plan.queues) for _ in range(3)]
        values = [self.value() for _ in ids]
        self.noted("send", lambda seen: {"id": self.one(
            "SELECT wf_send_many(%s, %s::jsonb[], %s)", ids, [json.dumps(v) for v in values], topic)[0]},
            how="many", v=[[channel("m", i, topic), v] for i, v in zip(ids, values)])

    def savepoints(self):
        queues = [self.queue() for _ in range(3)]
        values = [self.value() for _ in queues]
        items = [[channel("m", *q), v] for q, v in zip(queues, values)]

        def work(seen):
            self.sql("BEGIN")
            self.send_sql(queues[0], values[0])
            self.sql("SAVEPOINT s")
            self.send_sql(queues[1], values[1])
            self.sql("ROLLBACK TO s")
            self.sql("SAVEPOINT s2")
            self.send_sql(queues[2], values[2])
            self.sql("RELEASE s2")
            self.sql("COMMIT")
        self.noted("send", work, how="savepoint", v=[items[0], items[2]], undone=[items[1]])


class LightSender(Sender):
    light = True


class Receiver(Queues):
    """Receives in every form, and gives back now and then."""

    door = "plain"
    timeouts = (0, 0.05, 0.5, 2)

    def act(self):
        self.rng.choice((self.select, self.call, self.any, self.several,
                         self.commits, self.commits, self.gives_back, self.under_savepoint))()

    def wait(self):
        return self.rng.choice(self.timeouts)

    def take(self, seen, queue, timeout):
        """Receive inside a transaction; note at once what came."""
        row = self.one("SELECT wf_recv(%s, %s::interval, %s)", queue[1], "%s s" % timeout, queue[0])
        seen["got"] = [[channel("m", *queue), row[0]]] if row[0] is not None else []
        return seen["got"]

    def recv(self, work, queues, timeout, **what):
        self.noted("recv", work, ch=[channel("m", *q) for q in queues], timeout=timeout, **what)

    def select(self):
        queue, timeout = self.queue(), self.wait()
        self.recv(lambda seen: {"got": self.take(seen, queue, timeout)}, [queue], timeout, how="select")

    def call(self):
        queue, timeout = self.queue(), self.wait()

        def work(seen):
            row = self.one("CALL wf_recv(%s, %s::interval, %s, NULL)", queue[1], "%s s" % timeout, queue[0])
            return {"got": [[channel("m", *queue), row[0]]] if row[0] is not None else []}
        self.recv(work, [queue], timeout, how="call")

    def any(self):
        workflow, timeout = self.queue()[0], self.wait()

        def work(seen):
            row = self.one("CALL wf_recv_any('{a,b}', %s::interval, %s, NULL, NULL)",
                           "%s s" % timeout, workflow)
            return {"got": [[channel("m", workflow, row[0]), row[1]]] if row[0] is not None else []}
        self.recv(work, [(workflow, "a"), (workflow, "b")], timeout, how="any")

    def several(self):
        queue, timeout = self.queue(), self.wait()

        def work(seen):
            rows = self.sql("SELECT message FROM wf_recv_many(%s, 5, %s::interval, %s)",
                            queue[1], "%s s" % timeout, queue[0])
            return {"got": [[channel("m", *queue), row[0]] for row in rows]}
        self.recv(work, [queue], timeout, how="many", max=5)

    def commits(self):
        """Write what came, in the transaction that takes it."""
        queue, timeout = self.queue(), self.wait()

        def work(seen):
            self.sql("BEGIN")
            got = self.take(seen, queue, timeout)
            for ch, value in got:
                self.sql("INSERT INTO storm_got VALUES (%s, %s, %s)", ch, value, self.name)
            self.sql("COMMIT")
            return {"got": got}
        self.recv(work, [queue], timeout, how="commit", evidence=True)

    def gives_back(self):
        queue = self.queue()

        def work(seen):
            self.sql("BEGIN")
            got = self.take(seen, queue, 0)
            time.sleep(self.rng.random() * self.plan.pause)
            self.sql("ROLLBACK")
            return {"got": got}
        self.recv(work, [queue], 0, how="rollback", back=True)

    def under_savepoint(self):
        """Give one back by a savepoint, keep what comes then."""
        queue = self.queue()

        def work(seen):
            self.sql("BEGIN")
            self.sql("SAVEPOINT s")
            self.take(seen, queue, 0)
            self.sql("ROLLBACK TO s")
            got = self.take(seen, queue, 0)
            for ch, value in got:
                self.sql("INSERT INTO storm_got VALUES (%s, %s, %s)", ch, value, self.name)
            self.sql("COMMIT")
            return {"got": got}
        self.recv(work, [queue], 0, how="savepoint", evidence=True)


class LightReceiver(Receiver):
    light = True


class Prepares(Client):
    """Can do something in a transaction that is prepared first."""

    def there(self, gid):
        return bool(self.quietly("SELECT 1 FROM pg_prepared_xacts WHERE gid = %s", gid))

    def decide(self, gid, wanted, trail):
        """Bring a prepared transaction to its end; return whether it committed."""
        tried = False
        while True:
            if not self.there(gid):
                trail.append("gone")
                return wanted == "COMMIT" if tried else False
            trail.append("there")
            try:
                self.sql("%s PREPARED '%s'" % (wanted, gid))
                trail.append(wanted)
                return wanted == "COMMIT"
            except Lost:
                trail.append("unknown")
                tried = True
                self.drop()

    def two_phases(self, op, begin, wanted, **what):
        """Prepare what begin does, perhaps lose the session, and decide."""
        gid, trail, seen = "gid-" + self.value(), [], {}
        self.connect()
        n = self.ledger.call(op, how="two-phase", gid=gid, wanted=wanted, **what)
        try:
            self.sql("BEGIN")
            begin(seen)
            self.sql("PREPARE TRANSACTION '%s'" % gid)
            trail.append("prepared")
            if self.rng.random() < 0.3:
                # another session decides
                self.drop()
        except Lost:
            trail.append("unknown")
            self.drop()
        self.connect()
        committed = self.decide(gid, wanted, trail)
        self.ledger.answer(n, committed, trail=trail, **seen)
        return committed


class TwoPhase(Prepares, Receiver):
    """Sends and receives in transactions that are prepared first."""

    door = "two-phase"

    def act(self):
        self.rng.choice((self.sends, self.receives))()

    def wanted(self):
        return self.rng.choice(("COMMIT", "COMMIT", "COMMIT", "ROLLBACK"))

    def sends(self):
        queues = [self.queue() for _ in range(2)]
        values = [self.value() for _ in queues]

        def begin(seen):
            for queue, value in zip(queues, values):
                self.send_sql(queue, value)
        self.two_phases("send", begin, self.wanted(),
                        v=[[channel("m", *q), v] for q, v in zip(queues, values)])

    def receives(self):
        queue = self.queue()
        self.two_phases("recv", lambda seen: self.take(seen, queue, 0), self.wanted(),
                        ch=[channel("m", *queue)], timeout=0)


class Pong(Prepares):
    """Answers each message of a partner, waiting for ever: a wake that is lost
    is the end of the game."""

    door = "ping-pong"
    pair, mine, other = 0, "pong", "ping"

    def main(self, phase):
        self.heard = set()
        super().main(phase)

    def run(self):
        # ends by what it is told, not by the clock
        while not self.turn():
            pass
        self.fence()

    def turn(self):
        value = self.hear()
        self.tell("bye" if value.startswith("bye") else None)
        return value.startswith("bye")

    def hear(self):
        """Wait for the next item; return its value."""
        name = "pp-%d" % self.pair
        ch = channel("m", name, self.mine)

        def work(seen):
            self.sql("BEGIN")
            row = self.one("SELECT wf_recv(%s, NULL, %s)", self.mine, name)
            seen["got"] = [[ch, row[0]]]
            self.sql("INSERT INTO storm_got VALUES (%s, %s, %s)", ch, row[0], self.name)
            self.sql("COMMIT")
            return seen
        while True:
            try:
                value = self.noted("recv", work, ch=[ch], timeout=None, how="commit",
                                   evidence=True)["got"][0][1]
            except Lost:
                self.drop()
                # did that transaction commit?
                known = self.quietly("SELECT value FROM storm_got WHERE channel = %s", ch)
                value = next((row[0] for row in known if row[0] not in self.heard), None)
            if value is not None:
                self.heard.add(value)
                return value

    def tell(self, word):
        name, value = "pp-%d" % self.pair, (word or "") + self.value()
        key = self.plan.key(value)
        item = [[channel("m", name, self.other), value]]

        def send(seen):
            return {"id": self.one("SELECT wf_send(%s, %s::jsonb, %s, %s)", name,
                                   json.dumps(value), self.other, key)[0]}
        if self.rng.random() < 0.3:
            while not self.two_phases("send", send, "COMMIT", key=key, v=item):
                pass
        else:
            self.until_acknowledged(lambda: self.noted("send", send, how="keyed", key=key, v=item))


class Ping(Pong):
    """Begins each round, until the run is over."""

    mine, other = "ping", "pong"

    def turn(self):
        bye = self.over()
        self.tell("bye" if bye else None)
        self.hear()
        self.pause()
        return bye


class Snatcher(Receiver):
    """Takes what is meant for those that play ping-pong, and gives it back."""

    door = "ping-pong"

    def queue(self):
        return ("pp-%d" % self.rng.randrange(self.plan.pairs), self.rng.choice(("ping", "pong")))

    def act(self):
        self.gives_back()


class Notifier(Client):
    """Notifies: addressed, which is kept, and to all that wait."""

    door = "notify"

    def act(self):
        self.rng.choice((self.addressed, self.broadcast))()

    def addressed(self):
        workflow, value = "n-%d" % self.rng.randrange(self.plan.waiters), self.value()
        self.noted("send", lambda seen: {"id": self.one(
            "SELECT message_id FROM wf_notify('bell', %s::jsonb, %s)", json.dumps(value), workflow)[0]},
            how="notify", v=[[channel("n", workflow, "bell"), value]])

    def broadcast(self):
        value = self.value()

        def work(seen):
            rows = self.sql("SELECT workflow_id FROM wf_notify('bell', %s::jsonb)", json.dumps(value))
            return {"v": [[channel("n", row[0], "bell"), value] for row in rows]}
        self.noted("send", work, how="broadcast", v=[], may=[
            [channel("n", "n-%d" % i, "bell"), value] for i in range(self.plan.waiters)])


class Waiter(Client):
    """A workflow that waits for an event id again and again."""

    door = "notify"
    number = 0

    def act(self):
        ch = channel("n", "n-%d" % self.number, "bell")
        timeout = self.rng.choice((0, 0.5, 3))
        sql = self.rng.choice(("SELECT * FROM wf_wait_for_event('bell', %s::interval, %s)",
                               "CALL wf_wait_for_event('bell', %s::interval, %s, NULL, NULL)"))

        def work(seen):
            data, timed_out = self.one(sql, "%s s" % timeout, "n-%d" % self.number)
            return {"got": [] if timed_out else [[ch, data]]}
        self.noted("recv", work, ch=[ch], timeout=timeout, how="wait_for_event")
