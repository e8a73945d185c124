"""The worker of clients/python, and what it makes of crashes."""

import asyncio
import logging
import os
import signal
import sys
import unittest
from itertools import permutations

import psycopg
from durable_wf import (AsyncDurableWf, DurableError, DurableWf, FatalError, WorkflowCancelled,
                        WorkflowFailed)
from durable_wf.testing import journal_of, replay
from support import Case, count, create_extension, done, query, restart, until, until_async, value

logging.getLogger("durable_wf").setLevel(logging.CRITICAL)
WAITING = """(SELECT count(*) = %s FROM wf_workflows WHERE queue = %s AND status = 'WAITING')"""


class Worker(Case):
    async def asyncSetUp(self):
        self.clients = []
        self.children = []
        self.starter = AsyncDurableWf()

    async def asyncTearDown(self):
        for wf in self.clients:
            await wf.close()
        await self.starter.close()
        for child in self.children:
            if child.returncode is None:
                child.kill()
            await child.wait()

    def worker(self, workflows, **options):
        """A client whose worker has these workflows."""
        wf = AsyncDurableWf()
        for name, code in workflows.items():
            wf.workflow(name)(code)
        self.clients.append(wf)
        wf.work(**{"connections": 2, "signals": (), **options})
        return wf

    async def program(self, **env):
        """A worker in a process of its own."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, os.path.join(os.path.dirname(__file__), "crash_worker.py"),
            env={**os.environ, **env}, stdout=asyncio.subprocess.PIPE)
        self.children.append(child)
        return child

    async def says(self, child, what):
        while (line := (await child.stdout.readline()).decode().strip()) != what:
            self.assertNotEqual(line, "", "the program has ended")

    async def test_start_to_result(self):
        async def checkout(ctx, input):
            reserved = await ctx.step("reserve", lambda: {"sku": input["sku"]})
            await ctx.set_event("payment_url", "https://pay.example/1")
            paid = await ctx.recv("paid", timeout=None)
            await ctx.sql("book", "INSERT INTO done VALUES ($1->>0, $1->>1)", [ctx.id, paid])
            return {"reserved": reserved, "paid": paid, "attempt": ctx.attempt}

        wf = self.worker({"checkout": checkout})
        order = await wf.start("checkout", {"sku": "A1"}, id="order-1", attributes={"customer": 7})
        self.assertEqual(await order.get_event("payment_url"), "https://pay.example/1")
        await order.send("card", "paid")
        self.assertEqual(await order.result(), {"reserved": {"sku": "A1"}, "paid": "card", "attempt": 1})
        self.assertEqual(count("order-1", "card"), 1)
        with psycopg.connect(autocommit=True) as connection:
            journal = journal_of(connection, order)
        self.assertEqual(journal.input, {"sku": "A1"})
        outcome = await asyncio.to_thread(replay, checkout, journal)
        self.assertEqual(outcome.output, await order.result())

    async def test_values(self):
        """What a step returns is the same in the first run and later."""
        seen = []

        async def ordered(ctx, input):
            got = await ctx.step("object", lambda: {"ccc": 1e20, "bb": {"z": 1, "y": -0.0}, "a": (1, 2)})
            seen.append(repr(got))
            return await ctx.recv("go", timeout=None)

        wf = self.worker({"ordered": ordered}, suspend_after=0)
        flow = await wf.start("ordered")
        await until_async(WAITING, (1, "ordered"))
        await flow.send(1, "go")
        await flow.result()
        self.assertEqual(seen[0], seen[1])
        self.assertTrue(seen[0].startswith("{'a': [1, 2], 'bb': {'y': "))

    async def test_failures(self):
        is_down = [True]

        async def fails(ctx, how):
            if how == "raises":
                raise ValueError("bad input")
            await ctx.step("first", done, ctx.id, "first")

            def call():
                if is_down:
                    raise FatalError("it is down")
                return "it is up"
            return await ctx.step("call", call, attempts=3)

        wf = self.worker({"fails": fails})
        with self.assertRaisesRegex(WorkflowFailed, "^ValueError: bad input$"):
            await (await wf.start("fails", "raises")).result()
        down = await wf.start("fails", "step", id="down")
        with self.assertRaisesRegex(WorkflowFailed, "^it is down$"):
            await down.result()
        is_down.clear()
        await down.retry()
        self.assertEqual(await down.result(), "it is up")
        self.assertEqual(count("down", "first"), 1)

    async def test_everything(self):
        async def child(ctx, n):
            await ctx.write_stream("progress", {"n": n})
            return n * 2

        async def everything(ctx, input):
            seen = {}
            children = [await ctx.start_child("child", 1), await ctx.start_child("child", 2, id="all/2")]
            seen["children"] = await asyncio.gather(*(each.result() for each in children))
            seen["progress"] = [item async for item in ctx.read_stream("all/2", "progress")]
            hook = await ctx.create_hook("all hook", metadata={"ask": 1}, parse=str.upper)
            webhook = await ctx.create_webhook("manual")
            await ctx.set_event("webhook", webhook.token)
            seen["first"] = list(await ctx.any([hook, "late"]))
            seen["parsed"] = await hook.receive()
            request = await webhook.receive()
            seen["request"] = [request.method, request.body, await request.respond(201, "thanks")]
            seen["disposed"] = [await hook.dispose(), await webhook.dispose()]
            seen["lookback"] = await ctx.wait_for_event("cart", timeout="1 min")
            seen["timed_out"] = await ctx.wait_for_event("cart", timeout=0.001)
            await ctx.send_many([(ctx.id, None), (ctx.id, 2)], "self")
            seen["self"] = [await ctx.recv("self", default="no"), await ctx.recv("self"),
                            await ctx.recv("self", 0.001, "no"), await ctx.recv_any(["z"], 0.001)]
            seen["attributes"] = await ctx.set_attributes({"a": 1})
            seen["patched"] = await ctx.patched("change")
            seen["types"] = [0 <= await ctx.random() < 1, len(await ctx.uuid()),
                             (await ctx.sleep(0.005)) <= (await ctx.now())]
            errors = []
            for call in (lambda: ctx.send("nobody", 1), lambda: ctx.send("all/2", 1)):
                try:
                    await call()
                except DurableError as error:
                    errors.append(error.code)
            seen["errors"] = errors
            return seen

        wf = self.worker({"child": child, "all": everything})
        flow = await wf.start("all", id="all")
        token = await flow.get_event("webhook")
        await wf.notify("cart", {"id": 1}, flow)
        await wf.resume_hook("all hook", "from outside")
        await wf.resume_hook("all hook", "loud")
        query("""SELECT wf_resume_webhook(%s, '{"method": "POST", "body": "how much?"}')""", (token,))
        self.assertEqual(await flow.result(), {
            "children": [2, 4], "progress": [{"n": 2}], "first": [0, "from outside"], "parsed": "LOUD",
            "request": ["POST", "how much?", True], "disposed": [True, True],
            "lookback": [{"id": 1}, False], "timed_out": [None, True],
            "self": [None, 2, "no", None], "attributes": {"a": 1}, "patched": True,
            "types": [True, 36, True], "errors": ["WF001", "WF003"]})

    async def test_killed(self):
        """Killed in a step, and in a wait."""
        child = await self.program()
        flow = await self.starter.start("row", {"stay": "step"}, id="killed in step")
        await self.says(child, "in the step")
        child.kill()
        await child.wait()
        child = await self.program()
        waiting = await self.starter.start("row", {}, id="killed in wait")
        await self.says(child, "waits")
        child.kill()
        await waiting.send(2, "go")
        await child.wait()

        async def row(ctx, input):
            await ctx.step("before", done, ctx.id, "before")
            await ctx.step("work", done, ctx.id, "work")
            return f"b w {await ctx.recv('go', timeout=None)}"

        self.worker({"row": row})
        await flow.send(1, "go")
        self.assertEqual(await flow.result(), "b w 1")
        self.assertEqual(await waiting.result(), "b w 2")
        self.assertEqual((count(flow.id, "before"), count(waiting.id, "before"), count(waiting.id, "work")), (1, 1, 1))
        self.assertIn(count(flow.id, "work"), (2, 3))

    async def test_parallel_killed(self):
        """Parallel steps, killed in each order."""
        ids = []
        for order in map("".join, permutations("abc")):
            children = []
            for die_after in 1, 2, 3:
                name = f"{order} {die_after}"
                ids.append(name)
                await self.starter.start(name, {"order": order, "die_after": die_after}, id=name)
                children.append(await self.program(CONNECTIONS="1", QUEUE=name))
            for child in children:
                self.assertEqual(await child.wait(), -signal.SIGKILL)
        recorded = query("""SELECT workflow_id, name FROM durable_wf.step
                             WHERE workflow_id = ANY (%s) AND completed_at IS NOT NULL""", (ids,))
        for each in ids:
            self.assertGreaterEqual(len([1 for found, _ in recorded if found == each]), int(each[-1]))

        async def branches(ctx, input):
            async def branch(name):
                await ctx.step(f"{name}1", done, ctx.id, f"{name}1")
                await ctx.step(f"{name}2", done, ctx.id, f"{name}2")
                return name
            return await asyncio.gather(*(branch(name) for name in sorted(input["order"])))

        self.worker({each: branches for each in ids}, connections=4)
        for each in ids:
            self.assertEqual(await self.starter.result(each), ["a", "b", "c"])
        for workflow_id, name in recorded:
            self.assertEqual(count(workflow_id, name), 1, (workflow_id, name))

    async def test_sigterm(self):
        """SIGTERM drains."""
        for sync in "", "1":
            child = await self.program(SYNC=sync)
            flow = await self.starter.start("slow", id=f"drained {sync}")
            await self.says(child, "in the step")
            child.terminate()
            self.assertEqual(await child.wait(), -signal.SIGTERM)
            self.assertEqual(await flow.status(), "SUCCESS")

    async def test_cancelled(self):
        """In a wait, in a step, and the worker goes on."""
        seen = []
        begun = asyncio.Event()

        async def cancelled(ctx, where):
            try:
                if where == "wait":
                    return await ctx.recv("never", timeout=None)

                async def work():
                    begun.set()
                    await asyncio.sleep(0.1)
                return await ctx.step("work", work)
            except Exception as error:
                seen.append(error)

        async def following(ctx, input):
            return "next"

        wf = self.worker({"cancelled": cancelled, "next": following}, connections=1)
        waiting = await wf.start("cancelled", "wait", id="cancelled wait")
        await until_async("EXISTS (SELECT FROM wf_waiters WHERE workflow_id = 'cancelled wait')")
        await waiting.cancel()
        with self.assertRaises(WorkflowCancelled):
            await waiting.result()
        working = await wf.start("cancelled", "step", id="cancelled step")
        await begun.wait()
        await working.cancel()
        self.assertEqual(await (await wf.start("next")).result(), "next")
        self.assertEqual(seen, [])

    async def test_suspended(self):
        """A thousand suspended over two connections; a restart; then all go on."""
        ids = [f"suspended-{n}" for n in range(1000)]
        worked = []

        async def patient(ctx, input):
            await ctx.step("first", lambda: worked.append(ctx.id))
            return await ctx.recv("go", timeout="1 day")

        wf = self.worker({"patient": patient}, suspend_after=0)
        query("SELECT wf_start(id, queue => 'patient') FROM unnest(%s::text[]) id", (ids,))
        await until_async(WAITING, (1000, "patient"))
        await until_async("(SELECT count(*) = 2 FROM wf_waiters WHERE door = 'queue')")
        self.assertEqual(value("""SELECT count(*) FROM pg_stat_activity
                                   WHERE application_name = 'durable-wf worker'"""), 2)
        await asyncio.to_thread(restart, "immediate")
        results = [asyncio.ensure_future(wf.result(each)) for each in ids]
        await self.starter.send_many([(each, n) for n, each in enumerate(ids)], "go")
        self.assertEqual(await asyncio.gather(*results), list(range(1000)))
        self.assertEqual(sorted(worked), sorted(ids))

    async def test_bad_deploy(self):
        """A bad deploy and its repair, under fifty suspended."""
        ids = [f"deployed-{n}" for n in range(50)]

        async def good(ctx, input):
            await ctx.step("price", lambda: 5)
            return await ctx.recv("go", timeout=None)

        async def bad(ctx, input):
            await ctx.step("cost", lambda: 6)
            return await ctx.recv("go", timeout=None)

        first = self.worker({"deployed": good}, suspend_after=0)
        query("SELECT wf_start(id, queue => 'deployed') FROM unnest(%s::text[]) id", (ids,))
        await until_async(WAITING, (50, "deployed"))
        await first.close()
        second = self.worker({"deployed": bad})
        logger = logging.getLogger("durable_wf")
        logger.setLevel(logging.ERROR)
        try:
            with self.assertLogs(logger, "ERROR") as logs:
                await second.send_many([(each, n) for n, each in enumerate(ids)], "go")
                while len({line.split('"')[1] for line in logs.output}) < 50:
                    await asyncio.sleep(0.05)
        finally:
            logger.setLevel(logging.CRITICAL)
        await second.close()
        self.worker({"deployed": good})
        for n, each in enumerate(ids):
            self.assertEqual(await self.starter.result(each), n)

    async def test_stop(self):
        """stop() gives up what does not end."""
        begun = asyncio.Event()

        async def endless(ctx, input):
            async def work():
                begun.set()
                await asyncio.Event().wait()
            await ctx.step("endless", work)

        async def at_last(ctx, input):
            return await ctx.step("endless", lambda: "at last")

        wf = AsyncDurableWf()
        self.clients.append(wf)
        wf.workflow("endless")(endless)
        worker = wf.work(signals=())
        flow = await wf.start("endless")
        await begun.wait()
        self.assertEqual(worker.running, 1)
        await worker.stop(drain_timeout=0.01)
        await until_async("NOT EXISTS (SELECT FROM wf_executions)")
        self.worker({"endless": at_last})
        self.assertEqual(await flow.result(), "at last")


class SyncWorker(unittest.TestCase):
    def test_sync(self):
        """Workflows that are ordinary functions, many over two connections."""
        create_extension()
        with DurableWf() as wf:
            @wf.workflow("sync")
            def sync(ctx, n):
                first = ctx.step("first", lambda: n * 2)
                with ctx.create_hook(f"hook {ctx.id}") as hook:
                    ctx.set_event("ready", True)
                    for payload in hook:
                        first += payload
                        break
                return [first, ctx.recv("go", timeout=None)]

            with self.assertRaises(ValueError):
                wf.work(["no such"])
            wf.work(connections=2, suspend_after=0.01)
            flows = [sync.start(n, id=f"sync-{n}") for n in range(100)]
            for flow in flows:
                self.assertTrue(flow.get_event("ready"))
                wf.resume_hook(f"hook {flow.id}", 1)
            wf.send_many([(flow, "x") for flow in flows], "go")
            self.assertEqual([flow.result() for flow in flows], [[n * 2 + 1, "x"] for n in range(100)])
            self.assertEqual(value("SELECT count(*) FROM durable_wf.step WHERE name = 'first'") >= 100, True)
        until("""(SELECT count(*) = 0 FROM pg_stat_activity
                   WHERE application_name = 'durable-wf worker')""")
