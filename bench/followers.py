"""A thousand followers of one execution, and five hundred callers who wait for others, on one real service.

Run it as ``python bench/followers.py [--followers 1000] [--waits 500] [--cells 40]``. It starts ``pressroom serve``
with one worker, lets followers read the Server-Sent Events of an execution that prints the time in every cell, and
callers wait for executions that stand in the queue behind it. It prints what each follower costs in memory, how long an
event takes from the cell to the last follower, and the service's threads and database connections before and after.
"""

import sys

sys.path.append(sys.path.pop(0))  # beside this file, `queue` would not be the standard library's

import argparse
import asyncio
import json
import time
from pathlib import Path

import psycopg
from rich.console import Console
from rich.table import Table

from stand import create, libpq, median, notebook, percentile, post, server, serving

ASLEEP = {"Prefer": "respond-async"}


class Follower(asyncio.Protocol):
    """One reader of an event stream; it notes when it saw which printed time."""

    def __init__(self, path, seen):
        self.path, self.seen, self.rest, self.ended = path, seen, b"", asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        transport.write(f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())

    def data_received(self, data):
        now = time.time()
        *frames, self.rest = (self.rest + data).split(b"\n\n")
        for frame in frames:
            if b"event: output" in frame:
                for word in json.loads(frame.split(b"data: ", 1)[1])["text"].split():
                    self.seen.setdefault(word, []).append(now - float(word))

    def connection_lost(self, _):
        self.ended.set_result(None)


class Waiting(asyncio.Protocol):
    """One caller who waits for the end of an execution."""

    def __init__(self, request):
        self.request, self.answer, self.ended = request, b"", asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        transport.write(self.request)

    def data_received(self, data):
        self.answer += data

    def connection_lost(self, _):
        self.ended.set_result(self.answer[9:12])


def usage(process_id, connection):
    """Resident MiB and threads of a process, and connections to the database."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{process_id}/status").read_text().splitlines())
    question = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    connections = connection.execute(question).fetchone()[0]
    return int(status["VmRSS"].split()[0]) / 1024, len(list(Path(f"/proc/{process_id}/task").iterdir())), connections


def waiting_request(file):
    body = json.dumps({"input_path": str(file)}).encode()
    head = "POST /execute HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def opened(port, count, make):
    loop, made = asyncio.get_running_loop(), []
    for number in range(count):
        made.append((await loop.create_connection(make, "127.0.0.1", port))[1])
        if number % 50 == 49:
            await asyncio.sleep(0.05)
    return made


async def measure(options, port, process_id, home, connection):
    table = Table("", "MiB", "threads", "connections", title=f"{options.followers} followers, {options.waits} waits")

    def note(what):
        found = usage(process_id, connection)
        table.add_row(what, f"{found[0]:.1f}", str(found[1]), str(found[2]))
        return found

    tick = "import time; time.sleep(0.25); print(time.time(), flush=True)"
    gate = home / "gate"
    hold = f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.05)"
    long = notebook(home / "long.ipynb", hold, *[tick] * options.cells)
    file = notebook(home / "behind.ipynb", "1")
    warm = await asyncio.to_thread(post, port, "/execute", {"input_path": str(file)})
    assert warm["status"] == "success"
    first = await asyncio.to_thread(post, port, "/execute", {"input_path": str(long)}, **ASLEEP)
    await asyncio.sleep(3)
    seen: dict[str, list[float]] = {}
    path = f"/db/executions/{first['id']}/events"
    before = note("an execution runs")
    followers = await opened(port, options.followers, lambda: Follower(path, seen))
    await asyncio.sleep(5)
    followed = note("followers read")
    waits = await opened(port, options.waits, lambda: Waiting(waiting_request(file)))
    question = "SELECT count(*) FROM notebook_executions WHERE status = 'pending'"
    async with asyncio.timeout(120):
        while connection.execute(question).fetchone()[0] < options.waits:
            await asyncio.sleep(0.2)
    await asyncio.sleep(2)
    held = note("and callers wait")
    gate.touch()
    await asyncio.gather(*(follower.ended for follower in followers))
    note("it has ended")
    times = [max(found) * 1000 for found in seen.values() if len(found) == options.followers]
    assert len(times) == options.cells, f"{len(times)} of {options.cells} events reached every follower"
    console = Console(width=110)
    console.print(table)
    console.print(
        f"memory: {(followed[0] - before[0]) * 1024 / options.followers:.0f} KiB a follower,"
        f" {(held[0] - followed[0]) * 1024 / options.waits:.0f} KiB a waiting caller\n"
        f"from the cell's print to the last of {options.followers} followers:"
        f" median {median(times):.0f} ms, 95 of 100 within {percentile(times, 0.95):.0f} ms"
    )
    connection.execute("UPDATE notebook_executions SET expires_at = now() WHERE status = 'pending'")
    answers = await asyncio.gather(*(waiting.ended for waiting in waits))
    console.print(f"every caller was answered: {len(answers)} of {options.waits}")


async def main(options):
    with server() as (maintenance, home):
        url = create(maintenance, "followers")
        with (
            psycopg.connect(libpq(url), autocommit=True) as connection,
            serving(url, home, "--workers", "1") as (port, process_id),
        ):
            await measure(options, port, process_id, home, connection)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--followers", type=int, default=1000)
    parser.add_argument("--waits", type=int, default=500)
    parser.add_argument("--cells", type=int, default=40)
    asyncio.run(main(parser.parse_args()))
