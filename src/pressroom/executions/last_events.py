"""The last events of an attempt: what a page shows of an execution before it follows it."""

from collections.abc import Collection, Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import ExecutionEvent

CELLS = ("cell_started", "cell_finished")
OUTPUT = ("output",)


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


async def kernel_of(session: AsyncSession, execution_id: int, attempt: int) -> str | None:
    """The name of the kernel's spec that runs an attempt, or did; ``None`` where it is not up yet."""
    wanted = (
        select(ExecutionEvent.data["kernel"].astext)
        .where(ExecutionEvent.execution_id == execution_id, ExecutionEvent.attempt == attempt)
        .where(ExecutionEvent.kind == "started")
        .order_by(ExecutionEvent.id)  # it is among the first, and a long output comes after it
        .limit(1)
    )
    return await session.scalar(wanted)
