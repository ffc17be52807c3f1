# nbformat ships no types: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The process that drives one kernel: :func:`main`, in a child of the fork server of the service's own processes.

It talks to its caller over two sockets. The *gate* brings stops, and the kernel that it asks for; at the end of it the
caller is gone, and everything ends, here as soon as nothing else is done. *Events* go out, a JSON object a line.
"""

import asyncio
import os
import shutil
import socket
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from pressroom.press.book import Book, Marks
from pressroom.press.caller import Caller, Kernels
from pressroom.press.cells import CellRaised, Cells
from pressroom.press.document import NotUsable, prepare, read, serialise
from pressroom.press.events import Finished, Output, Reason, Started
from pressroom.press.kernel import Kernel, KernelDied
from pressroom.press.lines import Line
from pressroom.press.saving import replace, stage
from pressroom.press.snapshots import Snapshots
from pressroom.press.wires import Wires

_PIECE = 65536
_FACT = 2**18
"""Characters of a traceback or a source that are told of; the output notebook holds the whole."""


_LAST_SECONDS = 5.0
"""How long a kernel that did its work may take to end."""
_SLACK = 16 * 2**20
"""How much larger than all outputs one message of the kernel may be, in bytes of JSON, which may double them."""
_LIMITS = {
    "memory_mb": (Reason.MEMORY_EXCEEDED, "memory", "MiB"),
    "cpu_seconds": (Reason.CPU_TIME_EXCEEDED, "processor time", "s"),
    "processes": (Reason.PROCESSES_EXCEEDED, "processes and threads", ""),
}


class Execution:
    """One notebook on one kernel."""

    def __init__(self, request: dict[str, Any], caller: Caller) -> None:
        self._request, self._caller, self.ending = request, caller, caller.ending
        self._began = time.monotonic()
        self._kernel: Kernel | None = None
        self._cells: Cells | None = None
        self._limits = {name: request[name] for name in _LIMITS if request.get(name) is not None}
        self.clean = False
        """Whether nothing is left of it in this process."""

    async def run(self) -> Finished:
        """Execute, write the output, and tell how it went."""
        try:
            notebook, kernel_name, launch = read(self._request)
            # A kernel is made ready while the notebook is.
            forked = self._caller.kernel(launch) if self._request["fork"] else None
            notebook, masks = prepare(notebook, self._request, launch)
        except NotUsable as error:
            return self._finished(error.reason, str(error), written=False)
        marks = Marks(notebook)
        self._book = Book(marks, self._request["max_output_bytes"], masks, self._request["max_results_bytes"])
        self._book.on_result = self._caller.emit
        self._book.on_output = lambda index, stream, text: self._caller.emit(Output(index, stream, text))
        marks.notebook_start()  # pyright: ignore[reportUnknownMemberType]
        if self._request["marks"]:
            notebook.metadata["pressroom"] = self._request["marks"]
        self._snapshots = Snapshots(lambda: self._write(notebook))
        try:
            finished = await self._drive(kernel_name, forked, marks)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, what was put out so far is to be kept
            traceback.print_exc()
            said = (str(error) if masks is None else masks.text(str(error)))[:500]
            sentence = f"The execution could not go on{self._where()}: {type(error).__name__}: {said}"
            finished = self._finished(Reason.RUNNER_DIED, sentence, written=False)
        self._book.complete()
        self._caller.flush()
        gone = asyncio.create_task(self._end_kernel(kill=finished.reason is not None))
        await asyncio.sleep(0)  # it ends while the output is written
        self._book.set_widgets_metadata()
        marks.notebook_complete()
        finished = self._saved(notebook, finished)
        await gone
        self.clean = isinstance(self._kernel, Line) and finished.reason is not Reason.RUNNER_DIED
        return finished

    async def _end_kernel(self, *, kill: bool) -> None:
        if self._kernel is not None:
            # One that did its work ends as it likes; the others are not trusted to.
            await (self._kernel.kill() if kill else self._kernel.end(_LAST_SECONDS))

    async def _drive(self, kernel_name: str, forked: Kernels | None, marks: Marks) -> Finished:
        """Run the cells until their end or until the end is asked for."""
        work = asyncio.create_task(self._work(kernel_name, forked, marks))
        asked = asyncio.create_task(self.ending.asked.wait())
        limit = self._request["timeout_seconds"]
        if limit is not None:
            limit = max(0.0, limit - (time.monotonic() - self._began))
        done, _ = await asyncio.wait({work, asked}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            self.ending.ask(Reason.TIMED_OUT)
        if cut_short := not work.done():
            if self._cells is not None and self._kernel is not None:
                await self._kernel.interrupt()
                await asyncio.wait({work}, timeout=self._request["grace_seconds"])
            if not work.done():
                work.cancel()
                await asyncio.wait({work})
                if self._cells is not None:
                    self._cells.stopped()
        asked.cancel()
        # A cell that was interrupted did not do its work, even where it went on as if it had.
        if self.ending.reason is not None and cut_short:
            return self._finished(self.ending.reason, self._why_ended(self.ending.reason), written=False)
        return work.result()

    async def _work(self, kernel_name: str, forked: Kernels | None, marks: Marks) -> Finished:
        said, fds = await forked if forked is not None else ({"kernel": False}, [])
        if said["kernel"]:
            line, control = (socket.socket(fileno=fd) for fd in fds)
            most = 2 * self._request["max_output_bytes"] + _SLACK
            self._kernel = Line(line, control, most)
        else:
            try:
                await asyncio.to_thread(Path(self._request["scratch"]).mkdir, 0o700)
            except OSError as error:
                sentence = f"The execution could not be started: {error.strerror or error}."
                return self._finished(Reason.RUNNER_DIED, sentence, written=False)
            self._kernel = Wires(kernel_name, self._request["scratch"], self._limits)
        cells = Cells(self._book, self._kernel, marks, self._caller.emit)
        cells.on_change = lambda: self._snapshots.changed(self._book.kept_bytes)
        try:
            await cells.start()
        except KernelDied as error:
            sentence = f"Kernel {kernel_name!r} did not start: {error.how}."
            return self._finished(Reason.KERNEL_UNAVAILABLE, sentence, written=False)
        self._cells = cells
        self._caller.emit(Started(cells=len(cells.cells), kernel=kernel_name))
        raised: CellRaised | None = None
        try:
            if self.ending.reason is None:
                try:
                    await cells.run()
                except CellRaised as error:
                    raised = error
            # Also where a cell raised, as Papermill has it.
            if (language := await cells.language()) is not None:
                self._book.nb.metadata["language_info"] = language
        except KernelDied as error:
            if raised is None:
                return self._died(error)
        if raised is None or raised.exited():
            return self._finished(None, "", written=False)
        return self._raised(raised)

    def _died(self, error: KernelDied) -> Finished:
        if error.limit is not None:
            reason, what, unit = _LIMITS[error.limit]
            limit = f"{self._limits[error.limit]:g} {unit}".strip()
            sentence = f"The kernel was killed{self._where()} when it went over its limit of {limit} of {what}."
            return self._finished(reason, sentence, written=False)
        cell = self._cells.current if self._cells is not None else None
        done = cell is None or (cell.ended is not None and cell.reply is not None)
        where = " after the last cell" if done else self._where()
        return self._finished(Reason.KERNEL_DIED, f"The kernel {error.how}{where}.", written=False)

    def _raised(self, error: CellRaised) -> Finished:
        cell, evalue = error.cell, error.evalue
        shown = evalue if len(evalue) <= 500 else evalue[:500] + "…"
        # Kernels of other languages may give no name to an error: Bash's says the exit status alone.
        what = f"raised {error.ename}" if error.ename else "failed"
        sentence = f"Cell {cell.number} {what}" + (f": {shown}" if shown else "")
        sentence = sentence if sentence.endswith((".", "?", "!")) else sentence + "."
        reason, limited = Reason.CELL_ERROR, self._went_over(error)
        if limited is not None:
            reason, what, unit = _LIMITS[limited]
            limit = f"{self._limits[limited]:g} {unit}".strip()
            sentence += f" The execution's limit is {limit} of {what}."
        lines = [line for o in cell.node.outputs if o.output_type == "error" for line in o.traceback]
        return self._finished(
            reason,
            sentence,
            written=False,
            cell_index=cell.index,
            ename=error.ename[:1000],
            evalue=evalue[:_PIECE],
            traceback=tuple(_cut(lines)),
            source=cell.node.source[:_FACT],
        )

    def _went_over(self, error: CellRaised) -> str | None:
        """The limit that made a cell raise, as far as the error tells."""
        name, text = error.ename, error.evalue
        if "memory_mb" in self._limits and ("MemoryError" in name or "Cannot allocate memory" in text):
            return "memory_mb"
        denied = "Resource temporarily unavailable" in text or "can't start new thread" in text
        return "processes" if "processes" in self._limits and denied else None

    def _why_ended(self, reason: Reason) -> str:
        where = self._where()
        match reason:
            case Reason.TIMED_OUT:
                limit = self._request["timeout_seconds"]
                return f"The execution took longer than its limit of {limit:g} s; it was stopped{where}."
            case Reason.INTERRUPTED:
                return f"The service stopped while the execution was under way; it was stopped{where}."
            case _:
                return f"The execution was cancelled{where}."

    def _where(self) -> str:
        cell = self._cells.current if self._cells is not None else None
        return f" in cell {cell.number}" if cell is not None and cell.began is not None else ""

    def _finished(self, reason: Reason | None, message: str, *, written: bool, **facts: Any) -> Finished:
        return Finished(reason, message, time.monotonic() - self._began, written, **facts)

    def _write(self, notebook: NotebookNode) -> None:
        """Put the notebook as it is on disk."""
        self._book.seal()
        data, folder, name = serialise(notebook), self._request["fds"][2], PurePath(self._request["output_path"]).name
        if (staged := self._request["staged_name"]) is not None:
            stage(folder, staged, data, instead_of=name)
        else:
            replace(folder, name, data)

    def _saved(self, notebook: NotebookNode, finished: Finished) -> Finished:
        facts = {name: getattr(finished, name) for name in ("cell_index", "ename", "evalue", "traceback", "source")}
        facts["cut_bytes"] = self._book.cut_bytes
        try:
            self._write(notebook)
        except (OSError, MemoryError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            sentence = f"The output {self._request['output_path']} could not be written: {why}."
            reason = finished.reason or Reason.OUTPUT_NOT_WRITTEN
            message = f"{finished.message} {sentence}".strip()
            return self._finished(reason, message, written=False, **facts)
        return self._finished(finished.reason, finished.message, written=True, **facts)


def _cut(lines: list[str]) -> Iterator[str]:
    room = _FACT
    for line in lines:
        yield line[:room]
        room -= len(line) + 1
        if room <= 0:
            return


def warm() -> None:
    """What the first execution would load and build otherwise: validators, translators, kernel specs."""
    KernelSpecManager().find_kernel_specs()
    cell = new_code_cell("1", metadata={"tags": ["parameters"]})
    book = new_notebook(cells=[cell], metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    with tempfile.TemporaryFile() as file:
        file.write(serialise(book))
        file.seek(0)
        request = {"input_path": "in", "output_path": "out", "max_notebook_bytes": 2**20, "kernel_name": None}
        with suppress(NotUsable):
            notebook, _, launch = read(request | {"fds": [os.dup(file.fileno())]})
            notebook, _ = prepare(notebook, request | {"parameters": {"a": 1}, "secrets": {}}, launch)
            marks = Marks(notebook)
            marks.notebook_start()  # pyright: ignore[reportUnknownMemberType]
            Book(marks, 1)


async def _main(request: dict[str, Any], caller: Caller) -> bool:
    caller.listen()
    execution = Execution(request, caller)
    caller.emit(await execution.run())
    caller.close()
    return execution.clean


def main(request: dict[str, Any], fds: list[int]) -> bool:
    """Run one request. ``fds``: the gate, the events, the input, the kernel's working directory and the output's
    folder, all open. Returns where nothing of it is left in this process, which then may run another."""
    code = 1
    try:
        request["fds"] = fds[2:]
        os.fchdir(request["fds"][1])  # a stock kernel begins where its launcher is
        if asyncio.run(_main(request, Caller(fds[0], fds[1], request))):
            for fd in request["fds"][1:]:
                os.close(fd)
            return True
        code = 0
    except BaseException:  # noqa: BLE001 - nothing may be left, whatever ends this process; the caller says why
        traceback.print_exc()
    shutil.rmtree(request["scratch"], ignore_errors=True)
    # Not through the interpreter's own end: a thread of a library must not hold up the caller.
    os._exit(code)
