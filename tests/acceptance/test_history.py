"""The history as people reach it: by the Python client and by the command line."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL

import pressroom
from pressroom.errors import Invalid
from pressroom.executions.schemas import Status

ROWS = """
INSERT INTO notebook_executions
    (username, status, queue, parameters_used, input_path, output_path, submitted_at, completed_at)
SELECT 'u' || g % 2, (ARRAY['success', 'failed', 'cancelled'])[1 + g % 3], 'q' || g % 2,
    jsonb_build_object('month', g % 5, 'region', 'EMEA'), {0} || '/n.ipynb',
    {0} || '/executions/n-' || g || '.ipynb', t, t
FROM (SELECT g, timestamptz '2026-01-01T00:00:00Z' + g * interval '1 h' AS t FROM generate_series(1, 350) g) AS rows
"""


@pytest.fixture
def rows(database_url: URL, home: Path) -> Iterator[psycopg.Connection]:
    """350 executions, one an hour since the year 2026 began; the first and the last have their outputs."""
    text = database_url.set(drivername="postgresql").render_as_string(hide_password=False)
    (home / "executions").mkdir()
    for name in ("n.ipynb", "executions/n-1.ipynb", "executions/n-350.ipynb"):
        (home / name).write_text("{}")
    with psycopg.connect(text, autocommit=True) as connection:
        connection.execute(ROWS.format(f"'{home}'"))
        yield connection


def some(condition: str, rows: psycopg.Connection, order: str = "DESC") -> list[int]:
    found = rows.execute(f"SELECT id FROM notebook_executions WHERE {condition} ORDER BY id {order}").fetchall()
    assert found
    return [row[0] for row in found]


CASES: list[tuple[dict[str, Any], str]] = [
    ({}, "true"),
    ({"username": "u1"}, "username = 'u1'"),
    ({"status": "failed"}, "status = 'failed'"),
    ({"status": ["failed", Status.CANCELLED]}, "status IN ('failed', 'cancelled')"),
    ({"queue": "q1"}, "queue = 'q1'"),
    ({"parameters": {"month": 3, "region": "EMEA"}}, "parameters_used ->> 'month' = '3'"),
    ({"submitted_after": datetime(2026, 1, 5, tzinfo=UTC)}, "submitted_at >= '2026-01-05T00:00:00Z'"),
    (
        {"submitted_before": datetime(2026, 1, 5, tzinfo=UTC), "username": "u0"},
        "submitted_at < '2026-01-05T00:00:00Z' AND username = 'u0'",
    ),
]


@pytest.mark.parametrize(("asked", "condition"), CASES)
async def test_both_clients_give_what_meets_the_conditions_page_after_page(
    service: Any, rows: psycopg.Connection, asked: dict[str, Any], condition: str
) -> None:
    with pressroom.Client(service.url) as client:
        assert [e.id for e in client.executions(**asked)] == some(condition, rows)
        assert [e.id for e in client.executions(**asked, oldest=True)] == some(condition, rows, "ASC")
    async with pressroom.AsyncClient(service.url) as client:
        assert [e.id async for e in client.executions(**asked)] == some(condition, rows)


def test_a_walk_of_the_client_gives_each_row_once_while_others_begin(service: Any, rows: psycopg.Connection) -> None:
    before = some("true", rows)
    with pressroom.Client(service.url) as client:
        found = []
        for execution in client.executions():
            found.append(execution.id)
            if len(found) % 50 == 0:
                rows.execute(
                    "INSERT INTO notebook_executions (username, status, input_path) VALUES ('u', 'failed', '/')"
                )
    assert found == before
    with pressroom.Client(service.url) as client, pytest.raises(Invalid, match="status"):
        list(client.executions(status="done"))


@pytest.fixture
def shell(database_url: URL) -> dict[str, str]:
    return {**os.environ, "DATABASE_URL": database_url.render_as_string(hide_password=False), "NO_COLOR": "1"}


def run(shell: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pressroom.cli", *words]
    return subprocess.run(command, env=shell, capture_output=True, text=True, timeout=120)


def listed(shell: dict[str, str], *words: str) -> list[int]:
    done = run(shell, "executions", "list", "--json", "--limit", "1000", *words)
    assert done.returncode == 0, done.stderr
    return [row["id"] for row in json.loads(done.stdout)]


def test_the_command_line_lists_by_the_same_conditions(shell: dict[str, str], rows: psycopg.Connection) -> None:
    several = ("--status", "failed", "--status", "cancelled", "--user", "u1")
    assert listed(shell, *several) == some("status IN ('failed', 'cancelled') AND username = 'u1'", rows)
    assert listed(shell, "--param", "month", "3", "--queue", "q0", "--oldest") == some(
        "parameters_used ->> 'month' = '3' AND queue = 'q0'", rows, "ASC"
    )
    between = ("--since", "2026-01-03T00:00:00Z", "--until", "2026-01-04T00:00:00+00:00")
    assert listed(shell, *between) == some(
        "submitted_at >= '2026-01-03T00:00:00Z' AND submitted_at < '2026-01-04T00:00:00Z'", rows
    )
    assert listed(shell, "--until", "1h", "--after", "10") == list(range(9, 0, -1))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--since", "yesterday"), "neither a time such as"),
        (("--param", "a", "1", "--param", "a", "2"), "more than once"),
        (("--skip", "1", "--after", "2"), "either --after or --skip"),
    ],
)
def test_conditions_that_make_no_sense_are_refused(shell: dict[str, str], words: tuple[str, ...], said: str) -> None:
    refused = run({**shell, "COLUMNS": "300"}, "executions", "list", *words)
    assert refused.returncode == 2
    assert said in refused.stderr


def test_old_executions_are_pruned_from_the_command_line(
    shell: dict[str, str], rows: psycopg.Connection, home: Path
) -> None:
    rows.execute("UPDATE notebook_executions SET completed_at = now() - id * interval '1 d'")
    would = run(shell, "prune", "--older-than", "10w", "--keep-last", "100", "--dry-run", "--json")
    assert json.loads(would.stdout) == {
        "executions": 181,
        "events": 0,
        "files": 0,
        "ticks": 0,
        "bytes": 0,
        "dry_run": True,
        "complete": True,
    }
    said = run(shell, "prune", "--older-than", "12h")
    assert said.stdout == "Deleted 350 executions, 0 events, 2 output files (0.0 MiB).\n"
    assert rows.execute("SELECT count(*) FROM notebook_executions").fetchone() == (0,)
    assert (home / "n.ipynb").exists()
    assert list((home / "executions").iterdir()) == []


@pytest.mark.parametrize("age", ["90", "d", "-1d", "1y", "1000w1d", "999999999w", ""])
def test_an_age_that_is_none_is_refused_before_anything_is_deleted(
    shell: dict[str, str], rows: psycopg.Connection, age: str
) -> None:
    assert run(shell, "prune", f"--older-than={age}").returncode == 2
    assert run(shell, "prune").returncode == 2
    assert len(some("true", rows)) == 350
