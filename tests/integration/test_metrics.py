"""Metrics: what Prometheus would read, from a real database and over real HTTP."""

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import psycopg
import pytest
import uvicorn
from fastapi import FastAPI
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse
from psycopg import sql
from pydantic import SecretStr
from sqlalchemy import URL, text

from pressroom import metrics as metrics_module
from pressroom.app import create_app
from pressroom.database.session import Database
from pressroom.errors import Invalid
from pressroom.metrics import Metrics
from pressroom.metrics_listener import serve_metrics
from pressroom.settings import Settings

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
LOST = Settings.model_fields["worker_lost_seconds"].default
UNDER_WAY = """
    INSERT INTO notebook_executions (username, input_path, status, queue, submitted_at, not_before)
    VALUES
        ('ana', '/a', 'pending', 'default', now() - interval '90 s', NULL),
        ('ana', '/a', 'pending', 'default', now() - interval '10 s', NULL),
        ('ana', '/a', 'pending', 'default', now() - interval '1 h', now() + interval '1 h'),
        ('bo', '/b', 'pending', 'slow', now() - interval '1 h', now() - interval '30 s'),
        ('bo', '/b', 'pending', 'later', now(), now() + interval '1 h'),
        ('bo', '/b', 'running', 'slow', now(), NULL),
        ('bo', '/c', 'running', 'slow', now(), NULL),
        ('bo', '/b', 'success', 'old', now(), NULL)
"""
WORKERS = """
    WITH beating AS (
        INSERT INTO procrastinate_workers (last_heartbeat)
        VALUES (now() - interval '19 s'), (now() - interval '21 s'), (now()) RETURNING id, last_heartbeat
    )
    INSERT INTO workers (id, name, host, process_id, queues, concurrency, version)
    SELECT id, 'w', 'h', 1, CASE WHEN last_heartbeat = now() THEN 'null'::jsonb
        WHEN last_heartbeat < now() - interval '20 s' THEN '["gone"]' ELSE '["reports", "slow"]' END, 1, '0'
    FROM beating
"""


