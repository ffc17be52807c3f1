"""The last events of an attempt: what a page shows of an execution before it follows it."""

from collections.abc import Collection, Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import ExecutionEvent

CELLS = ("cell_started", "cell_finished")
OUTPUT = ("output",)
STARTED = ("started",)


async def last_events(
    session: AsyncSession, execution_id: int, attempt: int, kinds: Collection[str], limit: int
) -> Sequence[ExecutionEvent]:
    """The last events of these kinds, ``limit`` at most, the oldest of them first."""
    wanted = (
        select(ExecutionEvent)
        .where(ExecutionEvent.execution_id == execution_id, ExecutionEvent.attempt == attempt)
        .where(ExecutionEvent.kind.in_(kinds))
        .order_by(ExecutionEvent.id.desc())
        .limit(limit)
    )
    return list(reversed((await session.scalars(wanted)).all()))
