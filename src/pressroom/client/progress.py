"""What a person who waits sees, and how often a waiting client asks."""

import sys
from collections.abc import Iterator
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pressroom.executions.schemas import ExecutionOut


def pauses() -> Iterator[float]:
    """Seconds between two questions: short at first, a second in the end. The API has no push for them yet."""
    seconds = 0.1
    while True:
        yield seconds
        seconds = min(1.0, seconds * 1.3)


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

    def show(self, execution: ExecutionOut) -> None:
        """Show where an execution stands."""
        self._progress.update(
            self._task,
            description=execution.status.value,
            completed=execution.cells_completed,
            total=execution.cells_total,
        )


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules and "IPython" in sys.modules
