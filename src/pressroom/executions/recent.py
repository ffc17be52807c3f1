"""The last executions of notebooks, in short: for the strips of marks that tell how a notebook has been doing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.executions.states import Status

_LAST = text("""
SELECT wanted.id AS notebook_id, e.id, e.status, e.started_at, e.seconds
FROM unnest(CAST(:notebooks AS integer[])) AS wanted (id) CROSS JOIN LATERAL (
    SELECT id, status, started_at, extract(epoch FROM completed_at - started_at)::float AS seconds
    FROM notebook_executions WHERE notebook_id = wanted.id ORDER BY id DESC LIMIT :count
) AS e ORDER BY wanted.id, e.id
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
