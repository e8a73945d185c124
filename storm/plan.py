"""What a seed decides: who the clients are, how they choose, what fails when."""

import json
import os
import random

import doors_news as news
import doors_queue as queue
import doors_workflow as workflow
from ledger import Ledger


class Plan:
    """All that the clients have to know; made before they are forked."""

    queues = 6          # shared workflows with two topics each
    waiters = 3         # workflows that wait for an event id
    registers = 3       # published keys
    streams = 3         # shared streams
    pairs = 2           # that play ping-pong
    hold = 3.0          # no cut holds a connection longer

    def __init__(self, seed, pause, ledger):
        self.seed, self.pause, self.ledger = seed, pause, ledger
        self.ports = None
        self.hooks = [("h-%d" % i, "token-%d" % i) for i in range(2)]
        self.webhooks, self.tokens = [], []
        rng = random.Random("%s/options" % seed)
        self.options = {
            # light commits of claims from the first second on, or as usual
            "careful_time": rng.choice(("0", "1min")),
            "wal_writer_delay": 200,
            # what a killed process has written is in the kernel all the same,
            # and a server that does not wait for the disk crashes more often
            "fsync": "off",
        }

    def open_ledger(self, client):
        return Ledger(os.path.join(self.ledger, client.name + ".jsonl"),
                      client=client.name, door=client.door, **{"async": client.light})

    def key(self, value):
        """Return the idempotency key of a value."""
        return value

    def stream(self, number):
        """Return the workflow of a shared stream, and the token to read it."""
        return "s-%d" % number, self.tokens[number]

    def clients(self):
        """Make the clients: their names, and what they do."""
        kinds = [queue.Sender, queue.Sender, queue.LightSender,
                 queue.Receiver, queue.Receiver, queue.Receiver, queue.LightReceiver,
                 queue.TwoPhase, queue.TwoPhase]
        kinds += [numbered(queue.Ping, pair=i) for i in range(self.pairs)]
        kinds += [numbered(queue.Pong, pair=i) for i in range(self.pairs)]
        kinds += [queue.Snatcher, queue.Notifier]
        kinds += [numbered(queue.Waiter, number=i) for i in range(self.waiters)]
        kinds += [numbered(news.Publisher, number=i) for i in range(self.registers)]
        kinds += [news.Looker, news.Writer, news.LightWriter, news.Reader, news.Reader,
                  news.Resumer, news.Awaiter, news.Awaiter, news.Poster, news.HttpReader]
        kinds += [workflow.Starter, workflow.Starter, workflow.QueueStarter, workflow.QueueStarter,
                  workflow.Worker, workflow.Worker, workflow.Worker, workflow.LightWorker,
                  workflow.Attached, workflow.Canceller]
        return [kind(self, "c%02d" % i) for i, kind in enumerate(kinds, 1)]

    def set_up(self, server):
        """Create what the clients use.  Runs before the standby is made."""
        server.query("CREATE ROLE storm LOGIN; GRANT CREATE ON SCHEMA public TO storm; CREATE EXTENSION durable_wf")
        server.query("SET ROLE storm;"
                     "CREATE TABLE storm_got (channel text, value text, by text);"
                     "CREATE INDEX ON storm_got (channel);"
                     "CREATE TABLE storm_sent (value text);"
                     "CREATE TABLE storm_effect (workflow_id text, step text, value text);"
                     + workflow.BODY)
        names = ["q-%d" % i for i in range(self.queues)] + ["n-%d" % i for i in range(self.waiters)]
        names += ["e-%d" % i for i in range(self.registers)] + ["s-%d" % i for i in range(self.streams)]
        names += ["pp-%d" % i for i in range(self.pairs)] + ["h-%d" % i for i in range(2)]
        names += ["w-%d" % i for i in range(2)] + ["sink"]
        server.query("SET ROLE storm; SELECT count(wf_start(n)) FROM jsonb_array_elements_text(%s) n",
                     (json.dumps(names),))
        for name, token in self.hooks:
            server.query("SET ROLE storm; SELECT wf_create_hook(%s, workflow_id => %s)", (token, name))
        for i in range(2):
            name = "w-%d" % i
            rows = server.query("SET ROLE storm; SELECT token FROM wf_create_webhook(workflow_id => %s)", (name,))
            self.webhooks.append((name, rows[0][0]))
        for i in range(self.streams):
            rows = server.query("SET ROLE storm; SELECT token FROM wf_create_stream_url('log', %s)", ("s-%d" % i,))
            self.tokens.append(rows[0][0])


def numbered(kind, **numbers):
    """A class of clients with numbers of its own."""
    return type(kind.__name__, (kind,), numbers)


# What fails, and how often, out of their sum.  Of "kill ..." the named process
# gets a SIGKILL, which crashes the server, and of "end ..." a SIGTERM.
WEIGHTS = {
    "kill client backend": 20, "kill worker": 14, "kill executor": 18, "kill launcher": 6,
    "kill gateway": 8, "kill other": 8, "kill postmaster": 12,
    "end client backend": 3, "end worker": 3, "end executor": 3, "end gateway": 2,
    "stop smart": 2, "stop fast": 4, "stop immediate": 4, "promote": 5,
    "cut reset": 3, "cut hole": 3, "cut deaf": 3, "cut zombie": 3, "cut half": 2, "cut down": 2,
}

# After so many faults the standby is parted from the primary, in turn so that
# what was said arrives late, that all must be said again, that the primary
# crashes meanwhile, and that the standby takes over.
PARTS = ("part hole", "part promote", "part down", "part crash")
PARTS_EVERY = 8


def faults(seed):
    """Yield faults for ever: a kind, a pause before it, a number to choose by."""
    rng = random.Random("%s/faults" % seed)
    kinds, weights = zip(*WEIGHTS.items())
    count = 0
    while True:
        # each kind comes, then again in another order: nothing is left to luck
        deck = rng.sample(kinds, counts=weights, k=sum(weights))
        first = rng.sample(kinds, k=len(kinds))
        for kind in first + deck:
            yield kind, rng.uniform(0.1, 1.2), rng.randrange(1 << 30)
            count += 1
            if count % PARTS_EVERY == 0:
                yield PARTS[count // PARTS_EVERY % len(PARTS)], 0.5, count
