"""What an attempt tells while it goes on: its events, written to the database by the worker that holds it."""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.session import Database
from pressroom.errors import Unavailable
from pressroom.press import CellFinished, CellStarted, Event, Output, Started

FLUSH_SECONDS = 0.05
"""How long an event may wait for others that are written with it."""
_RETRY_SECONDS = 1.0
_CUT = "\n[the rest of the output is in the notebook: the log of one attempt ends here]\n"
Facts = dict[str, Any]
"""What an attempt tells, as its statements take it: ``total`` and ``completed`` cells, ``events`` as JSON text."""
NOTHING: Facts = {"total": None, "completed": None, "events": None}
_Told = tuple[float, str, dict[str, Any]]
"""When, by the process's own clock; what kind of event; its data."""
log = logging.getLogger("pressroom.executions")

# One statement: only whoever holds the attempt writes, and the row's lock keeps the events of an execution in order.
_TELL = text("""
WITH held AS (
    UPDATE notebook_executions SET cells_total = coalesce(:total, cells_total), cells_completed = :completed
    WHERE id = :id AND attempt = :attempt AND status = 'running' RETURNING id
), told AS (
    INSERT INTO execution_events (execution_id, attempt, at, kind, data)
    SELECT held.id, :attempt, clock_timestamp() - make_interval(secs => e.age), e.kind, e.data
    FROM held, ROWS FROM (jsonb_to_recordset(CAST(:events AS jsonb)) AS (age float, kind text, data jsonb))
        WITH ORDINALITY AS e (age, kind, data, place)
    ORDER BY e.place
)
SELECT pg_notify('pressroom_executions', id || ' running') FROM held
""")


class Progress:
    """The events of one attempt. ``on_lost`` is called when it turns out that the attempt is another's."""

    def __init__(
        self, database: Database, execution_id: int, attempt: int, log_bytes: int, on_lost: Callable[[], None]
    ) -> None:
        self._database, self._id, self._attempt, self._room, self._on_lost = (
            database,
            execution_id,
            attempt,
            log_bytes,
            on_lost,
        )
        self._waiting: list[_Told] = []
        self._settled = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._complained: set[type[Exception]] = set()
        self.total: int | None = None
        self.completed = 0

    def take(self, event: Event) -> None:
        """Note an event; it is written soon."""
        match event:
            case Started(cells=cells, kernel=kernel):
                self.total = cells
                self._add("started", {"cells": cells, "kernel": kept(kernel)})
            case CellStarted(index=index, number=number, line=line):
                self._add("cell_started", {"index": index, "number": number, "of": self.total, "line": kept(line)})
            case CellFinished(index=index, number=number, seconds=seconds, failed=failed):
                self.completed += not failed
                told = {"index": index, "number": number, "of": self.total, "seconds": round(seconds, 4)}
                self._add("cell_finished", told | {"failed": failed})
            case Output(index=index, stream=stream, text=written):
                self._put_out(index, stream, written)
            case _:
                return
        if self._flushing is None and self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._begin)

    async def settle(self) -> None:
        """Wait for what is being written; what is left goes with the end, see :meth:`rest`."""
        self._settled.set()
        if self._alarm is not None:
            self._alarm.cancel()
        if self._flushing is not None:
            await self._flushing

    def rest(self) -> Facts:
        """What was not written yet; the attempt's end writes it."""
        return self._facts(self._waiting)

    def forget(self) -> None:
        """Leave out what was not written yet, since it cannot be."""
        if self._waiting:
            log.error("%s events of execution %s are not written", len(self._waiting), self._id)
        self._waiting = []

    def _facts(self, batch: list[_Told]) -> Facts:
        now = time.monotonic()
        events = [{"age": now - at, "kind": kind, "data": data} for at, kind, data in batch]
        return {"total": self.total, "completed": self.completed, "events": json.dumps(events)}

    async def _write(self, session: AsyncSession, batch: list[_Told]) -> bool:
        facts = {"id": self._id, "attempt": self._attempt, **self._facts(batch)}
        return (await session.execute(_TELL, facts)).first() is not None

    def _add(self, kind: str, data: dict[str, Any]) -> None:
        self._waiting.append((time.monotonic(), kind, data))

    def _put_out(self, index: int, stream: str, written: str) -> None:
        """Add text to the last event, where that is text of the same cell and stream."""
        if self._room <= 0:
            return
        written = kept(written)[: self._room]
        self._room -= len(written)
        if self._room <= 0:
            written += _CUT
        last = self._waiting[-1] if self._waiting else None
        if last is not None and last[1] == "output" and (last[2]["index"], last[2]["stream"]) == (index, stream):
            last[2]["text"] += written
        else:
            self._add("output", {"index": index, "stream": stream, "text": written})

    def _begin(self) -> None:
        self._alarm = None
        self._flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        pause = 0.0
        while self._waiting and not await self._ends_within(pause):
            batch, self._waiting = self._waiting, []
            try:
                async with self._database.transaction() as session:
                    held = await self._write(session, batch)
            except Exception as error:  # what cannot be told now must not end the attempt, nor be lost without a word
                new = type(error) not in self._complained  # each reason is said once: an attempt may go on for days
                self._complained.add(type(error))
                if new and isinstance(error, Unavailable):
                    log.warning("the progress of execution %s waits: %s", self._id, error.detail)
                elif new:
                    log.exception("the progress of execution %s cannot be written yet", self._id)
                self._waiting = batch + self._waiting
                pause = _RETRY_SECONDS
                continue
            if not held:
                self._on_lost()
            pause = FLUSH_SECONDS
        self._flushing = None

    async def _ends_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._settled.wait()
        except TimeoutError:
            return False
        return True


def kept(value: str) -> str:
    """``value`` as PostgreSQL can keep it."""
    if "\0" in value:
        value = value.replace("\0", "\\x00")
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
