"""Attempts that nobody works on any more, ended so that another one can begin. What they wrote goes with them."""

import asyncio
import logging
from collections.abc import Collection
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.session import apart, driver_connection
from pressroom.executions import discarding
from pressroom.executions.ending import discard, end_attempt, staged_name
from pressroom.executions.states import TRANSITIONS, Change, Patience, Status, end_of_attempt
from pressroom.executions.tasks import Workshop
from pressroom.press import Finished, Reason

log = logging.getLogger("pressroom.sweep")
_RUNNING = """
SELECT e.id, e.attempt, e.username, e.output_path, e.max_attempts, e.retry_on, e.retry_delay_seconds,
    e.cancel_requested_at, a.worker, a.host, extract(epoch FROM clock_timestamp() - a.started_at)::float AS seconds,
    counted_tries(e.id) AS tries
FROM notebook_executions AS e
JOIN execution_attempts AS a ON a.execution_id = e.id AND a.number = e.attempt
LEFT JOIN procrastinate_workers AS w ON w.id = a.worker_id
WHERE e.status = 'running' AND {}
FOR UPDATE OF e SKIP LOCKED
"""
# After a start of the database no worker has had the time to give a sign of life.
_LOST = text(
    _RUNNING.format(
        "(w.id IS NULL OR w.last_heartbeat < now() - make_interval(secs => :lost)) "
        "AND pg_postmaster_start_time() < now() - make_interval(secs => :lost)"
    )
)
_DROPPED = text(_RUNNING.format("a.worker_id = :worker AND e.id = ANY(:ids)"))
_HELD = text("""
SELECT e.id, e.attempt FROM notebook_executions AS e
JOIN execution_attempts AS a ON a.execution_id = e.id AND a.number = e.attempt
WHERE e.status = 'running' AND a.worker_id = :worker
""")


class Losses:
    """Ends attempts as lost, with what is left of their files."""

    def __init__(self, shop: Workshop) -> None:
        self._places, self._metrics = shop.places, shop.metrics
        self._lost_seconds = shop.settings.worker_lost_seconds

    async def of_lost_workers(self, session: AsyncSession) -> None:
        """End what workers ran that give no sign of life any more."""
        for row in (await session.execute(_LOST, {"lost": self._lost_seconds})).all():
            await self._end(session, row, f"Worker {row.worker} on {row.host} was lost while it ran")

    async def held_by(self, session: AsyncSession, worker_id: int) -> set[tuple[int, int]]:
        """The attempts, as execution and number, that a worker holds as far as the database knows."""
        return {(row.id, row.attempt) for row in (await session.execute(_HELD, {"worker": worker_id})).all()}

    async def of_living_worker(
        self, session: AsyncSession, worker_id: int, dropped: Collection[tuple[int, int]]
    ) -> None:
        """End attempts that a worker holds without being at work on them."""
        wanted = {"worker": worker_id, "ids": [execution_id for execution_id, _ in dropped]}
        for row in (await session.execute(_DROPPED, wanted)).all():
            if (row.id, row.attempt) in dropped:
                await self._end(session, row, f"Worker {row.worker} on {row.host} lost track of")

    async def _end(self, session: AsyncSession, row: Any, what: str) -> None:
        async with apart(session, log, f"the end of execution {row.id}, whose worker was lost,"):
            await self._ended(session, row, what)

    async def _ended(self, session: AsyncSession, row: Any, what: str) -> None:
        sentence = f"{what} attempt {row.attempt}."
        cancelled = row.cancel_requested_at is not None
        patience = Patience(row.tries, row.max_attempts, row.retry_on, row.retry_delay_seconds, cancelled)
        finished = Finished(Reason.WORKER_LOST, sentence, row.seconds, written=False)
        change = end_of_attempt(finished.reason, patience)
        await asyncio.to_thread(discard, self._places, row.output_path, row.username, staged_name(row.id, row.attempt))
        connection = await driver_connection(session)
        await end_attempt(connection, row, change, finished, patience)
        await discarding.defer(connection, [discarding.Attempt(row.output_path, row.username, row.id, row.attempt)])
        if change is not Change.PUT_BACK:
            self._metrics.execution_ended(TRANSITIONS[Status.RUNNING, change], Reason.WORKER_LOST, row.seconds)
        log.warning("execution %s: %s It is %s", row.id, sentence, change)
