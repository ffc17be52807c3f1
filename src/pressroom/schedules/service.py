"""Schedules: made, changed, seen, and run by hand. What their clock does is in :mod:`pressroom.schedules.firing`."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import JsonValue, TypeAdapter
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import Execution, Schedule, ScheduleTick
from pressroom.database.session import driver_connection, violated
from pressroom.errors import AlreadyExists, Invalid, NotAllowed, NotFound
from pressroom.executions import access
from pressroom.executions import service as executions
from pressroom.executions.orders import Intake, OrderBook
from pressroom.executions.refusals import about
from pressroom.executions.registered import Registered, opened
from pressroom.identity.policy import acts_for_everybody, is_admin, require_acting_for, viewer
from pressroom.identity.principal import ADMIN, Principal
from pressroom.identity.rights import Level
from pressroom.identity.visibility import sees_execution
from pressroom.notebooks import levels
from pressroom.parameters.sealing import SecretKeys
from pressroom.press.masks import MARK
from pressroom.schedules import due
from pressroom.schedules.answers import answers
from pressroom.schedules.due import When, following, moment
from pressroom.schedules.orders import (
    Orders,
    notebook_of,
    opened_secrets,
    principal_of,
    read_from_texts,
    set_parameters,
)
from pressroom.schedules.schemas import HOW, Outcome, ScheduleCreate, ScheduleOut

CHANNEL = "pressroom_schedules"
"""Notified when a clock has to look again."""
_LONGEST_MESSAGE = 1000
"""Characters after which the runs by hand of one tick are told of from the newest on."""
_ROWS = TypeAdapter(list[ScheduleOut])


async def create(
    session: AsyncSession,
    intake: Intake,
    principal: Principal,
    wanted: ScheduleCreate,
    *,
    lenient: bool = False,
    hidden: frozenset[str] | None = None,
) -> Schedule:
    """Add a schedule, of which the next tick could be executed now.

    ``lenient``: the parameters are texts; ``hidden`` names those that were given where nobody sees them, ``None`` is
    all. Raises :class:`NotFound`, :class:`NotAllowed`, :class:`AlreadyExists` for a name that its user has given
    already, :class:`ParameterInvalid`, and :class:`Invalid` for an expression, a zone or times that give no tick.
    """
    fields = wanted.model_dump(exclude={*HOW, "parameters", "username", "missed", "overlap"})
    schedule = Schedule(
        **fields,
        missed=wanted.missed.value,
        overlap=wanted.overlap.value,
        parameters={},
        created_by=principal.username,
    )
    with about("notebook_id"):
        await levels.require(session, principal, wanted.notebook_id, Level.VIEWER)
    with about("username"):
        _belongs_to(schedule, principal, wanted.username or principal.username)
    schedule.how = _how({}, wanted.model_dump(mode="json", include=set(HOW)))
    now = await moment(session)
    due.set_next(schedule, now, required=True)
    notebook = await _notebook(session, principal, schedule)
    given = dict(wanted.parameters)
    if lenient:
        with about("parameters"):
            given = read_from_texts(given, notebook.definitions)
    await _save(session, schedule)
    set_parameters(schedule, given, notebook.secret_names, SecretKeys.of(intake.settings))
    await _check(session, intake, schedule, notebook, now, hidden)
    await _save(session, schedule)
    await session.refresh(schedule)
    return schedule


async def get(session: AsyncSession, principal: Principal, schedule_id: int, *, lock: bool = False) -> Schedule:
    """A schedule that ``principal`` may see: theirs, or of a notebook that they may see. Raises :class:`NotFound`."""
    wanted = select(Schedule).where(Schedule.id == schedule_id, *sees_execution(Schedule, viewer(principal)))
    if lock:
        # Executions that name it are added meanwhile: only its own columns are locked.
        wanted = wanted.with_for_update(key_share=True).execution_options(populate_existing=True)
    schedule = await session.scalar(wanted)
    if schedule is None:
        raise NotFound("schedule", schedule_id)
    return schedule


async def owned(session: AsyncSession, principal: Principal, schedule_id: int, *, lock: bool = False) -> Schedule:
    """A schedule that ``principal`` may change. Raises :class:`NotFound`, and :class:`NotAllowed` for another's."""
    schedule = await get(session, principal, schedule_id, lock=lock)
    if schedule.username != principal.username and not acts_for_everybody(principal):
        raise NotAllowed(f"Schedule {schedule_id} is {schedule.username}'s, and only they change it or have it run.")
    return schedule


