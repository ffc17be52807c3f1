"""What a worker does with an execution that it has claimed: run the attempt, tell of it, and end it.

Only the worker that holds the current attempt changes anything: each statement says so in its ``WHERE``, and the output
is put in its place while the row is locked. One that was thought dead and comes back finds that it holds nothing.
"""

import asyncio
import json
import logging
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from opentelemetry.trace import SpanKind
from procrastinate.job_context import AbortReason, JobContext
from procrastinate.manager import JobManager
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom import logs, traces
from pressroom.database.session import Database
from pressroom.errors import PressroomError, Unavailable
from pressroom.executions.orders import OUTPUT_FOLDER
from pressroom.executions.progress import NOTHING, Facts, Progress, kept
from pressroom.executions.queue import ExecutionJobs
from pressroom.executions.states import TRANSITIONS, Change, Patience, Status, delay_seconds, end_of_attempt
from pressroom.metrics import Metrics
from pressroom.notebooks.places import Location, Places
from pressroom.notifications import service as notifications
from pressroom.notifications.schemas import Event
from pressroom.press import Event as PressEvent
from pressroom.press import Finished, Press, Reason, Request, Stop
from pressroom.press.environment import kernel_environment
from pressroom.press.saving import publish, unstage
from pressroom.settings import MEBIBYTE, Settings

log = logging.getLogger("pressroom.executions")
Watcher = Callable[[int, PressEvent], None]
_RETRY_SECONDS = 0.5
_HOLD = text("""
SELECT (
        SELECT count(*) FROM execution_attempts AS t
        WHERE t.execution_id = e.id AND t.reason IS DISTINCT FROM 'interrupted'
    ) AS tries, e.max_attempts, e.retry_on, e.retry_delay_seconds, e.cancel_requested_at
FROM notebook_executions AS e WHERE e.id = :id AND e.attempt = :attempt AND e.status = 'running' FOR UPDATE OF e
""")
_END = text("""
SELECT end_attempt(
    :id, :attempt, :status, :reason, :message, CAST(:failure AS jsonb), :seconds, make_interval(secs => :delay),
    :total, :completed, CAST(:events AS jsonb)
), EXISTS (SELECT FROM notifications WHERE notebook_id IS NULL OR notebook_id = :notebook) AS interesting
""")


class Held(Protocol):
    """The attempt that ends, and its execution."""

    @property
    def id(self) -> int:
        """The execution's id."""
        ...

    @property
    def attempt(self) -> int:
        """The attempt's number."""
        ...

    @property
    def notebook_id(self) -> int | None:
        """The registered notebook."""
        ...


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt that this worker holds, as its row was when it was claimed."""

    id: int
    attempt: int
    notebook_id: int | None
    username: str
    input_path: str
    output_path: str
    parameters: dict[str, Any]
    kernel_name: str | None
    timeout_seconds: float | None
    trace: dict[str, Any] | None
    waited_seconds: float

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Claim":
        """The claim that a row of ``notebook_executions`` tells of."""
        return cls(
            id=row["id"],
            attempt=row["attempt"],
            notebook_id=row["notebook_id"],
            username=row["username"],
            input_path=row["input_path"],
            output_path=row["output_path"],
            parameters=row["parameters_used"] or {},
            kernel_name=row["kernel_name"],
            timeout_seconds=row["timeout_seconds"],
            trace=row["trace"],
            waited_seconds=(_time(row["started_at"]) - _time(row["submitted_at"])).total_seconds(),
        )

    @property
    def staged_name(self) -> str:
        """Where this attempt's output waits to be put in its place."""
        return staged_name(self.id, self.attempt)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def staged_name(execution_id: int, attempt: int) -> str:
    """The name of an attempt's output in the output's folder, until the attempt has ended."""
    return f".pressroom-{execution_id}-{attempt}.tmp"


class Runs(Protocol):
    """What executes a notebook, as :class:`Press` does."""

    def execute(self, request: Request, stop: Stop | None = None) -> AsyncIterator[PressEvent]:
        """The events of an execution, the last of them ``Finished``."""
        ...


@dataclass(frozen=True, slots=True)
class Workshop:
    """What a worker works with. ``press``: what executes notebooks, where it is not a :class:`Press` of the settings;
    a bench measures the queue alone with one that does nothing."""

    database: Database
    places: Places
    settings: Settings
    metrics: Metrics
    press: Runs | None = None


