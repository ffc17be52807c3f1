"""What a person sees of an execution that is waited for; its events come from the press or from the database."""

import sys
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.syntax import Syntax
from rich.text import Text

from pressroom import press
from pressroom.cli.start import CANCELLED
from pressroom.executions import event_schemas as events
from pressroom.executions.schemas import ExecutionOut
from pressroom.executions.states import Status
from pressroom.notebooks.failing_cell import FailingCell
from pressroom.press import Finished, Reason

COLOURS = {Status.SUCCESS: "green", Status.CANCELLED: "yellow"}


def put(stream: TextIO, text: str) -> None:
    """Write ``text`` as it is, but for characters that the stream cannot show."""
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def exit_code(status: Status) -> int:
    """0 for a success, 130 for what was cancelled, 1 for what failed."""
    return {Status.SUCCESS: 0, Status.CANCELLED: CANCELLED}.get(status, 1)


class Shown:
    """A progress bar on the standard error, or with ``log`` the texts of the cells instead, unchanged: a bar between
    them would break their lines. With ``as_json`` the standard output is kept for the answer, and texts go to the
    standard error."""

    def __init__(self, *, as_json: bool, log: bool) -> None:
        self._console = Console(stderr=True)
        self._log, self._as_json = log, as_json
        self._end: Finished | None = None
        self._ends = ""
        self.failing: FailingCell | None = None
        """The cell that failed, where it was executed by another process."""
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=as_json or log or not self._console.is_terminal,
            transient=True,
        )
        self._task: TaskID = self.progress.add_task("starting", total=None)

    def take(self, event: press.Event | events.ToldEvent) -> None:
        """Show what an event tells."""
        match event:
            case events.StatusChanged(status=status):
                self._describe(status.value)
            case press.Started(cells=cells) | events.Started(cells=cells):
                self.progress.update(self._task, total=cells, completed=0)
            case press.CellStarted(line=line) | events.CellStarted(line=line):
                self._describe(line)
            case press.CellFinished() | events.CellFinished():
                self.progress.advance(self._task)
            case press.Output(text=text, stream=stream) | events.Output(text=text, stream=stream) if self._log:
                ends = "\n" if stream == "result" and not text.endswith("\n") else ""
                if self._as_json or stream == "stderr":
                    put(sys.stderr, text + ends)
                else:
                    put(sys.stdout, text + ends)
                    self._ends = "" if (text + ends).endswith("\n") else "\n"
            case Finished():
                self._end = event
            case _:
                pass

    def _describe(self, text: str) -> None:
        self.progress.update(self._task, description=Text(text[:50], no_wrap=True).plain.replace("[", "\\["))

    def conclude(self, execution: ExecutionOut) -> None:
        """Say how it ended: the failing cell and the error in colour, or where the output is."""
        console, end = self._console, self._end
        failing = self.failing
        if end is not None and end.reason is Reason.CELL_ERROR and end.source is not None:
            failing = FailingCell(end.cell_index or 0, end.source, "\n".join(end.traceback))
        if failing is not None:
            source = Syntax(failing.source, "python", line_numbers=True, word_wrap=True)
            console.print(Panel(source, title="the failing cell", title_align="left", border_style="red"))
            console.print(Text.from_ansi(failing.traceback), soft_wrap=True)
        seconds = f"{end.seconds:.1f} s" if end else f"{execution.execution_time_seconds or 0} s"
        colour = COLOURS.get(execution.status, "red")
        console.print(
            Text.assemble((execution.status.value, f"bold {colour}"), f"  execution {execution.id}  {seconds}")
        )
        if execution.error_message:
            console.print(Text(execution.error_message, style=colour), soft_wrap=True)
        if end.written if end is not None else execution.attempt and Path(str(execution.output_path)).exists():
            put(sys.stdout, f"{self._ends}{execution.output_path}\n")
