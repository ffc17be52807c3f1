"""Which executions are noted to be runs of MLflow, and for how long; no MLflow is needed for it."""

import asyncio

import pytest
from sqlalchemy import text

from line import ANA, Line, until
from pressroom.database.models import Execution
from pressroom.executions import service as executions
from pressroom.executions.sweep import Sweep
from pressroom.tracking import tasks
from pressroom.worker import ended
from tracked import away, over, say, state


async def test_a_worker_goes_on_saying_that_it_tracks_whatever_went_wrong(
    line: Line, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "_AGAIN_SECONDS", 0.01)
    async with line.database.transaction() as session:
        await session.execute(text("ALTER TABLE mlflow_tracking RENAME TO away"))
    saying = asyncio.create_task(tasks.say_now_and_then(line.database))

    async def said_so() -> bool:
        return "cannot be said" in caplog.text or saying.done()

    await until(said_so)
    async with line.database.transaction() as session:
        await session.execute(text("ALTER TABLE away RENAME TO mlflow_tracking"))
    await until(lambda: line.count("mlflow_tracking"))
    await ended(saying)


async def test_what_waits_is_given_up_when_nobody_has_tracked_for_a_week(line: Line) -> None:
    await say(line)
    execution = await over(line, "forgotten")
    waiting = "procrastinate_jobs WHERE queue_name = 'pressroom:tracking'"
    for age, jobs in (("6 days", 1), ("8 days", 0)):
        async with line.database.transaction() as session:
            await session.execute(text(f"UPDATE mlflow_tracking SET seen_at = now() - interval '{age}'"))
        await Sweep(line.shop()).once()
        assert await line.count(waiting) == jobs
    known = await state(line, execution)
    assert known is not None
    assert (known.status, known.detail) == ("failed", "No worker has tracked for a week.")


async def test_only_what_has_run_is_tracked_and_only_while_somebody_tracks(line: Line) -> None:
    await over(line, "before")
    assert not await line.count("mlflow_runs"), "nobody tracks"
    await say(line)
    [pending] = await line.submit()
    async with line.database.transaction() as session:
        await executions.cancel(session, line.intake, ANA, pending)
    assert not await line.count("mlflow_runs"), "it never began"
    execution = await over(line, "now")
    assert await line.count("mlflow_runs WHERE status = 'pending'") == 1
    assert await line.count("procrastinate_jobs WHERE queue_name = 'pressroom:tracking'") == 1
    async with line.database.transaction() as session:
        await session.execute(text("UPDATE mlflow_tracking SET seen_at = now() - interval '25 hours'"))
    await over(line, "after")
    assert await line.count("mlflow_runs") == 1, "nobody has tracked for a day"
    async with line.database.transaction() as session:
        await session.delete(await session.get_one(Execution, execution.id))
    await tasks.write(away(line), execution.id)  # it was pruned meanwhile


async def test_an_execution_goes_on_before_anybody_has_said_that_they_track(line: Line) -> None:
    path = "/home/ana/early.ipynb"
    shop = away(line)
    assert await tasks.kernel_environment(shop, 1, 1, None, path) == {}
    await say(line)
    told = await tasks.kernel_environment(shop, 1, 1, None, path)
    assert told["MLFLOW_EXPERIMENT_NAME"] == path
    assert await tasks.kernel_environment(line.shop(), 1, 1, None, path) == {}


async def test_what_a_lost_worker_was_writing_is_written_by_another(line: Line) -> None:
    await say(line)
    await over(line, "lost")
    async with line.database.transaction() as session:
        await session.execute(
            text("UPDATE procrastinate_jobs SET status = 'doing', worker_id = NULL WHERE task_name = 'track'")
        )
        await session.execute(text("SELECT pg_sleep(1.1)"))  # the server must have been up for that long
    await Sweep(line.shop(worker_lost_seconds=1)).once()
    assert await line.count("procrastinate_jobs WHERE status = 'todo' AND task_name = 'track'") == 1
