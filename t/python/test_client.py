"""The client of clients/python: waits that share one connection, what they do when
that is lost, and the JSON rules."""

import asyncio
import threading
import unittest
import uuid
from dataclasses import dataclass
from datetime import date, timedelta

import psycopg
from durable_wf import (AsyncDurableWf, DurableError, DurableWf, Outcome, WaitTimeout,
                        WorkflowCancelled, WorkflowFailed)
from support import Case, create_extension, query, restart, until, until_async, value

CONNECTIONS = """SELECT count(*) FROM pg_stat_activity
                  WHERE backend_type = 'client backend' AND application_name <> 'test'"""


class Client(Case):
    async def asyncSetUp(self):
        self.wf = AsyncDurableWf(pool_size=2)

    async def asyncTearDown(self):
        await self.wf.close()

    async def test_thousand(self):
        """A thousand get_event at once share one connection."""
        ids = [f"event-{n}" for n in range(1000)]
        query("SELECT wf_start(id) FROM unnest(%s::text[]) id", (ids,))
        waits = [asyncio.ensure_future(self.wf.get_event(each, "done", timeout=None)) for each in ids]
        await self.wf.listen().ready()
        self.assertLessEqual(value(CONNECTIONS), 3)
        await until_async("NOT EXISTS (SELECT FROM wf_waiters)")
        query("SELECT wf_set_event('done', to_jsonb(id), id) FROM unnest(%s::text[]) id", (ids,))
        self.assertEqual(await asyncio.gather(*waits), ids)
        self.assertLessEqual(value(CONNECTIONS), 3)

    async def test_event(self):
        """What is there already, is not, and never will be."""
        one = await self.wf.start(None, id="there")
        await self.wf.set_event(one, "x", {"a": 1})
        await self.wf.set_event(one, "null", None)
        self.assertEqual(await one.get_event("x"), {"a": 1})
        self.assertIsNone(await one.get_event("null", default="none"))
        self.assertEqual(await one.get_event("y", 0, "none"), "none")
        self.assertEqual(await one.get_event("y", timedelta(milliseconds=30), "none"), "none")
        never = asyncio.ensure_future(one.get_event("y", None, "none"))
        await asyncio.sleep(0.05)
        query("SELECT wf_complete('7', 'there')")
        self.assertEqual(await never, "none")

    async def test_not_yet(self):
        """A workflow that does not exist yet, and another role's."""
        early = asyncio.ensure_future(self.wf.get_event("later", "x", timeout=None))
        await self.wf.get_event("later", "x", timeout=0.05)
        await self.wf.start(None, id="later")
        await self.wf.set_event("later", "x", 5)
        self.assertEqual(await early, 5)

        query("CREATE ROLE clerk LOGIN")
        query("CREATE ROLE boss LOGIN IN ROLE clerk")
        query("SELECT wf_start('secret')")

        def as_clerk(sql):
            with psycopg.connect(user="clerk", autocommit=True) as connection:
                connection.execute(sql)

        as_clerk("SELECT wf_start('clerk-1')")
        async with AsyncDurableWf(user="boss") as boss:
            waits = [asyncio.ensure_future(boss.get_event(each, "x", timeout=None))
                     for each in ("clerk-1", "clerk-1", "clerk-2", "clerk-2")]
            await until_async("(SELECT max(listens) >= 3 FROM wf_stat)")
            as_clerk("SELECT wf_set_event('x', '1', 'clerk-1')")
            as_clerk("SELECT wf_start('clerk-2')")
            as_clerk("SELECT wf_set_event('x', '2', 'clerk-2')")
            self.assertEqual(await asyncio.gather(*waits), [1, 1, 2, 2])
            good, bad = await asyncio.gather(boss.get_event("clerk-1", "x"), boss.get_event("secret", "x"),
                                             return_exceptions=True)
            self.assertEqual(good, 1)
            self.assertEqual(bad.sqlstate, "42501")

    async def test_results(self):
        """Output, error, cancelled, not yet."""
        good, bad, cancelled, still = [await self.wf.start(None, id=f"result-{n}") for n in range(4)]
        waits = [asyncio.ensure_future(each.result()) for each in (good, bad, cancelled)]
        query("""SELECT wf_complete('{"n": 1}', 'result-0')""")
        query("SELECT wf_fail('no luck', 'result-1')")
        self.assertTrue(await cancelled.cancel("enough"))
        self.assertFalse(await cancelled.cancel())
        one, two, three = await asyncio.gather(*waits, return_exceptions=True)
        self.assertEqual(one, {"n": 1})
        self.assertIsInstance(two, WorkflowFailed)
        self.assertEqual((str(two), two.workflow_id), ("no luck", "result-1"))
        self.assertIsInstance(three, WorkflowCancelled)
        with self.assertRaises(WaitTimeout):
            await still.result(0.01)
        self.assertEqual(await still.outcome(0), Outcome("PENDING"))
        self.assertEqual(await bad.outcome(), Outcome("ERROR", None, "no luck"))
        with self.assertRaises(DurableError) as caught:
            await self.wf.result("nobody")
        self.assertEqual(caught.exception.code, "WF001")
        await cancelled.retry()
        self.assertEqual(await cancelled.status(), "PENDING")

    async def test_messages(self):
        to = await self.wf.start(None, id="mailbox")
        first = await to.send({"a": 1}, "t", "k")
        self.assertEqual(await to.send({"a": 2}, "t", "k"), first)
        ids = await self.wf.send_many([(to, 1), (to, None), ("mailbox", 3, "k")])
        self.assertEqual(ids[2], first)
        self.assertEqual(await self.wf.send_many([]), [])
        self.assertEqual(query("SELECT message::text FROM wf_recv_many(NULL, 9, '0', 'mailbox')"),
                         [("1",), ("null",)])
        with self.assertRaises(DurableError):
            await self.wf.send_many([(to, 1), ("nobody", 1)])
        self.assertEqual(value("SELECT count(*) FROM wf_recv_many(NULL, 9, '0', 'mailbox')"), 0)

    async def test_json(self):
        @dataclass
        class Point:
            x: int
            y: float

        to = await self.wf.start(None, id="json")
        for given, expected in [
                (None, None), ("ä\"\\", "ä\"\\"), (2**80, 2**80), ([1.25, True], [1.25, True]),
                (date(2026, 11, 27), "2026-11-27"), (uuid.UUID(int=1), str(uuid.UUID(int=1))),
                (Point(1, 2.5), {"x": 1, "y": 2.5}), ((1, 2), [1, 2]), ({"n": None}, {"n": None})]:
            await self.wf.set_event(to, "v", given)
            self.assertEqual(await to.get_event("v"), expected)
        for bad in object(), float("nan"), {1, 2}, timedelta(1):
            with self.assertRaises((TypeError, ValueError)):
                await to.send(bad)
        with self.assertRaises(psycopg.Error) as caught:
            await to.send("\0")
        self.assertEqual(caught.exception.sqlstate, "22P05")
        none = await self.wf.start(None, None, id="null input")
        self.assertEqual(query("SELECT input::text FROM wf_workflows WHERE workflow_id IN ('json', %s) "
                               "ORDER BY 1", (none.id,)), [("null",), (None,)])

    async def test_notify_and_hooks(self):
        await self.wf.start(None, id="waiter")
        self.assertEqual(await self.wf.notify("alarm", 1), [])
        row, = await self.wf.notify("alarm", {"n": 1}, "waiter")
        self.assertEqual((row.workflow_id, row.waiting_since), ("waiter", None))
        query("""SELECT wf_create_hook('token', '{"ask": 1}', workflow_id => 'waiter')""")
        info = await self.wf.get_hook("token")
        self.assertEqual((info.workflow_id, info.metadata, info.is_webhook), ("waiter", {"ask": 1}, False))
        self.assertIsNone(await self.wf.get_hook("no such"))
        self.assertEqual(await self.wf.resume_hook("token", 1, "k"), "waiter")
        with self.assertRaises(DurableError) as caught:
            await self.wf.resume_hook("no such", 1)
        self.assertEqual(caught.exception.code, "WF006")

    async def test_webhook(self):
        """A webhook by a route of the program."""
        await self.wf.start(None, id="hooked")
        manual = value("SELECT token FROM wf_create_webhook('\"manual\"', workflow_id => 'hooked')")
        waiting = asyncio.ensure_future(self.wf.resume_webhook(manual, {"method": "POST", "body": "?"}))
        await asyncio.to_thread(query, """SELECT wf_respond((wf_await_hook(%s, '1 min')->>'request_id')::bigint,
                                                          200, '{}', '250')""", (manual,))
        self.assertEqual(await waiting, {"status": 200, "headers": {}, "body": "250"})
        self.assertEqual((await self.wf.resume_webhook(manual, {}, 0.01))["status"], 504)
        plain = value("SELECT token FROM wf_create_webhook(workflow_id => 'hooked')")
        self.assertEqual((await self.wf.resume_webhook(plain, {}))["status"], 202)

    async def test_stream(self):
        await self.wf.start(None, id="writer")

        async def read():
            return [item async for item in self.wf.read_stream("writer", "log", batch=2)]

        reading = asyncio.ensure_future(read())
        given = [1, None, "three", {"n": 4}, 5]
        for item in given:
            query("SELECT wf_write_stream('log', %s::jsonb, 'writer')", (psycopg.types.json.Json(item),))
        reader = self.wf.read_stream("writer", "log", after=3, timeout=0.02)
        rest = []
        with self.assertRaises(WaitTimeout):
            async for item in reader:
                rest.append(item)
        self.assertEqual(rest, [{"n": 4}, 5])
        self.assertEqual(reader.position, 5)
        query("SELECT wf_complete(NULL, 'writer')")
        self.assertEqual(await reading, given)

    async def test_news(self):
        await self.wf.start(None, id="followed")
        async with self.wf.listen("followed") as one, self.wf.listen() as everything:
            await self.wf.start(None, id="not followed")
            await self.wf.send("not followed", 1)
            await self.wf.set_event("followed", "k", 1)
            async for news in one:
                if news.kind == "event":
                    self.assertEqual((news.workflow_id, news.key), ("followed", "k"))
                    break
            async for news in everything:
                if news.kind == "message":
                    self.assertEqual((news.workflow_id, news.key), ("not followed", None))
                    break

    async def test_restart(self):
        """After a restart nothing was missed; connections that were ended are replaced."""
        ids = [f"restart-{n}" for n in range(200)]
        query("SELECT wf_start(id) FROM unnest(%s::text[]) id", (ids,))
        waits = [asyncio.ensure_future(self.wf.get_event(each, "x", timeout=None)) for each in ids]
        result = asyncio.ensure_future(self.wf.result(ids[0]))
        reader = asyncio.ensure_future(self.wf.read_stream(ids[1], "s").__anext__())
        async with self.wf.listen() as news:
            restart()
            query("SELECT wf_set_event('x', to_jsonb(id), id) FROM unnest(%s::text[]) id", (ids,))
            query("SELECT wf_write_stream('s', '1', %s)", (ids[1],))
            query("SELECT wf_complete('9', %s)", (ids[0],))
            self.assertEqual(await asyncio.gather(*waits), ids)
            self.assertEqual(await result, 9)
            self.assertEqual(await reader, 1)
            async for each in news:
                if each.kind == "resync":
                    break
        query("""SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
                  WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()""")
        await asyncio.sleep(0.1)
        self.assertEqual(await self.wf.status(ids[0]), "SUCCESS")

    async def test_idle(self):
        """Waits that are idle send no statement."""
        ids = [f"idle-{n}" for n in range(300)]
        query("SELECT wf_start(id) FROM unnest(%s::text[]) id", (ids,))
        waits = [asyncio.ensure_future(self.wf.get_event(each, "x", timeout=None)) for each in ids]
        await asyncio.sleep(1)        # the first of them begins on a connection
        await self.wf.get_event("idle-0", "x", timeout=0.1)
        state = """SELECT count(*), max(query_start) FROM pg_stat_activity
                    WHERE backend_type = 'client backend' AND application_name <> 'test'"""
        before, now = None, query(state)
        while now != before:          # on a slow machine it takes longer until all wait
            before = now
            await asyncio.sleep(0.5)
            now = query(state)
        await asyncio.sleep(1)
        self.assertEqual(query(state), before)
        for each in waits:
            each.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    async def test_close(self):
        other = AsyncDurableWf()
        wait = asyncio.ensure_future(other.get_event("nobody", "x", timeout=None))
        await other.listen().ready()
        await other.close()
        with self.assertRaisesRegex(RuntimeError, "closed"):
            await wait
        nowhere = AsyncDurableWf(dbname="no such database")
        with self.assertRaisesRegex(psycopg.OperationalError, "does not exist"):
            await nowhere.get_event("x", "y")
        await nowhere.close()


class Sync(unittest.TestCase):
    def test_sync(self):
        """The same client, without asyncio."""
        create_extension()
        with DurableWf(pool_size=2) as wf:
            one = wf.start(None, {"a": 1}, id="sync")
            got = []
            threads = [threading.Thread(target=lambda: got.append(one.get_event("x", None))) for _ in range(50)]
            for thread in threads:
                thread.start()
            self.assertLessEqual(value(CONNECTIONS), 3)
            news = wf.listen("sync")
            wf.set_event(one, "x", 5)
            for thread in threads:
                thread.join()
            self.assertEqual(got, [5] * 50)
            self.assertIn(next(each.kind for each in news if each.kind == "event"), "event")
            query("SELECT wf_write_stream_many('s', '{1,2}', 'sync')")
            query("SELECT wf_complete('7', 'sync')")
            self.assertEqual(list(wf.read_stream(one, "s")), [1, 2])
            self.assertEqual(one.result(), 7)
            with self.assertRaises(DurableError):
                one.send(1)
        self.assertEqual(value("SELECT 1"), 1)
        until(f"({CONNECTIONS}) = 0")
