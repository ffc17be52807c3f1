"""The queue of a test, as those who submit and those who claim see it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import procrastinate
import psycopg
import pytest
from sqlalchemy import select, text

from pressroom.database.models import Execution
from pressroom.database.session import Database
from pressroom.executions import discarding, service
from pressroom.executions.connector import connector_to, open_jobs
from pressroom.executions.options import HowToExecute
from pressroom.executions.orders import Intake, Order
from pressroom.executions.queue import ExecutionJobs, Registration
from pressroom.executions.tasks import Workshop
from pressroom.identity.principal import Principal
from pressroom.metrics import Metrics
from pressroom.notebooks.files import ValidFiles
from pressroom.notebooks.places import Places
from pressroom.notifications.service import CHORES
from pressroom.press import Finished
from pressroom.settings import Settings
from pressroom.worker import Crew, Staffing, open_crew

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
Other = psycopg.AsyncConnection[Any]
ANA = Principal.local("ana")


class Line:
    """The queue of a test: submits, and claims as a worker would."""

    def __init__(self, database: Database, intake: Intake, jobs: ExecutionJobs, worker_id: int, home: Path) -> None:
        self.database, self.intake, self.jobs, self.worker_id, self.home = database, intake, jobs, worker_id, home

    async def submit(self, user: str = "ana", n: int = 1, notebook: str = "n", **how: Any) -> list[int]:
        path = self.home.parent / user / f"{notebook}.ipynb"
        if not path.exists():
            write_notebook(path, "1")
        orders = [Order(parameters={}, input_path=str(path), username=user, how=HowToExecute(**how))] * n
        async with self.database.transaction() as session:
            return await service.submit(session, self.intake, ANA, orders)

    async def claim(self, queues: list[str] | None = None) -> int | None:
        job = await self.jobs.fetch_job(queues, self.worker_id)
        return None if job is None else self.jobs.claimed(job.task_kwargs["execution_id"])["id"]

    async def end(self, execution_id: int, status: str = "success", back_in: str = "0") -> bool:
        async with self.database.transaction() as session:
            attempt = await session.scalar(select(Execution.attempt).where(Execution.id == execution_id))
            ended = "SELECT end_attempt(:id, :attempt, :status, NULL, NULL, NULL, 0, CAST(:back AS interval)"
            ended += ", NULL, NULL, NULL)"
            facts = {"id": execution_id, "attempt": attempt, "status": status, "back": back_in}
            return bool(await session.scalar(text(ended), facts))

    def shop(self, **settings: Any) -> Workshop:
        """What a worker or a sweep works with."""
        changed = self.intake.settings.model_copy(update=settings)
        return Workshop(self.database, self.intake.places, changed, Metrics(changed.worker_lost_seconds))

    async def count(self, what: str) -> int:
        async with self.database.transaction() as session:
            return int(await session.scalar(text(f"SELECT count(*) FROM {what}")) or 0)


@asynccontextmanager
async def open_line(database: Database, settings: Settings, home: Path) -> AsyncIterator[Line]:
    """A queue in which nothing waits, and a worker that claims when it is told to."""
    places = Places(settings.users_root, ())
    connector = connector_to(database)
    await connector.open_async()
    jobs = ExecutionJobs(connector, Registration("w", "h", 1, None, 8, "0"))
    async with open_jobs(database) as submitting:
        intake = Intake(places, settings, submitting, ValidFiles(2**20))
        yield Line(database, intake, jobs, await jobs.register_worker(), home)
    await connector.close_async()


async def discard(database: Database, places: discarding.Context) -> None:
    """Take away what is wanted no more, as a worker does, until no such chore waits."""
    app = procrastinate.App(connector=connector_to(database))
    discarding.add_tasks(app, places)
    async with app.open_async():
        await app.run_worker_async(
            wait=False, queues=[CHORES], install_signal_handlers=False, listen_notify=False, delete_jobs="always"
        )


async def until(condition: Callable[[], Awaitable[Any]]) -> None:
    """Wait for a condition of the database that nothing tells of."""
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.01)


LISTENING = """pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
AND state = 'idle' AND query LIKE '%LISTEN%procrastinate%'"""
"""Connections that listen for jobs: what is submitted before they do wakes nobody."""


class Work:
    """A crew, and the ends of what it runs."""

    def __init__(self, crew: Crew, ends: asyncio.Queue[int]) -> None:
        self.crew, self._ends = crew, ends

    async def end(self, seconds: float = 20) -> int:
        """The next execution that has ended."""
        async with asyncio.timeout(seconds):
            return await self._ends.get()


@asynccontextmanager
async def working(
    line: Line, *, grace: float = 0, queues: list[str] | None = None, poll: float = 3600, **settings: Any
) -> AsyncIterator[Work]:
    """A crew at work on a line, which hears of what is submitted, and looks for it every ``poll`` seconds."""
    ends: asyncio.Queue[int] = asyncio.Queue()

    def watch(execution_id: int, event: object) -> None:
        if isinstance(event, Finished):
            ends.put_nowait(execution_id)

    async with open_crew(line.shop(**settings), Staffing(2, queues=queues, grace_seconds=grace), watch) as crew:
        for worker in crew._workers:
            worker.fetch_job_polling_interval = poll

        async def listening() -> bool:
            return await line.count(LISTENING) >= len(crew._workers)

        await until(listening)
        yield Work(crew, ends)
