# nbformat, nbclient and Papermill ship few types: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""One notebook on one kernel, executed for Papermill in its own process."""

import asyncio
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpecManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.engines import NotebookExecutionManager
from papermill.log import logger

from pressroom.press.book import Book
from pressroom.press.cells import CellRaised, Cells
from pressroom.press.events import CellFinished, CellStarted, Event
from pressroom.press.forking import fork_kernel, open_folder, standard
from pressroom.press.kernel import Kernel, KernelDied
from pressroom.press.launch import CannotFork, Launch
from pressroom.press.lines import Line
from pressroom.press.shared import shared_servers
from pressroom.press.snapshots import Snapshots
from pressroom.press.wires import Wires

LAST_SECONDS = 5.0
"""How long a kernel may take to end by itself."""


class Execution:
    """One notebook on one kernel, for Papermill."""

    def __init__(
        self, manager: NotebookExecutionManager, kernel_name: str, start_seconds: float, options: dict[str, Any]
    ) -> None:
        self._kernel_name, self._start_seconds = kernel_name, start_seconds
        self._book = Book(manager, sys.maxsize, **options)
        self._marks = EngineMarks(manager, self._book)
        self._clock: asyncio.TimerHandle | None = None
        self._late: asyncio.Future[NotebookNode] | None = None

    async def run(self) -> None:
        """Run it, and leave no process behind."""
        self._late = asyncio.get_running_loop().create_future()
        with tempfile.TemporaryDirectory(prefix="pressroom-") as scratch, self._marks.saving():
            kernel = await asyncio.to_thread(self._kernel, scratch)
            patience = LAST_SECONDS
            try:
                await self._drive(kernel)
            except (CellTimeoutError, RuntimeError):
                patience = 0
                raise
            except BaseException:
                # Somebody pressed Ctrl-C.
                await kernel.interrupt()
                raise
            finally:
                self._book.seal()
                self._stop_clock()
                await (kernel.end(patience) if patience else kernel.kill())

    def _kernel(self, scratch: str) -> Kernel:
        """A kernel that is forked, or that is yet to be started by the stock launcher."""
        # As jupyter_client has it, "python" is whichever is at hand.
        name = NATIVE_KERNEL_NAME if self._kernel_name == "python" else self._kernel_name
        launch = Launch.of(name, KernelSpecManager().get_kernel_spec(name), os.environ)
        line, kernels = socket.socketpair()
        files = [kernels.fileno()]
        try:
            files[:0] = [open_folder(os.curdir), standard(2)]
            return Line(line, fork_kernel(shared_servers(), launch, {}, files), sys.maxsize)
        except CannotFork:
            line.close()
            return Wires(self._kernel_name, scratch, {}, self._start_seconds)
        finally:
            for fd in files[:-1]:
                os.close(fd)
            kernels.close()

    async def _drive(self, kernel: Kernel) -> None:
        logger.info(f"Executing notebook with kernel: {self._kernel_name}")
        cells = Cells(self._book, kernel, self._marks, self._heard)
        try:
            await cells.start()
            language = await self._answered(cells)
        except KernelDied as error:
            raise error.__cause__ or RuntimeError(
                f"Kernel died before replying to kernel_info: {_how(error)}"
            ) from error
        try:
            await self._within_time(cells)
        except CellRaised:
            pass  # Papermill finds the error in the notebook, and raises its own
        except KernelDied as error:
            raise DeadKernelError(f"Kernel died: {_how(error)}") from error
        except BaseException:
            cells.stopped()
            raise
        else:
            self._marks.rest()
        if language is not None:
            self._book.nb.metadata["language_info"] = language
        self._book.set_widgets_metadata()

    async def _answered(self, cells: Cells) -> dict[str, Any] | None:
        """Wait until the kernel answers: its language."""
        try:
            async with asyncio.timeout(self._start_seconds):
                return await cells.language()
        except TimeoutError:
            raise RuntimeError(f"Kernel didn't respond in {self._start_seconds:g} seconds") from None

    async def _within_time(self, cells: Cells) -> None:
        assert self._late is not None
        work = asyncio.ensure_future(cells.run())
        try:
            await asyncio.wait({work, self._late}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
                return
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError, CellRaised, KernelDied):
                await work
        cell, limit = self._late.result(), self._book.timeout
        logger.error(f"Timeout waiting for execute reply ({limit}s).")
        raise CellTimeoutError.error_from_timeout_and_cell("Cell execution timed out", limit, cell)  # pyright: ignore[reportArgumentType]

    def _heard(self, event: Event) -> None:
        """A cell began or ended: its time begins or ends."""
        if isinstance(event, CellStarted):
            self._stop_clock()
            limit = self._book.timeout
            if limit and limit > 0:
                cell = self._book.nb.cells[event.index]
                self._clock = asyncio.get_running_loop().call_later(limit, self._too_late, cell)
        elif isinstance(event, CellFinished):
            self._stop_clock()

    def _too_late(self, cell: NotebookNode) -> None:
        if self._late is not None and not self._late.done():
            self._late.set_result(cell)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None


