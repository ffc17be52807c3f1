"""The connection breaks after PostgreSQL has done what it was told to, and before it could say so."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, text

from line import Line, open_line, working
from link import Link, open_link
from pressroom.database.session import Database
from pressroom.settings import Settings

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
ATTEMPTS = "SELECT number, reason FROM execution_attempts WHERE execution_id = :id ORDER BY number"


@pytest.fixture
async def link(database_url: URL) -> AsyncIterator[Link]:
    async with open_link(database_url) as link:
        yield link


@pytest.fixture
async def far(link: Link, settings: Settings, home: Path) -> AsyncIterator[Line]:
    """A queue whose worker reaches the database over the link."""
    database = Database(link.url)
    async with open_line(database, settings, home) as line:
        yield line
    await database.dispose()


async def attempts(line: Line, execution_id: int) -> list[tuple[Any, ...]]:
    async with line.database.transaction() as session:
        return [tuple(row) for row in (await session.execute(text(ATTEMPTS), {"id": execution_id})).all()]


async def test_a_claim_whose_answer_was_lost_is_run_as_the_attempt_that_it_began(far: Line, link: Link) -> None:
    [one] = await far.submit(max_attempts=1)
    link.lose_answer_to("SELECT claim_execution(")
    async with working(far, worker_lost_seconds=3600) as work:
        assert await work.end() == one
        assert link.lost.is_set()
    assert await attempts(far, one) == [(1, None)]
    assert await far.count("notebook_executions WHERE status = 'success'") == 1


async def test_a_claim_is_not_taken_up_twice(far: Line, link: Link) -> None:
    async with working(far, worker_lost_seconds=3600) as work:
        ends = [(await far.submit())[0] for _ in range(3)]
        link.lose_answer_to("SELECT claim_execution(")
        last = (await far.submit(max_attempts=1))[0]
        assert sorted([await work.end() for _ in range(4)]) == [*ends, last]
    for one in (*ends, last):
        assert await attempts(far, one) == [(1, None)]


@pytest.mark.parametrize(
    ("source", "reason", "words"),
    [
        ("1", None, ("SELECT end_attempt(", "COMMIT")),
        ("1 / 0", "cell_error", ("SELECT end_attempt(", "COMMIT")),
        ("", "notebook_invalid", ("SELECT end_attempt(",)),
    ],
)
async def test_an_end_whose_answer_was_lost_is_known_to_be_written(
    far: Line, link: Link, source: str, reason: str | None, words: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    path = write_notebook(far.home / "n.ipynb", source)
    [one] = await far.submit(max_attempts=1)
    if not source:
        path.write_text("")  # nothing can be run, so there is no output to be put in its place
    caplog.set_level("INFO", "pressroom.executions")
    link.lose_answer_to(*words)
    async with working(far, worker_lost_seconds=3600) as work:
        assert await work.end() == one
    assert link.lost.is_set()
    assert f"the end of execution {one} waits" in caplog.text
    assert "another worker has the execution" not in caplog.text
    assert await attempts(far, one) == [(1, reason)]
