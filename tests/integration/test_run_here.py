"""``pressroom run``: what becomes of it where it cannot be stopped as it should."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from line import ANA, Line, Other, until
from pressroom.cli.room import Room
from pressroom.cli.run import _run
from pressroom.cli.shown import Shown
from pressroom.errors import Unavailable
from pressroom.executions.orders import Order, own_queue

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
AWAY = """
CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE 'the server is out of connections' USING ERRCODE = '53300'; END $$;
CREATE TRIGGER away BEFORE UPDATE ON notebook_executions FOR EACH ROW
WHEN (NEW.cancel_requested_at IS NOT NULL AND OLD.cancel_requested_at IS NULL) EXECUTE FUNCTION away()
"""


def ordered(line: Line, path: Path) -> tuple[Room, Order, Shown]:
    room = Room(line.intake.settings, line.database, ANA, line.intake.places)
    order = Order(input_path=str(path), parameters={}, private_queue=own_queue())
    return room, order, Shown(as_json=True, log=False)


async def test_a_stop_that_fails_is_told_and_can_be_tried_again(
    line: Line, other: Other, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = asyncio.all_tasks()

    async def quiet() -> bool:
        return asyncio.all_tasks() == before  # a read that others may share ends by itself, a moment later

    path = write_notebook(home / "slow.ipynb", "1", "import time; time.sleep(600)")
    await other.execute(AWAY)
    running = asyncio.create_task(_run(*ordered(line, path)))

    async def runs() -> bool:
        return await line.count("notebook_executions WHERE cells_completed = 1") == 1

    await until(runs)
    os.kill(os.getpid(), signal.SIGINT)
    said: list[str] = []

    async def told() -> bool:
        said.append(capfd.readouterr().err)
        return "could not be cancelled" in "".join(said)

    await until(told)
    assert not running.done()
    await other.execute("DROP TRIGGER away ON notebook_executions")
    os.kill(os.getpid(), signal.SIGINT)
    assert (await running).status == "cancelled"
    await until(quiet)


async def test_nothing_is_left_behind_by_a_run_whose_worker_fails(line: Line, other: Other, home: Path) -> None:
    before = asyncio.all_tasks()

    async def quiet() -> bool:
        return asyncio.all_tasks() == before  # a read that others may share ends by itself, a moment later

    path = write_notebook(home / "slow.ipynb", "1", "import time; time.sleep(600)")
    running = asyncio.create_task(_run(*ordered(line, path)))

    async def runs() -> bool:
        return await line.count("notebook_executions WHERE cells_completed = 1") == 1

    await until(runs)
    [worker] = [task for task in asyncio.all_tasks() if task.get_name() == "worker"]
    worker.cancel()
    with pytest.raises(Unavailable, match="nobody stopped it"):
        await running
    await until(quiet)
