"""A worker's watch over what it runs: one part that waits or fails holds back no other."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from sqlalchemy import text

from line import ANA, Line, Other, discard, until, working
from pressroom.database.session import driver_connection
from pressroom.executions import artifacts, discarding, service
from pressroom.executions.ending import Ending
from pressroom.executions.sweep import Sweep
from pressroom.executions.tasks import Pressman
from pressroom.executions.vigil import Vigil

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
BEATS = """
CREATE FUNCTION tell_beat() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- The worker of the chores is in the other table alone.
    PERFORM pg_notify('beats', '') FROM workers WHERE id = NEW.id;
    RETURN NEW;
END $$;
CREATE TRIGGER tell_beat AFTER UPDATE ON procrastinate_workers FOR EACH ROW EXECUTE FUNCTION tell_beat();
LISTEN beats
"""
LISTENING = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN \"procrastinate%'"

CHORES = "procrastinate_jobs WHERE task_name = 'pressroom.discard_artifacts'"
WAITING = """
SELECT FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def told(other: Other, times: int) -> list[str]:
    """What is notified next, ``times`` times."""
    return [notice.payload async for notice in other.notifies(timeout=20, stop_after=times)]


async def test_signs_of_life_go_on_while_a_look_waits_for_a_lock(line: Line, other: Other) -> None:
    await other.execute(BEATS)
    async with working(line, worker_lost_seconds=1), other.transaction():
        await other.execute("LOCK TABLE execution_attempts IN ACCESS EXCLUSIVE MODE")
        listening = await other.connect(other.info.dsn, autocommit=True, password=other.info.password)
        async with listening:
            await listening.execute("LISTEN beats")
            assert len(await told(listening, 6)) == 6, "more than a worker that is alive may leave out"


async def test_a_look_that_fails_is_tried_again_and_signs_of_life_go_on(
    line: Line, other: Other, caplog: pytest.LogCaptureFixture
) -> None:
    await other.execute(BEATS)
    async with working(line, queues=["others"], worker_lost_seconds=1):
        with caplog.at_level(logging.ERROR, "pressroom.queue"):
            await other.execute("ALTER TABLE execution_attempts RENAME TO away")
            assert len(await told(other, 6)) == 6
        assert "what this worker holds cannot be seen" in caplog.text
        await other.execute("ALTER TABLE away RENAME TO execution_attempts")
        await other.execute("UNLISTEN beats; LISTEN pressroom_executions")
        [one] = await line.submit()
        await other.execute("SELECT claim_execution(NULL, max(id)) FROM workers")
        assert await told(other, 2) == [f"{one} running", f"{one} pending"], "what it does not work on is put back"


async def test_a_cancel_is_heard_while_the_worker_stops(line: Line, other: Other, home: Path) -> None:
    write_notebook(home / "slow.ipynb", "1", "import time; time.sleep(600)")
    await other.execute("LISTEN pressroom_executions")
    async with working(line, grace=40) as work:
        [one] = await line.submit(notebook="slow")

        async def runs() -> bool:
            return await line.count("notebook_executions WHERE cells_completed = 1") == 1

        async def deaf() -> bool:
            return not (await other.execute(LISTENING)).rowcount

        await until(runs)
        work.crew.stop()
        await until(deaf)
        async with line.database.transaction() as session:
            await service.cancel(session, line.intake, ANA, one)
        assert await work.end() == one
        async with asyncio.timeout(20):
            await work.crew.wait()
    async with line.database.transaction() as session:
        row = await service.get(session, one)
    assert (row.status, row.failure) == ("cancelled", {"reason": "cancelled"})


@pytest.fixture
async def vigil(line: Line) -> AsyncIterator[Vigil]:
    """The watch over a worker that works on nothing."""
    shop = line.shop()
    pressman = Pressman(shop, line.jobs)
    yield Vigil(shop, line.jobs, pressman)
    await pressman.close()


async def test_what_was_claimed_and_waits_to_be_begun_is_not_lost(line: Line, vigil: Vigil) -> None:
    [one] = await line.submit()
    assert await line.jobs.fetch_job(None, line.worker_id) is not None
    for _ in range(2):
        await vigil.look()
    assert await line.count("notebook_executions WHERE status = 'running'") == 1
    line.jobs.claimed(one)
    for _ in range(2):
        await vigil.look()
    assert await line.count("notebook_executions WHERE status = 'running'") == 0, "what is not begun then is lost"


