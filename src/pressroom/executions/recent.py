"""Executions in short: the last ones of notebooks, for the strips that tell how a notebook has been doing, and those of
a batch, a mark each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import Execution
from pressroom.executions.states import Status

# By no index but that of both is it in this order: with one notebook in most rows, PostgreSQL would go through all rows
# by their ids for each of the others.
_LAST = text("""
SELECT wanted.id AS notebook_id, e.id, e.status, e.started_at, e.seconds
FROM unnest(CAST(:notebooks AS integer[])) AS wanted (id) CROSS JOIN LATERAL (
    SELECT id, status, started_at, extract(epoch FROM completed_at - started_at)::float AS seconds
    FROM notebook_executions WHERE notebook_id BETWEEN wanted.id AND wanted.id
    ORDER BY notebook_id DESC, id DESC LIMIT :count
) AS e ORDER BY wanted.id, e.id
""")
_OF_BATCH = text("""
SELECT id, status, started_at, extract(epoch FROM completed_at - started_at)::float AS seconds, batch_index,
    (
        SELECT jsonb_object_agg(key, value) FROM jsonb_each(
            CASE jsonb_typeof(results) WHEN 'object' THEN results ELSE '{}' END
        ) WHERE jsonb_typeof(value) = 'number'
    ) AS figures
FROM notebook_executions WHERE batch_id = :batch AND id >= (
    SELECT id FROM notebook_executions WHERE batch_id = :batch ORDER BY id LIMIT 1 OFFSET :skip
) ORDER BY id LIMIT :count
""")


@dataclass(frozen=True, slots=True)
class Mark:
    """One execution in short. ``seconds``: how long its last attempt took, once it has ended."""

    id: int
    status: Status
    started_at: datetime
    seconds: float | None


async def marks(session: AsyncSession, notebook_ids: Sequence[int], count: int) -> dict[int, list[Mark]]:
    """The last ``count`` executions of each of these notebooks, the oldest first. Whoever may see a notebook may see
    them; the caller of this has asked."""
    found: dict[int, list[Mark]] = {notebook_id: [] for notebook_id in notebook_ids}
    if not found:
        return found
    for row in await session.execute(_LAST, {"notebooks": list(notebook_ids), "count": count}):
        found[row.notebook_id].append(Mark(row.id, Status(row.status), row.started_at, row.seconds))
    return found


def usual(seen: Sequence[Mark]) -> float | None:
    """How long the successes among them took, in seconds (the median); ``None`` without any."""
    taken = [mark.seconds for mark in seen if mark.status is Status.SUCCESS and mark.seconds is not None]
    return median(taken) if taken else None


@dataclass(frozen=True, slots=True)
class BatchMark(Mark):
    """One execution of a batch: its place in it, from 0, and the numbers that it recorded."""

    index: int
    figures: dict[str, float]


async def parameters_of_batch(session: AsyncSession, batch_id: int, count: int) -> dict[int, dict[str, Any]]:
    """The parameters of the first ``count`` executions of a batch that are left, by their places in it."""
    wanted = select(Execution.batch_index, Execution.parameters_used).where(Execution.batch_id == batch_id)
    rows = await session.execute(wanted.order_by(Execution.id).limit(count))
    return {index: parameters or {} for index, parameters in rows if index is not None}


async def marks_of_batch(session: AsyncSession, batch_id: int, skip: int, count: int) -> list[BatchMark]:
    """``count`` executions of a batch in its order, after the first ``skip``. Whoever may see it may see them; the
    caller of this has asked."""
    rows = await session.execute(_OF_BATCH, {"batch": batch_id, "skip": skip, "count": count})
    return [
        BatchMark(row.id, Status(row.status), row.started_at, row.seconds, row.batch_index, row.figures or {})
        for row in rows
    ]
