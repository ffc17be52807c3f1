"""Nobody waits for ever: an end is noticed whatever becomes of the notification that tells of it."""

import asyncio
import logging
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL

import pressroom
from pressroom.database.models import Execution
from pressroom.database.session import Database
from pressroom.executions import following as module
from pressroom.executions.following import Following, open_following
from pressroom.settings import Settings

Service = pytest.Service  # type: ignore[attr-defined]
write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
SOON = 20
"""Seconds that nobody may wait for what has happened; some of these tests take a part of them, most none."""


def libpq(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


class Rows:
    """Somebody else on the server, whose connections stay whatever becomes of the service's."""

    def __init__(self, inside: psycopg.Connection, outside: psycopg.Connection, name: str) -> None:
        self._inside, self._outside, self._name = inside, outside, name

    def end(self, execution_id: int) -> None:
        """End an execution, which is notified."""
        self._inside.execute("UPDATE notebook_executions SET status = 'success' WHERE id = %s", [execution_id])

    def notify(self, payload: str) -> None:
        self._inside.execute("SELECT pg_notify('pressroom_executions', %s)", [payload])

    def allow(self, *, connections: bool) -> None:
        """Whether anybody may connect from now on."""
        statement = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        self._outside.execute(statement.format(sql.Identifier(self._name), sql.SQL(str(connections))))

    def cut(self, *, listening: bool) -> None:
        """Cut the connection that listens, or all the others of the service."""
        self._outside.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = %s AND pid <> %s AND (query LIKE 'LISTEN%%') = %s",
            [self._name, self._inside.info.backend_pid, listening],
        )


@pytest.fixture
def rows(server: URL, database_url: URL) -> Iterator[Rows]:
    with (
        psycopg.connect(libpq(database_url), autocommit=True) as inside,
        psycopg.connect(libpq(server), autocommit=True) as outside,
    ):
        made = Rows(inside, outside, str(database_url.database))
        yield made
        made.allow(connections=True)


class Heard(logging.Handler):
    """What the log of the following says, as an event for each sentence that is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, asyncio.Event] = {}
        self._loop = asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        for sentence, said in self._said.items():
            if sentence in record.getMessage():
                self._loop.call_soon(said.set)

    def of(self, sentence: str) -> asyncio.Event:
        return self._said.setdefault(sentence, asyncio.Event())


@pytest.fixture
async def heard() -> AsyncIterator[Heard]:
    handler = Heard()
    module.log.addHandler(handler)
    yield handler
    module.log.removeHandler(handler)


class Relay:
    """Passes bytes between a client and the server, until it is held; then it is silent and stays open."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._tasks: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._held: set[int] = set()
        self.listening = asyncio.Event()

    def hold(self) -> None:
        """Be silent on the connections that are there."""
        self._held = {id(writer) for writer in self._writers}

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_server = await asyncio.open_unix_connection(self._target)
        self._writers += [writer, to_server[1]]
        self._tasks += [
            asyncio.create_task(self._pass(reader, to_server[1])),
            asyncio.create_task(self._pass(to_server[0], writer)),
        ]

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if id(writer) in self._held:
                continue
            writer.write(data)
            if b"LISTEN" in data:
                self.listening.set()
        writer.close()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.close()


@pytest.fixture
async def relay(database: Database, open_directory: Path) -> AsyncIterator[Relay]:
    """A relay through which ``database`` is listened to; its rows are read directly."""
    folder = str(database.url.query["host"])
    name = f".s.PGSQL.{database.url.port or 5432}"
    made = Relay(f"{folder}/{name}")
    server = await asyncio.start_unix_server(made.accept, open_directory / name)
    database.url = database.url.update_query_dict({"host": str(open_directory)})
    yield made
    server.close()
    await made.close()


