"""Whoever follows or waits costs neither a thread nor a connection of its own."""

import asyncio
import json
import os
import time
from pathlib import Path

import httpx
import psycopg
import pytest
from sqlalchemy import URL

from pressroom.settings import Settings

FOLLOWERS, WAITS = 200, 100
THREADS_AT_MOST = 40 + (os.cpu_count() or 1) + 4
"""Of AnyIO's pool, which Starlette uses, and of the loop's own."""
HELD = "import pathlib, time\nwhile not pathlib.Path({!r}).exists(): time.sleep(0.05)"


class Caller(asyncio.Protocol):
    """One connection: what it sent, and all that it got."""

    def __init__(self, request: bytes) -> None:
        self.request, self.got = request, b""
        self.closed: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport) -> None:
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.got += data

    def connection_lost(self, error: Exception | None) -> None:
        self.closed.set_result(self.got)


def request(method: str, path: str, body: object = None) -> bytes:
    data = json.dumps(body).encode() if body is not None else b""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


async def calls(port: int, count: int, sent: bytes) -> list[Caller]:
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(lambda: Caller(sent), "127.0.0.1", port))[1] for _ in range(count)]


async def until(true) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.05)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    settings.workers = 1
    settings.database_pool_size = 5
    return settings


async def test_followers_and_waiting_callers_take_no_thread_and_no_connection_each(
    http: httpx.Client, database_url: URL, home: Path, settings: Settings
) -> None:
    port = http.base_url.port
    assert port is not None
    gate = home / "gate"
    held = pytest.write_notebook(home / "held.ipynb", "print('it begins')", HELD.format(str(gate)))
    behind = pytest.write_notebook(home / "behind.ipynb", "1")
    running = http.post("/execute", json={"input_path": str(held)}, headers={"Prefer": "respond-async"}).json()["id"]
    libpq = database_url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(libpq, autocommit=True) as connection:

        def number(question: str) -> int:
            return connection.execute(question).fetchone()[0]

        def connections() -> int:
            return number("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")

        await until(lambda: number("SELECT count(*) FROM execution_events WHERE kind = 'output'"))
        threads, used = len(os.listdir("/proc/self/task")), connections()
        followers = await calls(port, FOLLOWERS, request("GET", f"/db/executions/{running}/events"))
        waits = await calls(port, WAITS, request("POST", "/execute", {"input_path": str(behind)}))
        try:
            await until(lambda: all(b"it begins" in follower.got for follower in followers))
            await until(lambda: number("SELECT count(*) FROM notebook_executions WHERE status = 'pending'") == WAITS)
            # The pool may have filled meanwhile, and so may the two pools of threads.
            assert connections() - used <= settings.database_pool_size
            assert len(os.listdir("/proc/self/task")) - threads <= THREADS_AT_MOST
            assert not any(caller.closed.done() for caller in [*followers, *waits])
            pending = connection.execute("SELECT id FROM notebook_executions WHERE status = 'pending'").fetchall()
            for (execution_id,) in pending:
                assert http.post(f"/db/executions/{execution_id}/cancel").status_code == 200
            gate.touch()
            began = time.monotonic()
            answers = await asyncio.gather(*(caller.closed for caller in [*followers, *waits]))
            assert time.monotonic() - began < 30
        finally:
            for caller in [*followers, *waits]:
                caller.transport.abort()
            gate.touch()
    for stream in answers[:FOLLOWERS]:
        assert b'"status": "success"' in stream
    for answer in answers[FOLLOWERS:]:
        assert answer.startswith(b"HTTP/1.1 409")
