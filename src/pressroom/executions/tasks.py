"""What a worker does with an execution that it has claimed: run the attempt, tell of it, and end it.

Only the worker that holds the current attempt changes anything: each statement says so in its ``WHERE``, and the output
is put in its place while the row is locked. One that was thought dead and comes back finds that it holds nothing.
"""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import psycopg
from opentelemetry.trace import SpanKind
from procrastinate.job_context import AbortReason, JobContext

from pressroom import logs, traces
from pressroom.database.outage import outages
from pressroom.database.session import Database
from pressroom.errors import PressroomError, SecretUnreadable, Unavailable
from pressroom.executions import artifacts
from pressroom.executions.ending import Ending, staged_name
from pressroom.executions.orders import OUTPUT_FOLDER
from pressroom.executions.progress import Progress
from pressroom.executions.queue import ExecutionJobs
from pressroom.executions.recording import Recorded
from pressroom.executions.states import TRANSITIONS, Change, Patience, Status
from pressroom.metrics import Metrics
from pressroom.notebooks import outputs
from pressroom.notebooks.places import Location, Places
from pressroom.parameters.sealing import SecretKeys
from pressroom.press import Event as PressEvent
from pressroom.press import Finished, Output, Press, Reason, Request, Stop
from pressroom.press.environment import kernel_environment
from pressroom.settings import AUTO, MEBIBYTE, Settings
from pressroom.tracking import tasks as tracking

log = logging.getLogger("pressroom.executions")
Watcher = Callable[[int, PressEvent], None]
ENDING_AT_ONCE = 10
"""How many attempts may be ending at once: an output may lie on a file system that is slow to rename."""
_RETRY_SECONDS = 0.5
_PASSING = ("25006", "40", "55P03", "57014")
"""SQLSTATEs that pass: a standby not yet promoted, serialisation and deadlocks, time-outs of locks and statements."""
_LAST_SECONDS = 5.0
"""How long a worker that stops goes on trying to say how its executions ended, after its grace."""


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
    secrets: str | None
    kernel_name: str | None
    timeout_seconds: float | None
    memory_mb: int | None
    cpu_seconds: float | None
    max_processes: int | None
    trace: dict[str, Any] | None
    waited_seconds: float
    patience: Patience

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
            secrets=row["secrets"],
            kernel_name=row["kernel_name"],
            timeout_seconds=row["timeout_seconds"],
            memory_mb=row["memory_mb"],
            cpu_seconds=row["cpu_seconds"],
            max_processes=row["max_processes"],
            trace=row["trace"],
            waited_seconds=(_time(row["started_at"]) - _time(row["submitted_at"])).total_seconds(),
            patience=Patience(row["tries"], row["max_attempts"], row["retry_on"], row["retry_delay_seconds"]),
        )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


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


def press_of(settings: Settings) -> Press:
    """The press that the settings describe; whoever makes it closes it. Where the setting names no modules, it is told
    what to preload while a worker works; where nothing is to be preloaded, it uses the fork servers of the process."""
    return Press(
        environment=kernel_environment(os.environ, settings.kernel_environment),
        grace_seconds=settings.grace_seconds,
        max_output_bytes=int(settings.max_output_mb * MEBIBYTE),
        max_notebook_bytes=int(settings.max_notebook_mb * MEBIBYTE),
        preload=() if settings.preload == AUTO else settings.preload or None,
        max_results_bytes=int(settings.max_results_mb * MEBIBYTE),
    )


