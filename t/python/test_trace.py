"""Traces: what is sent takes along the active span's context, by OpenTelemetry's API (a
stand-in of its name) or by the client's option; a worker's code has its workflow's and
that of what it receives."""

import contextlib
import contextvars
import sys
import types
import unittest

from durable_wf import AsyncDurableWf, DurableWf
from support import Case, create_extension, query, until_async, value

ACTIVE = contextvars.ContextVar("active", default=None)


class Span:
    """What OpenTelemetry's API says of a span."""

    def __init__(self, digit):
        self.is_valid = digit is not None
        self.trace_id = int((digit or "0") * 32, 16)
        self.span_id = int((digit or "0") * 16, 16)
        self.trace_flags = 1

    def get_span_context(self):
        return self


def of(digit):
    return f"00-{digit * 32}-{digit * 16}-01"


@contextlib.contextmanager
def within(digit):
    token = ACTIVE.set(digit)
    try:
        yield
    finally:
        ACTIVE.reset(token)


def traces(workflow_id):
    return [f"{payload} {trace[3] if trace else '-'}" for payload, trace in query(
        """SELECT payload #>> '{}', traceparent FROM durable_wf.message
            WHERE workflow_id = %s ORDER BY message_id""", (workflow_id,))]


class Trace(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        create_extension()
        api = types.ModuleType("opentelemetry.trace")
        api.get_current_span = lambda: Span(ACTIVE.get())
        sys.modules["opentelemetry.trace"] = api

    @classmethod
    def tearDownClass(cls):
        del sys.modules["opentelemetry.trace"]
        super().tearDownClass()

    async def test_the_client(self):
        async with AsyncDurableWf() as wf:
            sink = await wf.start(None, id="py-sink")
            with within("a"):
                await sink.send("a")
            await sink.send("none")
            with within("b"):
                await wf.send_many([(sink, "many"), (sink, "too")])
            with within("c"):
                self.assertEqual(len(await wf.notify("e", "notified", sink)), 1)
            with within("d"):
                await wf.start(None, id="py-started")
        self.assertEqual(traces("py-sink"), ["a a", "none -", "many b", "too b", "notified c"])
        self.assertEqual(value("SELECT traceparent FROM wf_workflows WHERE workflow_id = 'py-started'"),
                         of("d"))

    async def test_the_option(self):
        for traceparent, message in ((of("1"), "string"), (lambda: of("2"), "function"), (False, "false")):
            async with AsyncDurableWf(traceparent=traceparent) as wf:
                await wf.start(None, id="py-option")
                with within("a"):
                    await wf.send("py-option", message)
        self.assertEqual(traces("py-option"), ["string 1", "function 2", "false -"])

    async def test_a_worker(self):
        async with AsyncDurableWf() as wf:
            await wf.start(None, id="py-end")

            @wf.workflow("traced")
            async def code(ctx, input):
                await ctx.send("py-end", "own")
                with within("e"):
                    await ctx.send("py-end", "in a span")
                await ctx.recv("go", timeout=None)
                received = await ctx.received_traceparent()
                with within(received[3]):
                    await ctx.send("py-end", "goes on")
                return {"own": ctx.traceparent, "received": received}

            with within("a"):
                handle = await wf.start("traced")
            worker = wf.work(suspend_after=0.01, signals=())
            await until_async("(SELECT status = 'WAITING' FROM wf_workflows WHERE workflow_id = %s)", (handle.id,))
            with within("b"):
                await handle.send(1, "go")
            self.assertEqual(await handle.result(60), {"own": of("a"), "received": of("b")})
            await worker.stop()
        self.assertEqual(traces("py-end"), ["own a", "in a span e", "goes on b"])


class SyncTrace(unittest.TestCase):
    def test_a_synchronous_client_and_its_functions(self):
        create_extension()
        with DurableWf(traceparent=ACTIVE.get) as wf:
            wf.start(None, id="py-sync")
            with within(of("a")):
                wf.send("py-sync", "client")

            @wf.workflow("sync-traced")
            def code(ctx, input):
                with within(of("b")):
                    ctx.send("py-sync", "code")
                ctx.recv("go")
                return ctx.received_traceparent()

            handle = wf.start("sync-traced")
            with within(of("c")):
                handle.send(1, "go")
            worker = wf.work()
            self.assertEqual(handle.result(60), of("c"))
            worker.stop()
        self.assertEqual(traces("py-sync"), ["client a", "code b"])


if __name__ == "__main__":
    unittest.main()