async def test_what_is_being_ended_as_lost_is_not_taken_up_as_unheard(line: Line, other: Other, vigil: Vigil) -> None:
    [one] = await line.submit()
    await other.execute("SELECT claim_execution(NULL, %s)", [line.worker_id])
    line.jobs._unsure = True  # the answer was lost
    await vigil.look()

    async def waiting() -> int:
        return (await other.execute(WAITING)).rowcount

    async with other.transaction():
        await other.execute("LOCK TABLE procrastinate_workers IN ACCESS EXCLUSIVE MODE")
        look = asyncio.create_task(vigil.look())
        await until(waiting)
        fetch = asyncio.create_task(line.jobs.fetch_job(None, line.worker_id))

        async def decided() -> bool:
            return fetch.done() or await waiting() == 2

        await until(decided)
    await look
    if await fetch is not None:
        assert line.jobs.claimed(one)["attempt"] == 2
    assert await line.count("execution_attempts WHERE number = 1 AND reason = 'worker_lost'") == 1


async def test_artifacts_of_a_lost_attempt_are_taken_away_though_whoever_ended_it_is_killed_right_after(
    line: Line, other: Other
) -> None:
    [one] = await line.submit()
    await line.claim()
    row = await (await other.execute("SELECT output_path FROM notebook_executions WHERE id = %s", [one])).fetchone()
    assert row is not None
    directory = Path(row[0]).parent / artifacts.folder_name(row[0], one, 1)
    (directory / "deep").mkdir(parents=True)
    shop = line.shop(worker_lost_seconds=0.0)
    await Sweep(shop).once()
    assert directory.exists(), "the sweep waits for no disk"
    in_one = f"execution_attempts AS a, {CHORES} AND a.reason = 'worker_lost' AND a.xmin = procrastinate_jobs.xmin"
    assert await line.count(in_one) == 1, "one transaction ends the attempt and asks for this"
    await discard(line.database, shop)
    assert list(directory.parent.iterdir()) == []
    assert await line.count(CHORES) == 0


async def test_artifacts_of_an_attempt_that_is_not_followed_by_another_are_taken_away(
    line: Line, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_notebook(home / "n.ipynb", "import os; open(os.environ['PRESSROOM_ARTIFACTS'] + '/a.csv', 'w'); 1 / 0")
    monkeypatch.setattr(Ending, "clear", AsyncMock())  # its worker is killed by then
    async with working(line) as work:
        [one] = await line.submit(max_attempts=2, retry_on=["any_failure"], retry_delay_seconds=3600)
        await work.end()
        async with line.database.transaction() as session:
            await service.cancel(session, line.intake, ANA, one)

        async def discarded() -> bool:
            return await line.count(CHORES) == 0

        await until(discarded)
    assert [path.suffix for path in (home / "executions").iterdir()] == [".ipynb"]


async def test_a_chore_that_finds_nothing_of_an_attempt_is_done(line: Line, home: Path) -> None:
    await ask(line, (str(home / "executions" / "n-7.ipynb"), 7), ("/elsewhere/n-8.ipynb", 8))
    await discard(line.database, line.shop())
    assert await line.count(CHORES) == 0


async def test_a_chore_that_cannot_take_all_away_takes_what_it_can_and_is_tried_again(
    line: Line, home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    outputs = [home / "n-7.ipynb", home / "n-8.ipynb"]
    folders = [home / artifacts.folder_name(str(path), id_, 1) for path, id_ in zip(outputs, (7, 8), strict=True)]
    for folder in folders:
        (folder / "deep").mkdir(parents=True)
    await ask(line, *((str(path), id_) for path, id_ in zip(outputs, (7, 8), strict=True)))
    real = os.rmdir

    def rmdir(name: str, **options: Any) -> None:
        if name == folders[0].name:
            raise OSError(5, "Input/output error", name)
        real(name, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "rmdir", rmdir)
        await discard(line.database, line.shop())
    assert [folder.exists() for folder in folders] == [True, False]
    assert "artifacts of attempt 1 of execution 7 are left: [Errno 5] Input/output error" in caplog.text
    assert await line.count(f"{CHORES} AND status = 'todo' AND attempts = 1 AND scheduled_at > now()") == 1
    async with line.database.transaction() as session:
        await session.execute(text("UPDATE procrastinate_jobs SET scheduled_at = NULL"))
    await discard(line.database, line.shop())
    assert not folders[0].exists()
    assert await line.count(CHORES) == 0


async def ask(line: Line, *lost: tuple[str, int]) -> None:
    """Ask for the artifacts of first attempts, by their outputs and executions, to be taken away."""
    attempts = [discarding.Attempt(path, "ana", execution_id, 1) for path, execution_id in lost]
    async with line.database.transaction() as session:
        await discarding.defer(await driver_connection(session), attempts)
    assert await line.count(CHORES) == 1