class EngineMarks:
    """Tells Papermill's manager when each cell begins and ends, in the notebook's order and by the kernel's clock.

    The manager saves the whole notebook whenever it is told; here that is done when it is due (see
    :class:`pressroom.press.snapshots.Snapshots`). What it saves by ``autosave_cell_every`` is left as it is.
    """

    def __init__(self, manager: NotebookExecutionManager, book: Book) -> None:
        self._manager, self._book = manager, book
        self._save = manager.save
        self._snapshots = Snapshots(self._written)
        self._next = 0

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Within this, what the manager saves is complete."""
        with _instead(self._manager, "save", self._written):
            yield

    def _written(self, **given: Any) -> None:
        self._book.seal()
        self._save(**given)

    @contextmanager
    def _at(self, at: datetime | None) -> Iterator[None]:
        def due(**_: Any) -> None:
            self._snapshots.changed(self._book.kept_bytes)

        with _instead(self._manager, "save", due), _instead(self._manager, "now", (lambda: at) if at else None):
            yield

    def began(self, index: int, at: datetime) -> None:
        """A cell began, and with it all before it are done that are not executed."""
        self._pass_to(index, at)
        with self._at(at):
            self._manager.cell_start(self._book.nb.cells[index], index)

    def ended(self, index: int, at: datetime, *, failed: bool = False, raised: bool = False) -> None:  # noqa: ARG002 - as Marks has it
        """A cell ended; ``raised``: because it raised."""
        cell = self._book.nb.cells[index]
        self._next = index + 1
        with self._at(at):
            if raised:
                self._manager.cell_exception(cell, cell_index=index)
            self._manager.cell_complete(cell, cell_index=index)

    def rest(self) -> None:
        """All that is executed is done."""
        self._pass_to(len(self._book.nb.cells), None)

    def _pass_to(self, index: int, at: datetime | None) -> None:
        for number in range(self._next, index):
            cell = self._book.nb.cells[number]
            with self._at(at):
                self._manager.cell_start(cell, number)
                self._manager.cell_complete(cell, cell_index=number)
        self._next = max(self._next, index)


@contextmanager
def _instead(owner: object, name: str, value: Any) -> Iterator[None]:
    """Have one object use another method for a while."""
    if value is None:
        yield
        return
    before = vars(owner).get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if before is None:
            delattr(owner, name)
        else:
            setattr(owner, name, before)


def _how(error: KernelDied) -> str:
    return f"it {error.how}".rstrip(",")


def run_to_end(work: Coroutine[Any, Any, None]) -> None:
    """Run it to its end. Where this thread already runs an event loop, as in a notebook, in another thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        # With a loop of its own: asyncio.run would take away the one that the thread may have.
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(work)
        return
    _Thread(work).finish()


class _Thread(threading.Thread):
    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        super().__init__(name="pressroom-engine", daemon=True)
        self._work, self._error = work, None
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._task: asyncio.Task[None] | None = None

    def run(self) -> None:
        async def work() -> None:
            self._task = asyncio.current_task()
            await self._work

        with self._runner:
            try:
                self._runner.run(work())
            except BaseException as error:  # noqa: BLE001 - raised where it belongs
                self._error: BaseException | None = error

    def finish(self) -> None:
        self.start()
        try:
            self.join()
        except BaseException:
            if self._task is not None:
                self._task.get_loop().call_soon_threadsafe(self._task.cancel)
            self.join()
            raise
        if self._error is not None:
            raise self._error
