"""A client of t/075_patroni.pl: it works on whichever server is the primary.

    traffic.py WORK NAME LEDGER STOP CONNECTION

WORK is "send:QUEUE", "receive:QUEUE" or "bodies".  What the server has
acknowledged, and only that, is a line of the file LEDGER.  After an error the
client connects anew and does the same thing again: a send and a start have
keys, and a receive commits with a row of the table "taken".  It ends once
there is a file STOP and its last call is acknowledged.
"""

import os
import sys
import time

import psycopg2

work, name, ledger_file, stop, connection = sys.argv[1:]
work, _, queue = work.partition(":")
ledger = open(ledger_file, "a", encoding="utf-8")


def note(*what):
    """Add a line to the ledger."""
    print(*what, file=ledger, flush=True)


def connect():
    """A session on the primary, as soon as there is one."""
    while True:
        try:
            session = psycopg2.connect(connection)
            session.autocommit = True
            return session.cursor()
        except psycopg2.Error:
            time.sleep(0.1)


def send(session, number):
    """Send the next message, which its key names."""
    session.execute(
        "SELECT wf_send('sink', jsonb_build_object('from', %s::text, 'n', %s), %s, %s)",
        (name, number, queue, f"{name} {number}"))
    note("sent", name, number)
    return number + 1


def receive(session, number):
    """Take a message, together with a row that says so."""
    session.execute("BEGIN")
    session.execute(
        """INSERT INTO taken (taker, sender, n)
           SELECT %s, m->>'from', (m->>'n')::int
             FROM (SELECT wf_recv(%s, '1 s', 'sink') OFFSET 0) r (m) WHERE m IS NOT NULL
           RETURNING sender, n""",
        (name, queue))
    rows = session.fetchall()
    session.execute("COMMIT")
    for sender, n in rows:
        note("took", sender, n)
    return number + len(rows)


def bodies(session, number):
    """Start a workflow that the server runs."""
    workflow = f"{name} {number}"
    try:
        session.execute("SELECT wf_start(%s, 'job')", (workflow,))
    except psycopg2.Error as error:
        if error.pgcode is None or error.pgcode.startswith(("08", "57")):
            raise
        # an earlier try has started it
        session.execute("SELECT wf_status(%s)", (workflow,))
    note("started", workflow)
    time.sleep(0.2)
    return number + 1


cursor, next_number, errors = connect(), 1, 0
while not os.path.exists(stop):
    try:
        next_number = {"send": send, "receive": receive, "bodies": bodies}[work](
            cursor, next_number)
        if work == "send":
            time.sleep(0.01)
    except psycopg2.Error as error:
        errors += 1
        if error.pgcode is not None and not error.pgcode.startswith(("08", "57", "25006")):
            note("error", error.pgcode, str(error).replace("\n", " "))
        cursor.connection.close()
        cursor = connect()
note("errors", errors)
