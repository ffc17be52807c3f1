"""Schedules as they are answered."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import Parameter, Schedule
from pressroom.press.masks import MARK
from pressroom.schedules.schemas import ScheduleOut, out


async def answers(session: AsyncSession, schedules: Sequence[Schedule]) -> list[ScheduleOut]:
    """Schedules with a mark in place of each value that is secret, also of one that was not yet when it was saved."""
    of_them = Parameter.notebook_id.in_({each.notebook_id for each in schedules})
    wanted = select(Parameter.notebook_id, Parameter.param_name).where(Parameter.secret, of_them)
    secret = {(row.notebook_id, row.param_name) for row in await session.execute(wanted)}
    found = [out(each) for each in schedules]
    for each in found:
        hidden = [name for name in each.parameters if (each.notebook_id, name) in secret]
        each.parameters |= dict.fromkeys(hidden, MARK)
    return found


async def answer(session: AsyncSession, schedule: Schedule) -> ScheduleOut:
    """One schedule, as :func:`answers`."""
    [found] = await answers(session, [schedule])
    return found