class Pressman:
    """Runs the executions of one worker. ``watch`` is told of every event, in this process."""

    def __init__(self, shop: Workshop, jobs: ExecutionJobs, watch: Watcher | None = None) -> None:
        settings = shop.settings
        self._shop, self._tracks = shop, tracking.tracks(settings)
        self._database, self._places, self._metrics = shop.database, shop.places, shop.metrics
        self._jobs, self._watch = jobs, watch
        self._keys = SecretKeys.of(settings)
        self._log_bytes = int(settings.max_log_mb * MEBIBYTE)
        self._bounds = artifacts.Bounds(settings.max_artifacts, int(settings.max_artifacts_mb * MEBIBYTE))
        self._in_hand: dict[tuple[int, int], Stop] = {}
        self._over_at: float | None = None
        """When the grace of this worker, which stops, was over."""
        self._ending = asyncio.Semaphore(ENDING_AT_ONCE)
        self.press: Runs = shop.press or press_of(settings)
        self._own_press = shop.press is None

    async def close(self) -> None:
        """End what the press keeps beyond an execution, where it is this worker's own."""
        if self._own_press and isinstance(self.press, Press):
            await self.press.close()

    def holds(self, execution_id: int, attempt: int) -> bool:
        """Whether this worker is at work on an attempt."""
        return (execution_id, attempt) in self._in_hand

    def in_hand(self) -> Collection[tuple[int, int]]:
        """The attempts that this worker is at work on, as execution and number."""
        return tuple(self._in_hand)

    def cancel(self, execution_id: int, attempt: int) -> None:
        """Stop an attempt, where this worker is still at work on it, since somebody asked for that."""
        if (stop := self._in_hand.get((execution_id, attempt))) is not None:
            stop.set(Reason.CANCELLED)

    async def execute(self, context: JobContext, execution_id: int) -> None:
        """Procrastinate's task: run a claimed execution. A request to abort stops it, and its end is awaited."""
        claim = Claim.of(self._jobs.claimed(execution_id))
        stop = self._in_hand[claim.id, claim.attempt] = Stop()
        try:
            await self._executed(context, claim, stop)
        finally:
            del self._in_hand[claim.id, claim.attempt]

    async def _executed(self, context: JobContext, claim: Claim, stop: Stop) -> None:
        work = asyncio.create_task(self._attempt(claim, stop), name=f"execution {claim.id}")
        while not work.done():
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                if work.cancelled():
                    raise
                asked = context.abort_reason() is AbortReason.USER_REQUEST
                if not asked and self._over_at is None:
                    self._over_at = time.monotonic()
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
        recorded = Recorded()
        finished = await self._pressed(claim, stop, progress, recorded)
        await progress.settle()
        ending = Ending(self._places, claim, finished, recorded)
        try:
            change = await self._end(claim, ending, progress, recorded)
        except Unavailable:
            log.warning("the end of execution %s is not written, since the worker stops: it is tried again", claim.id)
            return
        self._jobs.ended(claim.id, claim.attempt)
        await ending.clear()
        if self._watch is not None:
            self._watch(claim.id, ending.finished)
        log.info("the attempt has ended: %s", change or "another worker has the execution now")
        if change is not None and change is not Change.PUT_BACK:
            status, reason = TRANSITIONS[Status.RUNNING, change].value, ending.finished.reason
            self._metrics.execution_ended(status, reason and reason.value, finished.seconds)

    async def _end(self, claim: Claim, ending: Ending, progress: Progress, recorded: Recorded) -> Change | None:
        """Write the end, again and again while the database is away; once the worker's grace is over, for a moment.
        Where the database refuses it, once more without what was not told yet."""
        refused = False
        while True:
            try:
                with outages(self._database.url):
                    async with self._ending, self._jobs.connector.pool.connection() as connection:
                        return await ending.write(connection, progress)
            except Unavailable as error:
                if self._over_at is not None and time.monotonic() >= self._over_at + _LAST_SECONDS:
                    raise
                log.warning("the end of execution %s waits: %s", claim.id, error.detail)
            except psycopg.Error as error:
                if not (error.sqlstate or "").startswith(_PASSING):
                    if refused:
                        raise
                    refused = True
                    log.exception("the end of execution %s cannot be written with all that it tells", claim.id)
                    progress.forget()
                    recorded.forget()
                elif self._over_at is not None and time.monotonic() >= self._over_at + _LAST_SECONDS:
                    raise
                else:
                    log.warning("the end of execution %s waits: %s", claim.id, error)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _pressed(self, claim: Claim, stop: Stop, progress: Progress, recorded: Recorded) -> Finished:
        """Run the notebook; whatever goes wrong is the attempt's end."""
        finished: Finished | None = None
        try:
            with ExitStack() as opened:
                told = await self._told_of_mlflow(claim)
                request, directory = await asyncio.to_thread(self._open, opened, claim, told)
                try:
                    async for event in self.press.execute(request, stop):
                        if isinstance(event, Finished):
                            finished = event
                            continue
                        progress.take(event)
                        recorded.take(event)
                        if self._watch is not None:
                            self._watch(claim.id, event)
                finally:
                    if directory is not None and request.output_fd is not None:
                        how = (directory, request.output_fd, self._bounds, request.secrets)
                        if left_out := await asyncio.to_thread(recorded.look, *how):
                            progress.take(Output(0, "stderr", left_out))
        except SecretUnreadable as error:
            finished = _not_run(error.detail, Reason.SECRET_UNREADABLE)
        except PressroomError as error:
            finished = _not_run(error.detail)
        except Exception as error:  # the row must say that it ended, whatever went wrong
            log.exception("execution %s failed inside the worker", claim.id)
            finished = _not_run(f"The worker failed: {type(error).__name__}.")
        return finished or _not_run("The press told of no end.")

    async def _told_of_mlflow(self, claim: Claim) -> dict[str, str]:
        if not self._tracks:
            return {}
        which = (claim.id, claim.attempt, claim.notebook_id, claim.input_path)
        return await tracking.kernel_environment(self._shop, *which)

    def _open(self, opened: ExitStack, claim: Claim, told: dict[str, str]) -> tuple[Request, Location | None]:
        """The request, with the input, its folder and the output's folder opened where they may lie, and the artifact
        directory, where one could be made. ``told``: more variables of the kernel."""
        purpose = (claim.id, claim.username, claim.input_path)
        secrets = self._keys.opened(claim.secrets, purpose) if claim.secrets is not None else {}
        given = self._places.stored(claim.input_path, claim.username)
        output = self._places.stored(claim.output_path, claim.username)
        ours = output.path.parent == given.path.parent / OUTPUT_FOLDER
        folder = opened.enter_context(given.parent.open_directory())
        beside = opened.enter_context(output.parent.open_directory(create_last=ours))
        input_fd = opened.enter_context(given.open_file_in(folder))
        directory = artifacts.make(output, beside, claim.id, claim.attempt)
        environment = {"PRESSROOM_EXECUTION_ID": str(claim.id), "PRESSROOM_ATTEMPT": str(claim.attempt)}
        if directory is not None:
            environment[artifacts.VARIABLE] = str(directory.path)
        request = Request(
            input_path=given.path,
            output_path=output.path,
            parameters=claim.parameters,
            secrets=secrets,
            kernel_name=claim.kernel_name,
            timeout_seconds=claim.timeout_seconds,
            memory_mb=claim.memory_mb,
            cpu_seconds=claim.cpu_seconds,
            max_processes=claim.max_processes,
            account=given.account,
            input_fd=input_fd,
            working_fd=folder,
            output_fd=beside,
            staged_name=staged_name(claim.id, claim.attempt),
            environment=environment | told,
            marks=outputs.marks(claim.id),
        )
        return request, directory


def _not_run(sentence: str, reason: Reason = Reason.RUNNER_DIED) -> Finished:
    return Finished(reason=reason, message=sentence, seconds=0, written=False)
