"""durable_wf.testing: workflows without a server, time skipped, journals replayed.

What holds of a run here holds of a run by a worker, which has the same _run.py.
"""

import asyncio
import unittest
from datetime import datetime, timedelta, timezone

from durable_wf import (Backoff, FatalError, ReplayMismatch, RetryableError, RunOver, StepError,
                        step_info)
from durable_wf.testing import Journal, TestOutcome, WorkflowTest, replay

EPOCH = datetime.fromtimestamp(0, timezone.utc)


async def checkout(ctx, input):
    order = await ctx.step("reserve", lambda: {"sku": input["sku"], "at": EPOCH})
    await ctx.set_event("payment_url", f"https://pay.example/{ctx.id}")
    paid = await ctx.recv("paid", timeout="30 min")
    if paid is None:
        await ctx.step("release", lambda: None)
        return {"status": "expired", "at": await ctx.now()}
    await ctx.send("ledger", {"order": order, "paid": paid}, "booked")
    return {"status": "paid", "paid": paid}


def checkout_sync(ctx, input):
    order = ctx.step("reserve", lambda: {"sku": input["sku"], "at": EPOCH})
    ctx.set_event("payment_url", f"https://pay.example/{ctx.id}")
    paid = ctx.recv("paid", timeout="30 min")
    if paid is None:
        ctx.step("release", lambda: None)
        return {"status": "expired", "at": ctx.now()}
    ctx.send("ledger", {"order": order, "paid": paid}, "booked")
    return {"status": "paid", "paid": paid}


