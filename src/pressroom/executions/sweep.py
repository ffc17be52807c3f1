"""What time alone brings about: lost workers, expiry, lateness. Every worker sweeps, one at a time."""

import asyncio
import logging
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.session import apart
from pressroom.errors import Unavailable
from pressroom.executions.losses import Losses
from pressroom.executions.service import TASK
from pressroom.executions.states import Status
from pressroom.executions.tasks import Workshop
from pressroom.notifications import service as notifications
from pressroom.notifications.schemas import Event
from pressroom.press import Reason
from pressroom.tracking import service as tracking

_FORGOTTEN_AFTER = 30
"""How many times longer than it takes to count as lost a worker is remembered."""
_SWEEPS = 4
"""How many times in the time that it takes to count as lost."""
_LOCK = text("SELECT pg_try_advisory_xact_lock(4851201705)")
log = logging.getLogger("pressroom.sweep")

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
# What a command was to run itself, and has left behind.
_ABANDONED = text("""
WITH abandoned AS (
    UPDATE notebook_executions AS e
    SET status = 'cancelled', completed_at = clock_timestamp(), execution_time_seconds = 0, not_before = NULL,
        failure = '{"reason": "worker_lost"}', error_message = 'The command that was to run it is gone.'
    WHERE e.status = 'pending' AND e.queue LIKE '@%' AND e.submitted_at < now() - make_interval(secs => :lost)
        AND NOT EXISTS (
            SELECT FROM workers AS w JOIN procrastinate_workers AS p USING (id)
            WHERE w.queues @> to_jsonb(e.queue) AND p.last_heartbeat > now() - make_interval(secs => :lost)
        )
    RETURNING id, notebook_id, job_id
), done AS (DELETE FROM procrastinate_jobs USING abandoned WHERE procrastinate_jobs.id = abandoned.job_id)
SELECT id, notebook_id FROM abandoned
""")
# What waits without a job that could start it: it was deleted by somebody, or ended without a word. Sweepers take
# turns, so one of them makes the new job.
_JOBLESS = text(f"""
WITH jobless AS MATERIALIZED (
    SELECT e.id, e.job_id, e.queue, e.priority, e.not_before FROM notebook_executions AS e
    WHERE e.status = 'pending' AND NOT EXISTS (
        SELECT FROM procrastinate_jobs AS j WHERE j.id = e.job_id AND j.status = 'todo'
    )
    FOR UPDATE SKIP LOCKED
), ended AS (DELETE FROM procrastinate_jobs USING jobless WHERE procrastinate_jobs.id = jobless.job_id),
jobs AS (
    SELECT array_agg(id ORDER BY id) AS executions, procrastinate_defer_jobs_v1(array_agg(CAST(ROW(
        queue, '{TASK}', priority, NULL, NULL, jsonb_build_object('execution_id', id), not_before
    ) AS procrastinate_job_to_defer_v1) ORDER BY id)) AS jobs FROM jobless HAVING count(*) > 0
)
UPDATE notebook_executions AS e SET job_id = added.job
FROM (SELECT unnest(executions) AS id, unnest(jobs) AS job FROM jobs) AS added WHERE e.id = added.id
RETURNING e.id
""")  # noqa: S608 - no value of anybody's is in it
_LATE = text("""
WITH late AS (
    UPDATE notebook_executions SET late_told = true
    WHERE status IN ('pending', 'running') AND NOT late_told AND late_at <= clock_timestamp()
    RETURNING id, notebook_id, attempt
), told AS (
    INSERT INTO execution_events (execution_id, attempt, kind, data) SELECT id, attempt, 'late', '{}' FROM late
)
SELECT id, notebook_id, pg_notify('pressroom_executions', id || ' late') FROM late
""")
# Jobs other than executions that a lost worker had in hand: they can be done twice.
_CHORES = text("""
SELECT procrastinate_retry_job_v2(j.id, now(), NULL, NULL, NULL) FROM procrastinate_jobs AS j
LEFT JOIN procrastinate_workers AS w ON w.id = j.worker_id
WHERE j.status = 'doing' AND j.queue_name = ANY (:chores)
    AND (w.id IS NULL OR w.last_heartbeat < now() - make_interval(secs => :lost))
    AND pg_postmaster_start_time() < now() - make_interval(secs => :lost)
""")
# Batches whose end was missed. Nothing of them is under way, so nobody waits for their rows.
_ENDED_BATCHES = text("""
SELECT b.id, settle_batch(b.id, NULL) FROM batches AS b WHERE b.ended_at IS NULL
    AND NOT EXISTS (SELECT FROM notebook_executions AS e WHERE e.batch_id = b.id AND e.status = 'pending')
    AND NOT EXISTS (SELECT FROM notebook_executions AS e WHERE e.batch_id = b.id AND e.status = 'running')
""")
# Batches that are to be stopped, whose chore was missed.
_UNCLEARED_BATCHES = text("""
SELECT b.id, clear_batch(b.id) FROM batches AS b WHERE b.ended_at IS NULL AND b.stopping_at IS NOT NULL
    AND EXISTS (SELECT FROM notebook_executions AS e WHERE e.batch_id = b.id AND e.status = 'pending')
    AND NOT EXISTS (
        SELECT FROM procrastinate_jobs AS j WHERE j.queue_name = :chores AND j.task_name = 'pressroom.clear_batch'
            AND j.status IN ('todo', 'doing') AND j.args ->> 'batch_id' = CAST(b.id AS text)
    )
""")
_FORGET = text("""
WITH gone AS (
    DELETE FROM procrastinate_workers WHERE last_heartbeat < now() - make_interval(secs => :forgotten) RETURNING id
)
DELETE FROM workers WHERE id IN (SELECT id FROM gone)
    OR NOT EXISTS (SELECT FROM procrastinate_workers AS p WHERE p.id = workers.id)
""")


