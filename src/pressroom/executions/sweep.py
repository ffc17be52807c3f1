"""What time alone brings about: lost workers, expiry, lateness. Every worker sweeps, one at a time."""

import asyncio
import logging
import random
from typing import Any

from procrastinate.manager import JobManager
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.errors import Unavailable
from pressroom.executions.queue import LOST_SECONDS
from pressroom.executions.states import TRANSITIONS, Change, Patience, Status, end_of_attempt
from pressroom.executions.tasks import Workshop, discard, end_attempt, staged_name
from pressroom.notifications import service as notifications
from pressroom.notifications.schemas import Event
from pressroom.press import Finished, Reason

SWEEP_SECONDS = 5.0
_FORGOTTEN_SECONDS = 600.0
_LOCK = text("SELECT pg_try_advisory_xact_lock(4851201705)")
log = logging.getLogger("pressroom.sweep")

# After a start of the database no worker has had the time to give a sign of life.
_LOST = text("""
SELECT e.id, e.attempt, e.notebook_id, e.username, e.output_path, e.max_attempts, e.retry_on, e.retry_delay_seconds,
    e.cancel_requested_at, a.worker, a.host, extract(epoch FROM clock_timestamp() - a.started_at)::float AS seconds,
    (
        SELECT count(*) FROM execution_attempts AS t
        WHERE t.execution_id = e.id AND t.reason IS DISTINCT FROM 'interrupted'
    ) AS tries
FROM notebook_executions AS e
JOIN execution_attempts AS a ON a.execution_id = e.id AND a.number = e.attempt
LEFT JOIN procrastinate_workers AS w ON w.id = a.worker_id
WHERE e.status = 'running' AND (w.id IS NULL OR w.last_heartbeat < now() - make_interval(secs => :lost))
    AND pg_postmaster_start_time() < now() - make_interval(secs => :lost)
FOR UPDATE OF e SKIP LOCKED
""")
_EXPIRE = text("""
WITH expired AS (
    UPDATE notebook_executions
    SET status = 'cancelled', completed_at = clock_timestamp(), execution_time_seconds = 0, not_before = NULL,
        failure = '{"reason": "expired"}',
        error_message = 'It was not started before ' || to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
            || ' UTC, when it expired.'
    WHERE status = 'pending' AND expires_at <= clock_timestamp()
    RETURNING id, notebook_id, job_id
), done AS (DELETE FROM procrastinate_jobs USING expired WHERE procrastinate_jobs.id = expired.job_id)
SELECT id, notebook_id FROM expired
""")
_LATE = text("""
WITH late AS (
    UPDATE notebook_executions SET late_at = NULL
    WHERE status IN ('pending', 'running') AND late_at <= clock_timestamp() RETURNING id, notebook_id, attempt
), told AS (
    INSERT INTO execution_events (execution_id, attempt, kind, data) SELECT id, attempt, 'late', '{}' FROM late
)
SELECT id, notebook_id, pg_notify('pressroom_executions', id || ' late') FROM late
""")
# Jobs other than executions that a lost worker had in hand: they can be done twice.
_CHORES = text("""
SELECT procrastinate_retry_job_v2(j.id, now(), NULL, NULL, NULL) FROM procrastinate_jobs AS j
LEFT JOIN procrastinate_workers AS w ON w.id = j.worker_id
WHERE j.status = 'doing' AND j.queue_name = 'pressroom:chores'
    AND (w.id IS NULL OR w.last_heartbeat < now() - make_interval(secs => :lost))
    AND pg_postmaster_start_time() < now() - make_interval(secs => :lost)
""")
_FORGET = text("""
WITH gone AS (
    DELETE FROM procrastinate_workers WHERE last_heartbeat < now() - make_interval(secs => :forgotten) RETURNING id
)
DELETE FROM workers WHERE id IN (SELECT id FROM gone)
    OR NOT EXISTS (SELECT FROM procrastinate_workers AS p WHERE p.id = workers.id)
""")


class Sweep:
    """Ends what a lost worker ran and what expired, and tells what is late."""

    def __init__(self, shop: Workshop, jobs: JobManager) -> None:
        self._database, self._places, self._metrics, self._jobs = shop.database, shop.places, shop.metrics, jobs
        self._random = random.Random()  # noqa: S311 - it spreads retries, it guards nothing

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            try:
                await self.once()
            except Unavailable as error:
                log.warning("the sweep waits for the database: %s", error.detail)
            except Exception:  # one execution that cannot be ended must not keep the others waiting
                log.exception("a sweep failed")
            await asyncio.sleep(SWEEP_SECONDS)

    async def once(self) -> None:
        """Sweep once; nothing where another worker is at it."""
        async with self._database.transaction() as session:
            if not await session.scalar(_LOCK):
                return
            for row in (await session.execute(_LOST, {"lost": LOST_SECONDS})).all():
                await self._end_lost(session, row)
            for row in (await session.execute(_EXPIRE)).all():
                await notifications.announce(session, self._jobs, row.id, row.notebook_id, Event.CANCELLED)
                self._metrics.execution_ended(Status.CANCELLED, Reason.EXPIRED, None)
            for row in (await session.execute(_LATE)).all():
                await notifications.announce(session, self._jobs, row.id, row.notebook_id, Event.LATE)
            await session.execute(_CHORES, {"lost": LOST_SECONDS})
            await session.execute(_FORGET, {"forgotten": _FORGOTTEN_SECONDS})

    async def _end_lost(self, session: AsyncSession, row: Any) -> None:
        sentence = f"Worker {row.worker} on {row.host} was lost while it ran attempt {row.attempt}."
        patience = Patience(
            row.tries,
            row.max_attempts,
            row.retry_on,
            row.retry_delay_seconds,
            cancel_requested=row.cancel_requested_at is not None,
        )
        finished = Finished(Reason.WORKER_LOST, sentence, row.seconds, written=False)
        change = end_of_attempt(finished.reason, patience)
        await asyncio.to_thread(discard, self._places, row.output_path, row.username, staged_name(row.id, row.attempt))
        await end_attempt(session, self._jobs, row, change, finished, patience, self._random)
        if change is not Change.PUT_BACK:
            self._metrics.execution_ended(TRANSITIONS[Status.RUNNING, change], Reason.WORKER_LOST, row.seconds)
        log.warning("execution %s: %s It is %s", row.id, sentence, change)
