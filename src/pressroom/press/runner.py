"""The process that drives one kernel: ``python -m pressroom.press.runner EVENTS_FD``.

The first line of its standard input is the request; each later line asks it to stop; the end of it says that the caller
is gone, and then everything is killed at once. Events go to ``EVENTS_FD``, a JSON object a line.
"""

import asyncio
import json
import os
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from pressroom.press.descendants import adopt_orphans, die_with_parent, kill_descendants
from pressroom.press.document import NotUsable, coalesce, prepare, serialise
from pressroom.press.driver import Driver, Manager
from pressroom.press.events import CellFinished, CellStarted, Event, Finished, Output, Reason, Started, to_json
from pressroom.press.saving import replace, stage, unstage

_PIECE = 65536
_FACT = 2**18
"""Characters of a traceback or a source that are told of; the output notebook holds the whole."""


class Channel:
    """The way back to the caller."""

    def __init__(self, fd: int) -> None:
        self._file = os.fdopen(fd, "wb")

    def emit(self, event: Event) -> None:
        """Send an event."""
        if isinstance(event, Output) and len(event.text) > _PIECE:
            pieces = range(0, len(event.text), _PIECE) if event.stream != "result" else range(1)
            for start in pieces:
                self.emit(Output(event.index, event.stream, event.text[start : start + _PIECE]))
            return
        self._file.write(json.dumps(to_json(event)).encode() + b"\n")
        self._file.flush()


@dataclass
class Ending:
    """Why an execution ends before its last cell: the first that was said."""

    reason: Reason | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def ask(self, reason: Reason) -> None:
        """Ask for the end."""
        if self.reason is None:
            self.reason = reason
            self.asked.set()


