"""A worker in a process of its own, to be killed: for test_worker.py. What it is to do
comes in the environment (CONNECTIONS, QUEUE, which names the workflow with the
branches, and SYNC) and in the inputs. It says in its output where it is."""

import asyncio
import os
import signal
import time

from durable_wf import AsyncDurableWf, DurableWf
from support import done


def tell(what):
    print(what, flush=True)


def define(wf):
    @wf.workflow("row")
    async def row(ctx, input):
        """Three things in a row; tells when it is in one, and stays there."""
        async def work():
            await asyncio.to_thread(done, ctx.id, "work")
            if input.get("stay") == "step":
                tell("in the step")
                await asyncio.Event().wait()
            return "w"

        await ctx.step("before", done, ctx.id, "before")
        await ctx.step("work", work)
        tell("waits")
        return f"b w {await ctx.recv('go', timeout=None)}"

    @wf.workflow(os.environ.get("QUEUE", "branches"))
    async def branches(ctx, input):
        """Branches at a time; the first steps become ready in a given order, and the
        process kills itself when so many are saved."""
        order, gates, saved = input["order"], {}, []

        async def first(name):
            await gates.setdefault(name, asyncio.Event()).wait()
            await asyncio.to_thread(done, ctx.id, f"{name}1")

        def open_gate(name):
            gates.setdefault(name, asyncio.Event()).set()

        async def branch(name):
            await ctx.step(f"{name}1", first, name)
            saved.append(name)
            if len(saved) == input["die_after"]:
                os.kill(os.getpid(), signal.SIGKILL)
            after = order[order.index(name) + 1:]
            if after:
                loop.call_soon(open_gate, after[0])
            await ctx.step(f"{name}2", done, ctx.id, f"{name}2")
            return name

        loop.call_soon(open_gate, order[0])
        return await asyncio.gather(*(branch(name) for name in sorted(order)))

    @wf.workflow("slow")
    async def slow(ctx, input):
        """Takes its time, and tells when it has begun."""
        async def work():
            tell("in the step")
            await asyncio.sleep(0.3)
        await ctx.step("slow", work)
        return "in peace"

    return [branches] if "QUEUE" in os.environ else None


async def main():
    global loop
    loop = asyncio.get_running_loop()
    async with AsyncDurableWf() as wf:
        await wf.work(define(wf), connections=int(os.environ.get("CONNECTIONS", 2)))


def main_sync():
    wf = DurableWf()

    @wf.workflow("slow")
    def slow(ctx, input):
        def work():
            tell("in the step")
            time.sleep(0.3)
        ctx.step("slow", work)
        return "in peace"

    wf.work(connections=2).wait()


if os.environ.get("SYNC"):
    main_sync()
else:
    asyncio.run(main())
