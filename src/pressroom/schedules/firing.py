"""What a due schedule does: its ticks become executions, or rows that say why not, in one transaction.

A tick and its execution are added together, and (schedule, tick) is the key of its row: whoever is killed in between
leaves neither, and nobody adds either twice.
"""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Select, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import Execution, Schedule, ScheduleTick
from pressroom.database.session import driver_connection
from pressroom.errors import AlreadyEnded, KernelNotThere, NotAllowed, NotFound, PressroomError, Unavailable
from pressroom.executions import service as executions
from pressroom.executions.orders import Intake
from pressroom.executions.states import Status
from pressroom.identity.audit import Entry
from pressroom.parameters.sealing import SecretKeys
from pressroom.schedules.due import MOST_AT_ONCE, When, add_missed, fires_at, following
from pressroom.schedules.orders import SOURCE, Orders, notebook_of, principal_of, seal_late
from pressroom.schedules.schemas import Missed, Outcome, Overlap

ON_TIME = timedelta(seconds=60)
"""A tick that fires within so long of its time, or of the end of its jitter, was not missed."""
_AT_ONCE = 50
"""Ticks that one transaction fires."""
log = logging.getLogger("pressroom.schedules")
_UNDER_WAY = (Status.PENDING.value, Status.RUNNING.value)


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of the ticks that are due: these ``fire``, those were ``missed``, and what comes ``then``.
    ``more``: there were earlier ones, too many to name."""

    fire: list[datetime]
    missed: list[datetime]
    then: datetime | None
    more: bool


@dataclass(slots=True)
class Fired:
    """What was done: how many ticks had each outcome, how late it fired, and entries of the audit."""

    schedule_id: int
    outcomes: dict[Outcome, int] = field(default_factory=dict[Outcome, int])
    late_seconds: float | None = None
    entries: list[Entry] = field(default_factory=list[Entry])

    def add(self, outcome: Outcome, count: int = 1) -> None:
        """Count ticks."""
        if count:
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + count


def time_of(moment: datetime | None) -> ColumnElement[datetime]:
    """``moment``, else the database's time, in a statement. One time for a whole statement, so that an index finds what
    is before it."""
    return func.statement_timestamp() if moment is None else literal(moment, Schedule.fire_at.type)


def due_at(now: ColumnElement[datetime]) -> Select[Schedule, datetime]:
    """The statement that locks the schedule that has been due the longest, by the index of those that wait."""
    wanted = select(Schedule, now).where(~Schedule.paused, Schedule.fire_at <= now).order_by(Schedule.fire_at).limit(1)
    # Executions that name it are added meanwhile: only its own columns are locked.
    return wanted.with_for_update(skip_locked=True, key_share=True, of=Schedule)


async def take_due(session: AsyncSession, moment: datetime | None) -> tuple[Schedule, datetime] | None:
    """A schedule that is due and that no other clock has taken, and the time: ``moment``, else the database's."""
    row = (await session.execute(due_at(time_of(moment)))).one_or_none()
    return None if row is None else (row[0], row[1])


def planned(schedule: Schedule, now: datetime) -> Plan:
    """What becomes of the ticks of a schedule that are due."""
    assert schedule.next_at is not None
    start = max(schedule.next_at, schedule.starts_at or schedule.next_at)
    grace = grace_of(schedule)
    due = When.of(schedule).due(now, MOST_AT_ONCE + _of_grace(grace))
    late = [tick for tick in due if tick + grace <= now]
    fresh = [tick for tick in due if tick + grace > now]
    more = bool(due) and due[0] > start and len(late) >= MOST_AT_ONCE
    chosen: list[datetime] = []
    if schedule.missed == Missed.LAST and not fresh:
        chosen = late[-1:]
    elif schedule.missed == Missed.ALL:
        chosen = late[-schedule.missed_limit :]
    missed = late[: len(late) - len(chosen)]
    # Of those that are on time each waits for its own jitter.
    then = fresh[1] if len(fresh) > 1 else following(schedule, max(now, schedule.next_at))
    return Plan([*chosen, *fresh[:1]], missed, then, more)


def grace_of(schedule: Schedule) -> timedelta:
    """How long after its time a tick still fires as if it were on time."""
    return ON_TIME + timedelta(seconds=schedule.jitter_seconds)


