"""Whether rows that were read are still the ones that are there, asked in one short statement.

PostgreSQL keeps in every row the transaction that wrote it (``xmin``), so the ids and writers of some rows say which
versions of them were seen: another version has another writer. Who keeps something made of rows asks for theirs again.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from sqlalchemy import URL, ColumnElement, FromClause, Select, Text, cast, func, literal, literal_column, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.shared_read import SharedReads
from pressroom.database.url import conninfo

SECONDS = 0.5
"""How long a check may take before its caller reads anew instead."""
_SERVER: ColumnElement[str] = literal_column("extract(epoch FROM pg_postmaster_start_time())::text", Text)
"""Which run of the server answers: another one may be a copy from before, whose transactions count on differently."""


@dataclass(frozen=True, slots=True)
class Check:
    """A statement, and what it answered when the rows were read. ``question``: the statement and its values."""

    question: tuple[str, ...]
    statement: bytes
    values: Mapping[str, Any]
    answer: str


def versions(table: FromClause) -> ColumnElement[str]:
    """The ids and writers of the rows of ``table``, which has the columns ``id`` and ``writer``."""
    each = func.concat_ws(" ", table.c.id, table.c.writer)
    return func.coalesce(func.string_agg(each, aggregate_order_by(literal(","), table.c.id)), "")


def writer(table: str) -> ColumnElement[str]:
    """The transaction that wrote a row of ``table``, as a column named ``writer``."""
    return literal_column(f"{table}.xmin::text", Text).label("writer")


async def take(session: AsyncSession, *parts: Select[Any]) -> Check:
    """What ``parts`` answer now, each one value; the transaction must be one snapshot together with the reading."""
    answers = func.concat_ws(";", _SERVER, *(cast(part.scalar_subquery(), Text) for part in parts))
    found = await (await session.connection()).execute(select(answers))
    # As SQLAlchemy had it sent, so that it can be sent again without SQLAlchemy.
    context: Any = found.context
    statement, values = str(context.statement), dict[str, Any](context.parameters[0])
    # What wraps a JSON value shows only the beginning of it.
    question = (statement, *(repr(getattr(value, "obj", value)) for value in values.values()))
    return Check(question, statement.encode(), values, str(found.scalar_one()))


async def take_again(session: AsyncSession, check: Check) -> Check:
    """What ``check`` would answer now, without the making of its statement."""
    found = await (await session.connection()).exec_driver_sql(check.statement.decode(), check.values)
    return replace(check, answer=str(found.scalar_one()))


class Checks:
    """Asks over a connection of its own, one statement without a transaction. Made by :func:`open_checks`."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._reads = SharedReads()
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._connecting = asyncio.Lock()
        self._giving_up: asyncio.Task[None] | None = None

    async def holds(self, check: Check) -> bool:
        """Whether the rows are those that were read, at a moment after this call. False too where nobody can tell."""
        if self._giving_up is not None:
            return False
        try:
            async with asyncio.timeout(SECONDS):
                return await self._reads.get(check.question, lambda: self._ask(check)) == check.answer
        except TimeoutError:
            if self._giving_up is None:
                self._giving_up = asyncio.create_task(self._give_up(), name="checks")
            return False

    async def close(self) -> None:
        """Close the connection."""
        if self._giving_up is not None:
            await self._giving_up
        if self._connection is not None:
            await self._connection.close()

    async def _ask(self, check: Check) -> str | None:
        try:
            connection = await self._connected()
            found = await (await connection.execute(check.statement, check.values)).fetchone()
        except psycopg.Error:
            return None
        return None if found is None else found[0]

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        async with self._connecting:
            if self._connection is None or self._connection.closed:
                self._connection = await psycopg.AsyncConnection.connect(conninfo(self._url), autocommit=True)
            return self._connection

    async def _give_up(self) -> None:
        # Until the connection is closed nobody asks, so there is never more than one.
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                await connection.cancel_safe(timeout=SECONDS)
        except psycopg.Error:
            pass
        finally:
            if connection is not None:
                await connection.close()
            self._giving_up = None


@asynccontextmanager
async def open_checks(url: URL) -> AsyncGenerator[Checks]:
    """The checks of this process; the connection is made when it is first needed."""
    checks = Checks(url)
    try:
        yield checks
    finally:
        await checks.close()
