"""A worker is woken by what it may start, at any moment: its poll is off in these tests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from line import Line
from pressroom.database.url import conninfo
from pressroom.press import Finished
from pressroom.worker import Crew, Staffing, open_crew

# A claim that found nothing is held up before it says so, while the test holds the lock.
GATE = """
ALTER FUNCTION claim_execution(varchar[], bigint) RENAME TO claim_truly;
CREATE FUNCTION claim_execution(of_queues varchar[], by_worker bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    claimed jsonb;
BEGIN
    claimed := claim_truly(of_queues, by_worker);
    IF claimed IS NULL THEN PERFORM pg_advisory_xact_lock_shared(77); END IF;
    RETURN claimed;
END $$;
SELECT pg_advisory_lock(77);
"""
HELD_UP = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 77 AND NOT granted"


async def until(condition: Callable[[], Awaitable[Any]]) -> None:
    """Wait for a condition of the database that nothing tells of."""
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.01)


class Work:
    """A crew without a poll, and the ends of what it runs."""

    def __init__(self, crew: Crew, ends: asyncio.Queue[int]) -> None:
        self.crew, self._ends = crew, ends

    async def end(self, seconds: float = 20) -> int:
        """The next execution that has ended."""
        async with asyncio.timeout(seconds):
            return await self._ends.get()


@asynccontextmanager
async def working(line: Line, concurrency: int = 2) -> AsyncIterator[Work]:
    ends: asyncio.Queue[int] = asyncio.Queue()

    def watch(execution_id: int, event: object) -> None:
        if isinstance(event, Finished):
            ends.put_nowait(execution_id)

    async with open_crew(line.shop(), Staffing(concurrency, grace_seconds=0), watch) as crew:
        for worker in crew._workers:
            worker.fetch_job_polling_interval = 3600
        yield Work(crew, ends)


@pytest.fixture
async def other(line: Line) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Somebody else's connection."""
    async with await psycopg.AsyncConnection.connect(conninfo(line.database.url), autocommit=True) as connection:
        yield connection


async def test_what_comes_while_a_worker_hears_that_nothing_waits_is_begun_at_once(
    line: Line, other: psycopg.AsyncConnection[Any]
) -> None:
    await other.execute(GATE)
    async with working(line) as work:

        async def held_up() -> bool:
            return bool((await other.execute(HELD_UP)).rowcount)

        await until(held_up)
        [late] = await line.submit()
        async with asyncio.timeout(20):
            await work.crew._workers[0]._new_job_event.wait()
        await other.execute("SELECT pg_advisory_unlock(77)")
        assert await work.end() == late


async def test_what_a_limit_holds_back_is_begun_when_a_place_is_free(line: Line) -> None:
    first, second = await line.submit(n=2, user_limit=1)
    async with working(line) as work:
        assert [await work.end(), await work.end()] == [first, second]
