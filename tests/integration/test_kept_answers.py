"""Answers are kept, and never older than their request, whoever wrote: this service, another one, or somebody's SQL."""

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from sqlalchemy import URL, event

from pressroom import kept_answers
from pressroom.app import create_app
from pressroom.database.checks import open_checks, take
from pressroom.database.session import Database
from pressroom.notebooks import service as notebooks
from pressroom.settings import Settings

Service = pytest.Service  # type: ignore[attr-defined]
write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
READS = (
    "/db/notebooks",
    "/db/notebooks?limit=3",
    "/db/notebooks?skip=2&limit=2",
    "/db/notebooks?tag=a",
    "/db/notebooks/user/ana",
    "/db/notebooks/1",
    "/db/notebooks/2",
    "/db/executions",
    "/db/executions?limit=3",
    "/db/executions?username=ana&status=success,failed&limit=4",
    "/db/executions?notebook_id=1",
    "/db/executions?after=5&limit=2",
    "/db/executions/notebook/1",
)
STEPS = 40


@pytest.fixture
def both(settings: Settings, service: Any, http: httpx.Client) -> Iterator[list[httpx.Client]]:
    """Clients of two services on one database."""
    # FastAPI makes its routes when they are first asked for; two threads of one process must not at once.
    assert http.get("/db/executions").status_code == 200
    with Service(settings) as other, httpx.Client(base_url=other.url, timeout=60) as client:
        assert client.get("/db/executions").status_code == 200
        yield [http, client]


@pytest.fixture
def rows(database_url: URL) -> Iterator[psycopg.Connection]:
    """A connection of somebody else, who writes to the tables."""
    conninfo = database_url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    """The application, started, in this very process."""
    app = create_app(settings.model_copy(update={"workers": 0}))
    async with app.router.lifespan_context(app):
        yield app


def said(answer: httpx.Response) -> tuple[Any, ...]:
    link = answer.headers.get("link", "").replace("unheard=", "").partition("?")[2]
    link = "&".join(part for part in link.split("&") if not part.startswith("1"))
    return (answer.status_code, answer.content, answer.headers.get("x-total-count"), bool(link))


def anew(client: httpx.Client, path: str, number: int) -> tuple[Any, ...]:
    """What the path answers under a query that nobody asked before."""
    return said(client.get(f"{path}{'&' if '?' in path else '?'}unheard=1{number}"))


def write(chance: random.Random, clients: list[httpx.Client], rows: psycopg.Connection, home: Path, step: int) -> None:
    """One change, by somebody."""
    client = chance.choice(clients)
    known = [notebook["id"] for notebook in client.get("/db/notebooks").json()]
    some = chance.choice(known) if known else 0
    match chance.randrange(10):
        case 0 | 1:
            path = write_notebook(home / f"n{step}.ipynb", "1")
            tags = chance.choice([[], ["a"], ["a", "b"]])
            body = {"name": f"n{step}", "file_path": str(path), "username": "ana", "tags": tags}
            assert client.post("/db/notebooks", json=body).status_code == 201
        case 2 if some:
            assert client.put(f"/db/notebooks/{some}", json={"description": f"at {step}"}).status_code == 200
        case 3 if some and len(known) > 3:
            assert client.delete(f"/db/notebooks/{some}").status_code == 204
        case 4 if some:
            body = {"notebook_id": some, "param_name": f"p{step}", "param_type": "integer"}
            assert client.post("/db/parameters", json=body).status_code == 201
        case 5:
            rows.execute(
                "UPDATE notebook_parameters SET description = %s WHERE id = (SELECT max(id) FROM notebook_parameters)",
                (f"at {step}",),
            )
        case 6:
            rows.execute("DELETE FROM notebook_parameters WHERE id = (SELECT min(id) FROM notebook_parameters)")
        case 7:
            rows.execute("UPDATE notebook_executions SET status = 'failed' WHERE id %% 3 = %s", (step % 3,))
        case 8:
            rows.execute("DELETE FROM notebook_executions WHERE id = (SELECT max(id) FROM notebook_executions)")
        case _:
            rows.execute(
                "INSERT INTO notebook_executions (username, notebook_id, input_path, status, parameters_used)"
                " VALUES (%s, %s, '/n.ipynb', 'success', '{}')",
                (chance.choice(["ana", "eve"]), some or None),
            )