def _conninfo(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _samples(body: str, *, openmetrics: bool = False) -> Samples:
    families = parse_open(body) if openmetrics else parse(body)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def _at(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


def _by(samples: Samples, name: str, label: str) -> dict[str, float]:
    return {dict(labels)[label]: value for (found, labels), value in samples.items() if found == name}


async def _scraped(metrics: Metrics, database: Database) -> Samples:
    body, _ = await metrics.render(database)
    return _samples(body.decode())


async def test_a_scrape_tells_what_waits_and_runs_and_who_works(database: Database, database_url: URL) -> None:
    with psycopg.connect(_conninfo(database_url)) as connection:
        connection.execute(UNDER_WAY)
        connection.execute(WORKERS)
    found = await _scraped(Metrics(LOST), database)
    assert _by(found, "pressroom_queue_depth", "queue") == {"default": 3, "later": 1, "reports": 0, "slow": 1}
    assert _by(found, "pressroom_executions_running", "queue") == {"default": 0, "later": 0, "reports": 0, "slow": 2}
    oldest = _by(found, "pressroom_queue_oldest_waiting_seconds", "queue")
    assert 90 <= oldest["default"] < 120
    assert 30 <= oldest["slow"] < 60
    assert (oldest["later"], oldest["reports"]) == (0, 0)
    assert _at(found, "pressroom_workers") == 2
    assert _at(found, "pressroom_database_up") == 1


async def test_an_idle_service_says_that_nothing_waits(database: Database) -> None:
    found = await _scraped(Metrics(LOST), database)
    assert _by(found, "pressroom_queue_depth", "queue") == {"default": 0}
    assert _at(found, "pressroom_workers") == 0


async def test_what_this_process_did_is_counted(database: Database) -> None:
    metrics = Metrics(LOST)
    metrics.execution_started(0.02)
    metrics.execution_started(-0.5)
    metrics.execution_ended("success", None, 3.0)
    metrics.execution_ended("failed", "cell_error", 700)
    metrics.execution_ended("failed", "cell_error", 1)
    metrics.execution_ended("cancelled", "cancelled", None)
    found = await _scraped(metrics, database)
    assert _at(found, "pressroom_executions_total", status="success", reason="") == 1
    assert _at(found, "pressroom_executions_total", status="failed", reason="cell_error") == 2
    assert _at(found, "pressroom_executions_total", status="cancelled", reason="cancelled") == 1
    assert _at(found, "pressroom_execution_seconds_sum", status="failed") == 701
    assert _at(found, "pressroom_execution_seconds_bucket", status="failed", le="600.0") == 1
    assert _at(found, "pressroom_execution_seconds_count", status="cancelled") is None
    assert _at(found, "pressroom_execution_wait_seconds_count") == 2
    assert _at(found, "pressroom_execution_wait_seconds_sum") == 0.02
    assert (_at(found, "process_resident_memory_bytes") or 0) > 1e6
    another = await _scraped(Metrics(LOST), database)
    assert _at(another, "pressroom_executions_total", status="success", reason="") == 0


async def test_the_pool_of_connections_is_shown(database_url: URL) -> None:
    database = Database(database_url, pool_size=3)
    async with database.transaction() as session:
        await session.execute(text("SELECT 1"))
        found = await _scraped(Metrics(LOST), database)
    assert _by(found, "pressroom_database_connections", "state") == {"in_use": 1, "idle": 0}
    assert _by(await _scraped(Metrics(LOST), database), "pressroom_database_connections", "state") == {
        "in_use": 0,
        "idle": 2,
    }
    assert _at(found, "pressroom_database_connections_limit") == 3
    await database.dispose()


async def test_without_its_database_a_scrape_still_answers_with_what_it_knows(
    database: Database, server: URL, database_url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics(LOST)
    metrics.execution_ended("success", None, 1)
    before = await _scraped(metrics, database)
    name = sql.Identifier(str(database_url.database))
    with psycopg.connect(_conninfo(server), autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database_url.database,)
        )
        away = await _scraped(metrics, database)
        assert await _scraped(metrics, database) != before
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
    after = await _scraped(metrics, database)
    assert [_at(found, "pressroom_database_up") for found in (before, away, after)] == [1, 0, 1]
    assert [_at(found, "pressroom_workers") for found in (before, away, after)] == [0, None, 0]
    assert _by(away, "pressroom_queue_depth", "queue") == {}
    assert _at(away, "pressroom_executions_total", status="success", reason="") == 1
    assert [record.getMessage() for record in caplog.records if record.name == "pressroom.metrics"] == [
        *("the database does not answer", "the database answers again"),
    ]


async def test_a_scrape_does_not_wait_for_a_database_that_hangs(
    database: Database, database_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_module, "READ_SECONDS", 0.1)
    with psycopg.connect(_conninfo(database_url)) as connection:
        connection.execute("LOCK TABLE notebook_executions IN ACCESS EXCLUSIVE MODE")
        hanging = await _scraped(Metrics(LOST), database)
    assert _at(hanging, "pressroom_database_up") == 0


async def test_a_scrape_never_reads_the_history(database_url: URL) -> None:
    with psycopg.connect(_conninfo(database_url), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO notebook_executions (username, input_path, status) "
            "SELECT 'ana', '/n', 'success' FROM generate_series(1, 50000)"
        )
        connection.execute(UNDER_WAY)
        connection.execute("ANALYZE")
        read = metrics_module._READ.text.replace(":lost", str(LOST))
        plan = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) {read}").fetchone()
    assert plan is not None
    root = plan[0][0]["Plan"]
    assert [scan for scan in _scans(root) if scan["Relation Name"] == "notebook_executions"] == []
    assert root["Shared Hit Blocks"] + root["Shared Read Blocks"] < 50, json.dumps(root)


def _scans(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if node["Node Type"] == "Seq Scan":
        yield node
    for child in node.get("Plans", []):
        yield from _scans(child)


@pytest.fixture
def app(settings: Settings, database_url: URL) -> FastAPI:
    """The product's API, with the parts that the metrics need."""
    made = create_app(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        database = Database(database_url)
        made.state.parts = SimpleNamespace(settings=settings, database=database, metrics=Metrics(LOST))
        yield
        await database.dispose()

    made.router.lifespan_context = lifespan
    return made


@asynccontextmanager
async def _served(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, lifespan="on", log_config=None))
        # The socket listens already: what is asked before Uvicorn has started waits for it.
        serving = asyncio.create_task(server._serve([listening]))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=30) as client:
            yield client
        server.should_exit = True
        await serving


async def test_the_endpoint_speaks_text_and_openmetrics(app: FastAPI) -> None:
    async with _served(app) as client:
        plain = await client.get("/metrics")
        opened = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert (plain.status_code, opened.status_code) == (200, 200)
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert opened.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert _at(_samples(plain.text), "pressroom_database_up") == 1
    assert _at(_samples(opened.text, openmetrics=True), "pressroom_database_up") == 1


@pytest.mark.parametrize(
    ("token", "headers", "status"),
    [
        (None, {}, 200),
        (None, {"X-Forwarded-For": "203.0.113.9"}, 403),
        (None, {"X-Forwarded-For": "127.0.0.1"}, 403),
        (None, {"Forwarded": "for=203.0.113.9"}, 403),
        ("", {"X-Forwarded-For": "203.0.113.9", "Authorization": "Bearer"}, 403),
        ("right", {"X-Forwarded-For": "203.0.113.9"}, 403),
        ("right", {"X-Forwarded-For": "203.0.113.9", "Authorization": "Bearer wrong"}, 403),
        ("right", {"X-Forwarded-For": "203.0.113.9", "Authorization": "Basic right"}, 403),
        ("right", {"X-Forwarded-For": "203.0.113.9", "Authorization": "Bearer right"}, 200),
        ("right", {}, 200),
    ],
)
async def test_only_this_machine_or_the_token_may_read_the_metrics(
    settings: Settings, app: FastAPI, token: str | None, headers: dict[str, str], status: int
) -> None:
    settings.metrics_token = SecretStr(token) if token is not None else None
    async with _served(app) as client:
        answer = await client.get("/metrics", headers=headers)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["type"] == "/problems/not-allowed"


async def test_a_worker_serves_its_metrics_on_a_port_of_their_own(database: Database) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    listening = asyncio.get_running_loop().create_future()
    token = SecretStr("right")
    serving = asyncio.create_task(
        serve_metrics(Metrics(LOST), database, "127.0.0.1", 0, token=token, listening=listening)
    )
    port = await listening
    away = {"X-Forwarded-For": "203.0.113.9"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        answer = await client.get("/metrics")
        assert _at(_samples(answer.text), "pressroom_database_up") == 1
        assert (await client.get("/metrics", headers=away)).status_code == 403
        assert (await client.get("/metrics", headers=away | {"Authorization": "Bearer right"})).status_code == 200
        assert (await client.get("/other")).status_code == 404
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers
        with pytest.raises(Invalid, match=f"port {port}"):
            await serve_metrics(Metrics(LOST), database, "127.0.0.1", port)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
