"""Waiting for executions, and following them: one connection listens for all who wait in this process.

PostgreSQL notifies of every change (``tell_status()``, and the worker's progress). Whoever waits looks at the row or at
the events first, so a notification that came too early is not missed; after an outage all are told to look again, and
now and then they do so unasked, so that one which got lost, or came while the rows could not be read, costs time only.
"""

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import select

from pressroom.database.models import Execution, ExecutionEvent
from pressroom.database.session import Database
from pressroom.database.shared_read import SharedReads
from pressroom.database.url import conninfo
from pressroom.errors import NotFound, Unavailable
from pressroom.executions.states import TERMINAL

CHANNEL = "pressroom_executions"
EVENTS_AT_ONCE = 1000
ALIVE_SECONDS = 15.0
"""How long a stream may be silent, and how long nobody looks at the rows unless told to."""
AGAIN_SECONDS = 1.0
"""When to look again after the rows could not be read."""
_PAUSE_SECONDS = (0.1, 0.5, 1.0)
log = logging.getLogger("pressroom.following")


@dataclass(frozen=True, slots=True)
class Told:
    """One event: its ``data``, with the attempt and the time in it, and the ``frame`` that it travels in."""

    id: int
    attempt: int
    kind: str
    data: dict[str, Any]
    frame: bytes


class Following:
    """All who wait in this process. Made by :func:`open_following`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reads = SharedReads()
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._closing = False

    @property
    def closing(self) -> bool:
        """Whether this process is about to end, so that nobody is to wait any longer."""
        return self._closing

    def close(self) -> None:
        """Wake everybody, since this process is about to end."""
        self._closing = True
        self._wake_all()

    def changes(self, execution_id: int) -> AbstractAsyncContextManager[asyncio.Event]:
        """An event that is set whenever something changed; who waits clears it before looking."""
        return self._changes(str(execution_id))

    def changes_of_batch(self, batch_id: int) -> AbstractAsyncContextManager[asyncio.Event]:
        """The same of all executions of a batch: their changes of status."""
        return self._changes(f"batch-{batch_id}")

    @asynccontextmanager
    async def _changes(self, name: str) -> AsyncIterator[asyncio.Event]:
        changed = asyncio.Event()
        waiting = self._waiting[name]
        waiting.add(changed)
        try:
            yield changed
        finally:
            waiting.discard(changed)
            if not waiting:
                self._waiting.pop(name, None)

    async def wait(self, execution_id: int, seconds: float | None = None) -> bool:
        """Wait for the end of an execution, ``seconds`` at most (``None``: as long as it takes); whether it has ended.

        Raises :class:`NotFound`, and :class:`Unavailable` where this process ends first; the execution goes on.
        """
        if seconds == 0:
            return await self.status(execution_id) in TERMINAL
        async with self.changes(execution_id) as changed:
            try:
                async with asyncio.timeout(seconds):
                    while True:
                        changed.clear()
                        status = await self._known_status(execution_id)
                        if status in TERMINAL:
                            return True
                        if self._closing:
                            raise _goes_on(execution_id)
                        await told_within(changed, AGAIN_SECONDS if status is None else ALIVE_SECONDS)
            except TimeoutError:
                return False

    async def status(self, execution_id: int) -> str:
        """Where an execution stands. Raises :class:`NotFound`."""

        async def ask() -> str | None:
            async with self._database.transaction() as session:
                return await session.scalar(select(Execution.status).where(Execution.id == execution_id))

        status = await self._reads.get(("status", execution_id), ask)
        if status is None:
            raise NotFound("execution", execution_id)
        return status

    async def _known_status(self, execution_id: int) -> str | None:
        """As :meth:`status`; ``None`` while the database is away."""
        try:
            return await self.status(execution_id)
        except Unavailable as error:
            log.warning("a wait goes on without the database: %s", error.detail)
            return None

    async def events(self, execution_id: int, after: int) -> list[Told]:
        """The events of an execution beyond the id ``after``, at most :data:`EVENTS_AT_ONCE`, in order."""

        async def ask() -> list[Told]:
            wanted = (
                select(ExecutionEvent)
                .where(ExecutionEvent.execution_id == execution_id, ExecutionEvent.id > after)
                .order_by(ExecutionEvent.id)
                .limit(EVENTS_AT_ONCE)
            )
            async with self._database.transaction() as session:
                return [_told(row) for row in (await session.scalars(wanted)).all()]

        return await self._reads.get(("events", execution_id, after), ask)

    async def follow(self, execution_id: int, after: int, *, until_end: bool = True) -> AsyncIterator[Told | None]:
        """The events of an execution beyond the id ``after``, as they come, until it ends or this process does, or with
        ``until_end=False`` those that there are; ``None`` every :data:`ALIVE_SECONDS` while nothing happens."""
        async with self.changes(execution_id) as changed:
            while True:
                changed.clear()
                silent = ALIVE_SECONDS
                try:
                    ended = await self.status(execution_id) in TERMINAL
                    page = await self.events(execution_id, after)
                except Unavailable:
                    if not until_end:  # what is there was asked for, and a part of it would look like the whole
                        raise
                    ended, page, silent = False, [], AGAIN_SECONDS  # it goes on when the database is back
                except NotFound:  # pruned
                    return
                for told in page:
                    after = told.id
                    yield told
                if len(page) == EVENTS_AT_ONCE:
                    continue
                if ended or not until_end or self._closing:
                    return
                if not await told_within(changed, silent):
                    yield None

    async def listen(self) -> None:
        """Listen for ever, again after each outage."""
        tries = 0
        # It sends nothing: that a network was cut shows only by what the URL has the system ask.
        given = conninfo(self._database.url)
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(given, autocommit=True) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    tries = 0
                    self._wake_all()
                    async for notification in connection.notifies():
                        self._wake(notification.payload)
            except psycopg.Error as error:
                log.warning("following waits for the database: %s", error)
                await asyncio.sleep(_PAUSE_SECONDS[min(tries, len(_PAUSE_SECONDS) - 1)])
                tries += 1

    def _wake(self, payload: str) -> None:
        for changed in self._waiting.get(payload.split(" ", 1)[0], ()):
            changed.set()

    def _wake_all(self) -> None:
        for waiting in self._waiting.values():
            for changed in waiting:
                changed.set()


async def told_within(changed: asyncio.Event, seconds: float) -> bool:
    """Whether ``changed`` was set before so much time was over."""
    try:
        async with asyncio.timeout(seconds):
            await changed.wait()
    except TimeoutError:
        return False
    return True


def _goes_on(execution_id: int) -> Unavailable:
    error = Unavailable("service", f"it stops; execution {execution_id} goes on, GET /db/executions/{execution_id}")
    error.facts["execution_id"] = execution_id
    return error


def _told(row: ExecutionEvent) -> Told:
    data = row.data | {"attempt": row.attempt, "at": row.at.isoformat().replace("+00:00", "Z")}
    text = json.dumps(data, ensure_ascii=False)
    frame = f"id: {row.id}\nevent: {row.kind}\ndata: {text}\n\n".encode()
    return Told(row.id, row.attempt, row.kind, data, frame)


@asynccontextmanager
async def open_following(database: Database) -> AsyncIterator[Following]:
    """Whoever waits in this process, and the connection that listens for them."""
    following = Following(database)
    listening = asyncio.create_task(following.listen(), name="following")
    try:
        yield following
    finally:
        following.close()
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
