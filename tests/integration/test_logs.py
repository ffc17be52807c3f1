"""Logs: whoever logs, the lines are the same, and nothing secret is in them."""

import asyncio
import io
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import procrastinate
import pytest
import structlog
import uvicorn
from fastapi import FastAPI
from sqlalchemy import URL, text
from sqlalchemy.exc import IntegrityError

from pressroom import logs
from pressroom.app import create_app
from pressroom.database.session import Database
from pressroom.settings import Settings

SECRET = "s3cret-value"
Configure = Callable[..., io.StringIO]
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """Logging as it was before the test."""
    root = logging.getLogger()
    handlers, names = (
        root.handlers[:],
        [None, "sqlalchemy", "pressroom", "uvicorn", "procrastinate", "httpx", "httpcore", "urllib3"],
    )
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    for handler in [h for h in root.handlers if h not in handlers]:
        root.removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture
def configure(logging_restored: None, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Configures the logs with settings, and answers what they write to from then on."""

    def configured(**settings: Any) -> io.StringIO:
        said = io.StringIO()
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", said)
            logs.configure(Settings(**settings))
        return said

    return configured


@pytest.fixture
def lines(configure: Configure) -> Lines:
    """Logs at the level debug from now on; what they said, parsed."""
    said = configure(log_level="debug")
    return lambda: [json.loads(line) for line in said.getvalue().splitlines()]


def _of(found: list[dict[str, Any]], logger: str) -> list[dict[str, Any]]:
    return [line for line in found if line["logger"] == logger]


def test_every_logger_says_the_ids_that_were_bound(lines: Lines) -> None:
    with logs.context(worker="w1"), logs.context(execution_id=7, attempt=2):
        logging.getLogger("pressroom.press").warning("the kernel of %s is slow", "sales")
        logs.logger("pressroom.worker").info("claimed", queue="default")
        structlog.get_logger("elsewhere").error("lost")
    logging.getLogger("pressroom.press").info("outside")
    slow, claimed, lost, outside = lines()
    ids = {"worker": "w1", "execution_id": 7, "attempt": 2}
    assert ids.items() <= slow.items()
    assert (slow["event"], slow["level"], slow["logger"]) == (
        "the kernel of sales is slow",
        "warning",
        "pressroom.press",
    )
    assert slow["timestamp"].endswith("Z")
    assert (ids | {"queue": "default"}).items() <= claimed.items()
    assert ids.items() <= lost.items()
    assert not ids.keys() & outside.keys()


async def test_tasks_and_threads_that_are_started_inside_say_them_too(lines: Lines) -> None:
    async def work() -> None:
        await asyncio.to_thread(logging.getLogger("pressroom.press").info, "in a thread")

    with logs.context(execution_id=1):
        first = asyncio.create_task(work())
    with logs.context(execution_id=2):
        second = asyncio.create_task(work())
    await asyncio.gather(first, second)
    assert sorted(line["execution_id"] for line in _of(lines(), "pressroom.press")) == [1, 2]


def test_a_field_may_have_any_name(lines: Lines) -> None:
    logs.logger("pressroom.worker").info("named", name="w1", args=(1, 2), message=object())
    [line] = lines()
    assert (line["event"], line["name"], line["args"]) == ("named", "w1", [1, 2])


def test_an_exception_is_a_structured_traceback_without_local_variables(lines: Lines) -> None:
    def fail() -> None:
        password = SECRET
        raise KeyError(len(password))

    try:
        try:
            fail()
        except KeyError as error:
            raise RuntimeError("it went wrong") from error
    except RuntimeError:
        logging.getLogger("pressroom.press").exception("failed")
    [line] = lines()
    wrong, cause = line["exception"]
    assert (wrong["exc_type"], wrong["exc_value"], cause["exc_type"]) == ("RuntimeError", "it went wrong", "KeyError")
    assert cause["frames"][-1]["name"] == "fail"
    assert SECRET not in json.dumps(line)


@pytest.mark.parametrize("format_", ["json", "console"])
async def test_the_row_that_the_database_refused_is_not_logged(
    format_: str, database: Database, configure: Configure
) -> None:
    stderr = configure(log_format=format_)
    statement = text("INSERT INTO notebook_executions (username, status, parameters_used) VALUES ('ana', 'x', :used)")
    try:
        async with database.transaction() as session:
            await session.execute(statement, {"used": json.dumps({"password": SECRET})})
    except IntegrityError as error:
        assert SECRET in str(error)
        logging.getLogger("pressroom.api").exception("failed")
    said = stderr.getvalue()
    assert "violates not-null constraint" in said
    assert "INSERT INTO" in said
    assert SECRET not in said


async def test_statements_are_logged_at_debug_without_their_values(database_url: URL, lines: Lines) -> None:
    database = Database(database_url)
    async with database.transaction() as session:
        assert await session.scalar(text("SELECT CAST(:value AS text)"), {"value": SECRET}) == SECRET
    await database.dispose()
    found = lines()
    assert any("SELECT CAST" in line["event"] for line in _of(found, "sqlalchemy.engine.Engine"))
    assert SECRET not in json.dumps(found)


async def test_procrastinates_lines_name_the_job_but_not_its_arguments(database_url: URL, lines: Lines) -> None:
    conninfo = database_url.set(drivername="postgresql").render_as_string(hide_password=False)
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=conninfo))

    @app.task(name="deliver", queue="mail")
    async def deliver(address: str) -> str:
        with logs.context(execution_id=5):
            logging.getLogger("pressroom.press").info("delivering")
        return address

    async with app.open_async():
        job = await deliver.defer_async(address=SECRET)
        await app.run_worker_async(wait=False, install_signal_handlers=False, listen_notify=False)
    found = lines()
    by_action = {line.get("action"): line for line in found if line["logger"].startswith("procrastinate.")}
    assert {"job_id": job, "task": "deliver", "queue": "mail"}.items() <= by_action["start_job"].items()
    assert by_action["start_job"]["event"] == f"Starting job deliver[{job}]"
    assert f"deliver[{job}] ended with status: Success" in by_action["job_success"]["event"]
    assert [line["execution_id"] for line in _of(found, "pressroom.press")] == [5]
    assert SECRET not in json.dumps(found)


@contextmanager
def _refusing() -> Iterator[FastAPI]:
    """The product without its parts: enough for what needs none, and a fault for the rest."""
    app = create_app(Settings(local_user="ana"))

    @app.get("/boom")
    def boom() -> None:
        raise RuntimeError("boom")

    yield app


@asynccontextmanager
async def _served(app: FastAPI, **config: Any) -> AsyncIterator[httpx.AsyncClient]:
    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            started.set()

    started = asyncio.Event()
    server = Server(uvicorn.Config(app, port=0, lifespan="off", log_config=None, **config))
    serving = asyncio.create_task(server.serve())
    await started.wait()
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        yield client
    server.should_exit = True
    await serving


async def test_uvicorns_lines_are_the_same_and_its_access_log_has_no_query(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A server without an access log, as other tests start it, silences that logger for the whole process.
    for name in ("uvicorn", "uvicorn.access", "uvicorn.error"):
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
        monkeypatch.setattr(logging.getLogger(name), "handlers", [])
    for name in ("uvicorn.access", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.NOTSET)

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("boom")

    async with _served(broken, access_log=True) as client:  # type: ignore[arg-type]
        assert (await client.get(f"/a%20b?token={SECRET}")).status_code == 500
    found = lines()
    [access] = _of(found, "uvicorn.access")
    assert (access["event"], access["method"], access["path"], access["status"]) == ("access", "GET", "/a%20b", 500)
    assert any("Uvicorn running on" in line["event"] for line in _of(found, "uvicorn.error"))
    [fault] = [line for line in _of(found, "uvicorn.error") if "exception" in line]
    assert fault["exception"][0]["exc_value"] == "boom"
    assert SECRET not in json.dumps(found)


async def test_a_request_is_one_line_with_its_id_and_without_its_query(lines: Lines) -> None:
    with _refusing() as app:
        async with _served(app, access_log=False) as client:
            answer = await client.get(f"/?token={SECRET}")
            again = await client.get("/none", headers={"X-Request-ID": "from-the-proxy.1"})
            forged = await client.get("/none", headers={"X-Request-ID": "two words"})
    found = lines()
    first, second, third = _of(found, "pressroom.requests")
    assert (first["method"], first["path"], first["status"], first["level"]) == (*("GET", "/", 200, "info"),)
    assert 0 < first["seconds"] < 10
    assert first["request_id"] == answer.headers["X-Request-ID"]
    assert (second["request_id"], second["status"]) == ("from-the-proxy.1", 404)
    assert again.headers["X-Request-ID"] == "from-the-proxy.1"
    assert third["request_id"] == forged.headers["X-Request-ID"] not in {"two words", first["request_id"]}
    assert SECRET not in json.dumps(found)


def test_an_execution_is_named_by_the_lines_of_the_api_and_of_the_worker(
    lines: Lines, http: httpx.Client, notebook: Path
) -> None:
    done = http.post("/execute", json={"input_path": str(notebook)}).json()["execution_id"]
    refused = http.post(f"/db/executions/{done}/cancel")
    again = http.post(f"/db/executions/{done}/retry").json()["id"]
    assert (refused.status_code, http.get(f"/db/executions/{again}/log?follow=true").status_code) == (409, 200)
    for _ in range(2):  # the second is answered when the line of the first is there
        http.get("/")
    found = lines()
    asked = {line["path"]: line for line in _of(found, "pressroom.requests")}
    assert asked["/execute"]["execution_id"] == asked[f"/db/executions/{done}/cancel"]["execution_id"] == done
    assert asked[f"/db/executions/{done}/retry"]["execution_id"] == again
    assert "execution_id" not in asked["/"]
    begun = [line for line in found if line["event"] == "the attempt begins"]
    assert [(line["execution_id"], line["attempt"]) for line in begun] == [(done, 1), (again, 1)]
    assert all(line["worker"] for line in begun)


async def test_a_fault_is_logged_once_with_the_id_that_its_answer_says(lines: Lines) -> None:
    with _refusing() as app:
        async with _served(app, access_log=False) as client:
            answer = await client.get("/boom")
    found = lines()
    [fault] = [line for line in found if "exception" in line]
    assert (answer.status_code, fault["event"]) == (500, "GET /boom failed")
    [request] = _of(found, "pressroom.requests")
    assert answer.headers["X-Request-ID"] == fault["request_id"] == request["request_id"]
    assert request["status"] == 500


async def test_health_checks_and_scrapes_are_lines_at_debug_only(lines: Lines) -> None:
    with _refusing() as app:
        async with _served(app, access_log=False) as client:
            await client.get("/health")
            await client.get("/metrics")
    assert [(line["path"], line["level"]) for line in _of(lines(), "pressroom.requests")] == [
        *(("/health", "debug"), ("/metrics", "debug")),
    ]


def test_other_libraries_do_not_log_the_addresses_they_ask(lines: Lines) -> None:
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:9/?token={SECRET}")
    logging.getLogger("httpx").info("HTTP Request: GET http://host/?token=%s", SECRET)
    assert lines() == []


def test_configuring_twice_does_not_log_twice(configure: Configure) -> None:
    first = configure(log_level="debug")
    second = configure(log_level="info")
    logging.getLogger("pressroom.api").debug("not wanted")
    logging.getLogger("pressroom.api").info("wanted")
    logging.getLogger("alembic").info("not wanted")
    assert first.getvalue() == ""
    assert [json.loads(line)["event"] for line in second.getvalue().splitlines()] == ["wanted"]


def test_a_terminal_gets_lines_for_a_person_and_nothing_that_moves_its_cursor(
    logging_restored: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, terminal = os.openpty()
    with os.fdopen(terminal, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        logs.configure(Settings())
        with logs.context(execution_id=7):
            logging.getLogger("pressroom.press").info("one\ntwo \x1b[2J", extra={"fields": {"path": "\x1b[2J"}})
    said = os.read(ours, 10_000).decode()
    os.close(ours)
    assert len(said.splitlines()) == 1
    assert "\x1b[2J" not in said
    assert "one\\ntwo" in said
    assert "execution_id" in said


def test_before_it_is_configured_a_logger_is_the_standard_librarys(caplog: pytest.LogCaptureFixture) -> None:
    logs.logger("pressroom.press").warning("slow", seconds=3)
    [record] = caplog.records
    assert (record.getMessage(), record.fields) == ("slow", {"seconds": 3})  # type: ignore[attr-defined]
