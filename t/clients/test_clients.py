"""Clients as others write them: JDBC, node-postgres and psycopg, directly and by
pgbouncer in both modes. What docs/clients.md says of them is so.

./run test-clients gives it a server, and the libraries: that of Node in DWF_NODE."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import unittest

import psycopg

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, f"{TOP}/t/python")

from durable_wf import AsyncDurableWf  # noqa: E402
from support import LONG, Case, create_extension, query, until, value  # noqa: E402

WORK = os.path.dirname(os.environ["DWF_LOG"])
pooler = None
POOLER_PORT = None


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def setUpModule():
    """Start pgbouncer: a database for each mode, with few server connections."""
    global pooler, POOLER_PORT
    create_extension()
    POOLER_PORT = free_port()
    server = f"host={os.environ['PGHOST']} port={os.environ['PGPORT']} dbname=postgres user=postgres"
    with open(f"{WORK}/pgbouncer.ini", "w", encoding="utf8") as file:
        file.write(f"""
[databases]
session = {server} pool_mode=session pool_size=10
transaction = {server} pool_mode=transaction pool_size=3
one = {server} pool_mode=transaction pool_size=1
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {POOLER_PORT}
unix_socket_dir =
auth_type = any
ignore_startup_parameters = extra_float_digits
logfile = {WORK}/pgbouncer.log
""")
    program = "/usr/sbin/pgbouncer"
    pooler = subprocess.Popen([program, "-q", f"{WORK}/pgbouncer.ini"], stderr=subprocess.DEVNULL)
    end = time.monotonic() + LONG
    while True:
        try:
            through("session").close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def tearDownModule():
    pooler.terminate()
    pooler.wait()


def through(database, **options):
    """A connection by pgbouncer; it knows no prepared statements."""
    return psycopg.connect(host="127.0.0.1", port=POOLER_PORT, dbname=database, user="postgres",
                           autocommit=True, prepare_threshold=None, **options)


def one(connection, sql, *values):
    row = connection.execute(sql, values or None).fetchone()
    return row[0] if row else None


class Pooled(unittest.TestCase):
    def test_bare_calls(self):
        """In transaction mode: bare calls, and SET LOCAL."""
        with through("transaction") as a, through("transaction") as b:
            one(a, "SELECT wf_start('bare')")
            one(b, "SELECT wf_send('bare', '1', 't')")
            self.assertEqual(one(a, "SELECT wf_recv('t', '1 s', 'bare')"), 1)
            with b.transaction():
                b.execute("SET LOCAL durable_wf.workflow_id = 'bare'")
                one(b, "SELECT wf_set_event('e', '2')")
                self.assertEqual(one(b, "SELECT wf_current()"), "bare")
            self.assertIsNone(one(b, "SELECT wf_current()"))
            self.assertEqual(one(a, "SELECT wf_get_event('bare', 'e')"), 2)
            one(a, "SELECT wf_create_hook('bare hook', workflow_id => 'bare')")
            self.assertEqual(one(b, "SELECT wf_resume_hook('bare hook', '3')"), "bare")
            self.assertEqual(one(a, "CALL wf_await_hook('bare hook', '1 s', NULL)"), 3)
            one(b, "SELECT wf_complete('4', 'bare')")
            self.assertEqual(a.execute("SELECT status, output FROM wf_result('bare')").fetchone(), ("SUCCESS", 4))

    def test_waits(self):
        """In transaction mode a wait keeps its server connection, function or CALL."""
        query("SELECT wf_start('waits')")
        got = []

        def wait(sql):
            with through("transaction") as connection:
                got.append(one(connection, sql))

        threads = [threading.Thread(target=wait, args=(sql,)) for sql in (
            "CALL wf_recv('a', '1 min', 'waits', NULL)", "SELECT wf_recv('b', '1 min', 'waits')")]
        for thread in threads:
            thread.start()
        until("(SELECT count(*) = 2 FROM wf_waiters WHERE workflow_id = 'waits')")
        # the third one is left for whoever else
        with through("transaction") as connection:
            one(connection, "SELECT wf_send('waits', '1', 'a')")
            one(connection, "SELECT wf_send('waits', '2', 'b')")
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(got), [1, 2])

    def test_what_belongs_to_a_session(self):
        """In transaction mode it stays with the server connection: do not."""
        query("SELECT wf_start('mine', queue => 'mine'), wf_start('other')")
        with through("one") as a, through("one") as b:
            one(a, "SELECT set_config('durable_wf.workflow_id', 'mine', false)")
            self.assertEqual(one(b, "SELECT wf_current()"), "mine")
            a.execute("RESET durable_wf.workflow_id")
            one(a, "SELECT wf_attach_next('mine')")
            one(b, "SELECT wf_send('other', '1')")
            self.assertEqual(query("SELECT name FROM wf_list_steps('mine')"), [("wf_send(other)",)])
            a.execute("SELECT wf_detach()")

    def test_session_mode(self):
        """In session mode all of it works, and the end of a client detaches."""
        query("SELECT wf_start('pooled', queue => 'pooled')")
        with through("session") as a:
            self.assertEqual(one(a, "CALL wf_attach_any('{pooled}', '1 s', NULL, NULL, NULL, NULL)"), "pooled")
            one(a, "SELECT wf_step('a', 'SELECT 1')")
        until("NOT EXISTS (SELECT FROM wf_executions)")
        with through("session") as a, through("session") as b:
            self.assertIsNone(one(a, "SELECT wf_current()"))
            one(b, "SELECT wf_listen('pooled')")
            one(a, "SELECT wf_send('pooled', '1')")
            news = json.loads(next(b.notifies()).payload)
            self.assertEqual(news["workflow_id"], "pooled")
            self.assertEqual(one(a, "CALL wf_attach_any('{pooled}', '1 s', NULL, NULL, NULL, NULL)"), "pooled")
            self.assertEqual(a.execute("SELECT name FROM wf_list_steps('pooled')").fetchall(), [("a",)])
            one(a, "SELECT wf_complete()")


class Libraries(Case):
    async def test_python(self):
        """Pool by pgbouncer in transaction mode, the rest directly."""
        async with AsyncDurableWf(f"host=127.0.0.1 port={POOLER_PORT} dbname=transaction user=postgres",
                                  pool_size=3, direct="") as wf:
            @wf.workflow("pooled python")
            async def flow(ctx, input):
                await ctx.set_event("e", ctx.id)
                return await ctx.recv("go", timeout=None)

            wf.work(signals=())
            flows = [await flow.start(id=f"pooled-{n}") for n in range(50)]
            events = await asyncio.gather(*(each.get_event("e") for each in flows))
            self.assertEqual(events, [each.id for each in flows])
            await wf.send_many([(each, 1) for each in flows], "go")
            self.assertEqual(await asyncio.gather(*(each.result() for each in flows)), [1] * 50)

    def test_node(self):
        code = f"""
            import {{ DurableWf }} from 'durable-wf';
            const wf = new DurableWf({{ host: '127.0.0.1', port: {POOLER_PORT}, user: 'postgres',
              database: 'transaction', max: 3, direct: {{}} }});
            const flow = wf.workflow('pooled node', async (ctx) => {{
              await ctx.setEvent('e', ctx.id);
              return ctx.recv('go', {{ timeout: null }});
            }});
            wf.work();
            const flows = await Promise.all(Array.from({{ length: 50 }}, () => flow.start()));
            await Promise.all(flows.map((each) => each.getEvent('e')));
            await wf.sendMany(flows.map((to) => ({{ to, message: 1 }})), 'go');
            const results = await Promise.all(flows.map((each) => each.result()));
            console.log(results.reduce((a, b) => a + b));
            await wf.close();"""
        done = subprocess.run(["node", "--input-type=module", "-e", code], cwd=os.environ["DWF_NODE"],
                              timeout=LONG, stdout=subprocess.PIPE, text=True, check=True)
        self.assertEqual(done.stdout, "50\n")


class Jdbc(unittest.TestCase):
    def test_example(self):
        """The example of docs/clients.md, directly and by pgbouncer in session mode."""
        with open(f"{TOP}/docs/clients.md", encoding="utf8") as file:
            code, output = re.search(r"^```java\n(.*?)^```\n\n^```console\n(.*?)^```$", file.read(),
                                     re.M | re.S).groups()
        with open(f"{WORK}/Worker.java", "w", encoding="utf8") as file:
            file.write(code)
        subprocess.run(["javac", "-Xlint:all", "-Werror", "Worker.java"], cwd=WORK, check=True)
        for place in (f"127.0.0.1:{os.environ['PGPORT']}/postgres", f"127.0.0.1:{POOLER_PORT}/session"):
            query("SELECT wf_cancel('java-leave') FROM wf_workflows WHERE workflow_id = 'java-leave'")
            query("SELECT wf_prune('0')")
            until("NOT EXISTS (SELECT FROM wf_workflows WHERE workflow_id = 'java-leave')")
            done = subprocess.run(
                ["java", "-cp", f"{WORK}:/usr/share/java/postgresql.jar", "Worker",
                 f"jdbc:postgresql://{place}?user=postgres"],
                timeout=LONG, stdout=subprocess.PIPE, text=True, check=True)
            self.assertEqual(done.stdout, output)
        self.assertEqual(value("SELECT status FROM wf_workflows WHERE workflow_id = 'java-leave'"), "SUCCESS")
