"""Procrastinate bare: its schema in a database of its own, a task that does nothing, its worker with its defaults."""

import time

import procrastinate
import psycopg
from procrastinate.schema import SchemaManager
from sqlalchemy import URL

from stand import create, libpq


def app_for(url: URL) -> procrastinate.App:
    return procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=libpq(url)))


def work(url: URL, concurrency: int, started=None) -> None:
    """A worker's process. ``started`` is sent the time of each start."""
    app = app_for(url)

    @app.task(name="nothing")
    async def nothing(execution_id: int, region: str) -> None:  # noqa: ARG001
        if started is not None:
            started.put((execution_id, time.time()))

    with app.open():
        pass
    app.run_worker(concurrency=concurrency)


class Bare:
    """Who submits to it."""

    rows = 1
    """How many rows of ``procrastinate_workers`` a process has."""

    def __init__(self, server: URL) -> None:
        self.url = create(server, "bare", migrated=False)
        with psycopg.connect(libpq(self.url), autocommit=True) as connection:
            connection.execute(SchemaManager.get_schema())
        self.work, self.arguments = work, (self.url,)
        self.write = work
        self._app = app_for(self.url)
        self._app.task(name="nothing")(_nothing)

    async def __aenter__(self) -> "Bare":
        await self._app.open_async()
        self._connection = await psycopg.AsyncConnection.connect(libpq(self.url))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()
        await self._app.close_async()

    async def submit(self, number: int) -> tuple[int, float]:
        """One job in a transaction; the time just before its commit."""
        async with self._connection.transaction():
            task = self._app.configure_task("nothing", connection=self._connection)
            await task.defer_async(execution_id=number, region=f"R{number}")
            return number, time.time()

    submit_at = submit

    async def submit_many(self, count: int) -> None:
        """Many jobs in one transaction."""
        async with self._connection.transaction():
            task = self._app.configure_task("nothing", connection=self._connection)
            await task.batch_defer_async(*({"execution_id": n, "region": f"R{n}"} for n in range(count)))

    def clear(self) -> None:
        with psycopg.connect(libpq(self.url), autocommit=True) as connection:
            connection.execute("TRUNCATE procrastinate_jobs CASCADE")


async def _nothing(execution_id: int, region: str) -> None:
    """Only deferred here."""
