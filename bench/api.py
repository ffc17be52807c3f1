"""The API beside a bare FastAPI route that returns the same bytes, both under Uvicorn, in one run.

Run it as ``python bench/api.py [--seconds 3] [--connections 16]``. It prints a table: what, ours, bare, the ratio (the
median of three rounds, taken in turns), and at the end the page of history from 1,000,000 executions beside one from
10,000. It starts all that it needs and leaves nothing behind.

*Bare* sends bytes that it has in memory: no parameters, no database, no serialising. *Serialising* is the same route
where the framework makes the bytes, from dicts in memory, by the model of the answer. *For the first time*: each
request asks what nobody asked before (a query that makes no difference), so that no answer can be one that was kept.
"""

import sys

sys.path.append(sys.path.pop(0))  # beside this file, `queue` would not be the standard library's

import argparse
import asyncio
import itertools
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import nbformat
import psycopg
from rich.console import Console
from rich.table import Table

from pressroom.database.embedded import EmbeddedServer

ROUNDS = 3
ANEW = ", for the first time"
NUMBERS = itertools.count()
BARE = """
import json, sys, uvicorn
from fastapi import FastAPI, Response
from pressroom.executions.schemas import ExecutionOut
from pressroom.notebooks.schemas import NotebookOut, NotebookWithParameters
bodies = [open(name, "rb").read() for name in sys.argv[2:]]
app = FastAPI()
for number, body in enumerate(bodies):
    def route(body=body):
        async def answer():
            return Response(body, media_type="application/json")
        return answer
    app.get(f"/{number}")(route())
for number, model in enumerate((list[NotebookOut], NotebookWithParameters, list[ExecutionOut])):
    def route(data=json.loads(bodies[number])):
        async def answer():
            return data
        return answer
    app.get(f"/serialising/{number}", response_model=model)(route())
@app.post("/create", status_code=201)
async def create():
    return Response(bodies[-1], 201, media_type="application/json")
uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)
"""


class Caller(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, requests, until, statuses):
        self.requests, self.until, self.statuses = requests, until, statuses
        self.count, self.buffer = 0, b""
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        transport.write(next(self.requests))

    def data_received(self, data):
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(body) < length:
            return
        self.statuses.add(int(head[9:12]))
        self.buffer = b""
        self.count += 1
        if time.perf_counter() < self.until:
            self.transport.write(next(self.requests))
        else:
            self.transport.close()
            self.done.set_result(self.count)


async def rate(port, requests, connections, seconds, status):
    """Requests a second."""
    statuses = set()
    began = time.perf_counter()
    loop = asyncio.get_running_loop()
    callers = []
    for _ in range(connections):
        _, caller = await loop.create_connection(lambda: Caller(requests, began + seconds, statuses), "127.0.0.1", port)
        callers.append(caller)
    total = sum(await asyncio.gather(*(caller.done for caller in callers)))
    assert statuses == {status}, f"answered {statuses}"
    return total / (time.perf_counter() - began)


def get(path):
    message = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    while True:
        yield message


def get_anew(path):
    """Each time under another query that makes no difference."""
    while True:
        yield f"GET {path}?unheard={next(NUMBERS)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def post(path, bodies):
    for body in bodies:
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        yield f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


def creations(folder, start):
    """New notebooks, as many as are asked for, each on a file of its own (a link to one)."""
    number = start
    while True:
        path = folder / f"created-{number}.ipynb"
        os.link(folder / "notebook.ipynb", path)
        yield {"name": path.stem, "file_path": str(path), "username": "bench"}
        number += 1


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def until_up(port):
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"nothing listens on port {port}")


def fetch(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.read()


def fill(url, rows):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO notebook_executions"
            " (username, input_path, output_path, parameters_used, status, cells_completed)"
            " SELECT 'user' || g %% 20, '/home/u/n.ipynb', '/home/u/o' || g || '.ipynb',"
            " jsonb_build_object('region', 'EMEA', 'month', g %% 12),"
            " (ARRAY['success', 'failed'])[1 + (g %% 10 = 0)::int], 3 FROM generate_series(1, %s) g",
            (rows,),
        )
        connection.execute("VACUUM ANALYZE notebook_executions")


