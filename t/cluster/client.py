"""A client of a cluster, with a ledger that no server has.

    client.py LEDGER STOP SEED NUMBER PORT...

Calls, on the first of the ports on which there is a server that writes, until
the file STOP is there.  The ledger has a line for each call when it has ended:

    send KEY TO ok          repeated with its key until it was acknowledged
    once KEY TO ok|unknown  one send, acknowledged or not
    pair KEY TO TO ok|...   two of them in one transaction
    flow ID note DATA ok|unknown    a body that was started, and notified
    error SQLSTATE MESSAGE  what a call has raised
"""

import os
import random
import sys
import time

import psycopg2

ledger_name, stop, seed, number = sys.argv[1:5]
ports = [int(port) for port in sys.argv[5:]]
rng = random.Random("%s/%s" % (seed, number))
ledger = open(ledger_name, "a", buffering=1)
receivers = ["to-%d" % i for i in range(8)]
state = {"db": None, "port": 0}


def drop():
    """Leave this server; the next call goes to the next one."""
    if state["db"]:
        state["db"].close()
    state["db"] = None
    state["port"] = (state["port"] + 1) % len(ports)


def call(*statements):
    """Run statements in one transaction; the rows of the last one, or None."""
    try:
        if state["db"] is None:
            state["db"] = psycopg2.connect(
                host="127.0.0.1", port=ports[state["port"]], user="postgres",
                dbname="postgres", connect_timeout=5, sslmode="disable",
                options="-c statement_timeout=120s")
        with state["db"].cursor() as cursor:
            for statement, values in statements:
                cursor.execute(statement, values)
            rows = cursor.fetchall()
        state["db"].commit()
        return rows
    except psycopg2.Error as error:
        ledger.write("error %s %s\n" % (error.pgcode or "none", " ".join(str(error).split())))
        try:
            state["db"].rollback()
            if error.pgcode == "25006":     # a standby
                drop()
        except (psycopg2.Error, AttributeError):
            drop()
        time.sleep(0.05)
        return None


def until_done(*statements):
    """Repeat a call until it is acknowledged."""
    while (rows := call(*statements)) is None:
        pass
    return rows


def send(to, key, name=None):
    """A statement that sends."""
    return "SELECT wf_send(%s, to_jsonb(%s::text), 'sent', %s)", (to, key, name)


def flow(key):
    """Start a body, and notify it."""
    ident = "flow-" + key
    state_of = "SELECT status IN ('PENDING', 'RUNNING', 'WAITING') FROM wf_status(%s) status", (ident,)
    lost = False
    until_done(("SELECT wf_start(%s, 'flow', jsonb_build_object('child', %s, 'to', %s))",
                (ident, "child-" + key, rng.choice(receivers))))
    while True:
        rows = call(("SELECT count(*) FROM wf_notify('note', to_jsonb(%s::text), %s)", (key, ident)))
        if rows is None:
            lost = True
        elif rows[0][0] > 0:
            return "ok"
        elif lost and not until_done(state_of)[0][0]:
            return "unknown"
        else:
            time.sleep(0.02)


count = 0
while not os.path.exists(stop):
    time.sleep(0.02)
    count += 1
    key = "%s-%d" % (number, count)
    one, other = rng.sample(receivers, 2)
    what = rng.choice(["send", "send", "once", "pair", "pair", "flow"])
    if what == "send":
        until_done(send(one, key, key))
        ledger.write("send %s %s ok\n" % (key, one))
    elif what == "once":
        rows = call(send(one, key))
        ledger.write("once %s %s %s\n" % (key, one, "ok" if rows else "unknown"))
    elif what == "pair":
        rows = call(send(one, key), send(other, key))
        ledger.write("pair %s %s %s %s\n" % (key, one, other, "ok" if rows else "unknown"))
    else:
        ledger.write("flow flow-%s note %s %s\n" % (key, key, flow(key)))
ledger.write("done\n")
