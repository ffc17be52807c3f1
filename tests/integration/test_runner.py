"""The runner's care for executions whose service ends: killed, or closed."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select, text

from pressroom.database.models import Execution
from pressroom.database.session import Database
from pressroom.executions.runner import INTERRUPTED, open_runner
from pressroom.notebooks.places import Places
from pressroom.press import Event, Output
from pressroom.settings import Settings

PATIENCE = 90


def places_of(settings: Settings) -> Places:
    return Places(settings.users_root, tuple(settings.shared_roots))


async def added(database: Database, home: Path, status: str, service_id: int | None, name: str = "sales") -> int:
    async with database.transaction() as session:
        row = Execution(
            username="ana",
            input_path=str(home / f"{name}.ipynb"),
            output_path=str(home / f"{name}-{service_id}-{status}.out.ipynb"),
            status=status,
            service_id=service_id,
        )
        session.add(row)
        await session.flush()
        return row.id


async def row_of(database: Database, execution_id: int) -> Execution:
    async with database.transaction() as session:
        return (await session.scalars(select(Execution).where(Execution.id == execution_id))).one()


@pytest.mark.parametrize("status", ["pending", "running"])
@pytest.mark.parametrize("service_id", [4711, None])
async def test_what_a_killed_service_left_is_ended_as_interrupted_at_the_next_start(
    database: Database, settings: Settings, home: Path, status: str, service_id: int | None
) -> None:
    orphan = await added(database, home, status, service_id)
    async with open_runner(database, places_of(settings), settings):
        row = await row_of(database, orphan)
        assert (row.status, row.failure, row.error_message) == ("failed", {"reason": "interrupted"}, INTERRUPTED)
        assert row.completed_at is not None


async def test_what_a_living_service_runs_and_what_has_ended_is_left_alone(
    database: Database, settings: Settings, home: Path
) -> None:
    async with database.engine.connect() as other:
        await other.execute(text("SELECT pg_advisory_lock(4712)"))
        running = await added(database, home, "running", 4712)
        ended = await added(database, home, "success", 4711)
        async with open_runner(database, places_of(settings), settings):
            assert (await row_of(database, running)).status == "running"
            assert (await row_of(database, ended)).status == "success"


async def test_two_services_do_not_end_each_others_executions(
    database: Database, settings: Settings, home: Path
) -> None:
    async with open_runner(database, places_of(settings), settings) as first:
        running = await added(database, home, "running", first.service_id)
        async with open_runner(database, places_of(settings), settings) as second:
            assert second.service_id != first.service_id
            assert (await row_of(database, running)).status == "running"
    async with open_runner(database, places_of(settings), settings):
        assert (await row_of(database, running)).status == "failed"


async def test_a_service_that_closes_interrupts_what_runs_and_what_waits(
    database: Database, settings: Settings, home: Path
) -> None:
    pytest.write_notebook(home / "slow.ipynb", "print('ready', flush=True)\nimport time; time.sleep(600)")  # type: ignore[attr-defined]
    settings = settings.model_copy(update={"concurrency": 1})
    ready = asyncio.Event()

    def watch(event: Event) -> None:
        if isinstance(event, Output) and "ready" in event.text:
            ready.set()

    async with open_runner(database, places_of(settings), settings) as runner:
        running = await added(database, home, "pending", runner.service_id, "slow")
        runner.start(running, watch)
        await asyncio.wait_for(ready.wait(), PATIENCE)
        waiting = await added(database, home, "pending", runner.service_id, "slow2")
        runner.start(waiting)
        assert not await runner.wait(waiting, 0.1)
        assert runner.under_way == 2
        assert (await row_of(database, waiting)).status == "pending"
    assert runner.under_way == 0
    for execution_id in (running, waiting):
        row = await row_of(database, execution_id)
        assert (row.status, row.failure) == ("failed", {"reason": "interrupted"})
        assert "The service stopped while the execution was under way" in str(row.error_message)
    assert (home / f"slow-{runner.service_id}-pending.out.ipynb").exists(), "what it had put out is kept"
