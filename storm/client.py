"""What all clients share: a connection that comes back, and the ledger."""

import os
import random
import signal
import time
import traceback

import psycopg2
import psycopg2.extensions

# Errors that say that the session ends, not what became of its last command.
UNKNOWN = ("57P01", "57P02", "57P03", "57P05", "08000", "08003", "08006", None)


class Lost(Exception):
    """The connection is gone; nobody knows what became of the last command."""


class Refused(Exception):
    """The server raised an error: the command has not happened."""

    def __init__(self, error):
        super().__init__(error.pgcode, str(error))
        self.code = error.pgcode


class Client:
    """A client; subclasses say in act() what it does again and again."""

    door = "?"
    light = False           # synchronous_commit = off
    role = "storm"
    settings = ()           # statements for each new connection

    def __init__(self, plan, name):
        self.plan, self.name = plan, name
        self.rng = random.Random("%s/%s" % (plan.seed, name))
        self.db = None
        self.sessions = []      # of which some may be there still
        self.connections = 0
        self.values = 0
        self.refusal = None     # the expected error that refused the last call

    # ----- the process -----

    def main(self, phase):
        """Run until the phase says that it is over."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.phase = phase
        self.ledger = self.plan.open_ledger(self)
        try:
            self.run()
            self.ledger.write({"done": True, "fence": self.ledger.n, "t": time.monotonic()})
        except BaseException:
            with open(os.path.join(self.plan.ledger, self.name + ".died"), "w") as file:
                traceback.print_exc(file=file)
            raise
        finally:
            self.drop()

    def run(self):
        while not self.over():
            try:
                self.act()
            except Lost:
                self.drop()
            self.pause()
        self.fence()

    def act(self):
        raise NotImplementedError

    def over(self):
        """Tell whether new work is wanted no more."""
        return self.phase.value >= 1

    def pause(self):
        time.sleep(self.rng.random() * 2 * self.plan.pause)

    def value(self):
        """Make a value that no other message has."""
        self.values += 1
        return "%s.%d" % (self.name, self.values)

    # ----- the connection -----

    def drop(self):
        if self.db is not None:
            try:
                self.db.close()
            except psycopg2.Error:
                pass
            self.db = None

    def connect(self):
        """Connect, however long it takes; then see the old sessions end."""
        while self.db is None:
            self.connections += 1
            session = "%s-%d" % (self.name, self.connections)
            try:
                self.db = psycopg2.connect(
                    host="127.0.0.1", port=self.plan.ports["pg"], user=self.role,
                    dbname="postgres", application_name=session, connect_timeout=20,
                    sslmode="disable", gssencmode="disable")
                self.db.autocommit = True
                cursor = self.db.cursor()
                cursor.execute("SET synchronous_commit = " + ("off" if self.light else "on"))
                for setting in self.settings:
                    cursor.execute(setting)
                if self.sessions:
                    self.see_them_end(cursor)
                self.sessions.append(session)
            except psycopg2.Error:
                self.drop()
                time.sleep(0.02 + self.rng.random() * 0.1)

    def see_them_end(self, cursor):
        """Wait until the sessions of lost connections have ended.

        The server notices by itself that the client's end is closed."""
        while True:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = ANY(%s)",
                           (self.sessions,))
            if cursor.fetchone()[0] == 0:
                break
            time.sleep(0.02)
        self.sessions.clear()
        self.ledger.fence()

    def fence(self):
        """Make sure that nothing of what was called can still happen."""
        if self.db is None:
            self.connect()

    def sql(self, text, *args):
        """Execute a statement; return its rows, or raise Lost or Refused."""
        self.connect()
        try:
            self.db.notices.clear()
            cursor = self.db.cursor()
            cursor.execute(text, args or None)
            rows = cursor.fetchall() if cursor.description else []
        except psycopg2.Error as error:
            if error.pgcode in UNKNOWN or self.db.closed:
                raise Lost from error
            raise Refused(error) from error
        if any("synchronous replication" in notice for notice in self.db.notices):
            self.drop()         # committed here, but perhaps not on the standby
            raise Lost
        return rows

    def one(self, text, *args):
        rows = self.sql(text, *args)
        return rows[0] if rows else None

    def quietly(self, text, *args):
        """Execute a statement that can be repeated, until it succeeds."""
        while True:
            try:
                return self.sql(text, *args)
            except Lost:
                self.drop()

    # ----- a call in the ledger -----

    def noted(self, op, work, expected=(), **what):
        """Do work between a call's line and its answer's.

        work returns what the answer says besides.  The SQLSTATEs in expected
        are answers; any other error of the server's is noted as a fault."""
        self.connect()
        n = self.ledger.call(op, **what)
        seen = {}
        try:
            reply = work(seen)
        except Lost:
            self.ledger.answer(n, None, **seen)
            raise
        except Refused as error:
            code = {"code": error.code}
            self.refusal = error.code
            if error.code not in expected:
                self.refusal, code["unexpected"] = None, str(error)
            self.ledger.answer(n, False, **seen, **code)
            self.back()
            return None
        self.ledger.answer(n, True, **(reply or {}))
        return reply or {}

    def back(self):
        """Leave a transaction that has failed."""
        if self.db.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_IDLE:
            self.sql("ROLLBACK")

    def until_acknowledged(self, work):
        """Repeat what is safe to repeat, also when it was refused by an error
        that was expected; work returns None then."""
        while True:
            try:
                reply = work()
                if reply is not None or self.refusal is None:
                    return reply
            except Lost:
                self.drop()
            time.sleep(0.02)
