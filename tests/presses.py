"""What the proofs of the press share: a press that is closed at the end, and what one execution left."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import papermill
import psutil
from jupyter_core.utils import ensure_event_loop
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.execute import remove_error_markers

from pressroom.press import CellFinished, CellStarted, Event, Finished, Output, Press, Request
from pressroom.press.environment import kernel_environment

PATIENCE = 60
"""Seconds; no execution here may take longer, however busy the machine is."""


@asynccontextmanager
async def opened(*, preload: Sequence[str] = (), **options: Any) -> AsyncIterator[Press]:
    """A press with fork servers of its own, closed at the end."""
    press = Press(**({"environment": kernel_environment(os.environ), "grace_seconds": 1.0} | options), preload=preload)
    try:
        yield press
    finally:
        await press.close()


@dataclass(frozen=True)
class Executed:
    """One execution: its events, the last of them apart, and the output as it was written."""

    events: list[Event]
    finished: Finished
    notebook: NotebookNode

    def text(self, stream: str = "stdout") -> str:
        """All that was told of a stream."""
        return "".join(e.text for e in self.events if isinstance(e, Output) and e.stream == stream)

    def outputs(self, index: int) -> list[NotebookNode]:
        """The outputs of a cell, as written."""
        return self.notebook.cells[index].outputs

    def started(self) -> list[int]:
        """The cells that were executed, by index."""
        return [e.index for e in self.events if isinstance(e, CellStarted)]

    def failed(self) -> list[int]:
        """The cells that failed, by index."""
        return [e.index for e in self.events if isinstance(e, CellFinished) and e.failed]


def made(*cells: str | tuple[str, list[str]], kernel: str = "python3", language: str = "python") -> NotebookNode:
    """A notebook of code cells: sources, or sources with tags."""
    pairs = [(cell, []) if isinstance(cell, str) else cell for cell in cells]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source, metadata={"tags": tags} if tags else {}) for source, tags in pairs]
    )
    notebook.metadata.kernelspec = {"name": kernel, "display_name": kernel, "language": language}
    return notebook


async def execute(
    press: Press, folder: Path, *cells: str | tuple[str, list[str]] | NotebookNode, **options: Any
) -> Executed:
    """Execute a notebook, or one of these cells, in a folder; the output must be on disk and valid."""
    notebook = cells[0] if cells and isinstance(cells[0], NotebookNode) else made(*cells)  # type: ignore[arg-type]
    source, output = folder / "in.ipynb", folder / "out.ipynb"
    nbformat.write(notebook, source)
    request = Request(**({"input_path": source, "output_path": output, "parameters": {}} | options))
    async with asyncio.timeout(PATIENCE):
        events = [event async for event in press.execute(request)]
    assert [type(event) for event in events].count(Finished) == 1
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.written, finished.message
    written = nbformat.read(output, as_version=4)
    nbformat.validate(written)
    return Executed(events, finished, written)


def succeeded(executed: Executed) -> Executed:
    """The same, if it succeeded."""
    assert (executed.finished.reason, executed.finished.message) == (None, "")
    return executed


def stock(path: Path) -> tuple[bool, NotebookNode]:
    """Papermill's execution of a notebook over a fresh stock kernel, in a thread of its own: whether it raised, and its
    output."""
    output = path.with_name("stock.ipynb")
    raised = False
    try:
        for again in (True, True, False):
            # Should the stock client wait for ever, as it does in output widgets, its kernel is killed.
            watch = threading.Timer(PATIENCE, _end_stock_kernels)
            watch.start()
            try:
                papermill.execute_notebook(str(path), str(output), cwd=str(path.parent), progress_bar=False)
                break
            except papermill.PapermillExecutionError:
                raised = True
                break
            except DeadKernelError:
                if not again:
                    raise
            finally:
                watch.cancel()
    finally:
        # The thread's, which its client opened and leaves open.
        ensure_event_loop().close()
    return raised, remove_error_markers(nbformat.read(output, as_version=4))


def _end_stock_kernels() -> None:
    """Kill the kernels that the stock launcher has started in this process."""
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if "ipykernel_launcher" in child.cmdline():
                child.kill()