def _of_grace(grace: timedelta) -> int:
    return int(grace.total_seconds() // 60) + 1


async def fire(session: AsyncSession, intake: Intake, schedule: Schedule, now: datetime) -> Fired:
    """Do what is due of a schedule that is locked, in the caller's transaction; of many ticks only some, and the
    schedule stays due.

    A tick that is refused, whatever for, gets a row that says so. Raises :class:`Unavailable`, and
    :class:`KernelNotThere` while a kernel that is away may still be back in time.
    """
    # The ticks of a long outage are many: others get their turn meanwhile.
    plan, done = await asyncio.to_thread(planned, schedule, now), Fired(schedule.id)
    fires_from = schedule.fire_at or now
    newest_only = schedule.overlap == Overlap.CANCEL_RUNNING
    some, rest = (plan.fire, []) if newest_only else (plan.fire[:_AT_ONCE], plan.fire[_AT_ONCE:])
    # That it fires is no change of it.
    then = {"next_at": plan.then, "fire_at": fires_at(schedule, plan.then), "updated_at": Schedule.updated_at}
    then |= {"next_at": rest[0], "fire_at": now} if rest else {}
    ahead = update(Schedule).where(Schedule.id == schedule.id).values(**then)
    await session.execute(ahead.execution_options(synchronize_session=False))
    why = zip(plan.missed, _why_missed(schedule, plan), strict=False)
    done.add(Outcome.MISSED, await add_missed(session, schedule.id, why))
    if not some:
        return done
    in_the_way = await _under_way(session, schedule)
    if newest_only:
        await _cancel(session, intake, schedule, in_the_way)
        for tick in some[:-1]:
            await _skip(session, schedule, tick, None, "A newer tick was due as well.", done)
        some, in_the_way = some[-1:], []
    for tick in some:
        if in_the_way:
            message = f"Execution {in_the_way[-1]} of an earlier tick was under way."
            await _skip(session, schedule, tick, in_the_way[-1], message, done)
        elif await _add(session, schedule, tick, Outcome.FIRED):
            execution_id = await _submit(session, intake, schedule, tick, now, done)
            if execution_id is not None and schedule.overlap == Overlap.SKIP:
                in_the_way = [execution_id]
            done.late_seconds = max(0.0, (now - fires_from).total_seconds())
    return done


async def _skip(
    session: AsyncSession, schedule: Schedule, tick: datetime, execution_id: int | None, message: str, done: Fired
) -> None:
    if await _add(session, schedule, tick, Outcome.SKIPPED, execution_id, message):
        done.add(Outcome.SKIPPED)


def _why_missed(schedule: Schedule, plan: Plan) -> Iterator[str]:
    why = f"Nothing fired it in time; missed is {schedule.missed}"
    why += f", of {schedule.missed_limit} at most." if schedule.missed == Missed.ALL else "."
    yield why + (" So were earlier ones, which are not listed." if plan.more else "")
    while True:
        yield why


async def _under_way(session: AsyncSession, schedule: Schedule) -> list[int]:
    """The executions of earlier ticks that have not ended, but for those of a backfill."""
    if schedule.overlap == Overlap.QUEUE:
        return []
    of_it = (Execution.schedule_id == schedule.id, Execution.status.in_(_UNDER_WAY), Execution.batch_id.is_(None))
    return list((await session.scalars(select(Execution.id).where(*of_it).order_by(Execution.id))).all())


async def _cancel(session: AsyncSession, intake: Intake, schedule: Schedule, execution_ids: list[int]) -> None:
    for execution_id in execution_ids:
        try:
            await executions.cancel(session, intake, principal_of(schedule), execution_id)
        # It has ended meanwhile, and is not in the way; or it is of a former user, whose it stays.
        except (AlreadyEnded, NotAllowed, NotFound) as error:
            log.info("an execution of schedule %s is not cancelled: %s", schedule.id, error.detail)


async def _add(
    session: AsyncSession,
    schedule: Schedule,
    tick: datetime,
    outcome: Outcome,
    execution_id: int | None = None,
    message: str | None = None,
) -> bool:
    """Add the row of a tick; false where it has one, since it was run by hand."""
    row = {"outcome": outcome.value, "execution_id": execution_id, "message": message}
    added = insert(ScheduleTick).values(schedule_id=schedule.id, scheduled_at=tick, **row).on_conflict_do_nothing()
    return await session.scalar(added.returning(ScheduleTick.schedule_id)) is not None


async def _submit(
    session: AsyncSession, intake: Intake, schedule: Schedule, tick: datetime, now: datetime, done: Fired
) -> int | None:
    """Submit the execution of a tick that has a row, and write down which one, or why there is none."""
    by, connection = principal_of(schedule), await driver_connection(session)
    keys, entry = SecretKeys.of(intake.settings), _entry(schedule, tick)
    execution_id = None
    try:
        async with session.begin_nested():
            notebook = await notebook_of(connection, by, schedule.notebook_id)
            order = await Orders(schedule, notebook, keys).order(tick)
            [execution_id] = await executions.submit_on(connection, intake, by, [order], audit=entry)
    except Unavailable:
        raise
    except PressroomError as error:
        # A worker that starts again is back soon.
        if isinstance(error, KernelNotThere) and now < tick + grace_of(schedule):
            raise
        outcome, said = Outcome.REFUSED, {"outcome": Outcome.REFUSED.value, "message": error.detail}
    else:
        outcome, said = Outcome.FIRED, {"execution_id": execution_id}
        done.entries.append(entry)
        if notebook is not None:
            await seal_late(session, schedule, notebook.secret_names, keys)
    done.add(outcome)
    row = (ScheduleTick.schedule_id == schedule.id, ScheduleTick.scheduled_at == tick)
    await session.execute(update(ScheduleTick).where(*row).values(**said))
    return execution_id


def _entry(schedule: Schedule, tick: datetime) -> Entry:
    """The entry of the audit of a tick that fires."""
    return Entry(
        username=schedule.username,
        source=SOURCE,
        token_id=None,
        address=None,
        operation="fire_a_schedule",
        method="TICK",
        path=f"/db/schedules/{schedule.id}",
        facts={"schedule_id": schedule.id, "scheduled_at": tick.astimezone(UTC).isoformat()},
        allowed=True,
        status=None,
    )
