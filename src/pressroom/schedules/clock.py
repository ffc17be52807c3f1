"""The clock of a worker: it waits for the next tick of any schedule, and fires it if no other clock has.

The database's time decides; this process's own tells only how long to wait. A schedule that is made or changed is
notified, and now and then the clock looks unasked, so that what was not told costs time only.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

import psycopg
from procrastinate.manager import JobManager
from sqlalchemy import func, select, update

from pressroom.database.models import Schedule
from pressroom.database.session import Database
from pressroom.database.url import conninfo
from pressroom.errors import KernelNotThere, Unavailable
from pressroom.executions.orders import Intake
from pressroom.executions.tasks import Workshop
from pressroom.identity.audit import AuditFile
from pressroom.notebooks.files import ValidFiles
from pressroom.schedules import firing
from pressroom.schedules.firing import Fired
from pressroom.schedules.service import CHANNEL
from pressroom.settings import MEBIBYTE

LOOK_SECONDS = 30.0
"""How long nobody looks unless told to."""
_TAKEN_SECONDS = 0.2
"""When to look again at what is due and another clock has in hand, as it may be killed."""
_AGAIN = timedelta(seconds=10)
"""When a schedule is tried again whose ticks could not be written, and the clock after an outage, at most."""
_PAUSE_SECONDS = 1.0
log = logging.getLogger("pressroom.schedules")


class Clock:
    """Fires the ticks of all schedules. Made by :func:`open_clock`. ``now``: the time to go by, in place of the
    database's."""

    def __init__(self, shop: Workshop, jobs: JobManager, now: Callable[[], datetime] | None = None) -> None:
        valid = ValidFiles(int(shop.settings.max_notebook_mb * MEBIBYTE))
        self._database: Database = shop.database
        self._intake = Intake(shop.places, shop.settings, jobs, valid)
        self._metrics = shop.metrics
        self._audit = AuditFile(shop.settings.audit_file)
        self._now = now
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Fire for ever."""
        while True:
            self._changed.clear()
            seconds = _PAUSE_SECONDS
            try:
                while await self.once():
                    pass
                seconds = await self._until_next()
            except Unavailable as error:
                log.warning("the clock waits for the database: %s", error.detail)
            except Exception:  # without the clock no schedule would ever fire again
                log.exception("the clock failed, and goes on")
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._changed.wait()

    async def once(self) -> bool:
        """Fire what is due of one schedule; false where none is. One whose ticks cannot be written is put off."""
        taken: int | None = None
        try:
            async with self._database.transaction() as session:
                due = await firing.take_due(session, self._now and self._now())
                if due is None:
                    return False
                schedule, now = due
                taken = schedule.id
                fired = await firing.fire(session, self._intake, schedule, now)
        except Unavailable:
            raise
        except KernelNotThere as error:
            assert taken is not None
            log.info("the tick of schedule %s waits for its kernel: %s", taken, error.detail)
            await self._put_off(taken)
            return True
        except Exception:
            if taken is None:
                raise
            log.exception("the ticks of schedule %s cannot be written", taken)
            await self._put_off(taken)
            return True
        await self._tell(fired)
        return True

    async def listen(self) -> None:
        """Listen for changes for ever, again after each outage."""
        given = conninfo(self._database.url)
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(given, autocommit=True) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    self._changed.set()
                    async for _ in connection.notifies():
                        self._changed.set()
            except psycopg.Error as error:
                log.warning("the clock hears of no changes: %s", error)
                await asyncio.sleep(_PAUSE_SECONDS)

    def close(self) -> None:
        """Close the audit's file."""
        self._audit.close()

    async def _until_next(self) -> float:
        """In how many seconds to look again."""
        left = func.extract("epoch", func.min(Schedule.fire_at) - firing.time_of(self._now and self._now()))
        async with self._database.transaction() as session:
            seconds = await session.scalar(select(left).where(~Schedule.paused))
        if seconds is None:
            return LOOK_SECONDS
        return min(LOOK_SECONDS, float(seconds)) if seconds > 0 else _TAKEN_SECONDS

    async def _put_off(self, schedule_id: int) -> None:
        later = self._now() + _AGAIN if self._now else func.clock_timestamp() + _AGAIN
        async with self._database.transaction() as session:
            due = Schedule.fire_at <= firing.time_of(self._now and self._now())  # and not changed meanwhile
            put_off = update(Schedule).where(Schedule.id == schedule_id, due)
            await session.execute(put_off.values(fire_at=later, updated_at=Schedule.updated_at))

    async def _tell(self, fired: Fired) -> None:
        for outcome, count in fired.outcomes.items():
            self._metrics.ticks_ended(outcome.value, count)
        if fired.late_seconds is not None:
            self._metrics.schedule_fired(fired.late_seconds)
        for entry in fired.entries:
            await self._audit.tell(entry)


@asynccontextmanager
async def open_clock(shop: Workshop, jobs: JobManager) -> AsyncIterator[None]:
    """A clock that goes until the context ends. Raises :class:`Unavailable` where the audit's file cannot be opened."""
    clock = Clock(shop, jobs)
    tasks = [asyncio.create_task(work, name="clock") for work in (clock.run(), clock.listen())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        clock.close()
