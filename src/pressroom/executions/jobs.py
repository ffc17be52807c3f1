"""Procrastinate's job manager, with what Pressroom needs of it: how outages are met, and that nothing told is missed.

A worker of Procrastinate ends when the database goes away under it. Here it waits: what it asks is answered with
"nothing" until the database is back, and what it has to say is said again.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import TypeVar

import psycopg
from procrastinate import PsycopgConnector, exceptions
from procrastinate.jobs import Job, Notification, Status
from procrastinate.manager import JobManager, NotificationCallback, get_channel_for_queues

T = TypeVar("T")
_PAUSE_SECONDS = (0.1, 0.2, 0.5, 1.0)
log = logging.getLogger("pressroom.queue")


def _pauses() -> Iterable[float]:
    yield from _PAUSE_SECONDS
    while True:
        yield _PAUSE_SECONDS[-1]


class PatientJobs(JobManager):
    """A job manager that outlives a restart of the database.

    Procrastinate's worker forgets a notification that comes while it fetches a job, and would wait for its poll where
    that fetch found nothing. So they are counted: what was told of since a fetch began is looked for again.
    """

    def __init__(self, connector: PsycopgConnector) -> None:
        super().__init__(connector)
        self._told = 0
        self._wake: NotificationCallback | None = None
        self._leaves_at: float | None = None

    def leave(self, seconds: float) -> None:
        """Wait no more for a database that is away, ``seconds`` from now on: the worker is to stop."""
        if self._leaves_at is None:
            self._leaves_at = time.monotonic() + seconds

    async def persistent(self, what: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do ``work``, again and again while the database is away. Cancelling ends it. Raises ``ConnectorException``
        where the database refuses it, and after :meth:`leave`."""
        for pause in _pauses():
            try:
                return await work()
            except exceptions.ConnectorException as error:
                if isinstance(error.__cause__, psycopg.errors.RaiseException):
                    raise
                if self._leaves_at is not None and time.monotonic() >= self._leaves_at:
                    raise
                log.warning("%s waits for the database: %s", what, error.__cause__ or error)
                await asyncio.sleep(pause)
        raise AssertionError("pauses never end")

    async def register_worker(self) -> int:
        """Make the worker known."""
        return await self.persistent("a new worker", super().register_worker)

    async def unregister_worker(self, worker_id: int) -> None:
        """Forget the worker."""
        try:
            await super().unregister_worker(worker_id)
        except exceptions.ConnectorException as error:
            log.warning("worker %s leaves without a word: %s", worker_id, error.__cause__ or error)

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
        """The next job; ``None`` also while the database is away: it is asked again within seconds."""
        while True:
            told = self._told
            try:
                job = await self._next(queues, worker_id)
            except exceptions.ConnectorException as error:
                log.warning("no job can be fetched: %s", error.__cause__ or error)
                return None
            if job is not None or told == self._told:
                return job

    async def _next(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
        return await super().fetch_job(queues, worker_id)

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        """Record the end of a job."""
        await self._told_of(job, lambda: super(PatientJobs, self).finish_job(job, status, delete_job))

    async def retry_job(
        self,
        job: Job,
        retry_at: datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        """Record that a job is to be done again."""
        await self._told_of(job, lambda: super(PatientJobs, self).retry_job(job, retry_at, priority, queue, lock))

    async def _told_of(self, job: Job, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await self.persistent("the end of a job", work)
        except exceptions.ConnectorException as error:
            # It was recorded, and the answer was lost; or the worker stops, and the sweep puts the job back.
            log.warning("the end of job %s is not recorded: %s", job.id, error.__cause__ or error)

    async def update_heartbeat(self, worker_id: int) -> None:
        """Give a sign of life."""
        try:
            await super().update_heartbeat(worker_id)
        except exceptions.ConnectorException as error:
            log.warning("no sign of life can be given: %s", error.__cause__ or error)

    async def defer_periodic_job(self, job: Job, periodic_id: str, defer_timestamp: int) -> int | None:
        """Defer a job that is due at a time."""
        return await self.persistent(
            "a job that is due",
            lambda: super(PatientJobs, self).defer_periodic_job(job, periodic_id, defer_timestamp),
        )

    async def prune_stalled_workers(self, seconds_since_heartbeat: float) -> list[int]:  # noqa: ARG002
        """Nothing: the sweep ends what a lost worker ran, and forgets it afterwards."""
        return []

    async def listen_for_jobs(
        self, *, on_notification: NotificationCallback, queues: Iterable[str] | None = None
    ) -> None:
        """Listen, and listen again after an outage."""
        self._wake = on_notification
        channels = get_channel_for_queues(queues)
        await self.persistent("listening for jobs", lambda: self.connector.listen_notify(self._heard, channels))

    async def _heard(self, *, channel: str, payload: str) -> None:
        try:
            notification: Notification = json.loads(payload)
            await self._notified(channel=channel, notification=notification)
        except (ValueError, TypeError, KeyError):  # anybody may notify; Procrastinate's listener would fall silent
            log.warning("a notification on %s cannot be read", channel)

    async def _notified(self, *, channel: str, notification: Notification) -> None:
        self._told += 1
        if self._wake is not None:
            await self._wake(channel=channel, notification=notification)