class Pressman:
    """Runs the executions of one worker. ``watch`` is told of every event, in this process."""

    def __init__(self, shop: Workshop, jobs: ExecutionJobs, watch: Watcher | None = None) -> None:
        settings = shop.settings
        self._database, self._places, self._metrics = shop.database, shop.places, shop.metrics
        self._jobs, self._watch = jobs, watch
        self._log_bytes = int(settings.max_log_mb * MEBIBYTE)
        self._random = random.Random()  # noqa: S311 - it spreads retries, it guards nothing
        self._press: Runs = shop.press or Press(
            environment=kernel_environment(os.environ, settings.kernel_environment),
            grace_seconds=settings.grace_seconds,
            max_output_bytes=int(settings.max_output_mb * MEBIBYTE),
            max_notebook_bytes=int(settings.max_notebook_mb * MEBIBYTE),
        )

    async def execute(self, context: JobContext, execution_id: int) -> None:
        """Procrastinate's task: run a claimed execution. A request to abort stops it, and its end is awaited."""
        claim = Claim.of(self._jobs.claimed(execution_id))
        stop = Stop()
        work = asyncio.create_task(self._attempt(claim, stop), name=f"execution {claim.id}")
        while not work.done():
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                if work.cancelled():
                    raise
                asked = context.abort_reason() is AbortReason.USER_REQUEST
                stop.set(Reason.CANCELLED if asked else Reason.INTERRUPTED)
        work.result()

    async def _attempt(self, claim: Claim, stop: Stop) -> None:
        ids = {"pressroom.execution.id": claim.id, "pressroom.attempt": claim.attempt}
        with (
            logs.context(execution_id=claim.id, attempt=claim.attempt),
            traces.span("execute", claim.trace, kind=SpanKind.CONSUMER, **ids),
        ):
            await self._worked(claim, stop)

    async def _worked(self, claim: Claim, stop: Stop) -> None:
        if claim.attempt == 1:
            self._metrics.execution_started(claim.waited_seconds)
        progress = Progress(
            self._database, claim.id, claim.attempt, self._log_bytes, lambda: stop.set(Reason.WORKER_LOST)
        )
        log.info("the attempt begins")
        finished = await self._pressed(claim, stop, progress)
        await progress.settle()
        while True:
            try:
                change = await self._end(claim, finished, progress)
                break
            except Unavailable as error:
                log.warning("the end of execution %s waits: %s", claim.id, error.detail)
                await asyncio.sleep(_RETRY_SECONDS)
        if self._watch is not None:
            self._watch(claim.id, finished)
        log.info("the attempt has ended: %s", change or "another worker has the execution now")
        if change is not None and change is not Change.PUT_BACK:
            status = TRANSITIONS[Status.RUNNING, change].value
            self._metrics.execution_ended(status, finished.reason and finished.reason.value, finished.seconds)

    async def _pressed(self, claim: Claim, stop: Stop, progress: Progress) -> Finished:
        """Run the notebook; whatever goes wrong is the attempt's end."""
        finished: Finished | None = None
        try:
            with ExitStack() as opened:
                request = await asyncio.to_thread(self._open, opened, claim)
                async for event in self._press.execute(request, stop):
                    if isinstance(event, Finished):
                        finished = event
                        continue
                    progress.take(event)
                    if self._watch is not None:
                        self._watch(claim.id, event)
        except PressroomError as error:
            finished = _not_run(error.detail)
        except Exception as error:  # the row must say that it ended, whatever went wrong
            log.exception("execution %s failed inside the worker", claim.id)
            finished = _not_run(f"The worker failed: {type(error).__name__}.")
        return finished or _not_run("The press told of no end.")

    def _open(self, opened: ExitStack, claim: Claim) -> Request:
        """The request, with the input, its folder and the output's folder opened where they may lie."""
        given = self._places.locate(claim.input_path, claim.username)
        output = self._places.locate(claim.output_path, claim.username)
        ours = output.path.parent == given.path.parent / OUTPUT_FOLDER
        return Request(
            input_path=given.path,
            output_path=output.path,
            parameters=claim.parameters,
            kernel_name=claim.kernel_name,
            timeout_seconds=claim.timeout_seconds,
            input_fd=opened.enter_context(given.open_file()),
            working_fd=opened.enter_context(given.parent.open_directory()),
            output_fd=opened.enter_context(output.parent.open_directory(create_last=ours)),
            staged_name=claim.staged_name,
            environment={"PRESSROOM_EXECUTION_ID": str(claim.id), "PRESSROOM_ATTEMPT": str(claim.attempt)},
        )

    async def _end(self, claim: Claim, finished: Finished, progress: Progress) -> Change | None:
        """End the attempt, and put its output in its place; ``None`` where another worker holds the execution now."""
        async with self._database.transaction() as session:
            patience = await _patience(session, claim)
            if patience is None:
                await asyncio.to_thread(discard, self._places, claim.output_path, claim.username, claim.staged_name)
                return None
            if finished.written:
                finished = await asyncio.to_thread(self._published, claim, finished)
            change = end_of_attempt(finished.reason, patience)
            await end_attempt(session, self._jobs, claim, change, finished, patience, self._random, progress.rest())
            return change

    def _published(self, claim: Claim, finished: Finished) -> Finished:
        try:
            output = self._places.locate(claim.output_path, claim.username)
            with output.parent.open_directory() as folder:
                publish(folder, claim.staged_name, output.name)
        except (OSError, PressroomError) as error:
            why = error.detail if isinstance(error, PressroomError) else f"{error.strerror}."
            sentence = f"{finished.message} The output {claim.output_path} could not be written: {why}".strip()
            discard(self._places, claim.output_path, claim.username, claim.staged_name)
            reason = finished.reason or Reason.OUTPUT_NOT_WRITTEN
            return replace(finished, reason=reason, message=sentence, written=False)
        return finished