async def page(
    session: AsyncSession, principal: Principal, username: str | None, notebook_id: int | None, skip: int, limit: int
) -> tuple[bytes, int, int]:
    """A page of the schedules that the caller may see, by id: its JSON, its length, how many there are in all."""
    seen = sees_execution(Schedule, viewer(principal))
    if username is not None:
        seen.append(Schedule.username == username)
    if notebook_id is not None:
        seen.append(Schedule.notebook_id == notebook_id)
    rows = (await session.scalars(select(Schedule).where(*seen).order_by(Schedule.id).offset(skip).limit(limit))).all()
    total = await session.scalar(select(func.count(Schedule.id)).where(*seen))
    return _ROWS.dump_json(await answers(session, rows)), len(rows), int(total or 0)


async def change(
    session: AsyncSession,
    intake: Intake,
    principal: Principal,
    schedule_id: int,
    changes: Mapping[str, Any],
    *,
    typed: frozenset[str] = frozenset(),
    hidden: frozenset[str] | None = None,
) -> Schedule:
    """Change some fields of a schedule. A mark in place of a secret leaves it as it is. ``typed`` names the parameters
    that are texts. Raises as :func:`create`."""
    schedule = await owned(session, principal, schedule_id, lock=True)
    before = When.of(schedule)
    keys = SecretKeys.of(intake.settings)
    secrets = opened_secrets(schedule, keys) if {"parameters", "username", "notebook_id"} & changes.keys() else None
    stored = schedule.parameters | (secrets or {})
    fields = {name: value for name, value in changes.items() if name not in (*HOW, "parameters", "username")}
    for name, value in fields.items():
        setattr(schedule, name, getattr(value, "value", value))
    schedule.how = _how(schedule.how, {name: value for name, value in changes.items() if name in HOW})
    with about("username"):
        _belongs_to(schedule, principal, changes.get("username", schedule.username))
    now = await moment(session)
    await due.set_again(session, schedule, before, now)
    if changes.keys() <= {"paused", "description"}:
        await _save(session, schedule)
        await session.refresh(schedule)
        return schedule
    notebook = await _notebook(session, principal, schedule)
    if secrets is not None:
        given: dict[str, JsonValue] = dict(changes.get("parameters", schedule.parameters))
        with about("parameters"):
            given |= read_from_texts({name: given[name] for name in typed}, notebook.definitions)
        kept = {name: stored[name] for name, value in given.items() if value == MARK and name in stored}
        set_parameters(schedule, given | kept, notebook.secret_names | (kept.keys() & secrets.keys()), keys)
        hidden = hidden | kept.keys() if hidden is not None and typed else None
    else:
        hidden = None
    await _check(session, intake, schedule, notebook, now, hidden)
    await _save(session, schedule)
    await session.refresh(schedule)
    return schedule


async def delete(session: AsyncSession, principal: Principal, schedule_id: int) -> None:
    """Delete a schedule and its history; its executions stay."""
    await session.delete(await owned(session, principal, schedule_id, lock=True))
    await session.flush()


