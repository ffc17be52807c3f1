"""What is left of a batch that was stopped is ended by a chore, some executions at a time: however many they are, no
request takes long, and where the chore is killed, the next worker goes on with what is left."""

import logging
from collections.abc import Callable
from typing import Any, Protocol

import procrastinate
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import Batch
from pressroom.database.session import Database
from pressroom.executions.states import Status
from pressroom.metrics import Metrics
from pressroom.notifications.service import CHORES

log = logging.getLogger("pressroom.batches")
NAME = "pressroom.clear_batch"
"""As clear_batch() in migrations/sql/queue_0012.sql has it."""
AT_ONCE = 500
"""Executions that one transaction cancels."""
_AGAIN_SECONDS = 5
# The last ones first: with each that is cancelled it is asked whether others wait, and the first one found says so.
_CANCEL = text("""
WITH chosen AS (
    SELECT id FROM notebook_executions WHERE batch_id = :batch AND status = 'pending'
    ORDER BY id DESC LIMIT :at_once FOR UPDATE
), cancelled AS (
    UPDATE notebook_executions AS e
    SET status = 'cancelled', completed_at = clock_timestamp(), execution_time_seconds = 0, not_before = NULL,
        failure = jsonb_build_object('reason', CAST(:reason AS text)), error_message = :sentence
    FROM chosen WHERE e.id = chosen.id AND e.status = 'pending'
    RETURNING e.id, e.notebook_id, e.job_id
), done AS (DELETE FROM procrastinate_jobs USING cancelled WHERE procrastinate_jobs.id = cancelled.job_id)
SELECT count(announce(id, notebook_id, 'execution.cancelled')) FROM cancelled
""")
_ASK = text("""
WITH asked AS (
    UPDATE notebook_executions SET cancel_requested_at = clock_timestamp()
    WHERE batch_id = :batch AND status = 'running' AND cancel_requested_at IS NULL RETURNING job_id
)
SELECT count(procrastinate_cancel_job_v1(job_id, true, false)) FROM asked
""")


class Context(Protocol):
    """What the chore needs of a worker."""

    @property
    def database(self) -> Database:
        """The database."""
        ...

    @property
    def metrics(self) -> Metrics:
        """The metrics of the process."""
        ...


async def clear(context: Context, batch_id: int, stopped: Callable[[], bool] = lambda: False) -> bool:
    """Cancel what waits of a batch that is being stopped; of one that somebody cancelled, ask what runs to stop.
    Whether nothing is left of it that waits: it ends before that where ``stopped``."""
    while not stopped():
        async with context.database.transaction() as session:
            batch = await session.get(Batch, batch_id)
            if batch is None or batch.stopping_at is None:
                return True
            reason, sentence = _why(batch)
            if reason == Status.CANCELLED.value:
                await session.execute(_ASK, {"batch": batch_id})
            count = await _cancel(session, batch_id, reason, sentence)
        for _ in range(count):
            context.metrics.execution_ended(Status.CANCELLED, reason, None)
        if count < AT_ONCE:
            return True
    return False


async def _cancel(session: AsyncSession, batch_id: int, reason: str, sentence: str) -> int:
    facts: dict[str, Any] = {"batch": batch_id, "at_once": AT_ONCE, "reason": reason, "sentence": sentence}
    return int(await session.scalar(_CANCEL, facts) or 0)


def _why(batch: Batch) -> tuple[str, str]:
    if batch.stop_reason == Status.CANCELLED.value:
        who = "" if batch.stopped_by in (None, batch.username) else f" by {batch.stopped_by}"
        return Status.CANCELLED.value, f"Its batch was cancelled{who} before it started."
    failures = batch.stop_after_failures
    what = "an execution" if failures == 1 else f"{failures} executions"
    return "batch_stopped", f"Its batch was stopped before it started, since {what} of it had failed."


def add_tasks(app: procrastinate.App, context: Context) -> None:
    """Register the chore with ``app``. A worker that stops gives it back, and one that fails is tried again."""

    @app.task(name=NAME, queue=CHORES, pass_context=True, retry=procrastinate.RetryStrategy(wait=_AGAIN_SECONDS))
    async def _(job: procrastinate.JobContext, batch_id: int) -> None:  # pyright: ignore[reportUnusedFunction]
        if not await clear(context, batch_id, job.should_abort):
            raise _NotDone(batch_id)


class _NotDone(Exception):
    """The worker stops before all of a batch is cancelled; another one goes on."""

    def __init__(self, batch_id: int) -> None:
        super().__init__(f"batch {batch_id} is not cleared yet")
