"""A worker is woken by what it may start, at any moment: its poll is off in these tests."""

import asyncio

import pytest

from line import Line, Other, until, working

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


async def test_what_comes_while_a_worker_hears_that_nothing_waits_is_begun_at_once(line: Line, other: Other) -> None:
    await other.execute(GATE)
    async with working(line) as work:

        async def held_up() -> bool:
            return bool((await other.execute(HELD_UP)).rowcount)

        await until(held_up)
        [late] = await line.submit()
        async with asyncio.timeout(20):
            await next(iter(work.crew._workers))._new_job_event.wait()
        await other.execute("SELECT pg_advisory_unlock(77)")
        assert await work.end() == late


async def test_what_a_limit_holds_back_is_begun_when_a_place_is_free(line: Line) -> None:
    first, second = await line.submit(n=2, user_limit=1)
    async with working(line) as work:
        assert [await work.end(), await work.end()] == [first, second]


@pytest.mark.parametrize("payload", ["no JSON", "[]", "{}"])
async def test_a_notification_that_cannot_be_read_leaves_a_worker_awake(
    line: Line, other: Other, caplog: pytest.LogCaptureFixture, payload: str
) -> None:
    async with working(line) as work:
        [first] = await line.submit()
        assert await work.end() == first  # it listens

        async def heard() -> bool:
            return "cannot be read" in caplog.text

        await other.execute("SELECT pg_notify('procrastinate_any_queue_v1', %s)", [payload])
        await until(heard)
        [second] = await line.submit()
        assert await work.end() == second
