"""How the processes of workers end: all of one together, and also where the database stays away."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL

from line import Line, Other, until, working
from link import Link, open_link
from pressroom.errors import Unavailable

PRESSROOM = (sys.executable, "-m", "pressroom.cli")
# A claim that no worker can make anything of.
UNREADABLE = """
CREATE OR REPLACE FUNCTION claim_execution(of_queues varchar[], by_worker bigint) RETURNS jsonb LANGUAGE sql AS
    $$ SELECT '{}'::jsonb $$;
SELECT wake_workers('default')
"""
write_notebook = pytest.write_notebook  # type: ignore[attr-defined]


class Process:
    """A process of the product, and what it has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process, self.said = process, ""

    async def says(self, words: str, seconds: float = 60) -> None:
        """Read on until it says ``words``, or ends."""
        assert self.process.stderr is not None
        async with asyncio.timeout(seconds):
            while words not in self.said and (line := await self.process.stderr.readline()):
                self.said += line.decode()
        assert words in self.said, self.said

    async def ends(self, seconds: float = 60) -> int:
        """Its exit code."""
        assert self.process.stderr is not None
        async with asyncio.timeout(seconds):
            while line := await self.process.stderr.readline():
                self.said += line.decode()
            return await self.process.wait()


@asynccontextmanager
async def started(url: URL, home: Path, *words: str) -> AsyncIterator[Process]:
    environment = os.environ | {
        "DATABASE_URL": url.render_as_string(hide_password=False),
        "PRESSROOM_USERS_ROOT": str(home.parent),
        "PRESSROOM_LOCAL_USER": "ana",
        "PRESSROOM_GRACE_SECONDS": "1",
        "NO_COLOR": "1",
    }
    process = await asyncio.create_subprocess_exec(
        *PRESSROOM, *words, env=environment, stderr=asyncio.subprocess.PIPE, limit=2**20
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.fixture
async def link(database_url: URL) -> AsyncIterator[Link]:
    async with open_link(database_url) as link:
        yield link


async def test_a_worker_that_stops_while_the_database_stays_away_ends_after_its_grace(
    line: Line, link: Link, home: Path
) -> None:
    write_notebook(home / "slow.ipynb", "1", "import time; time.sleep(600)")
    async with started(link.url, home, "worker", "--name", "w", "--grace", "0.5") as worker:
        await worker.says("Worker w:")
        [one] = await line.submit(notebook="slow")

        async def runs() -> bool:
            return await line.count("notebook_executions WHERE cells_completed = 1") == 1

        await until(runs)
        link.up = False
        link.cut()
        worker.process.send_signal(signal.SIGTERM)
        await worker.ends(40)
    assert f"the end of execution {one} is not written" in worker.said


@pytest.mark.parametrize(
    ("words", "ready", "told"),
    [
        (("worker", "--name", "w"), "Worker w:", "error: The worker cannot be reached: it ended although nobody"),
        (("serve", "--port", "0"), "Uvicorn running", "error: The worker has ended although nobody stopped it, and"),
    ],
)
async def test_a_process_whose_worker_ends_by_itself_ends_with_an_error(
    line: Line, other: Other, home: Path, words: tuple[str, ...], ready: str, told: str
) -> None:
    async with started(line.database.url, home, *words) as process:
        await process.says(ready)
        await other.execute(UNREADABLE)
        assert await process.ends(20) == 1, process.said
    assert "the worker has ended although nobody stopped it" in process.said
    assert told in process.said


async def test_one_part_that_ends_by_itself_ends_the_whole_crew(line: Line) -> None:
    async def work_alone() -> None:
        async with working(line) as work:
            list(work.crew._workers)[1].stop()
            async with asyncio.timeout(20):
                await work.crew.wait()

    with pytest.raises(Unavailable, match="it ended although nobody stopped it"):
        await work_alone()


async def test_a_crew_that_is_stopped_ends_without_an_error(line: Line) -> None:
    async with working(line) as work:
        work.crew.stop()
        async with asyncio.timeout(20):
            await work.crew.wait()
    assert not work.crew.failed
