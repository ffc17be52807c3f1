"""Puts the rooms together: the worker process, or the worker inside a service."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import procrastinate
from procrastinate.manager import JobManager
from procrastinate.worker import Worker

from pressroom import __version__, logs
from pressroom.batches import tasks as batch_tasks
from pressroom.errors import Unavailable
from pressroom.executions import discarding, retention_tasks
from pressroom.executions.connector import CONNECTIONS, connector_to
from pressroom.executions.jobs import PatientJobs
from pressroom.executions.kernel_news import KernelNews
from pressroom.executions.preloading import Preloading
from pressroom.executions.queue import ExecutionJobs, Registration
from pressroom.executions.service import TASK
from pressroom.executions.sweep import Sweep
from pressroom.executions.tasks import ENDING_AT_ONCE, Pressman, Watcher, Workshop
from pressroom.executions.vigil import BEATS, Vigil
from pressroom.notifications import tasks as notification_tasks
from pressroom.notifications.service import CHORES
from pressroom.press import Press
from pressroom.schedules.clock import open_clock
from pressroom.tracking import tasks as tracking
from pressroom.tracking.service import QUEUE as TRACKING
from pressroom.tracking.threads import AT_ONCE as RUNS_AT_ONCE

log = logging.getLogger("pressroom.queue")
_CHORES_AT_ONCE = 4
_ABORT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Staffing:
    """What one worker is to do. ``queues``: ``None`` for every queue; ``chores``: also what is no execution."""

    concurrency: int
    queues: list[str] | None = None
    name: str | None = None
    grace_seconds: float = 10.0
    chores: bool = True

    def registration(self) -> Registration:
        """How the worker is known."""
        host = socket.gethostname()
        name = self.name or f"{host}-{os.getpid()}"
        return Registration(name, host, os.getpid(), self.queues, self.concurrency, __version__)


class Crew:
    """A worker's parts, at work: all of them, or none. Made by :func:`open_crew`."""

    def __init__(self, workers: dict[Worker, PatientJobs], jobs: JobManager, grace_seconds: float) -> None:
        self._workers, self._grace_seconds = workers, grace_seconds
        self.jobs = jobs
        self.failed = False
        """Whether a part has ended that nobody stopped."""
        self._stopped = False
        self._tasks = [asyncio.create_task(worker.run(), name="worker") for worker in workers]
        self._end = asyncio.create_task(self._ended(), name="crew")

    def stop(self) -> None:
        """Take nothing new; what runs may go on for the grace period and goes back into the queue then."""
        self._stopped = True
        for worker, jobs in self._workers.items():
            worker.stop()
            jobs.leave(self._grace_seconds)

    async def wait(self) -> None:
        """Wait until everything has ended. Raises ``Unavailable`` where a part ended that was not stopped, or did not
        stop as it should; then the others have been stopped as well."""
        await asyncio.shield(self._end)

    async def _ended(self) -> None:
        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        if not self._stopped:
            self.failed = True
            log.critical("the worker has ended although nobody stopped it")
            self.stop()
        await asyncio.wait(self._tasks)
        done = [task for task in self._tasks if not task.cancelled()]
        errors = [error for task in done if (error := task.exception()) is not None]
        for error in errors:
            log.error("the worker failed", exc_info=error)
        if self.failed or errors:
            how = "it ended although nobody stopped it" if self.failed else "it did not stop as it should"
            raise Unavailable("worker", f"{how}; the log says why")


@asynccontextmanager
async def open_sweep(shop: Workshop) -> AsyncIterator[None]:
    """The sweep, for who runs no worker: what a lost worker ran is not to wait for the next worker to be seen."""
    sweeping = asyncio.create_task(Sweep(shop).run(), name="sweep")
    try:
        yield
    finally:
        await ended(sweeping)


@asynccontextmanager
async def open_crew(shop: Workshop, staffing: Staffing, watch: Watcher | None = None) -> AsyncIterator[Crew]:
    """A worker at work, until the context ends: then it stops, and everything that it started has ended."""
    async with AsyncExitStack() as opened:
        opened.enter_context(logs.context(worker=staffing.registration().name))
        # However many attempts end at once, claims and signs of life have connections left.
        connector = connector_to(shop.database, most=CONNECTIONS + ENDING_AT_ONCE)
        app = procrastinate.App(connector=connector)
        jobs = app.job_manager = ExecutionJobs(connector, staffing.registration())
        pressman = Pressman(shop, jobs, watch)
        opened.push_async_callback(pressman.close)
        app.task(name=TASK, pass_context=True)(pressman.execute)
        await opened.enter_async_context(app.open_async())
        lost_seconds = shop.settings.worker_lost_seconds
        workers: dict[Worker, PatientJobs] = {
            _worker(app, staffing, staffing.queues, staffing.concurrency, lost_seconds): jobs
        }
        watching = asyncio.create_task(Vigil(shop, jobs, pressman).run(), name="vigil")
        opened.push_async_callback(ended, watching)
        if staffing.chores:
            chores = procrastinate.App(connector=connector)
            errands = chores.job_manager = PatientJobs(connector)
            retention_tasks.add_tasks(chores, shop)
            discarding.add_tasks(chores, shop)
            notification_tasks.add_tasks(chores, shop)
            batch_tasks.add_tasks(chores, shop)
            workers[_worker(chores, staffing, [CHORES], _CHORES_AT_ONCE, lost_seconds)] = errands
            await opened.enter_async_context(open_sweep(shop))
            if tracking.tracks(shop.settings):
                tracker = procrastinate.App(connector=connector)
                runs = tracker.job_manager = PatientJobs(connector)
                tracking.add_tasks(tracker, shop)
                workers[_worker(tracker, staffing, [TRACKING], RUNS_AT_ONCE, lost_seconds)] = runs
                saying = asyncio.create_task(tracking.say_now_and_then(shop.database), name="tracking")
                opened.push_async_callback(ended, saying)
            elif shop.settings.mlflow_tracking_uri is not None:
                log.warning("nothing is tracked: MLFLOW_TRACKING_URI is set, but pressroom[mlflow] is not installed")
            await opened.enter_async_context(open_clock(shop, errands))
            if isinstance(pressman.press, Press):
                for work in (KernelNews(jobs, pressman.press).run(), Preloading(shop, pressman.press).run()):
                    opened.push_async_callback(ended, asyncio.create_task(work, name="kernels"))
        crew = Crew(workers, jobs, staffing.grace_seconds)
        await asyncio.sleep(0)  # the first thing that Procrastinate's worker does is to forget that it was stopped
        try:
            yield crew
        finally:
            crew.stop()
            await crew.wait()


def _worker(
    app: procrastinate.App, staffing: Staffing, queues: list[str] | None, concurrency: int, lost_seconds: float
) -> Worker:
    return Worker(
        app,
        queues=queues,
        name=staffing.registration().name,
        concurrency=concurrency,
        shutdown_graceful_timeout=staffing.grace_seconds,
        delete_jobs="always",
        install_signal_handlers=False,
        # Chores; cancels of executions are notified, and found by the vigil.
        abort_job_polling_interval=_ABORT_SECONDS,
        update_heartbeat_interval=lost_seconds / BEATS,
        stalled_worker_timeout=lost_seconds,
    )


async def ended(task: asyncio.Task[Any]) -> None:
    """Cancel a task, and wait for its end."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