async def run(
    session: AsyncSession, intake: Intake, principal: Principal, schedule_id: int, scheduled_at: datetime | None = None
) -> Execution:
    """Execute a schedule by hand, as of now or of a time that is over; its history says so. The clock waits meanwhile.

    Raises :class:`NotFound`, :class:`NotAllowed`, :class:`Invalid` for a time ahead, and what submitting raises.
    """
    schedule = await owned(session, principal, schedule_id, lock=True)
    now = await moment(session)
    at = scheduled_at or now
    if at > now:
        raise Invalid("scheduled_at lies ahead; its tick fires by itself then.")
    by = principal_of(schedule)
    notebook = await notebook_of(await driver_connection(session), by, schedule.notebook_id)
    order = await Orders(schedule, notebook, SecretKeys.of(intake.settings)).order(at)
    [execution_id] = await executions.submit(session, intake, by, [order])
    await _note_run(session, schedule, at, execution_id, principal.username)
    return await executions.get(session, execution_id)


async def _note_run(session: AsyncSession, schedule: Schedule, at: datetime, execution_id: int, username: str) -> None:
    """Write down an execution by hand of a locked schedule. A tick that has fired keeps its own, with a word of it."""
    tick = await session.get(ScheduleTick, (schedule.id, at), populate_existing=True)
    if tick is None:
        tick = ScheduleTick(schedule_id=schedule.id, scheduled_at=at)
        session.add(tick)
    elif tick.outcome == Outcome.FIRED.value and tick.execution_id is not None:
        again = f"Run again by {username}: execution {execution_id}."
        tick.message = again if len(tick.message or "") > _LONGEST_MESSAGE else f"{tick.message or ''} {again}".strip()
        await session.flush()
        return
    tick.outcome, tick.execution_id, tick.message = Outcome.FIRED.value, execution_id, f"Run by {username}."
    tick.at = await moment(session)
    await session.flush()


def _belongs_to(schedule: Schedule, principal: Principal, username: str) -> None:
    """Make a schedule somebody's. What groups and roles they have, only their own request says; changed by another, it
    keeps what it had, but for the rights of an administrator once an administrator has changed it: those are taken
    away like that from who is none any more."""
    require_acting_for(principal, username)
    if username == principal.username:
        schedule.owner_groups, schedule.owner_roles = sorted(principal.groups), sorted(principal.roles)
    elif schedule.username != username:
        schedule.owner_groups, schedule.owner_roles = [], []
    elif is_admin(principal):
        schedule.owner_roles = [role for role in schedule.owner_roles if role != ADMIN]
    schedule.username = username


def _how(before: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**before, **said}.items() if value is not None}


async def _notebook(session: AsyncSession, principal: Principal, schedule: Schedule) -> Registered:
    """The notebook of a schedule, which the caller, and its user, may execute. Raises :class:`NotFound` and
    :class:`NotAllowed`."""
    connection = await driver_connection(session)
    by = principal_of(schedule)
    with about("notebook_id"):
        seen = await notebook_of(connection, principal, schedule.notebook_id)
        if seen is None:
            raise NotFound("notebook", schedule.notebook_id)
        access.acting(principal, seen, None)
        notebook = await notebook_of(connection, by, schedule.notebook_id)
        assert notebook is not None
        access.acting(by, notebook, None)
    return notebook


async def _check(
    session: AsyncSession,
    intake: Intake,
    schedule: Schedule,
    notebook: Registered,
    now: datetime,
    hidden: frozenset[str] | None,
) -> None:
    """Have the order of the next tick checked, as if it were given now. Raises what submitting raises."""
    connection, by = await driver_connection(session), principal_of(schedule)
    tick = following(schedule, now) or now
    order = await Orders(schedule, notebook, SecretKeys.of(intake.settings)).order(tick)
    found = await opened(connection, viewer(by), 0, {schedule.notebook_id})
    await OrderBook(connection, intake, by, found).row(replace(order, hidden=hidden), 0)


async def _save(session: AsyncSession, schedule: Schedule) -> None:
    session.add(schedule)
    try:
        await session.flush()
    except IntegrityError as error:
        broken = violated(error)
        if broken == "uq_schedules_username_name":
            name = AlreadyExists("schedule", "name", schedule.name)
            name.where = ("name",)
            raise name from error
        if broken == "fk_schedules_notebook_id_notebooks":
            raise NotFound("notebook", "named") from error
        raise
    await session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})