class Sweep:
    """Ends what a lost worker ran and what expired, tells what is late, and gives a job to what waits without one."""

    def __init__(self, shop: Workshop) -> None:
        self._database, self._metrics = shop.database, shop.metrics
        self._lost_seconds = shop.settings.worker_lost_seconds
        self._losses = Losses(shop)

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            try:
                await self.once()
            except Unavailable as error:
                log.warning("the sweep waits for the database: %s", error.detail)
            except Exception:  # one execution that cannot be ended must not keep the others waiting
                log.exception("a sweep failed")
            await asyncio.sleep(self._lost_seconds / _SWEEPS)

    async def once(self) -> None:
        """Sweep once; nothing where another worker is at it."""
        async with self._database.transaction() as session:
            if not await session.scalar(_LOCK):
                return
            for step in (
                self._losses.of_lost_workers,
                self._end_expired,
                self._end_abandoned,
                self._give_jobs,
                self._tell_late,
                self._put_chores_back,
                tracking.give_up,
                self._forget,
                self._settle_batches,
            ):
                async with apart(session, log, f"the sweep's step {step.__name__}"):
                    await step(session)

    async def _end_expired(self, session: AsyncSession) -> None:
        for row in (await session.execute(_EXPIRE)).all():
            await self._announce(session, row, Event.CANCELLED)
            self._metrics.execution_ended(Status.CANCELLED, Reason.EXPIRED, None)

    async def _end_abandoned(self, session: AsyncSession) -> None:
        for row in (await session.execute(_ABANDONED, {"lost": self._lost_seconds})).all():
            await self._announce(session, row, Event.CANCELLED)
            self._metrics.execution_ended(Status.CANCELLED, Reason.WORKER_LOST, None)

    async def _give_jobs(self, session: AsyncSession) -> None:
        for row in (await session.execute(_JOBLESS)).all():
            log.warning("execution %s waited without a job, and has another one", row.id)

    async def _tell_late(self, session: AsyncSession) -> None:
        for row in (await session.execute(_LATE)).all():
            await self._announce(session, row, Event.LATE)

    async def _put_chores_back(self, session: AsyncSession) -> None:
        await session.execute(_CHORES, {"lost": self._lost_seconds, "chores": [notifications.CHORES, tracking.QUEUE]})

    async def _forget(self, session: AsyncSession) -> None:
        await session.execute(_FORGET, {"forgotten": self._lost_seconds * _FORGOTTEN_AFTER})

    async def _settle_batches(self, session: AsyncSession) -> None:
        for row in (await session.execute(_ENDED_BATCHES)).all():
            log.warning("batch %s had ended, and nobody had noticed", row.id)
        for row in (await session.execute(_UNCLEARED_BATCHES, {"chores": notifications.CHORES})).all():
            log.warning("batch %s was to be stopped, and some of it waited; it is cancelled", row.id)

    async def _announce(self, session: AsyncSession, row: Any, event: Event) -> None:
        async with apart(session, log, f"the announcement of {event} of execution {row.id}"):
            await notifications.announce(session, row.id, row.notebook_id, event)
