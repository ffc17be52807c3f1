"""The product's queue with an empty press: every part is the real one but the kernel."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import psycopg
from sqlalchemy import URL

from pressroom import logs
from pressroom.database.models import Notebook, Parameter
from pressroom.database.session import Database
from pressroom.executions import service
from pressroom.executions.connector import open_jobs
from pressroom.executions.orders import Intake, Order
from pressroom.executions.tasks import Workshop
from pressroom.identity.principal import Principal
from pressroom.metrics import Metrics
from pressroom.notebooks.files import ValidFiles
from pressroom.notebooks.places import Places
from pressroom.press import Event, Finished, Request, Started, Stop
from pressroom.press.saving import stage
from pressroom.settings import Settings
from pressroom.worker import Staffing, open_crew
from stand import create, libpq, notebook


class EmptyPress:
    """Executes nothing, and says so. ``started`` is sent the time of each start; with ``writes`` there is an output."""

    def __init__(self, started=None, *, writes: bool = False) -> None:
        self._started, self._writes = started, writes

    async def execute(self, request: Request, stop: Stop | None = None) -> AsyncIterator[Event]:  # noqa: ARG002
        if self._started is not None:
            self._started.put((int(request.environment["PRESSROOM_EXECUTION_ID"]), time.time()))
        yield Started(0)
        if self._writes:
            stage(request.output_fd, request.staged_name, b"{}", instead_of=request.output_path.name)
        yield Finished(None, "", 0.0, written=self._writes)


def _settings(url: URL, home: Path) -> Settings:
    return Settings(
        database_url=libpq(url),
        users_root=home.parent,
        local_user=home.name,
        log_level="warning",  # type: ignore[call-arg]
    )


def work(url: URL, home: Path, concurrency: int, started=None, *, writes: bool = False) -> None:
    """A worker's process, as ``pressroom worker`` is, but for the press."""
    settings = _settings(url, home)
    logs.configure(settings)

    async def main() -> None:
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        database = Database(url)
        metrics = Metrics(settings.worker_lost_seconds)
        shop = Workshop(database, Places(home.parent), settings, metrics, EmptyPress(started, writes=writes))
        async with open_crew(shop, Staffing(concurrency)):
            await stopped.wait()
        await database.dispose()

    asyncio.run(main())


class Ours:
    """Who submits to it: executions of a registered notebook with two parameters."""

    rows = 2
    """How many rows of ``procrastinate_workers`` a process has."""

    def __init__(self, server: URL, home: Path) -> None:
        self.url, self.home = create(server, "ours"), home
        self.work, self.arguments = work, (self.url, home)
        self.write = partial(work, writes=True)
        self.file = notebook(home / "report.ipynb", "1")

    async def __aenter__(self) -> "Ours":
        settings = _settings(self.url, self.home)
        self._database = Database(self.url)
        self._jobs = open_jobs(self._database)
        valid = ValidFiles(2**20)
        self._intake = Intake(Places(self.home.parent), settings, await self._jobs.__aenter__(), valid)
        self._caller = Principal.local(self.home.name)
        async with self._database.transaction() as session:
            added = Notebook(name="report", file_path=str(self.file), username=self.home.name)
            session.add(added)
            await session.flush()
            session.add(Parameter(notebook_id=added.id, param_name="region", param_type="string", required=1))
            rules = {"min": 0}
            session.add(
                Parameter(notebook_id=added.id, param_name="month", param_type="integer", validation_rules=rules)
            )
            self._notebook = added.id
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._jobs.__aexit__(None, None, None)
        await self._database.dispose()

    def _order(self, number: int) -> Order:
        return Order(notebook_id=self._notebook, parameters={"region": f"R{number}", "month": number})

    async def submit(self, number: int) -> None:
        """One execution, as the API submits it."""
        async with self._database.statements() as connection:
            await service.submit_on(connection, self._intake, self._caller, [self._order(number)])

    async def submit_at(self, number: int) -> tuple[int, float]:
        """One execution in a transaction; the time just before its commit."""
        async with self._database.transaction() as session:
            [execution_id] = await service.submit(session, self._intake, self._caller, [self._order(number)])
            return execution_id, time.time()

    async def submit_many(self, count: int) -> None:
        """Many executions in one transaction."""
        async with self._database.transaction() as session:
            await service.submit(session, self._intake, self._caller, [self._order(n) for n in range(count)])

    def clear(self) -> None:
        with psycopg.connect(libpq(self.url), autocommit=True) as connection:
            connection.execute("TRUNCATE notebook_executions, procrastinate_jobs CASCADE")
