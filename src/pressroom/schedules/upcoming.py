"""What comes next by itself."""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import Schedule
from pressroom.identity.policy import viewer
from pressroom.identity.principal import Principal
from pressroom.identity.visibility import sees_execution
from pressroom.schedules import ticks
from pressroom.schedules.answers import answers
from pressroom.schedules.schemas import ScheduleOut


async def upcoming(session: AsyncSession, principal: Principal, limit: int) -> list[ScheduleOut]:
    """The schedules that ``principal`` may see and that fire next, the first of them first."""
    seen = sees_execution(Schedule, viewer(principal))
    wanted = select(Schedule).where(Schedule.fire_at.is_not(None), Schedule.paused.is_(False), *seen)
    rows = (await session.scalars(wanted.order_by(Schedule.fire_at, Schedule.id).limit(limit))).all()
    return await answers(session, rows)


def coming(
    cron: str,
    timezone: str,
    now: datetime,
    count: int,
    *,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
) -> list[datetime]:
    """The next ticks of an expression, in UTC, ``count`` at most. Raises :class:`Invalid`."""
    begin = now if starts_at is None or starts_at <= now else starts_at - timedelta(microseconds=1)
    found: list[datetime] = []
    for tick in ticks.following(cron, ticks.zone(timezone), begin):
        if len(found) == count or (ends_at is not None and tick > ends_at):
            break
        found.append(tick)
    return found