class Execution:
    """One notebook on one kernel."""

    def __init__(self, request: dict[str, Any], channel: Channel) -> None:
        self._request = request
        self._channel = channel
        self._began = time.monotonic()
        self._index = 0
        self._number = 0
        self.ending = Ending()

    async def run(self) -> Finished:
        """Execute, write the output, and tell how it went."""
        try:
            notebook, kernel_name = prepare(self._request)
        except NotUsable as error:
            return self._finished(error.reason, str(error), written=False)
        manager = Manager(notebook)
        driver = Driver(manager, kernel_name, self._request["scratch"], self._request["max_output_bytes"])
        driver.on_output = lambda index, stream, text: self._channel.emit(Output(index, stream, text))
        driver.on_too_much = lambda: self.ending.ask(Reason.OUTPUT_TOO_LARGE)
        manager.notebook_start()  # pyright: ignore[reportUnknownMemberType]
        try:
            finished = await self._drive(driver, notebook)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, what was put out so far is to be kept
            traceback.print_exc()
            sentence = f"The execution could not go on{self._where()}: {type(error).__name__}: {str(error)[:500]}"
            finished = self._finished(Reason.RUNNER_DIED, sentence, written=False)
        await driver.kill()
        coalesce(notebook)
        manager.notebook_complete()
        return self._saved(notebook, finished)

    async def _drive(self, driver: Driver, notebook: NotebookNode) -> Finished:
        """Run the cells until their end or until the end is asked for."""
        cells = asyncio.create_task(self._cells(driver, notebook))
        asked = asyncio.create_task(self.ending.asked.wait())
        limit = self._request["timeout_seconds"]
        if limit is not None:
            limit = max(0.0, limit - (time.monotonic() - self._began))
        done, _ = await asyncio.wait({cells, asked}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            self.ending.ask(Reason.TIMED_OUT)
        cut_short = not cells.done()
        if cut_short:
            if self.ending.reason is not Reason.OUTPUT_TOO_LARGE:
                await driver.interrupt()
                await asyncio.wait({cells}, timeout=self._request["grace_seconds"])
            if not cells.done():
                await driver.kill()
                cells.cancel()
                await asyncio.wait({cells})
        asked.cancel()
        # A cell that was interrupted did not do its work, even where it went on as if it had.
        if self.ending.reason is not None and (cut_short or self.ending.reason is Reason.OUTPUT_TOO_LARGE):
            return self._finished(self.ending.reason, self._why_ended(self.ending.reason), written=False)
        return cells.result()

    async def _cells(self, driver: Driver, notebook: NotebookNode) -> Finished:
        try:
            await driver.start(die_with_parent)
        except Exception as error:  # noqa: BLE001 - whatever a kernel's launcher raises, the kernel did not start
            name = driver.kernel_name
            return self._finished(
                Reason.KERNEL_UNAVAILABLE,
                f"Kernel {name!r} did not start: {str(error) or type(error).__name__}.",
                written=False,
            )
        self._channel.emit(Started(cells=sum(driver.executes(cell) for cell in notebook.cells)))
        for index, cell in enumerate(notebook.cells):
            if self.ending.reason is not None:
                return self._finished(self.ending.reason, self._why_ended(self.ending.reason), written=False)
            if not driver.executes(cell):
                continue
            self._index, self._number = index, self._number + 1
            line = next((text.strip() for text in cell.source.splitlines() if text.strip()), "")
            self._channel.emit(CellStarted(index, self._number, line[:200]))
            began = time.monotonic()
            failed: CellExecutionError | None = None
            died = False
            try:
                await driver.execute(cell, index)
            except CellExecutionError as error:
                failed = error
            except DeadKernelError:
                died = True
            stops = failed is not None and not _exited(failed)
            self._channel.emit(CellFinished(index, self._number, time.monotonic() - began, failed=stops or died))
            if died:
                return self._finished(
                    Reason.KERNEL_DIED, f"The kernel {driver.how_it_died()} in cell {self._number}.", written=False
                )
            if failed is not None:
                return self._raised(failed, cell) if stops else self._finished(None, "", written=False)
        try:
            await driver.describe_language()
        except DeadKernelError:
            sentence = f"The kernel {driver.how_it_died()} after the last cell."
            return self._finished(Reason.KERNEL_DIED, sentence, written=False)
        return self._finished(None, "", written=False)

    def _raised(self, error: CellExecutionError, cell: NotebookNode) -> Finished:
        evalue = str(error.evalue)
        shown = evalue if len(evalue) <= 500 else evalue[:500] + "…"
        lines = [line for o in cell.outputs if o.output_type == "error" for line in o.traceback]
        # Kernels of other languages may give no name to an error: Bash's says the exit status alone.
        what = f"raised {error.ename}" if error.ename else "failed"
        sentence = f"Cell {self._number} {what}" + (f": {shown}" if shown else "")
        return self._finished(
            Reason.CELL_ERROR,
            sentence if sentence.endswith((".", "?", "!")) else sentence + ".",
            written=False,
            cell_index=self._index,
            ename=str(error.ename),
            evalue=evalue[:_PIECE],
            traceback=tuple(_cut(lines)),
            source=cell.source[:_FACT],
        )

    def _why_ended(self, reason: Reason) -> str:
        where = self._where()
        match reason:
            case Reason.TIMED_OUT:
                limit = self._request["timeout_seconds"]
                return f"The execution took longer than its limit of {limit:g} s; it was stopped{where}."
            case Reason.OUTPUT_TOO_LARGE:
                limit = self._request["max_output_bytes"] / 2**20
                return f"The outputs grew over {limit:g} MiB, the limit; the execution was stopped{where}."
            case Reason.INTERRUPTED:
                return f"The service stopped while the execution was under way; it was stopped{where}."
            case _:
                return f"The execution was cancelled{where}."

    def _where(self) -> str:
        return f" in cell {self._number}" if self._number else ""

    def not_started(self, error: OSError) -> Finished:
        """The end of an execution whose working files cannot be made."""
        sentence = f"The execution could not be started: {error.strerror or error}."
        return self._finished(Reason.RUNNER_DIED, sentence, written=False)

    def _finished(self, reason: Reason | None, message: str, *, written: bool, **facts: Any) -> Finished:
        return Finished(reason, message, time.monotonic() - self._began, written, **facts)

    def _saved(self, notebook: NotebookNode, finished: Finished) -> Finished:
        path = self._request["output_path"]
        facts = {name: getattr(finished, name) for name in ("cell_index", "ename", "evalue", "traceback", "source")}
        if self._request["marks"]:
            notebook.metadata["pressroom"] = self._request["marks"]
        try:
            data, folder = serialise(notebook), self._request["fds"][2]
            if (staged := self._request["staged_name"]) is not None:
                stage(folder, staged, data, instead_of=PurePath(path).name)
            else:
                replace(folder, PurePath(path).name, data)
        except (OSError, MemoryError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            sentence = f"The output {path} could not be written: {why}."
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


def _exited(error: CellExecutionError) -> bool:
    """Whether the cell ended the notebook on purpose, without an error, as Papermill has it."""
    return error.ename == "SystemExit" and str(error.evalue) in ("", "0")


def _listen(stdin: BinaryIO, loop: asyncio.AbstractEventLoop, ending: Ending, request: dict[str, Any]) -> None:
    """Pass the caller's stops on; when the caller is gone, end everything, and leave no file."""
    for line in stdin:
        loop.call_soon_threadsafe(ending.ask, Reason(json.loads(line)["stop"]))
    kill_descendants()
    if request["staged_name"] is not None:
        with suppress(OSError):
            unstage(request["fds"][2], request["staged_name"])
    shutil.rmtree(request["scratch"], ignore_errors=True)
    os._exit(1)


async def _main(request: dict[str, Any], channel: Channel, stdin: BinaryIO) -> None:
    execution = Execution(request, channel)
    try:
        await asyncio.to_thread(Path(request["scratch"]).mkdir, 0o700)
    except OSError as error:
        channel.emit(execution.not_started(error))
        return
    listener = threading.Thread(
        target=_listen,
        args=(stdin, asyncio.get_running_loop(), execution.ending, request),
        daemon=True,
        name="control",
    )
    listener.start()
    finished = await execution.run()
    kill_descendants()
    channel.emit(finished)


def main() -> None:
    """Run one request."""
    # It must outlive a killed caller for the moment in which it kills what it started, so it does not die with it.
    adopt_orphans()
    channel = Channel(int(sys.argv[1]))
    os.set_inheritable(int(sys.argv[1]), False)
    stdin = sys.stdin.buffer
    line = stdin.readline()
    if not line:
        return
    request = json.loads(line)
    for fd in request["fds"]:
        os.set_inheritable(fd, False)
    os.fchdir(request["fds"][1])
    code = 1
    try:
        asyncio.run(_main(request, channel, stdin))
        code = 0
    except BaseException:  # noqa: BLE001 - nothing may be left, whatever ends this process; the caller says why
        traceback.print_exc()
    finally:
        kill_descendants()
        shutil.rmtree(request["scratch"], ignore_errors=True)
        sys.stderr.flush()
        # Not through the interpreter's own end: a thread of a library must not hold up the caller.
        os._exit(code)


if __name__ == "__main__":
    main()
