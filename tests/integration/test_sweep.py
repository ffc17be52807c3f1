"""What time brings about: one that cannot be ended keeps no other waiting, and what waits without a job gets one."""

import asyncio
import logging
from pathlib import Path

import pytest
from sqlalchemy import text

from line import Line
from pressroom.executions import service
from pressroom.executions.ending import staged_name
from pressroom.executions.sweep import Sweep

# An execution of the number that the trigger is given cannot end.
STUCK = """
CREATE FUNCTION stuck() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id = TG_ARGV[0]::integer AND NEW.status <> 'running' THEN RAISE 'stuck'; END IF;
    RETURN NEW;
END $$;
"""
STICK = "CREATE TRIGGER stuck BEFORE UPDATE ON notebook_executions FOR EACH ROW EXECUTE FUNCTION stuck('{}')"
JOBLESS = "notebook_executions AS e LEFT JOIN procrastinate_jobs AS j ON j.id = e.job_id AND j.status = 'todo'"
JOBLESS += " WHERE e.status = 'pending' AND j.id IS NULL"


async def run(line: Line, *statements: str) -> None:
    async with line.database.transaction() as session:
        for statement in statements:
            await session.execute(text(statement.replace(":", r"\:")))


async def status(line: Line, execution_id: int) -> str:
    async with line.database.transaction() as session:
        return (await service.get(session, execution_id)).status


async def lost(line: Line, n: int) -> list[int]:
    """Executions that a worker runs of which nothing is heard any more."""
    running = await line.submit(n=n, max_attempts=1)
    assert [await line.claim() for _ in range(n)] == running
    return running


async def test_one_that_cannot_be_ended_keeps_no_other_from_its_end(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third = await lost(line, 3)
    await run(line, STUCK, STICK.format(second))
    with caplog.at_level(logging.ERROR, "pressroom.sweep"):
        await Sweep(line.shop(worker_lost_seconds=0.0)).once()
    assert [await status(line, one) for one in (first, second, third)] == ["failed", "running", "failed"]
    assert f"the end of execution {second}" in caplog.text
    await run(line, "DROP TRIGGER stuck ON notebook_executions")
    await Sweep(line.shop(worker_lost_seconds=0.0)).once()
    assert await status(line, second) == "failed"


async def test_a_step_that_fails_keeps_no_other_from_being_done(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    [running] = await lost(line, 1)
    [expired] = await line.submit()
    await run(line, f"UPDATE notebook_executions SET expires_at = now() WHERE id = {expired}")
    await run(line, STUCK, STICK.format(expired), "DELETE FROM procrastinate_workers")
    with caplog.at_level(logging.ERROR, "pressroom.sweep"):
        await Sweep(line.shop(worker_lost_seconds=0.0)).once()
    assert await status(line, running) == "failed"
    assert await status(line, expired) == "pending"
    assert await line.count("workers") == 0, "the last step was done"
    assert "_end_expired" in caplog.text


async def test_an_output_that_cannot_be_taken_away_is_left_and_the_attempt_ends(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = await lost(line, 2)
    async with line.database.transaction() as session:
        output = Path((await service.get(session, first)).output_path)
    left = output.parent / staged_name(first, 1)
    left.mkdir(parents=True)  # a folder cannot be unlinked, whoever tries
    await Sweep(line.shop(worker_lost_seconds=0.0)).once()
    assert [await status(line, one) for one in (first, second)] == ["failed", "failed"]
    assert f"{left.name} is left" in caplog.text


@pytest.mark.parametrize(
    "fate",
    ["DELETE FROM procrastinate_jobs", "UPDATE procrastinate_jobs SET status = 'failed'"],
)
async def test_what_waits_without_a_job_gets_one_job_however_many_sweep(line: Line, fate: str) -> None:
    waiting = await line.submit(n=5)
    await run(line, fate)
    assert await line.count(JOBLESS) == 5
    await asyncio.gather(*(Sweep(line.shop()).once() for _ in range(8)))
    assert await line.count(JOBLESS) == 0
    assert await line.count("procrastinate_jobs") == 5
    assert [await line.claim() for _ in range(6)] == [*waiting, None]


async def test_one_whose_job_was_lost_while_it_ran_is_put_back_and_gets_another(line: Line) -> None:
    [one] = await line.submit()
    assert await line.claim() == one
    await run(line, "DELETE FROM procrastinate_jobs")
    assert await line.end(one, "pending")
    await Sweep(line.shop()).once()
    assert await line.claim() == one
    assert await line.end(one)
    assert await line.count("procrastinate_jobs") == 0