@pytest.mark.parametrize("seed", [1, 2])
def test_no_answer_is_older_than_the_last_change(
    both: list[httpx.Client], rows: psycopg.Connection, home: Path, seed: int
) -> None:
    chance = random.Random(seed)
    for step in range(STEPS):
        write(chance, both, rows, home, step)
        for path in chance.sample(READS, 5):
            truth = anew(both[0], path, step)
            for client in both:
                for _ in range(chance.randint(1, 3)):
                    assert said(client.get(path)) == truth, f"{path} after step {step}"


def test_a_change_is_seen_when_it_is_committed_and_not_before(
    both: list[httpx.Client], rows: psycopg.Connection, home: Path
) -> None:
    body = {"name": "n", "file_path": str(write_notebook(home / "n.ipynb", "1")), "username": "ana"}
    made = both[0].post("/db/notebooks", json=body).json()
    path = f"/db/notebooks/{made['id']}"

    def descriptions() -> list[Any]:
        return [client.get(path).json()["description"] for client in both for _ in range(3)]

    assert descriptions() == [None] * 6
    with rows.transaction():
        rows.execute("UPDATE notebooks SET description = 'new'")
        assert descriptions() == [None] * 6
    assert descriptions() == ["new"] * 6
    with rows.transaction(force_rollback=True):
        rows.execute("UPDATE notebooks SET description = 'never'")
        assert descriptions() == ["new"] * 6
    assert descriptions() == ["new"] * 6


def test_readers_never_fall_behind_a_writer_and_see_no_half_of_a_change(
    both: list[httpx.Client], rows: psycopg.Connection
) -> None:
    rows.execute(
        "INSERT INTO notebooks (name, file_path, username, tags, metadata) VALUES ('n', '/n', 'ana', '[]', '{}')"
    )
    written, over = 0, threading.Event()
    faults: list[str] = []

    def read(client: httpx.Client) -> None:
        with httpx.Client(base_url=client.base_url, timeout=60) as reader:
            while not over.is_set():
                least = written
                answer = reader.get("/db/notebooks")
                found = answer.json()
                if int(found[0]["description"] or 0) < least:
                    faults.append(f"{found[0]['description']} after {least}")
                if len(found) != int(answer.headers["x-total-count"]):
                    faults.append(f"{len(found)} of {answer.headers['x-total-count']}")

    readers = [threading.Thread(target=read, args=(client,)) for client in both * 3]
    for reader in readers:
        reader.start()
    for number in range(1, 120):
        # A second notebook comes and goes, so that the ids and the number of rows are often what they were before.
        with rows.transaction():
            rows.execute("UPDATE notebooks SET description = %s WHERE name = 'n'", (str(number),))
            if number % 2:
                rows.execute(
                    "INSERT INTO notebooks (name, file_path, username, tags, metadata)"
                    " VALUES ('m', '/m', 'ana', '[]', '{}')"
                )
            else:
                rows.execute("DELETE FROM notebooks WHERE name = 'm'")
        written = number
        time.sleep(0.01 * (number % 3))
    over.set()
    for reader in readers:
        reader.join()
    assert faults == []


async def test_an_answer_that_still_holds_is_not_made_again(app: FastAPI) -> None:
    statements: list[str] = []
    engine = app.state.parts.database.engine.sync_engine
    # The sweep, which goes on beside it, has statements too.
    event.listen(
        engine,
        "before_cursor_execute",
        lambda *given: (
            statements.append(given[2]) if "notebooks.name" in given[2] or "cells_total" in given[2] else None
        ),
    )
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for path in ("/db/notebooks", "/db/executions?limit=5"):
            await client.get(path)  # a first time is no reason to keep anything
            assert statements
            statements.clear()
            first = await client.get(path)
            assert statements
            statements.clear()
            second = await client.get(path)
            assert statements == []
            assert (second.status_code, second.content) == (first.status_code, first.content)
            ours = {"x-request-id"}
            assert {k: v for k, v in first.headers.items() if k not in ours} == {
                k: v for k, v in second.headers.items() if k not in ours
            }
            assert first.headers["x-request-id"] != second.headers["x-request-id"]
        # Another host gets links of its own.
        assert (await client.get("/db/notebooks", headers={"Host": "localhost"})).status_code == 200
        assert statements


