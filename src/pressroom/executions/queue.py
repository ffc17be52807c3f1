"""The queue of executions: which is next, the worker that claims it, and its signs of life."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from procrastinate import PsycopgConnector, exceptions
from procrastinate.jobs import Job, Status

from pressroom.executions.jobs import PatientJobs
from pressroom.executions.service import TASK

_AGAIN_SECONDS = 0.5
"""How long after a claim that failed the next one is made."""
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
_UNHEARD = """
SELECT to_jsonb(e) || jsonb_build_object(
    'tries', CASE WHEN e.attempt = 1 THEN 1 ELSE counted_tries(e.id) END
) AS execution
FROM notebook_executions AS e JOIN execution_attempts AS a ON a.execution_id = e.id AND a.number = e.attempt
WHERE e.status = 'running' AND a.worker_id = %(worker_id)s AND NOT e.id || ' ' || e.attempt = ANY (%(held)s::text[])
ORDER BY e.id LIMIT 1
"""
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
        self._held: set[tuple[int, int]] = set()
        """The attempts that this worker knows to be its own."""
        self._unsure = False
        """Whether a claim was sent whose answer did not come."""
        self._alarm: asyncio.TimerHandle | None = None
        self._waking: set[asyncio.Task[None]] = set()

    def claimed(self, execution_id: int) -> dict[str, Any]:
        """The row of an execution that was just claimed, once."""
        return self._claimed.pop(execution_id)

    async def register_worker(self) -> int:
        """Make the worker known."""
        row = await self.persistent(
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
        try:
            execution = await self._unheard(worker_id) if self._unsure else None
            if execution is None:
                row = await self.connector.execute_query_one_async(_CLAIM, queues=wanted, worker_id=worker_id)
                execution, self._unsure = row["execution"], False
            if execution is None:
                await self._set_alarm()
                return None
        except exceptions.ConnectorException:
            self._unsure = True
            self._ring_in(_AGAIN_SECONDS)
            raise
        self._claimed[execution["id"]] = execution
        self._held.add((execution["id"], execution["attempt"]))
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

    async def _unheard(self, worker_id: int) -> dict[str, Any] | None:
        """An execution that was claimed by a statement whose answer was lost."""
        while True:
            held = [f"{execution_id} {attempt}" for execution_id, attempt in self._held]
            rows = await self.connector.execute_query_all_async(_UNHEARD, worker_id=worker_id, held=held)
            if not rows:
                return None
            execution: dict[str, Any] = rows[0]["execution"]
            if (execution["id"], execution["attempt"]) not in self._held:  # given up while it was asked for
                log.warning("execution %s was claimed, and the answer was lost", execution["id"])
                return execution

    def awaits(self, execution_id: int, attempt: int) -> bool:
        """Whether an attempt was claimed that nobody has begun to work on, see :meth:`claimed`."""
        return self._claimed.get(execution_id, {}).get("attempt") == attempt

    def give_up(self, attempts: Iterable[tuple[int, int]]) -> None:
        """Take no more for unheard the attempts that are being ended as lost."""
        self._held.update(attempts)

    def ended(self, execution_id: int, attempt: int) -> None:
        """Forget an attempt, now that the database knows of its end."""
        self._held.discard((execution_id, attempt))

    async def list_jobs_to_abort_async(self, queue: str | None = None) -> Iterable[int]:  # noqa: ARG002
        """Nothing: Procrastinate's look ends when a worker is to stop, though what it runs goes on for its grace."""
        return ()

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        """Nothing: an attempt and its job end together, in ``end_attempt()``."""

    async def _set_alarm(self) -> None:
        """Wake when the first of those that wait for a time may start."""
        row = await self.connector.execute_query_one_async(_NEXT)
        self._ring_in(None if row["seconds"] is None else max(0.0, row["seconds"]) + 0.001)

    def _ring_in(self, seconds: float | None) -> None:
        """Wake the worker in ``seconds``, in place of any time that was set before."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self._ring)

    def _ring(self) -> None:
        task = asyncio.create_task(self._notified(channel="", notification={"type": "job_inserted", "job_id": 0}))
        self._waking.add(task)
        task.add_done_callback(self._waking.discard)
