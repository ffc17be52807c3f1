"""Runs executions in this service: a bounded number at once, each by the press in a process of its own.

This is the seam: what submits hands an id to :meth:`Runner.start` and waits with :meth:`Runner.wait`; it learns nothing
of how the execution is run. A durable queue will stand in this place.
"""

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Any

from sqlalchemy import select, text

from pressroom.database.models import TERMINAL, Execution
from pressroom.database.session import Database
from pressroom.errors import PressroomError
from pressroom.executions import service
from pressroom.executions.schemas import Status
from pressroom.notebooks.places import Location, Places
from pressroom.press import CellFinished, Event, Finished, Press, Reason, Request, Started, Stop
from pressroom.press.environment import kernel_environment
from pressroom.settings import MEBIBYTE, Settings

log = logging.getLogger("pressroom.executions")
INTERRUPTED = "The service stopped while the execution was under way."
Watcher = Callable[[Event], None]


class Runner:
    """The executions of one service. Made by :func:`open_runner`."""

    def __init__(self, database: Database, places: Places, settings: Settings) -> None:
        self.service_id = secrets.randbits(62)
        """The key of the advisory lock that this service holds as long as it lives; its rows carry it."""
        self._database = database
        self._places = places
        self._press = Press(
            environment=kernel_environment(os.environ, settings.kernel_environment),
            grace_seconds=settings.grace_seconds,
            max_output_bytes=int(settings.max_output_mb * MEBIBYTE),
            max_notebook_bytes=int(settings.max_notebook_mb * MEBIBYTE),
        )
        self._room = asyncio.Semaphore(settings.concurrency)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._stops: dict[int, Stop] = {}
        self._closing = False

    def start(self, execution_id: int, watch: Watcher | None = None) -> None:
        """Run an execution whose row is committed, as soon as there is room. ``watch`` is called with each event."""
        self._stops[execution_id] = Stop()
        if self._closing:
            self.stop(execution_id, Reason.INTERRUPTED)
        task = asyncio.create_task(self._run(execution_id, watch), name=f"execution {execution_id}")
        self._tasks[execution_id] = task

        def forget(_: asyncio.Task[None]) -> None:
            del self._tasks[execution_id]
            del self._stops[execution_id]

        task.add_done_callback(forget)

    async def wait(self, execution_id: int, seconds: float | None = None) -> bool:
        """Wait for the end of an execution of this service, ``seconds`` at most; whether it has ended."""
        task = self._tasks.get(execution_id)
        if task is None:
            return True
        done, _ = await asyncio.wait({task}, timeout=seconds)
        return bool(done)

    def stop(self, execution_id: int, reason: Reason) -> None:
        """Ask an execution of this service to stop; it ends within the grace period."""
        if stop := self._stops.get(execution_id):
            stop.set(reason)

    @property
    def under_way(self) -> int:
        """How many executions of this service are pending or running."""
        return len(self._tasks)

    def interrupt(self) -> None:
        """Ask every execution to stop, as interrupted, and any that is still to come."""
        self._closing = True
        for execution_id in list(self._tasks):
            self.stop(execution_id, Reason.INTERRUPTED)

    async def close(self) -> None:
        """Stop every execution, as interrupted, and wait for their ends."""
        self.interrupt()
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    async def _run(self, execution_id: int, watch: Watcher | None) -> None:
        stop = self._stops[execution_id]
        try:
            if not await self._enter(stop):
                await self._end(execution_id, _stopped_before_start(stop.reason or Reason.INTERRUPTED))
                return
            try:
                await self._execute(execution_id, stop, watch)
            finally:
                self._room.release()
        except PressroomError as error:
            await self._end(execution_id, _not_run(error.detail))
        except Exception as error:  # the row must say that it ended, whatever went wrong
            log.exception("execution %s failed inside the service", execution_id)
            await self._end(execution_id, _not_run(f"The service failed: {type(error).__name__}."))

    async def _enter(self, stop: Stop) -> bool:
        """Wait for room; false where it was stopped first."""
        room = asyncio.create_task(self._room.acquire())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({room, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if stop.reason is None:
            return True
        if room.done():
            self._room.release()
        room.cancel()
        return False

    async def _execute(self, execution_id: int, stop: Stop, watch: Watcher | None) -> None:
        async with self._database.transaction() as session:
            if not await service.start(session, execution_id):
                return
            execution = await service.get(session, execution_id)
        progress = _Progress(self._database, execution_id)
        with ExitStack() as opened:
            request = await asyncio.to_thread(self._open, opened, execution)
            async for event in self._press.execute(request, stop):
                if watch is not None:
                    watch(event)
                if isinstance(event, Finished):
                    await progress.settle()
                    await self._end(execution_id, event)
                else:
                    progress.take(event)

    def _open(self, opened: ExitStack, execution: Execution) -> Request:
        """The request, with the input, its folder and the output's folder opened where they may lie."""
        given = self._places.locate(execution.input_path, execution.username)
        output = self._places.locate(str(execution.output_path), execution.username)
        return Request(
            input_path=given.path,
            output_path=output.path,
            parameters=execution.parameters_used or {},
            kernel_name=execution.kernel_name,
            timeout_seconds=execution.timeout_seconds,
            input_fd=opened.enter_context(given.open_file()),
            working_fd=opened.enter_context(given.parent.open_directory()),
            output_fd=opened.enter_context(output.parent.open_directory(create_last=_is_ours(given, output))),
        )

    async def _end(self, execution_id: int, end: Finished) -> None:
        status = Status.SUCCESS if end.reason is None else Status.FAILED
        if end.reason is Reason.CANCELLED:
            status = Status.CANCELLED
        failure: dict[str, Any] | None = None
        if end.reason is not None:
            failure = {"reason": end.reason.value}
            if end.cell_index is not None:
                failure |= {
                    "cell_index": end.cell_index,
                    "ename": _kept(end.ename),
                    "evalue": _kept(end.evalue),
                }
        message = None if end.reason is None else _kept(end.message)
        async with self._database.transaction() as session:
            await service.finish(session, execution_id, status, end.seconds, error_message=message, failure=failure)
        log.info("execution %s: %s", execution_id, end.message if message else status.value)


class _Progress:
    """Writes how far an execution is; while one write is under way, later ones are folded into the next."""

    def __init__(self, database: Database, execution_id: int) -> None:
        self._database = database
        self._execution_id = execution_id
        self._total: int | None = None
        self._completed = 0
        self._dirty = False
        self._writing: asyncio.Task[None] | None = None

    def take(self, event: Event) -> None:
        if isinstance(event, Started):
            self._total = event.cells
        elif isinstance(event, CellFinished):
            self._completed += 1
        else:
            return
        self._dirty = True
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def settle(self) -> None:
        if self._writing is not None:
            await self._writing

    async def _write(self) -> None:
        while self._dirty:
            self._dirty = False
            async with self._database.transaction() as session:
                await service.progress(session, self._execution_id, self._total, self._completed)


@asynccontextmanager
async def open_runner(database: Database, places: Places, settings: Settings) -> AsyncIterator[Runner]:
    """A runner that ends what services which were killed left unended, and stops its own executions at the end."""
    runner = Runner(database, places, settings)
    async with database.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": runner.service_id})
        await _end_orphans(database)
        try:
            yield runner
        finally:
            await runner.close()
            # The lock is the connection's: back in the pool, it would hold it on.
            await connection.invalidate()


async def _end_orphans(database: Database) -> None:
    """End the executions of services that are gone: those whose advisory lock nobody holds."""
    async with database.transaction() as session:
        under_way = select(Execution.id, Execution.service_id).where(Execution.status.not_in(TERMINAL))
        for execution_id, service_id in (await session.execute(under_way)).all():
            free = await session.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": service_id or 0})
            if free:
                failure = {"reason": Reason.INTERRUPTED.value}
                await service.finish(
                    session, execution_id, Status.FAILED, 0, error_message=INTERRUPTED, failure=failure
                )
                log.warning("execution %s was interrupted: the service that ran it is gone", execution_id)


def _is_ours(given: Location, output: Location) -> bool:
    return output.path.parent == given.path.parent / service.OUTPUT_FOLDER


def _kept(value: str | None) -> str | None:
    """``value`` as PostgreSQL can keep it, and not longer than anybody reads."""
    if value is None:
        return None
    return value[:10_000].replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


def _stopped_before_start(reason: Reason) -> Finished:
    sentence = INTERRUPTED if reason is Reason.INTERRUPTED else "It was cancelled before it started."
    return Finished(reason=reason, message=sentence, seconds=0, written=False)


def _not_run(sentence: str) -> Finished:
    return Finished(reason=Reason.RUNNER_DIED, message=sentence, seconds=0, written=False)