@pytest.fixture
async def listens(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Whether the connection that listens has been made, and all have been woken for it."""
    event, wake_all = asyncio.Event(), Following._wake_all

    def woken(following: Following) -> None:
        wake_all(following)
        event.set()

    monkeypatch.setattr(Following, "_wake_all", woken)
    return event


async def pending(database: Database) -> int:
    async with database.transaction() as session:
        execution = Execution(username="ana", input_path="/home/ana/sales.ipynb", status="pending", parameters_used={})
        session.add(execution)
    return execution.id


@asynccontextmanager
async def waiting(following: Following, execution_id: int, how: str) -> AsyncIterator[asyncio.Task[Any]]:
    """Somebody who has looked once, and waits; at the end of the block the end of the execution must be noticed."""

    async def wait() -> None:
        if how == "wait":
            assert await following.wait(execution_id)
        else:
            told = [event async for event in following.follow(execution_id, 0)]
            last = [event for event in told if event is not None][-1]
            assert last.data["status"] == "success"

    looked = asyncio.Event()
    look = following.status

    async def status(of: int) -> str:
        found = await look(of)
        looked.set()
        return found

    following.status = status  # type: ignore[method-assign]
    task = asyncio.create_task(wait())
    async with asyncio.timeout(SOON):
        await looked.wait()
    following.status = look  # type: ignore[method-assign]
    try:
        yield task
        async with asyncio.timeout(SOON):
            await task
    finally:
        task.cancel()


HOW = pytest.mark.parametrize("how", ["wait", "follow"])


@HOW
async def test_an_end_before_anybody_listens_is_seen(database: Database, rows: Rows, how: str) -> None:
    execution_id, following = await pending(database), Following(database)
    rows.end(execution_id)
    async with waiting(following, execution_id, how):
        pass


@HOW
async def test_an_end_while_the_connection_that_listens_is_made_again_is_seen(
    database: Database, rows: Rows, heard: Heard, how: str
) -> None:
    execution_id, cut_off = await pending(database), heard.of("following waits for the database")
    async with open_following(database) as following, waiting(following, execution_id, how):
        rows.allow(connections=False)
        while not cut_off.is_set():
            rows.cut(listening=True)
            await asyncio.sleep(0)
        rows.end(execution_id)
        rows.allow(connections=True)


@HOW
async def test_an_end_that_is_notified_while_the_rows_cannot_be_read_is_seen_later(
    database: Database, rows: Rows, listens: asyncio.Event, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(module, "ALIVE_SECONDS", 600.0)
    execution_id, unread = await pending(database), asyncio.Event()
    async with open_following(database) as following, waiting(following, execution_id, how):
        async with asyncio.timeout(SOON):
            await listens.wait()
        look = following.status

        async def status(of: int) -> str:
            try:
                return await look(of)
            except Exception:
                unread.set()
                raise

        monkeypatch.setattr(following, "status", status)
        rows.allow(connections=False)
        rows.cut(listening=False)
        rows.end(execution_id)
        async with asyncio.timeout(SOON):
            await unread.wait()
        rows.allow(connections=True)


@HOW
async def test_an_end_is_seen_though_the_connection_that_listens_is_silent(
    database: Database,
    rows: Rows,
    relay: Relay,
    listens: asyncio.Event,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    monkeypatch.setattr(module, "ALIVE_SECONDS", 0.5)
    execution_id = await pending(database)
    async with open_following(database) as following:
        async with asyncio.timeout(SOON):
            await listens.wait()
        async with waiting(following, execution_id, how):
            relay.hold()
            rows.end(execution_id)


async def test_the_system_asks_whether_the_connection_that_listens_is_there(database: Database, relay: Relay) -> None:
    server = await asyncio.start_server(relay.accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    database.url = database.url.update_query_dict({"host": "127.0.0.1", "port": str(port)})
    async with server, open_following(database):
        async with asyncio.timeout(SOON):
            await relay.listening.wait()
        ours = [c.fd for c in psutil.Process().net_connections("tcp") if c.raddr and c.raddr.port == port]
        with socket.socket(fileno=os.dup(ours[0])) as listening:
            assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            asked = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            assert [listening.getsockopt(socket.IPPROTO_TCP, name) for name in asked] == [5, 2, 3]


async def test_a_notification_that_is_none_of_ours_does_no_harm(database: Database, rows: Rows) -> None:
    first, second = await pending(database), await pending(database)
    async with open_following(database) as following:
        async with waiting(following, first, "wait"):
            rows.end(first)
        for payload in ("²", "", "9" * 5000, "status", "1_0"):
            rows.notify(payload)
        async with waiting(following, second, "wait") as task:
            rows.end(second)
            async with asyncio.timeout(module.ALIVE_SECONDS / 2):
                await task


def last_id(stream: str) -> str | None:
    """The id that a browser sends when it connects again: the last that came, with an event or alone."""
    ids = [line.removeprefix("id:").strip() for line in stream.splitlines() if line.startswith("id:")]
    return ids[-1] if ids else None


async def test_a_browser_that_connects_again_after_the_end_is_told_that_it_is_over(
    database: Database, http: httpx.Client, home: Path
) -> None:
    expired = {"input_path": str(write_notebook(home / "sales.ipynb", "1")), "expires_at": "2026-01-01T00:00:00Z"}
    never_began = http.post("/execute", json=expired).json()["execution_id"]
    async with database.transaction() as session:
        told_of_nothing = Execution(username="ana", input_path="/x.ipynb", status="success", parameters_used={})
        session.add(told_of_nothing)
    for execution_id in (never_began, told_of_nothing.id):
        url = f"/db/executions/{execution_id}/events"
        first = http.get(url)
        assert (first.status_code, "event: execution" in first.text) == (200, True)
        last = last_id(first.text)
        assert last is not None
        assert http.get(url, headers={"Last-Event-ID": last}).status_code == 204
        assert http.get(url, headers={"Last-Event-ID": str(2**62)}).status_code == 204
    assert last_id(http.get(f"/db/executions/{told_of_nothing.id}/events").text) == "0"
    again = http.get(f"/db/executions/{never_began}/events", headers={"Last-Event-ID": "0"})
    assert (again.status_code, '"status": "cancelled"' in again.text) == (200, True), "the end is told again"
    with pressroom.Client(str(http.base_url)) as client:
        assert client.wait(told_of_nothing.id).status == "success"
        assert list(client.follow(told_of_nothing.id, after=0)) == []


def test_no_connection_is_held_by_those_who_follow_a_log(settings: Settings, home: Path) -> None:
    path = write_notebook(home / "slow.ipynb", "print('be' 'gan', flush=True)", "import time; time.sleep(600)")
    small = settings.model_copy(update={"database_pool_size": 2})
    inside = threading.Semaphore(0)

    def follow(url: str) -> str:
        with httpx.stream("GET", url, timeout=60) as log:
            lines = log.iter_lines()
            first = next(lines)
            inside.release()
            assert list(lines) == []
            return first

    with (
        Service(small) as service,
        httpx.Client(base_url=service.url, timeout=60) as http,
        ThreadPoolExecutor() as pool,
    ):
        body = {"input_path": str(path)}
        execution_id = http.post("/execute", json=body, headers={"Prefer": "respond-async"}).json()["id"]
        url = f"{service.url}/db/executions/{execution_id}/log?follow=true"
        logs = [pool.submit(follow, url) for _ in range(5)]
        try:
            assert all(inside.acquire(timeout=SOON) for _ in logs)
        finally:
            assert http.post(f"/db/executions/{execution_id}/cancel").status_code == 200
        assert [log.result() for log in logs] == ["began"] * 5
