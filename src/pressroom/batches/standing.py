"""How batches stand: their executions by status, and when they will probably have ended."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.batches.schemas import BatchOut, BatchStatus, Counts
from pressroom.database.models import Batch, Execution

_LATELY = 100
"""How many ends of executions the estimate is made from."""
_ENDS = text("""
SELECT b.id, count(*), min(e.started_at), min(e.completed_at)
FROM unnest(CAST(:batches AS integer[])) AS b (id) CROSS JOIN LATERAL (
    SELECT * FROM (
        (SELECT started_at, completed_at FROM notebook_executions
        WHERE batch_id = b.id AND status = 'success' ORDER BY id DESC LIMIT :lately)
        UNION ALL
        (SELECT started_at, completed_at FROM notebook_executions
        WHERE batch_id = b.id AND status = 'failed' ORDER BY id DESC LIMIT :lately)
    ) AS ended ORDER BY completed_at DESC LIMIT :lately
) AS e GROUP BY b.id
""")


@dataclass(frozen=True, slots=True)
class Ends:
    """The executions of a batch that ended lately: how many, when the first of them began, and when it ended."""

    count: int
    began: datetime
    ended: datetime

    def estimate(self, counts: Counts, now: datetime) -> datetime | None:
        """When the others will have ended, if they end as fast."""
        all_of_them = self.count == counts.success + counts.failed
        number, since = (self.count, self.began) if all_of_them else (self.count - 1, self.ended)
        seconds = (now - since).total_seconds()
        if number < 1 or seconds <= 0:
            return None
        return now + timedelta(seconds=(counts.pending + counts.running) * seconds / number)


async def standing(session: AsyncSession, batches: Sequence[Batch]) -> list[BatchOut]:
    """The batches as they stand. What has ended says so itself; the executions of the others are counted."""
    now = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    under_way = [batch.id for batch in batches if batch.ended_at is None]
    counts: dict[int | None, dict[str, int]] = defaultdict(dict)
    ends: dict[int, Ends] = {}
    if under_way:
        wanted = select(Execution.batch_id, Execution.status, func.count())
        wanted = wanted.where(Execution.batch_id == func.any(under_way))
        for batch_id, status, count in await session.execute(wanted.group_by(Execution.batch_id, Execution.status)):
            counts[batch_id][status] = count
        found = await session.execute(_ENDS, {"batches": under_way, "lately": _LATELY})
        ends = {batch_id: Ends(count, began, ended) for batch_id, count, began, ended in found}
    return [_out(batch, batch.counts or counts[batch.id], ends.get(batch.id), now) for batch in batches]


async def standing_of(session: AsyncSession, batch: Batch) -> BatchOut:
    """One batch as it stands."""
    [found] = await standing(session, [batch])
    return found


def _out(batch: Batch, by_status: Mapping[str, int], ends: Ends | None, now: datetime) -> BatchOut:
    counts = Counts(**by_status)
    goes_on = batch.ended_at is None and batch.stopping_at is None
    return BatchOut(
        id=batch.id,
        name=batch.name,
        notebook_id=batch.notebook_id,
        username=batch.username,
        created_by=batch.created_by,
        created_at=batch.created_at,
        source=batch.source,
        plan=batch.plan,
        total=batch.total,
        concurrency_limit=batch.batch_limit,
        in_order=batch.in_order,
        stop_after_failures=batch.stop_after_failures,
        schedule_id=batch.schedule_id,
        retry_of=batch.retry_of,
        status=_status(batch),
        counts=counts,
        done=batch.total - counts.pending - counts.running,
        elapsed_seconds=((batch.ended_at or now) - batch.created_at).total_seconds(),
        estimated_end=ends.estimate(counts, now) if ends is not None and goes_on else None,
        stopping_at=batch.stopping_at,
        stop_reason=batch.stop_reason,
        ended_at=batch.ended_at,
    )


def _status(batch: Batch) -> BatchStatus:
    if batch.ended_at is None:
        return BatchStatus.RUNNING if batch.stopping_at is None else BatchStatus.STOPPING
    return {"cancelled": BatchStatus.CANCELLED, "failures": BatchStatus.STOPPED}.get(
        batch.stop_reason or "", BatchStatus.FINISHED
    )
