"""The queue beside Procrastinate bare, in one run: submissions, drains, wake-ups; and what it adds to an execution.

Run it as ``python bench/queue.py [--rounds 3] [--scale 1] [--only submit,bulk,drain,output,wake,http]``. Ours is the
product with a press that does nothing; bare is a task that does nothing, deferred in a transaction and drained by
Procrastinate's own worker with its defaults, in a database of its own on the same server. With ``output`` our press
writes a file, which is put in its place; bare does not. Each figure is the median of rounds that are taken in turns;
``--scale`` multiplies how much is done in each. It starts all that it needs and leaves nothing behind.
"""

import sys

sys.path.append(sys.path.pop(0))  # else this file would be the standard library's `queue`

import argparse
import asyncio
import multiprocessing
import os
import time

import psycopg
from rich.console import Console
from rich.table import Table

from pressroom.press import Finished, Press, Request
from pressroom.press.environment import kernel_environment
from queue_bare import Bare
from queue_ours import Ours
from stand import libpq, median, notebook, percentile, post, server, serving, workers

SINGLE, BULK, DRAINED, WOKEN, EXECUTED = 400, 10_000, 800, 100, 15
KINDS = ("submit", "bulk", "drain", "output", "wake", "http")
WORKING = "SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE status IN ('todo', 'doing'))"


async def single(side, count):
    """Submissions a second, one after the other."""
    side.clear()
    for number in range(20):
        await side.submit(number)
    began = time.perf_counter()
    for number in range(count):
        await side.submit(number)
    return count / (time.perf_counter() - began)


async def bulk(side, count):
    """Submissions a second, all in one transaction."""
    side.clear()
    began = time.perf_counter()
    await side.submit_many(count)
    return count / (time.perf_counter() - began)


async def until(connection, question, answer):
    async with asyncio.timeout(120):
        while (await (await connection.execute(question)).fetchone())[0] != answer:
            await asyncio.sleep(0.02)


async def drain(side, count, processes, *, output=False):
    """Executions drained a second by idle workers, from the commit of all to the end of the last."""
    side.clear()
    async with await psycopg.AsyncConnection.connect(libpq(side.url), autocommit=True) as connection:
        with workers(processes, side.write if output else side.work, *side.arguments, 1):
            await until(connection, "SELECT count(*) FROM procrastinate_workers", processes * side.rows)
            await asyncio.sleep(1.5)
            await side.submit_many(count)
            began = time.perf_counter()
            await until(connection, WORKING, answer=False)
            took = time.perf_counter() - began
        await connection.execute("DELETE FROM procrastinate_workers")
    print(f"{type(side).__name__} {processes}: {count / took:.0f} /s", file=sys.stderr)
    return count / took


async def wake(side, count):
    """Milliseconds from a commit to the start of the work on an idle worker, each."""
    side.clear()
    started = multiprocessing.get_context("spawn").SimpleQueue()
    async with await psycopg.AsyncConnection.connect(libpq(side.url), autocommit=True) as connection:
        with workers(1, side.work, *side.arguments, 1, started):
            await until(connection, "SELECT count(*) FROM procrastinate_workers", side.rows)
            await asyncio.sleep(1.5)
            found = []
            for number in range(count + 5):
                execution_id, committing = await side.submit_at(number)
                found_id, at = await asyncio.to_thread(started.get)
                assert found_id == execution_id
                found.append((at - committing) * 1000)
                await asyncio.sleep(0.03)
        await connection.execute("DELETE FROM procrastinate_workers")
    return found[5:]


async def pressed(press, file, number):
    """Milliseconds that the press takes by itself."""
    output = file.parent / "executions"
    output.mkdir(exist_ok=True)
    request = Request(file, output / f"direct-{number}.ipynb", {})
    began = time.perf_counter()
    async for event in press.execute(request):
        if isinstance(event, Finished):
            assert event.reason is None, event.message
    return (time.perf_counter() - began) * 1000


async def http(ours, count):
    """Milliseconds of an execution over HTTP, and of the same on the press."""
    ours.clear()
    file = notebook(ours.home / "one.ipynb", "1")
    press = Press(environment=kernel_environment(os.environ, []))
    served, direct = [], []
    with serving(ours.url, ours.home, "--workers", "1") as (port, _):
        for number in range(count + 2):
            direct.append(await pressed(press, file, number))
            began = time.perf_counter()
            await asyncio.to_thread(post, port, "/execute", {"input_path": str(file)})
            served.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.05)
    return served[2:], direct[2:]


async def in_turns(ours, bare, rounds, measure, *arguments, **options):
    pairs = [[await measure(side, *arguments, **options) for side in (ours, bare)] for _ in range(rounds)]
    mine, theirs = zip(*pairs, strict=True)
    return median(mine), median(theirs), median([a / b for a, b in pairs])


async def main(options):
    wanted, scale = options.only.split(","), options.scale
    table = Table("what", "ours", "bare", "ratio", "aim", title=f"medians of {options.rounds} rounds")

    def rates(what, found, aim):
        table.add_row(what, f"{found[0]:,.0f} /s", f"{found[1]:,.0f} /s", f"{found[2]:.2f}", aim)

    with server() as (url, home):
        async with Ours(url, home) as ours, Bare(url) as bare:
            if "submit" in wanted:
                found = await in_turns(ours, bare, options.rounds, single, int(SINGLE * scale))
                rates("submitted, one after the other", found, "0.70")
            if "bulk" in wanted:
                found = await in_turns(ours, bare, options.rounds, bulk, int(BULK * scale))
                rates(f"submitted, {int(BULK * scale):,} in one transaction", found, "0.70")
            for processes in (1, 4) if "drain" in wanted else ():
                found = await in_turns(ours, bare, options.rounds, drain, int(DRAINED * scale), processes)
                rates(f"drained by {processes} worker process{'es'[: processes * 2 - 2]}", found, "0.80")
            if "output" in wanted:
                found = await in_turns(ours, bare, options.rounds, drain, int(DRAINED * scale), 1, output=True)
                rates("drained by 1 worker process, ours with an output", found, "")
            if "wake" in wanted:
                mine, theirs = [await wake(side, int(WOKEN * scale)) for side in (ours, bare)]
                for what, share, aim in (("median", 0.5, "10 ms"), ("95 of 100", 0.95, "")):
                    a, b = percentile(mine, share), percentile(theirs, share)
                    table.add_row(f"commit to start, {what}", f"{a:.1f} ms", f"{b:.1f} ms", f"{a / b:.2f}", aim)
            if "http" in wanted:
                served, direct = await http(ours, int(EXECUTED * scale))
                a, b = median(served), median(direct)
                table.add_row("POST /execute beside the press alone", f"{a:.0f} ms", f"{b:.0f} ms", f"{a / b:.2f}", "")
                table.add_row("which the queue and HTTP add", f"{a - b:.0f} ms", "", "", "30 ms")
    Console(width=110).print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--only", default=",".join(KINDS))
    asyncio.run(main(parser.parse_args()))
