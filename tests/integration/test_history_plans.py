"""How pages of a long history are found: by indexes, whatever is asked for."""

import functools
import importlib.util
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import URL, event
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.session import Database
from pressroom.executions import history, recent
from pressroom.executions.history import History
from pressroom.identity.policy import Viewer

ROWS = 200_000
NOTEBOOKS_OF_ONE = 500
TABLES = ("notebook_executions", "execution_parameters")
NOW = datetime.now(UTC)
MIDDLE = NOW - timedelta(seconds=9) * (ROWS // 2)


def generate(url: URL) -> None:
    """The rows of ``bench/history_rows.py``."""
    file = Path(__file__).parents[2] / "bench" / "history_rows.py"
    spec = importlib.util.spec_from_file_location("history_rows", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False)) as connection:
        module.generate(connection, ROWS, lambda _: None)


def asked() -> dict[str, History]:
    start = MIDDLE
    alone = {
        "all": History(),
        "common user": History(username="user0"),
        "rare user": History(username="user199"),
        "no user": History(username="nobody"),
        "common status": History(statuses=("success",)),
        "rare status": History(statuses=("running",)),
        "statuses": History(statuses=("cancelled", "failed")),
        "notebook": History(notebook_id=2),
        "common queue": History(queue="default"),
        "rare queue": History(queue="gpu"),
        "common parameter": History(parameters=(("region", "EMEA"),)),
        "rare parameter": History(parameters=(("ticket", "T77"),)),
        "no parameter": History(parameters=(("ticket", "X"),)),
        "old parameter": History(parameters=(("month", (NOW - timedelta(days=20)).strftime("%Y-%m")),)),
        "number": History(parameters=(("weeks", "7"),)),
        "since": History(submitted_after=start),
        "until": History(submitted_before=start),
        "hour": History(submitted_after=start, submitted_before=start + timedelta(hours=1)),
        "user and status": History(username="user0", statuses=("failed", "cancelled")),
        "user and parameter": History(username="user1", parameters=(("region", "EMEA"),)),
        "user and old parameter": History(
            username="user0", parameters=(("month", (NOW - timedelta(days=20)).strftime("%Y-%m")),)
        ),
        "rare and common parameter": History(parameters=(("region", "EMEA"), ("ticket", "T77"))),
        "user and range": History(username="user150", submitted_before=start),
        "everything": History(
            username="user0",
            statuses=("success",),
            notebook_id=2,
            queue="default",
            submitted_after=start,
            submitted_before=NOW,
            parameters=(("region", "EMEA"), ("weeks", "7")),
        ),
    }
    bo = Viewer("user1", frozenset({"finance"}))
    alone |= {f"{name}, as seen by one": replace(wanted, seen_by=bo) for name, wanted in alone.items()}
    cursor = {f"{name}, by cursor": replace(one, after=ROWS // 3) for name, one in alone.items()}
    oldest = {f"{name}, oldest first": replace(one, oldest=True) for name, one in alone.items()}
    return alone | cursor | oldest


async def plans(session: AsyncSession, asked_for: Callable[[], Awaitable[Any]]) -> list[dict[str, Any]]:
    """The plans of the statements that read executions, by the settings that they ran with."""
    sent: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if any(table in statement for table in TABLES):
            sent.append((statement, parameters))

    connection = await session.connection()
    event.listen(connection.sync_connection, "before_cursor_execute", note)
    await asked_for()
    event.remove(connection.sync_connection, "before_cursor_execute", note)
    found = []
    for statement, parameters in sent:
        explained = await connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
        found.append(explained.scalar_one()[0]["Plan"])
    return found


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for inner in plan.get("Plans", []) for node in nodes(inner))]


