"""Procrastinate's way to the database: for a worker, and for who only submits."""

import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import procrastinate
import psycopg
from procrastinate.manager import JobManager
from psycopg_pool import AsyncConnectionPool

from pressroom.database.session import Database
from pressroom.database.url import conninfo

CONNECTIONS = 4
"""How many connections are opened at most, where nobody says otherwise."""
_PATIENCE_SECONDS = 5.0
"""How long the pool tries to connect before it says so: whoever asked tries again, sooner than the pool would."""


async def _autocommit(connection: psycopg.AsyncConnection[Any]) -> None:
    await connection.set_autocommit(True)


async def _not_closed(connection: psycopg.AsyncConnection[Any]) -> None:
    # An idle connection has nothing to say but that it is being closed.
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    if poll.poll(0):
        await connection.close()  # else the pool takes it back, and gives nothing but it for ever
        raise psycopg.OperationalError("the server has closed this connection")


def connector_to(database: Database, connections: int = 1, most: int = CONNECTIONS) -> procrastinate.PsycopgConnector:
    """Procrastinate's way to the database, with ``connections`` of its own at first, and ``most`` at most."""

    def pool(**options: Any) -> AsyncConnectionPool:
        options["check"] = _not_closed
        return AsyncConnectionPool(**options)

    return procrastinate.PsycopgConnector(
        conninfo=conninfo(database.url),
        pool_factory=pool,
        configure=_autocommit,
        min_size=connections,
        max_size=most,
        timeout=_PATIENCE_SECONDS,
        reconnect_timeout=_PATIENCE_SECONDS,
        kwargs={"connect_timeout": 10},
    )


@asynccontextmanager
async def open_jobs(database: Database) -> AsyncIterator[JobManager]:
    """Procrastinate's job manager for who submits: it writes on the connection that it is given."""
    async with procrastinate.App(connector=connector_to(database, connections=0)).open_async() as app:
        yield app.job_manager