async def measure(options, port, bare, cases, folder):
    results = {}
    for round_number in range(ROUNDS):
        for name, (ours, bare_path, status) in cases.items():
            if name == "create":
                requests = post("/db/notebooks", creations(folder, round_number * 1_000_000))
                bare_requests = post("/create", iter(lambda: {"name": "x"}, None))
            else:
                requests = get_anew(ours) if name.endswith(ANEW) else get(ours)
                bare_requests = get(bare_path)
            mine = await rate(port, requests, options.connections, options.seconds, status)
            peer = await rate(bare, bare_requests, options.connections, options.seconds, status)
            results.setdefault(name, []).append((mine, peer))
    for name, (_, bare_path, status) in cases.items():
        if name != "create" and not name.endswith(ANEW):
            requests = get(f"/serialising{bare_path}")
            serialising = await rate(bare, requests, options.connections, options.seconds, status)
            results[name] = [(*pair, serialising) for pair in results[name]]
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    table = Table("what", "ours /s", "bare /s", "ratio", "serialising /s", title=f"{options.connections} connections")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "shared")
        folder.mkdir()
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]), folder / "notebook.ipynb")
        server = EmbeddedServer(Path(name, "data"))
        url = server.start()
        libpq = url.set(drivername="postgresql").render_as_string(hide_password=False)
        port, bare = free_port(), free_port()
        environment = {
            **os.environ,
            "PRESSROOM_DATA_DIR": str(Path(name, "data")),
            "PRESSROOM_SHARED_ROOTS": str(folder),
        }
        environment.pop("DATABASE_URL", None)
        command = [sys.executable, "-m", "pressroom.cli", "serve", "--port", str(port), "--log-level", "warning"]
        service = subprocess.Popen(command, env=environment)
        peer = None
        try:
            until_up(port)
            for number in range(100):
                os.link(folder / "notebook.ipynb", folder / f"n{number}.ipynb")
                body = {
                    "name": f"n{number}",
                    "file_path": str(folder / f"n{number}.ipynb"),
                    "username": "bench",
                    "tags": ["a"],
                }
                made = urllib.request.Request(f"http://127.0.0.1:{port}/db/notebooks", json.dumps(body).encode())
                made.add_header("Content-Type", "application/json")
                urllib.request.urlopen(made).close()
            parameters = [{"param_name": f"p{n}", "param_type": "integer", "default_value": n} for n in range(5)]
            made = urllib.request.Request(
                f"http://127.0.0.1:{port}/db/parameters/bulk/1", json.dumps(parameters).encode()
            )
            made.add_header("Content-Type", "application/json")
            urllib.request.urlopen(made).close()
            fill(libpq, 10_000)
            cases = {
                "list of 100 notebooks": ("/db/notebooks", "/0", 200),
                "one notebook with 5 parameters": ("/db/notebooks/1", "/1", 200),
                "page of 100 of 10,000 executions": ("/db/executions", "/2", 200),
                f"list of 100 notebooks{ANEW}": ("/db/notebooks", "/0", 200),
                f"one notebook with 5 parameters{ANEW}": ("/db/notebooks/1", "/1", 200),
                f"page of 100 of 10,000 executions{ANEW}": ("/db/executions", "/2", 200),
                "create": ("/db/notebooks", "/create", 201),
            }
            files = []
            for number, path in enumerate(("/db/notebooks", "/db/notebooks/1", "/db/executions", "/db/parameters/1")):
                files.append(Path(name, f"body{number}"))
                files[-1].write_bytes(fetch(port, path))
            peer = subprocess.Popen([sys.executable, "-c", BARE, str(bare), *map(str, files)])
            until_up(bare)
            results = asyncio.run(measure(options, port, bare, cases, folder))
            for case, pairs in results.items():
                mine, theirs, *serialising = (statistics.median(values) for values in zip(*pairs, strict=True))
                ratio = statistics.median(pair[0] / pair[1] for pair in pairs)
                table.add_row(
                    case, f"{mine:,.0f}", f"{theirs:,.0f}", f"{ratio:.2f}", *(f"{rate_:,.0f}" for rate_ in serialising)
                )
            small = asyncio.run(rate(port, get_anew("/db/executions"), 1, options.seconds, 200))
            fill(libpq, 990_000)
            large = asyncio.run(rate(port, get_anew("/db/executions"), 1, options.seconds, 200))
            Console().print(table)
            Console().print(
                f"page of history, one caller: {1000 / small:.2f} ms from 10 thousand,"
                f" {1000 / large:.2f} ms from 1 million: {small / large:.2f} times"
            )
        finally:
            for process in (service, peer):
                if process is not None:
                    process.terminate()
                    process.wait()
            server.stop()


if __name__ == "__main__":
    main()