async def _patience(session: AsyncSession, claim: Claim) -> Patience | None:
    """How often it may be tried, its row locked; ``None`` where the attempt is not the current one any more."""
    row = (await session.execute(_HOLD, {"id": claim.id, "attempt": claim.attempt})).first()
    if row is None:
        return None
    tries, most, retry_on, delay, cancelled = row
    return Patience(tries, most, retry_on, delay, cancel_requested=cancelled is not None)


_TOLD = {Change.SUCCEEDED: Event.SUCCEEDED, Change.FAILED: Event.FAILED, Change.CANCELLED: Event.CANCELLED}


async def end_attempt(
    session: AsyncSession,
    jobs: JobManager,
    held: Held,
    change: Change,
    finished: Finished,
    patience: Patience,
    rng: random.Random,
    rest: Facts = NOTHING,
) -> None:
    """Record what became of an execution whose attempt has ended; its row is locked by the caller. ``rest`` is what
    the attempt has not told yet."""
    failure: dict[str, Any] | None = None
    sentence = kept(finished.message)[:10_000] or None
    if finished.reason is not None:
        failure = {"reason": finished.reason.value}
        if finished.cell_index is not None:
            failure |= {
                "cell_index": finished.cell_index,
                "ename": kept(finished.ename or "")[:1000],
                "evalue": kept(finished.evalue or "")[:10_000],
            }
    again = change is Change.PUT_BACK
    if change is Change.FAILED and patience.attempts >= patience.max_attempts > 1:
        sentence = f"{sentence} It was tried {patience.attempts} times."
    wanted = await session.execute(
        _END,
        {
            **rest,
            "id": held.id,
            "attempt": held.attempt,
            "notebook": held.notebook_id,
            "status": TRANSITIONS[Status.RUNNING, change].value,
            "reason": finished.reason.value if finished.reason else None,
            "message": sentence,
            "failure": json.dumps(failure) if failure else None,
            "seconds": finished.seconds,
            "delay": delay_seconds(finished.reason.value, patience, rng) if again and finished.reason else 0.0,
        },
    )
    if wanted.one().interesting and not again:
        await notifications.announce(session, jobs, held.id, held.notebook_id, _TOLD[change])


def discard(places: Places, output_path: str, username: str, staged: str) -> None:
    """Take away what an attempt wrote and may not put in its place."""
    with suppress(PressroomError):  # where its folder cannot be opened, there is nothing of it either
        output: Location = places.locate(output_path, username)
        with output.parent.open_directory() as folder:
            unstage(folder, staged)


def _not_run(sentence: str) -> Finished:
    return Finished(reason=Reason.RUNNER_DIED, message=sentence, seconds=0, written=False)
