"""When a schedule fires next, and what becomes of the ticks that were due when it was changed."""

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import Schedule, ScheduleTick
from pressroom.errors import Invalid
from pressroom.executions.refusals import about
from pressroom.schedules import cron, ticks
from pressroom.schedules.schemas import Outcome

MOST_AT_ONCE = 1000
"""Ticks of an outage that get a row, the newest."""
_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class When:
    """What says when a schedule fires, and the tick that it waits for."""

    cron: str
    timezone: str
    starts_at: datetime | None
    ends_at: datetime | None
    paused: bool
    jitter_seconds: float
    next_at: datetime | None

    @classmethod
    def of(cls, schedule: Schedule) -> "When":
        """As a schedule has it now."""
        return cls(
            schedule.cron,
            schedule.timezone,
            schedule.starts_at,
            schedule.ends_at,
            schedule.paused,
            schedule.jitter_seconds,
            schedule.next_at,
        )

    def due(self, now: datetime, most: int) -> list[datetime]:
        """The ticks that have come and have not fired, the newest of them."""
        if self.next_at is None:
            return []
        end = now if self.ends_at is None else min(now, self.ends_at)
        start = max(self.next_at, self.starts_at or self.next_at)
        return ticks.newest(self.cron, ticks.zone(self.timezone), start, end, most)


async def moment(session: AsyncSession) -> datetime:
    """The time, by the clock of the database, which all processes share."""
    return (await session.execute(select(func.clock_timestamp()))).scalar_one()


def following(schedule: Schedule, now: datetime) -> datetime | None:
    """The first tick of a schedule after ``now``, between its start and its end."""
    begin = now if schedule.starts_at is None else max(now, schedule.starts_at - _MOMENT)
    tick = ticks.after(schedule.cron, ticks.zone(schedule.timezone), begin)
    return None if tick is None or (schedule.ends_at is not None and tick > schedule.ends_at) else tick


def fires_at(schedule: Schedule, tick: datetime | None) -> datetime | None:
    """When a tick fires: then, or later by some of the jitter."""
    if tick is None or not schedule.jitter_seconds:
        return tick
    return tick + timedelta(seconds=random.uniform(0, schedule.jitter_seconds))  # noqa: S311


def wait_for(schedule: Schedule, tick: datetime | None) -> None:
    """Have a schedule fire at a tick; ``None``: no more."""
    schedule.next_at, schedule.fire_at = tick, fires_at(schedule, tick)


def set_next(schedule: Schedule, now: datetime, *, required: bool) -> None:
    """Look for the next tick. Raises :class:`Invalid` where there is none, if one is ``required``."""
    with about("cron"):
        schedule.cron = cron.parsed(schedule.cron).text
    with about("timezone"):
        ticks.zone(schedule.timezone)
    begin, end = schedule.starts_at, schedule.ends_at
    with about("ends_at"):
        if begin is not None and end is not None and end < begin:
            raise Invalid("ends_at must not lie before starts_at.")
        tick = following(schedule, now)
        if tick is None and required:
            raise Invalid("There is no tick ahead between starts_at and ends_at.")
    wait_for(schedule, None if schedule.paused else tick)


async def set_again(session: AsyncSession, schedule: Schedule, before: When, now: datetime) -> None:
    """Look for the next tick of a locked schedule that fired as ``before``, if it does not any more. The ticks that
    were due then are written down as missed; with another jitter alone, they still fire.

    Raises as :func:`set_next`.
    """
    after = When.of(schedule)
    timed = (before.cron, before.timezone, before.starts_at, before.ends_at)
    moved = timed != (after.cron, after.timezone, after.starts_at, after.ends_at)
    if moved or before.paused != after.paused:
        set_next(schedule, now, required=moved)
        late = await asyncio.to_thread(before.due, now, MOST_AT_ONCE)
        why = (
            "The schedule was paused before it fired."
            if schedule.paused
            else "The schedule was changed before it fired."
        )
        await add_missed(session, schedule.id, ((tick, why) for tick in late))
    elif before.jitter_seconds != after.jitter_seconds:
        wait_for(schedule, schedule.next_at)


async def add_missed(session: AsyncSession, schedule_id: int, missed: Iterable[tuple[datetime, str]]) -> int:
    """Write down why ticks have no execution, but for those that were run by hand; how many there are."""
    rows = [
        {"schedule_id": schedule_id, "scheduled_at": tick, "outcome": Outcome.MISSED.value, "message": message}
        for tick, message in missed
    ]
    if rows:
        await session.execute(insert(ScheduleTick).on_conflict_do_nothing(), rows)
    return len(rows)
