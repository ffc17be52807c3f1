"""What a person who waits sees."""

import sys
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pressroom.batches.schemas import BatchOut
from pressroom.executions.event_schemas import CellFinished, ExecutionEvent, Standing, Started


class Bar:
    """A progress bar by cell; shown in a terminal and in a notebook, unless told otherwise."""

    def __init__(self, wanted: bool | None) -> None:
        console = Console(stderr=not _in_notebook())
        seen = console.is_terminal or console.is_jupyter
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not (seen if wanted is None else wanted),
        )
        self._task = self._progress.add_task("pending", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, event: ExecutionEvent) -> None:
        """Show what an event tells."""
        match event:
            case Standing(status=status, cells_completed=done, cells_total=total):
                self._progress.update(self._task, description=status.value, completed=done, total=total)
            case Started(cells=cells):
                self._progress.update(self._task, completed=0, total=cells)
            case CellFinished(failed=False, number=number):
                self._progress.update(self._task, completed=number)
            case _:
                pass


class BatchBar:
    """A progress bar by execution of a batch; shown where :class:`Bar` is."""

    def __init__(self, wanted: bool | None) -> None:
        console = Console(stderr=not _in_notebook())
        seen = console.is_terminal or console.is_jupyter
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[failed]}"),
            console=console,
            disable=not (seen if wanted is None else wanted),
        )
        self._task = self._progress.add_task("running", total=None, failed="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, batch: BatchOut) -> None:
        """Show how a batch stands."""
        failed = f"{batch.counts.failed} failed" if batch.counts.failed else ""
        self._progress.update(
            self._task, description=batch.status.value, completed=batch.done, total=batch.total, failed=failed
        )


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules and "IPython" in sys.modules
