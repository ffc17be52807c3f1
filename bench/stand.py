"""What the benches of the queue stand on: a PostgreSQL of their own, the product's parts, processes that work."""

import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import psycopg
from sqlalchemy import URL

from pressroom.database import migrate
from pressroom.database.embedded import EmbeddedServer

os.environ["PYTHONSAFEPATH"] = "1"  # for processes started in this folder, which has a queue.py too


@contextmanager
def server() -> Iterator[tuple[URL, Path]]:
    """An embedded server in a temporary folder, and a folder for notebooks; both are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="pressroom-bench-") as name:
        home = Path(name, "home", "bench")
        home.mkdir(parents=True)
        embedded = EmbeddedServer(Path(name, "data"))
        url = embedded.start()
        try:
            yield url, home
        finally:
            embedded.stop()


def libpq(url: URL) -> str:
    """The URL as psycopg reads it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def create(url: URL, name: str, *, migrated: bool = True) -> URL:
    """A database of its own on the server."""
    with psycopg.connect(libpq(url), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    made = url.set(database=name)
    if migrated:
        migrate.upgrade(made)
    return made


def notebook(path: Path, *sources: str) -> Path:
    """A notebook of code cells."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, path)
    return path


@contextmanager
def workers(count: int, work, *arguments) -> Iterator[None]:
    """``count`` processes that each call ``work(*arguments)``; they are stopped by SIGTERM, and waited for."""
    started = [multiprocessing.get_context("spawn").Process(target=work, args=arguments) for _ in range(count)]
    for process in started:
        process.start()
    try:
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.join()


def command(*arguments: str) -> list[str]:
    """``pressroom`` with these arguments."""
    return [sys.executable, "-m", "pressroom.cli", *arguments]


def environment(url: URL, home: Path) -> dict[str, str]:
    """What tells the product of its database and of its users, of whom there is one."""
    told = {
        "DATABASE_URL": libpq(url),
        "PRESSROOM_USERS_ROOT": str(home.parent),
        "PRESSROOM_LOCAL_USER": home.name,
    }
    return os.environ | told


@contextmanager
def serving(url: URL, home: Path, *flags: str) -> Iterator[tuple[int, int]]:
    """``pressroom serve`` on a free port: the port, and the process's id."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    process = subprocess.Popen(
        command("serve", "--port", str(port), "--log-level", "warning", *flags), env=environment(url, home)
    )
    try:
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def post(port: int, path: str, body: object, **headers: str):
    """The answer to a JSON body."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode())
    for name, value in {"Content-Type": "application/json", **headers}.items():
        request.add_header(name.replace("_", "-"), value)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def percentile(values: list[float], share: float) -> float:
    """The value that ``share`` of the values do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def median(values: list[float]) -> float:
    return statistics.median(values)
