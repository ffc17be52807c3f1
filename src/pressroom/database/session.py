"""Transactions on the database, whichever it is."""

import asyncio
import logging
import select
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import psycopg
from sqlalchemy import URL, event, text
from sqlalchemy.exc import IntegrityError, InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from pressroom.database import revisions
from pressroom.database.embedded import EmbeddedServer
from pressroom.database.outage import outages
from pressroom.database.url import kept_alive, normalise
from pressroom.errors import Unavailable
from pressroom.settings import Settings

T = TypeVar("T")
Connection = psycopg.AsyncConnection[Any]
"""The driver's own."""
CONNECT_SECONDS = 10
"""How long a connection may take to be made, where the URL does not say."""
ANSWER_SECONDS = 2.0
"""How long a question goes on, its caller waiting or not."""
POOL_SECONDS = 30.0
"""How long a transaction may wait for a connection, all of them being busy."""


class Database:
    """A pool of connections to one database.

    A connection that PostgreSQL has closed while it was idle, as it does when it restarts, is seen when it is taken
    from the pool, without asking the server, and replaced with all the others. So a restart is felt only by
    transactions that are under way, and by whoever begins one while the server is down; and a server that vanishes
    without a word (a cut network) by one transaction on each connection in use at that time.
    """

    def __init__(self, url: URL, pool_size: int = 10) -> None:
        """``pool_size`` is the number of connections at most; they are made when they are needed."""
        self.url = url = kept_alive(url)
        timeout = {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_SECONDS}
        self.engine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_SECONDS,
            connect_args=timeout,
            hide_parameters=True,  # parameters of notebooks may be secret, and errors are logged
        )
        event.listen(self.engine.sync_engine, "checkout", _refuse_if_closed)
        self._asking: dict[Callable[[AsyncSession], Awaitable[Any]], asyncio.Task[Any]] = {}
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[AsyncSession]:
        """A session in one transaction: committed at the end, rolled back on any error or cancellation.

        Objects stay readable after the commit. Raises ``Unavailable`` where the database cannot be reached; errors
        of statements are SQLAlchemy's (see :func:`violated`).
        """
        with outages(self.url):
            async with self._sessions.begin() as session:
                yield session

    @asynccontextmanager
    async def statements(self) -> AsyncGenerator[Connection]:
        """The driver's own connection, each statement a transaction of its own: for what is done so often that the
        round trips and SQLAlchemy's share count. Raises ``Unavailable`` as :meth:`transaction`, else psycopg's errors.
        """
        with outages(self.url):
            async with self.engine.connect() as pooled:
                raw = await pooled.get_raw_connection()
                connection = cast("Connection", raw.driver_connection)
                await connection.set_autocommit(True)
                try:
                    yield connection
                finally:
                    if connection.closed:
                        await pooled.invalidate()
                    else:
                        await connection.set_autocommit(False)

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[AsyncSession]:
        """A transaction for reading whose statements all see the database as it was at the first of them."""
        async with self.transaction() as session:
            await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            yield session

    async def ask(self, question: Callable[[AsyncSession], Awaitable[T]], seconds: float = 1.0) -> T:
        """The answer to a question that may not take long. Raises ``Unavailable`` where none comes within ``seconds``.

        To give up a question that a silent server was asked takes the driver seconds: that goes on behind, and whoever
        asks the same meanwhile waits for the same answer.
        """
        asking = self._asking.get(question)
        if asking is None or asking.done():
            asking = self._asking[question] = asyncio.create_task(self._ask(question), name="ask")
        done, _ = await asyncio.wait({asking}, timeout=seconds)
        if not done:
            raise Unavailable("database", f"it did not answer within {seconds:g} seconds")
        answer = asking.result()
        if isinstance(answer, Unavailable):
            raise answer
        return answer

    async def ping(self, seconds: float = 1.0) -> None:
        """Ask the database for an answer. Raises as :meth:`ask`."""
        await self.ask(_anything, seconds)

    async def _ask(self, question: Callable[[AsyncSession], Awaitable[Any]]) -> Any:
        try:
            async with asyncio.timeout(ANSWER_SECONDS), self.transaction() as session:
                return await question(session)
        except TimeoutError:
            return Unavailable("database", f"it did not answer within {ANSWER_SECONDS:g} seconds")
        except Unavailable as error:
            return error

    async def dispose(self) -> None:
        """Close the connections."""
        for asking in self._asking.values():
            asking.cancel()
        if self._asking:
            await asyncio.wait(self._asking.values())
        await self.engine.dispose()


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncGenerator[Database]:
    """The database that ``settings`` name, ready to be used; else the embedded one, which is migrated if need be.

    Raises ``Invalid`` where the URL is wrong, and ``Unavailable`` where the database cannot be reached or has another
    schema than this version needs.
    """
    if settings.database_url is None:
        server = EmbeddedServer(settings.data_dir)
        try:
            url = await asyncio.to_thread(server.start)
            async with _opened(url, settings) as database:
                if await _revision(database) != revisions.head():
                    from pressroom.database import migrate  # noqa: PLC0415 - Alembic takes long, and is seldom needed

                    await asyncio.to_thread(migrate.upgrade, url)
                yield database
        finally:
            # Also after a cancellation: it waits for a start that is still going on in its thread, and undoes it.
            await asyncio.shield(asyncio.to_thread(server.stop))
        return
    async with _opened(normalise(settings.database_url.get_secret_value()), settings) as database:
        await _require_head(database)
        yield database


def violated(error: IntegrityError | psycopg.IntegrityError) -> str | None:
    """The name of the constraint or unique index that a statement broke; ``None`` where the driver does not say."""
    cause = error.orig if isinstance(error, IntegrityError) else error
    return cause.diag.constraint_name if isinstance(cause, psycopg.Error) else None


async def _anything(session: AsyncSession) -> None:
    await session.execute(text("SELECT 1"))


async def driver_connection(session: AsyncSession) -> Connection:
    """The driver's own connection under a session, for who has to write in the same transaction."""
    raw = await (await session.connection()).get_raw_connection()
    return cast("Connection", raw.driver_connection)


@asynccontextmanager
async def apart(session: AsyncSession, log: logging.Logger, what: str) -> AsyncGenerator[None]:
    """A savepoint: what fails inside is logged and undone, and the transaction goes on without it; unless the
    connection is lost, and the transaction with it."""
    connection = await driver_connection(session)
    try:
        async with session.begin_nested():
            yield
    except Exception:
        if connection.closed:
            raise
        log.exception("%s failed, and is left out", what)


@asynccontextmanager
async def _opened(url: URL, settings: Settings) -> AsyncGenerator[Database]:
    database = Database(url, pool_size=settings.database_pool_size)
    try:
        yield database
    finally:
        await database.dispose()


async def _revision(database: Database) -> str | None:
    async with database.transaction() as session:
        connection = await session.connection()
        return await connection.run_sync(revisions.current)


async def _require_head(database: Database) -> None:
    found, needed = await _revision(database), revisions.head()
    if found == needed:
        return
    if found is not None and found not in revisions.known():
        raise Unavailable("database", revisions.unknown_revision(found))
    raise Unavailable(
        "database",
        f"its schema is at {f'revision {found}' if found else 'no revision'} and this version needs {needed}; "
        "run `pressroom db upgrade`",
    )


def _refuse_if_closed(dbapi_connection: Any, _record: object, _proxy: object) -> None:
    # An idle connection has nothing to say but that it is being closed.
    poll = select.poll()
    poll.register(dbapi_connection.driver_connection.pgconn.socket, select.POLLIN)
    if poll.poll(0):
        raise InvalidatePoolError("the server has closed this connection")
