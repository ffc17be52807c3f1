"""Procrastinate's job manager, with what Pressroom needs of it: which execution is next, and how outages are met.

A worker of Procrastinate ends when the database goes away under it. Here it waits: what it asks is answered with
"nothing" until the database is back, and what it has to say is said again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from procrastinate import PsycopgConnector, exceptions
from procrastinate.jobs import Job, Notification, Status
from procrastinate.manager import JobManager, NotificationCallback

from pressroom.executions.service import TASK

T = TypeVar("T")
_PAUSE_SECONDS = (0.1, 0.2, 0.5, 1.0)
log = logging.getLogger("pressroom.queue")

_REGISTER = """
WITH beating AS (INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id)
INSERT INTO workers (id, name, host, process_id, queues, concurrency, version)
SELECT id, %(name)s, %(host)s, %(process_id)s, to_jsonb(%(queues)s::text[]), %(concurrency)s, %(version)s FROM beating
RETURNING id AS worker_id
"""
# A worker that was taken for lost while it was only held up is there again.
_BEAT = """
WITH beating AS (
    INSERT INTO procrastinate_workers (id) OVERRIDING SYSTEM VALUE VALUES (%(worker_id)s)
    ON CONFLICT (id) DO UPDATE SET last_heartbeat = now() RETURNING id
)
INSERT INTO workers (id, name, host, process_id, queues, concurrency, version)
SELECT id, %(name)s, %(host)s, %(process_id)s, to_jsonb(%(queues)s::text[]), %(concurrency)s, %(version)s FROM beating
ON CONFLICT (id) DO NOTHING
RETURNING id
"""
_LEAVE = "WITH gone AS (DELETE FROM workers WHERE id = %(id)s) DELETE FROM procrastinate_workers WHERE id = %(id)s"
_CLAIM = "SELECT claim_execution(%(queues)s::varchar[], %(worker_id)s) AS execution"
_NEXT = """
SELECT extract(epoch FROM min(not_before) - clock_timestamp())::float AS seconds FROM notebook_executions
WHERE status = 'pending' AND not_before > clock_timestamp()
"""


@dataclass(frozen=True, slots=True)
class Registration:
    """How a worker is known. ``queues``: ``None`` for every queue."""

    name: str
    host: str
    process_id: int
    queues: list[str] | None
    concurrency: int
    version: str

    def fields(self) -> dict[str, Any]:
        """The parameters of the statements above."""
        return {name: getattr(self, name) for name in self.__slots__}


async def persistent(what: str, work: Callable[[], Awaitable[T]]) -> T:
    """Do ``work``, again and again while the database is away. Cancelling ends it."""
    for pause in _pauses():
        try:
            return await work()
        except exceptions.ConnectorException as error:
            log.warning("%s waits for the database: %s", what, error.__cause__ or error)
            await asyncio.sleep(pause)
    raise AssertionError("pauses never end")


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

    async def register_worker(self) -> int:
        """Make the worker known."""
        return await persistent("a new worker", super().register_worker)

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
        await persistent("the end of a job", lambda: super(PatientJobs, self).finish_job(job, status, delete_job))

    async def update_heartbeat(self, worker_id: int) -> None:
        """Give a sign of life."""
        try:
            await super().update_heartbeat(worker_id)
        except exceptions.ConnectorException as error:
            log.warning("no sign of life can be given: %s", error.__cause__ or error)

    async def defer_periodic_job(self, job: Job, periodic_id: str, defer_timestamp: int) -> int | None:
        """Defer a job that is due at a time."""
        return await persistent(
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
        await persistent(
            "listening for jobs",
            lambda: super(PatientJobs, self).listen_for_jobs(on_notification=self._notified, queues=queues),
        )

    async def _notified(self, *, channel: str, notification: Notification) -> None:
        self._told += 1
        if self._wake is not None:
            await self._wake(channel=channel, notification=notification)


class ExecutionJobs(PatientJobs):
    """The jobs of executions: fetching one claims by turns and within limits, see ``claim_execution()``."""

    connector: PsycopgConnector

    def __init__(self, connector: PsycopgConnector, registration: Registration) -> None:
        super().__init__(connector)
        self.registration = registration
        self.worker_id: int | None = None
        """The worker's id while it is known."""
        self._beating = asyncio.Lock()
        self._claimed: dict[int, dict[str, Any]] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._waking: set[asyncio.Task[None]] = set()

    def claimed(self, execution_id: int) -> dict[str, Any]:
        """The row of an execution that was just claimed, once."""
        return self._claimed.pop(execution_id)

    async def register_worker(self) -> int:
        """Make the worker known."""
        row = await persistent(
            "a new worker",
            lambda: self.connector.execute_query_one_async(_REGISTER, **self.registration.fields()),
        )
        worker_id = self.worker_id = row["worker_id"]
        return worker_id

    async def unregister_worker(self, worker_id: int) -> None:
        """Forget the worker."""
        # A sign of life that is on its way would make it known again.
        async with self._beating:
            self.worker_id = None
            try:
                await self.connector.execute_query_async(_LEAVE, id=worker_id)
            except exceptions.ConnectorException as error:
                log.warning("worker %s leaves without a word: %s", worker_id, error.__cause__ or error)

    async def update_heartbeat(self, worker_id: int) -> None:
        """Nothing: Procrastinate's signs of life end when a worker is to stop, though it goes on for its grace."""

    async def beat(self) -> None:
        """Give a sign of life."""
        async with self._beating:
            if self.worker_id is None:
                return
            try:
                await self.connector.execute_query_async(_BEAT, worker_id=self.worker_id, **self.registration.fields())
            except exceptions.ConnectorException as error:
                log.warning("no sign of life can be given: %s", error.__cause__ or error)

    async def _next(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
        """Claim the next execution: its row is running and its job doing when this returns."""
        wanted = list(queues) if queues is not None else None
        row = await self.connector.execute_query_one_async(_CLAIM, queues=wanted, worker_id=worker_id)
        execution: dict[str, Any] | None = row["execution"]
        if execution is None:
            await self._set_alarm()
            return None
        self._claimed[execution["id"]] = execution
        return Job(
            id=execution["job_id"],
            status=Status.DOING.value,
            queue=execution["queue"],
            priority=execution["priority"],
            lock=None,
            queueing_lock=None,
            task_name=TASK,
            task_kwargs={"execution_id": execution["id"]},
            attempts=execution["attempt"] - 1,
            worker_id=worker_id,
        )

    async def list_jobs_to_abort_async(self, queue: str | None = None) -> Iterable[int]:  # noqa: ARG002
        """Nothing: Procrastinate's look ends when a worker is to stop, though what it runs goes on for its grace."""
        return ()

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        """Nothing: an attempt and its job end together, in ``end_attempt()``."""

    async def _set_alarm(self) -> None:
        """Wake when the first of those that wait for a time may start."""
        row = await self.connector.execute_query_one_async(_NEXT)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if row["seconds"] is not None:
            self._alarm = asyncio.get_running_loop().call_later(max(0.0, row["seconds"]) + 0.001, self._ring)

    def _ring(self) -> None:
        task = asyncio.create_task(self._notified(channel="", notification={"type": "job_inserted", "job_id": 0}))
        self._waking.add(task)
        task.add_done_callback(self._waking.discard)