def scans(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The parts of plans that read executions or their parameters."""
    return [node for plan in found for node in nodes(plan) if node.get("Relation Name") in TABLES]


def rows_read(found: list[dict[str, Any]]) -> int:
    each = (
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"] for node in scans(found)
    )
    return round(sum(each))


async def test_no_page_of_a_long_history_reads_all_of_it(database: Database, database_url: URL) -> None:
    generate(database_url)
    read: dict[str, list[dict[str, Any]]] = {}
    for name, wanted in asked().items():
        for skip in (0, 500):
            if skip and wanted.after:
                continue
            async with database.transaction() as session:
                found = await plans(session, functools.partial(history.page, session, wanted, skip, 100))
            assert found or wanted.submitted_after or wanted.submitted_before
            read[f"{name}, skip {skip}"] = found
    ways = {name: {node["Node Type"] for node in scans(found)} for name, found in read.items()}
    assert {name: way for name, way in ways.items() if not way <= {"Index Scan", "Index Only Scan"}} == {}
    assert "Index Only Scan" in ways["rare parameter, skip 0"], "the check sees what it looks for"
    # A condition that one index holds is read off it, wherever its matches lie: little more than the page.
    alone = ("all", "user", "status", "notebook", "queue", "parameter", "number", "since", "until")
    for name, found in read.items():
        if "as seen by" in name:
            continue
        if name.endswith(("skip 0",)) and any(name.split(",")[0].endswith(one) for one in alone):
            assert rows_read(found) < 5_000, name
    assert rows_read(read["old parameter, skip 0"]) < 500
    # What one user may see: a page of each of their notebooks at most, off its index.
    assert rows_read(read["all, as seen by one, skip 0"]) < NOTEBOOKS_OF_ONE * 101 + 1_000
    # What is to meet several is found by walking along the one whose matches are fewest.
    assert rows_read(read["user and old parameter, skip 0"]) < 10_000
    assert rows_read(read["rare and common parameter, skip 0"]) < 1_000


async def test_every_way_of_finding_a_page_finds_the_same(database: Database, database_url: URL) -> None:
    generate(database_url)
    conditions = {
        "common parameter": "parameters_used ->> 'region' = 'EMEA'",
        "rare parameter": "parameters_used ->> 'ticket' = 'T77'",
        "number": "parameters_used ->> 'weeks' = '7'",
        "statuses": "status IN ('cancelled', 'failed')",
        "user and status": "username = 'user0' AND status IN ('cancelled', 'failed')",
        "old parameter": f"parameters_used ->> 'month' = '{NOW - timedelta(days=20):%Y-%m}'",
        "rare and common parameter": "parameters_used ->> 'ticket' = 'T77' AND parameters_used ->> 'region' = 'EMEA'",
        "hour": f"submitted_at >= '{MIDDLE}' AND submitted_at < '{MIDDLE + timedelta(hours=1)}'",
        "user and parameter": "username = 'user1' AND parameters_used ->> 'region' = 'EMEA'",
        "rare queue": "queue = 'gpu'",
    }
    with psycopg.connect(database_url.set(drivername="postgresql").render_as_string(hide_password=False)) as plain:
        for name, condition in conditions.items():
            for wanted in (asked()[name], asked()[f"{name}, by cursor"], asked()[f"{name}, oldest first"]):
                where = condition + (f" AND id < {wanted.after}" if wanted.after else "")
                order = "ASC" if wanted.oldest else "DESC"
                rows = plain.execute(
                    f"SELECT id FROM notebook_executions WHERE {where} ORDER BY id {order} OFFSET 5 LIMIT 100"
                ).fetchall()
                async with database.transaction() as session:
                    page = await history.page(session, wanted, 5, 100)
                assert [row["id"] for row in json.loads(page.body)] == [row[0] for row in rows], name


async def test_the_last_executions_of_notebooks_are_read_off_their_index_however_many_another_has(
    database: Database, database_url: URL
) -> None:
    with psycopg.connect(
        database_url.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True
    ) as plain:
        plain.execute(
            "INSERT INTO notebooks (name, file_path, username, tags, metadata) "
            "SELECT n, '/home/ana/' || n, 'ana', '[]', '{}' FROM generate_series(1, 5) AS n"
        )
        [busy, *idle] = [row[0] for row in plain.execute("SELECT id FROM notebooks ORDER BY id")]
        plain.execute(
            "INSERT INTO notebook_executions (notebook_id, username, input_path, status) "
            "SELECT %s, 'ana', '/home/ana/1', 'success' FROM generate_series(1, 20000)",
            (busy,),
        )
        plain.execute("VACUUM ANALYZE notebook_executions")
        newest = [row[0] for row in plain.execute("SELECT id FROM notebook_executions ORDER BY id DESC LIMIT 20")]
    async with database.transaction() as session:
        found = await plans(session, lambda: recent.marks(session, [*idle, busy], 20))
        marks = await recent.marks(session, [*idle, busy], 20)
    assert rows_read(found) == 20
    assert [mark.id for mark in marks[busy]] == newest[::-1]
    assert all(marks[one] == [] for one in idle)