class Testing(unittest.TestCase):
    def test_message(self):
        """A message that is there, and one that comes too late."""
        for code in checkout, checkout_sync:
            test = WorkflowTest(code, {"sku": "A1"}).send({"amount": 5}, "paid")
            self.assertEqual(test.run(), TestOutcome("SUCCESS", {"status": "paid", "paid": {"amount": 5}}))
            self.assertEqual(test.sent[0]["message"]["order"],
                             {"sku": "A1", "at": "1970-01-01T00:00:00+00:00"})
            late = WorkflowTest(code, {"sku": "A1"}, now=EPOCH).send(1, "paid", after="31 min")
            self.assertEqual(late.run().output,
                             {"status": "expired", "at": "1970-01-01T00:30:00+00:00"})

    def test_goes_on(self):
        """A run goes on against its journal, and no step is done twice."""
        done = []

        async def code(ctx, input):
            for n in range(3):
                await ctx.step("count", done.append, n)
                await ctx.recv("go", timeout=None)
            return len(done)

        test = WorkflowTest(code)
        self.assertEqual(test.run().status, "WAITING")
        test.send(1, "go")
        self.assertEqual(test.run().status, "WAITING")
        test.send(2, "go").send(3, "go")
        self.assertEqual(test.run(), TestOutcome("SUCCESS", 3))
        self.assertEqual(done, [0, 1, 2])
        self.assertEqual([record.name for record in test.journal],
                         ["count", "go", "count #2", "go", "count #3", "go"])

    def test_suspension_is_no_exception(self):
        """No except Exception sees it; what finally does by ctx has no effect."""
        seen = []

        async def code(ctx, input):
            try:
                return await ctx.recv("never", timeout=None)
            except Exception as error:
                seen.append(error)
            finally:
                seen.append(ctx.is_over)
                await ctx.send("x", "finally")

        def sync_code(ctx, input):
            try:
                return ctx.recv("never", timeout=None)
            except Exception as error:
                seen.append(error)
            finally:
                seen.append(ctx.is_over)
                ctx.send("x", "finally")

        for each in code, sync_code:
            seen.clear()
            test = WorkflowTest(each)

            async def run(test=test):
                outcome = await test.run_async()
                for _ in range(200):      # a thread unwinds by itself
                    if seen:
                        break
                    await asyncio.sleep(0.01)
                return outcome

            self.assertEqual(asyncio.run(run()).status, "WAITING")
            self.assertEqual(seen, [True])
            self.assertEqual(test.sent, [])
            test.send("now", "never")
            self.assertEqual(test.run(), TestOutcome("SUCCESS", "now"))
            self.assertEqual(seen, [True, False])
            self.assertEqual(len(test.sent), 1)
        self.assertFalse(issubclass(RunOver, Exception))

    def test_attempts(self):
        """Attempts, backoff, and errors that say what to do."""
        def run(error, **options):
            tried = []

            async def code(ctx, input):
                async def attempt():
                    self.assertEqual(step_info().key, "test/1")
                    tried.append(step_info().attempt)
                    raise error
                return await ctx.step("try", attempt, **options)

            test = WorkflowTest(code, now=EPOCH)
            outcome = test.run()
            return outcome.error, len(tried), test.now.timestamp()

        self.assertEqual(run(Exception("no")), ("no", 1, 0))
        self.assertEqual(run(Exception("no"), attempts=5), ("no", 5, 15))
        self.assertEqual(run(Exception("no"), attempts=3, backoff="1 min"), ("no", 3, 120))
        self.assertEqual(run(Exception("no"), attempts=4, backoff=Backoff(0.1, 10, timedelta(seconds=5))),
                         ("no", 4, 6.1))
        self.assertEqual(run(Exception("no"), attempts=3, backoff=lambda n, error: n * 7), ("no", 3, 21))
        self.assertEqual(run(FatalError("stop"), attempts=5), ("stop", 1, 0))
        self.assertEqual(run(RetryableError("soon", retry_after="3 s"), attempts=2), ("soon", 2, 3))
        self.assertEqual(run(ValueError("bad")), ("ValueError: bad", 1, 0))

    def test_failed_step(self):
        """A step that failed fails alike in a replay."""
        seen = []

        async def code(ctx, input):
            def charge():
                raise ValueError("too much")
            try:
                await ctx.step("charge", charge)
            except StepError as error:
                seen.append((error.step, str(error)))
            return await ctx.recv("go", timeout=None)

        test = WorkflowTest(code)
        test.run()
        test.send(1, "go")
        self.assertEqual(test.run().status, "SUCCESS")
        self.assertEqual(seen, [("charge", "ValueError: too much")] * 2)

    def test_timeout(self):
        """A step that takes too long is cancelled."""
        cancelled = []

        async def code(ctx, input):
            async def slow():
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    cancelled.append(True)
                    raise
            return await ctx.step("slow", slow, timeout=0.01)

        self.assertEqual(WorkflowTest(code).run().error,
                         'StepTimeout: step "slow" took longer than 0.01 s')
        self.assertEqual(cancelled, [True])

    def test_json(self):
        """What is JSON, and what is not."""
        def output(fn):
            async def code(ctx, input):
                return await ctx.step("s", fn)
            outcome = WorkflowTest(code).run()
            return outcome.error or outcome.output

        self.assertIsNone(output(lambda: None))
        self.assertEqual(output(lambda: (1, 2**70, "ä", {"a": [None, 1.5]})), [1, 2**70, "ä", {"a": [None, 1.5]}])
        self.assertRegex(output(lambda: object()), "TypeError: a object is no JSON")
        self.assertRegex(output(lambda: float("nan")), "ValueError")

        async def code(ctx, input):
            return [await ctx.recv("t", default="none"), await ctx.recv("t", timeout=0, default="none")]
        self.assertEqual(WorkflowTest(code).send(None, "t").run().output, [None, "none"])

    def test_parallel(self):
        """Parallel steps replay in the order in which they were done."""
        for slow in "ab":
            gate = {}

            async def code(ctx, input):
                async def branch(name):
                    async def first():
                        if name == slow:
                            await gate["event"].wait()

                    async def second():
                        if name != slow:
                            gate["event"].set()

                    await ctx.step(f"{name}1", first)
                    await ctx.step(f"{name}2", second)
                    return name

                both = await asyncio.gather(branch("a"), branch("b"))
                await ctx.recv("go", timeout=None)
                return both

            async def twice():
                gate["event"] = asyncio.Event()
                test = WorkflowTest(code)
                self.assertEqual((await test.run_async()).status, "WAITING")
                order = [record.name for record in test.journal]
                self.assertEqual(order, ["a1", "b1", "b2", "a2"] if slow == "a" else ["a1", "b1", "a2", "b2"])
                test.send(1, "go")
                return await test.run_async()

            self.assertEqual(asyncio.run(twice()), TestOutcome("SUCCESS", ["a", "b"]))

    def test_same_name(self):
        """Steps of one name at a time keep their own results."""
        async def code(ctx, input):
            async def fetch(seconds):
                await asyncio.sleep(seconds)
                return seconds
            got = await asyncio.gather(*(ctx.step("fetch", fetch, n / 100) for n in (3, 1, 2)))
            await ctx.recv("go", timeout=None)
            return got

        test = WorkflowTest(code)
        test.run()
        test.send(1, "go")
        self.assertEqual(test.run().output, [0.03, 0.01, 0.02])

    def test_several_waits(self):
        """The first of several waits wins, the others stay."""
        async def race(ctx, input):
            async def asleep():
                await ctx.sleep("1 h")
                return "asleep"
            done, rest = await asyncio.wait(
                [asyncio.ensure_future(ctx.recv("answer", timeout="2 h")), asyncio.ensure_future(asleep())],
                return_when=asyncio.FIRST_COMPLETED)
            return [done.pop().result(), await ctx.now()]

        self.assertEqual(WorkflowTest(race, now=EPOCH).run().output,
                         ["asleep", "1970-01-01T01:00:00+00:00"])
        self.assertEqual(WorkflowTest(race, now=EPOCH).send("yes", "answer", after="5 min").run().output,
                         ["yes", "1970-01-01T00:05:00+00:00"])

        async def all_of_them(ctx, input):
            return await asyncio.gather(
                ctx.recv("a", timeout=None), ctx.recv("b", timeout="1 min", default="no"),
                ctx.wait_for_event("c", timeout="1 h"), ctx.sleep(10))

        test = WorkflowTest(all_of_them, now=EPOCH).notify("c", 3, after=2)
        self.assertEqual(test.run().status, "WAITING")
        test.send(1, "a")
        self.assertEqual(test.run().output, [1, "no", [3, False], "1970-01-01T00:00:10+00:00"])

    def test_all(self):
        """any, recv_any, hooks, streams, children."""
        async def code(ctx, input):
            seen = []
            async with await ctx.create_hook("shop") as hook:
                while True:
                    got = await ctx.any({"paid": "paid", "hook": hook, "child": ctx.workflow("c")}, timeout="1 day")
                    if got is None:
                        break
                    seen.append(list(got))
                    if got.source == "child":
                        break
            seen.append(await ctx.recv_any(["x", None], timeout=0))
            child = await ctx.start_child("double", 21)
            seen.append(await child.result())
            await ctx.write_stream("log", 1, 2)
            await ctx.close_stream("log")
            async for item in ctx.read_stream(ctx.id, "log"):
                seen.append(item)
            return seen

        def sync_code(ctx, input):
            seen = []
            with ctx.create_hook("shop") as hook:
                while True:
                    got = ctx.any({"paid": "paid", "hook": hook, "child": ctx.workflow("c")}, timeout="1 day")
                    if got is None:
                        break
                    seen.append(list(got))
                    if got.source == "child":
                        break
            seen.append(ctx.recv_any(["x", None], timeout=0))
            seen.append(ctx.start_child("double", 21).result())
            ctx.write_stream("log", 1, 2)
            ctx.close_stream("log")
            seen.extend(ctx.read_stream(ctx.id, "log"))
            return seen

        for each in code, sync_code:
            test = WorkflowTest(each, children={"double": lambda n: n * 2})
            test.send(5, "paid", after=1).resume_hook("shop", {"ok": 1}, after=2)
            test.send("plain", after=2).finish("c", 9, after=3)
            self.assertEqual(test.run().output, [
                ["paid", 5], ["hook", {"ok": 1}],
                ["child", {"status": "SUCCESS", "output": 9, "error": None}],
                [None, "plain"], 42, 1, 2])
            self.assertEqual(test.hooks, [])
            self.assertEqual(test.started[0]["queue"], "double")

    def test_webhook(self):
        """A webhook answers."""
        async def code(ctx, input):
            webhook = await ctx.create_webhook("manual")
            await ctx.set_event("url", webhook.url)
            async for request in webhook:
                await request.respond(201, {"got": request.json()})
                return [request.method, request.headers["x-test"], request.text()]

        test = WorkflowTest(code)
        test.run()
        test.request(test.events["url"], {"a": 1}, headers={"X-Test": "1"})
        self.assertEqual(test.run().output, ["POST", "1", '{"a": 1}'])
        self.assertEqual((test.responses[0]["status"], test.responses[0]["body"]), (201, '{"got": {"a": 1}}'))

    def test_refused(self):
        """Calls in a step, timers and threads in the code are refused."""
        async def inside(ctx, input):
            await ctx.step("s", lambda: ctx.send("x", 1))

        async def timer(ctx, input):
            await asyncio.sleep(1)

        async def thread(ctx, input):
            await asyncio.to_thread(print)

        self.assertRegex(WorkflowTest(inside).run().error, "cannot be called inside of a step")
        self.assertRegex(WorkflowTest(timer).run().error, "use ctx.sleep")
        self.assertRegex(WorkflowTest(thread).run().error, "no timers, threads")

    def test_continue_as_new(self):
        async def code(ctx, n):
            await ctx.sleep("1 h")
            if n < 3:
                await ctx.continue_as_new(n + 1)
            return n

        test = WorkflowTest(code, 0, now=EPOCH)
        self.assertEqual(test.run(), TestOutcome("SUCCESS", 3))
        self.assertEqual(test.now.timestamp(), 4 * 3600)

    def test_nothing_after_mismatch(self):
        """After a mismatch nothing more is sent, whichever call it was."""
        async def first(ctx, input):
            await ctx.set_event("a", 1)
            await ctx.recv("go", timeout=None)

        for begin in (lambda ctx: ctx.set_event("b", 1)), (lambda ctx: ctx.step("b", lambda: 1)):
            async def changed(ctx, input, begin=begin):
                await asyncio.gather(begin(ctx), ctx.send("x", 1), ctx.send("y", 2))

            async def both(changed=changed):
                test = WorkflowTest(first)
                await test.run_async()
                with self.assertRaises(ReplayMismatch):
                    await test.run_async(changed)
                await asyncio.sleep(0.01)
                return test.sent

            self.assertEqual(asyncio.run(both()), [])

    def test_replay(self):
        """Changed code against a recorded journal."""
        test = WorkflowTest(checkout, {"sku": "A1"}).send(1, "paid")
        test.run()
        recorded = Journal("test", {"sku": "A1"}, test.journal)
        self.assertEqual(replay(checkout, recorded).status, "SUCCESS")
        self.assertEqual(replay(checkout_sync, recorded).status, "SUCCESS")
        self.assertEqual(replay(checkout, Journal("test", {"sku": "A1"}, test.journal[:2])).status, "WAITING")

        async def changed(ctx, input):
            await ctx.step("reserve", lambda: input)
            await ctx.step("check", lambda: 1)

        with self.assertRaisesRegex(
                ReplayMismatch, r'step 2 was recorded as wf_set_event\(payment_url\), and step "check"'):
            replay(changed, recorded)

        async def patched(ctx, input):
            await ctx.step("reserve", lambda: input)
            if await ctx.patched("check"):
                await ctx.step("check", lambda: 1)
            await ctx.set_event("payment_url", "x")
            return await ctx.recv("paid")

        self.assertEqual(replay(patched, recorded).output, 1)
        fresh = WorkflowTest(patched, 1).send(2, "paid")
        self.assertEqual(fresh.run().output, 2)
        self.assertEqual([record.name for record in fresh.journal],
                         ["reserve", "check", "check", "payment_url", "paid"])
        self.assertEqual(replay(patched, Journal("test", 1, fresh.journal)).output, 2)


if __name__ == "__main__":
    unittest.main()
