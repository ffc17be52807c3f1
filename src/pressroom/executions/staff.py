"""The workers and the queues, as they are at the moment."""

import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.executions.kernel_schemas import KernelAtWorker, KernelFacts, KernelOut
from pressroom.executions.schemas import QueueOut, WorkerOut
from pressroom.identity.policy import Viewer
from pressroom.identity.visibility import NOTEBOOKS_SEEN

_SUMMARY = text("""
SELECT
    (
        SELECT coalesce(sum(change), 0) FROM execution_counts WHERE status = 'pending'
    ) AS waiting,
    (
        SELECT coalesce(sum(w.concurrency), 0) FROM workers AS w JOIN procrastinate_workers AS p USING (id)
        WHERE p.last_heartbeat > now() - make_interval(secs => :lost)
    ) AS places
""")
_WORKERS = text("""
SELECT w.*, p.last_heartbeat, p.last_heartbeat > now() - make_interval(secs => :lost) AS alive,
    ARRAY(
        SELECT e.id FROM notebook_executions AS e
        JOIN execution_attempts AS a ON a.execution_id = e.id AND a.number = e.attempt
        WHERE e.status = 'running' AND a.worker_id = w.id ORDER BY e.id
    ) AS running
FROM workers AS w JOIN procrastinate_workers AS p USING (id) ORDER BY w.id
""")
_KERNELS = text("""
SELECT w.name, w.host, w.kernels FROM workers AS w JOIN procrastinate_workers AS p USING (id)
WHERE w.kernels IS NOT NULL AND p.last_heartbeat > now() - make_interval(secs => :lost) ORDER BY w.id
""")
_QUEUES = """
SELECT queue AS name,
    count(*) FILTER (WHERE status = 'pending') AS waiting,
    count(*) FILTER (WHERE status = 'running') AS running,
    min(submitted_at) FILTER (WHERE status = 'pending') AS oldest_submitted_at,
    extract(epoch FROM now() - min(submitted_at) FILTER (WHERE status = 'pending'))::float AS oldest_waiting_seconds
FROM notebook_executions WHERE status IN ('pending', 'running') {seen}GROUP BY queue ORDER BY queue
"""

_SEEN = f"notebook_id IN ({NOTEBOOKS_SEEN})"


@functools.cache
def summary(lost_seconds: float) -> Callable[[AsyncSession], Awaitable[tuple[int, int]]]:
    """The question how many executions wait, and how many the living workers can run at once; the same one each time,
    so that many who ask share an answer. A worker without a sign of life for ``lost_seconds`` is taken for lost."""

    async def ask(session: AsyncSession) -> tuple[int, int]:
        row = (await session.execute(_SUMMARY, {"lost": lost_seconds})).one()
        return int(row.waiting), int(row.places)

    return ask


async def workers(session: AsyncSession, lost_seconds: float) -> list[WorkerOut]:
    """Every worker that is known, lost ones among them until they are forgotten."""
    rows: Sequence[Any] = (await session.execute(_WORKERS, {"lost": lost_seconds})).all()
    return [WorkerOut.model_validate(row) for row in rows]


async def kernels(session: AsyncSession, lost_seconds: float) -> list[KernelOut]:
    """The kernels of the workers that live, by name."""
    found: list[KernelOut] = []
    for row in await session.execute(_KERNELS, {"lost": lost_seconds}):
        found = with_kernels(found, row.name, row.host, [KernelFacts.model_validate(told) for told in row.kernels])
    return found


def with_kernels(
    found: Sequence[KernelOut], worker: str | None, host: str, told: Sequence[KernelFacts]
) -> list[KernelOut]:
    """Kernels, by name, and with them what is told of those of one more worker."""
    named = {kernel.name: kernel for kernel in found}
    for facts in told:
        known = named.get(facts.name)
        at_worker = KernelAtWorker.model_validate({**facts.model_dump(), "worker": worker, "host": host})
        named[facts.name] = KernelOut(
            name=facts.name,
            language=known.language if known else facts.language,
            display_name=known.display_name if known else facts.display_name,
            workers=[*(known.workers if known else ()), at_worker],
        )
    return [named[name] for name in sorted(named)]


async def queues(session: AsyncSession, seen_by: Viewer | None) -> list[QueueOut]:
    """Every queue in which something waits or runs that ``seen_by`` may see."""
    if seen_by is None:
        found = await session.execute(text(_QUEUES.format(seen="")))
    else:
        values = {"viewer": seen_by.username, "groups": sorted(seen_by.groups)}
        found = await session.execute(text(_QUEUES.format(seen=f"AND (username = :viewer OR {_SEEN}) ")), values)
    return [QueueOut.model_validate(row) for row in found.all()]
