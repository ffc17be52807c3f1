"""What became of the ticks of a schedule."""

from pydantic import TypeAdapter
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import Execution, ScheduleTick
from pressroom.executions.states import Status
from pressroom.identity.principal import Principal
from pressroom.schedules import service
from pressroom.schedules.schemas import Outcome, TickOut

_TICKS = TypeAdapter(list[TickOut])


async def page(
    session: AsyncSession, principal: Principal, schedule_id: int, skip: int, limit: int
) -> tuple[bytes, int, int]:
    """A page of what became of a schedule's ticks, the newest first: its JSON, its length, how many in all."""
    await service.get(session, principal, schedule_id)
    of_it = ScheduleTick.schedule_id == schedule_id
    wanted = (
        select(ScheduleTick, Execution.status)
        .outerjoin(Execution, Execution.id == ScheduleTick.execution_id)
        .where(of_it)
        .order_by(ScheduleTick.scheduled_at.desc())
    )
    rows = (await session.execute(wanted.offset(skip).limit(limit))).all()
    total = await session.scalar(select(func.count()).select_from(ScheduleTick).where(of_it))
    found = [
        TickOut(
            schedule_id=tick.schedule_id,
            scheduled_at=tick.scheduled_at,
            outcome=Outcome(tick.outcome),
            execution_id=tick.execution_id,
            execution_status=Status(status) if status else None,
            message=tick.message,
            at=tick.at,
        )
        for tick, status in rows
    ]
    return _TICKS.dump_json(found), len(found), int(total or 0)