async def test_what_is_written_between_two_statements_is_in_no_answer_that_is_kept(
    app: FastAPI, rows: psycopg.Connection
) -> None:
    insert = (
        "INSERT INTO notebooks (name, file_path, username, tags, metadata) VALUES ('n', '/n', 'ana', '[\"a\"]', '{}')"
    )
    writing = True

    def write(*given: Any) -> None:
        nonlocal writing
        if writing and "pg_postmaster_start_time" in given[2] and "writer" in given[2]:
            writing = False
            rows.execute(insert)

    event.listen(app.state.parts.database.engine.sync_engine, "after_cursor_execute", write)
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        await client.get("/db/notebooks")
        assert writing
        assert (await client.get("/db/notebooks")).json() == []
        assert not writing
        rows.execute("DELETE FROM notebooks")  # what is there now has the versions of what was there first
        assert (await client.get("/db/notebooks")).json() == []


async def test_questions_that_differ_late_are_told_apart(app: FastAPI, rows: psycopg.Connection) -> None:
    tags = ["a" * 90 + end for end in "bc"]
    rows.execute(
        "INSERT INTO notebooks (name, file_path, username, tags, metadata)"
        " SELECT tag, '/' || tag, 'ana', jsonb_build_array(tag), '{}' FROM unnest(%s::text[]) AS tag",
        (tags,),
    )
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        paths = [f"/db/notebooks?tag={tag}" for tag in tags] * 20
        for _ in range(2):
            await asyncio.gather(*(client.get(path) for path in paths))
        statements: list[str] = []
        engine = app.state.parts.database.engine.sync_engine
        event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
        answers = await asyncio.gather(*(client.get(path) for path in paths))
        assert [answer.json()[0]["name"] for answer in answers] == tags * 20
        assert not [statement for statement in statements if "notebooks.name" in statement]


async def test_where_no_check_can_be_made_the_answer_is_made_anew(app: FastAPI, rows: psycopg.Connection) -> None:
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for _ in range(3):
            await client.get("/db/notebooks")
        for _ in range(2):
            ended = rows.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ~ 'pg_postmaster_start_time'"
            ).fetchall()
            assert ended
            for _ in range(2):
                assert (await client.get("/db/notebooks")).status_code == 200


async def test_a_check_that_hangs_is_given_up_and_made_again_later(
    database: Database, database_url: URL, rows: psycopg.Connection
) -> None:
    async with database.snapshot() as session:
        check = await take(session, *notebooks.versions_of_page(None, None, "a", 0, 100))
    async with open_checks(database_url) as checks:
        assert await checks.holds(check)
        with rows.transaction():
            rows.execute("LOCK TABLE notebooks")
            began = time.perf_counter()
            assert not await checks.holds(check)
            assert not await checks.holds(check)
            assert time.perf_counter() - began < 3
        for _ in range(100):
            if await checks.holds(check):
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("no check is made any more")


async def test_what_is_kept_has_a_limit(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = app.state.parts.kept
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        monkeypatch.setattr(kept_answers, "ALL_BYTES", 20_000)
        monkeypatch.setattr(kept_answers, "ASKED", 20)
        for number in range(40):
            for _ in range(2):
                await client.get(f"/db/notebooks?number={number}")
        assert 0 < kept._size <= 20_000
        for number in range(100, 110):
            await client.get(f"/db/notebooks?number={number}")
        assert len(kept._asked) == 20
        assert not any("number=105" in str(question) for question in kept._kept)
        assert kept._size == sum(answer.size for answer in kept._kept.values())
        monkeypatch.setattr(kept_answers, "LARGEST_BYTES", 10)
        for _ in range(2):
            await client.get("/db/notebooks?number=99")
        assert all("99" not in str(question) for question in kept._kept)
