"""``pressroom run``: execute a notebook here and now, and record it."""

import asyncio
import signal
import uuid
from contextlib import suppress
from typing import Annotated

import typer
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.syntax import Syntax
from rich.text import Text

from pressroom.cli.pairs import pairs
from pressroom.cli.room import FAILED, WRONG, Room, absolute, complain, in_room, out
from pressroom.database.models import Execution
from pressroom.errors import AlreadyEnded
from pressroom.executions import service
from pressroom.executions.orders import Order
from pressroom.executions.schemas import ExecutionOut, HowToExecute
from pressroom.executions.states import Status
from pressroom.executions.tasks import Workshop
from pressroom.metrics import Metrics
from pressroom.press import CellFinished, CellStarted, Event, Finished, Output, Reason, Started
from pressroom.worker import Staffing, open_crew

CANCELLED = 130
"""The exit code of a command that Ctrl-C ended."""


def run(
    notebook: Annotated[str, typer.Argument(help="The notebook.")],
    parameters: Annotated[
        list[str] | None, typer.Option("-p", "--parameter", metavar="NAME VALUE", help="Give a parameter.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", help="Where the executed notebook goes; else under executions/ beside the input."
        ),
    ] = None,
    kernel: Annotated[str | None, typer.Option("-k", "--kernel", help="The kernel; else the notebook's own.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Time limit in seconds.", min=0.001)] = None,
    *,
    in_place: Annotated[bool, typer.Option("--in-place", help="Replace the notebook by the executed one.")] = False,
    log: Annotated[bool, typer.Option("--log", help="Show what the cells put out, as it comes.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Answer the execution as JSON, without a progress bar.")] = False,
) -> None:
    """Execute a notebook and record it in the history.

    Exits with 0 where the notebook succeeded, 1 where it failed, 2 where nothing was run, 130 after Ctrl-C.
    """
    given = pairs(parameters)
    names = [name for name, _ in given]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        complain(f"Parameter {twice[0]!r} is given more than once.")
        raise typer.Exit(WRONG)
    if in_place and output:
        complain("Give either --in-place or --output.")
        raise typer.Exit(WRONG)
    order = Order(
        input_path=absolute(notebook),
        output_path=absolute(output) if output else None,
        parameters=dict(given),
        in_place=in_place,
        # A queue of its own: it is executed here, by nobody else, and goes with this command.
        how=HowToExecute(queue=f"run.{uuid.uuid4().hex}", max_attempts=1, kernel_name=kernel, timeout_seconds=timeout),
        lenient=True,
    )
    shown = _Shown(bar=not json, log=log)
    execution = in_room(lambda room: _run(room, order, shown))
    if json:
        out(ExecutionOut.model_validate(execution).model_dump_json(indent=2))
    else:
        shown.conclude(execution)
    if execution.status == Status.CANCELLED:
        raise typer.Exit(CANCELLED)
    if execution.status != Status.SUCCESS:
        raise typer.Exit(FAILED)


async def _run(room: Room, order: Order, shown: "_Shown") -> Execution:
    ended = asyncio.Event()

    def watch(_: int, event: Event) -> None:
        shown.take(event)
        if isinstance(event, Finished):
            ended.set()

    queue = str(order.how.queue)
    shop = Workshop(room.database, room.places, room.settings, Metrics())
    staffing = Staffing(1, queues=[queue], name=queue, grace_seconds=0, chores=False)
    async with open_crew(shop, staffing, watch) as crew:
        async with room.database.transaction() as session:
            [execution_id] = await service.submit(session, room.intake(crew.jobs), room.caller, [order])
        stopping: set[asyncio.Task[None]] = set()

        async def cancel() -> None:
            with suppress(AlreadyEnded):
                async with room.database.transaction() as session:
                    cancelled = await service.cancel(session, room.intake(crew.jobs), room.caller, execution_id)
                if cancelled.status == Status.CANCELLED:  # it had not begun, so there is no event of its end
                    ended.set()

        def stop() -> None:
            stopping.add(asyncio.create_task(cancel()))

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        with shown.progress:
            await ended.wait()
        await asyncio.gather(*stopping)
    async with room.database.transaction() as session:
        return await service.get(session, execution_id)


class _Shown:
    """What a person sees of an execution."""

    def __init__(self, *, bar: bool, log: bool) -> None:
        self._console = Console(stderr=True)
        self._log = log
        self._answer = Console()
        self._end: Finished | None = None
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=not bar or not self._console.is_terminal,
            transient=True,
        )
        self._task: TaskID = self.progress.add_task("starting the kernel", total=None)

    def take(self, event: Event) -> None:
        match event:
            case Started(cells=cells):
                self.progress.update(self._task, total=cells)
            case CellStarted(line=line):
                self.progress.update(self._task, description=Text(line[:50], no_wrap=True).plain.replace("[", "\\["))
            case CellFinished():
                self.progress.advance(self._task)
            case Output(text=text, stream=stream) if self._log:
                console = self.progress.console if stream == "stderr" else self._answer
                console.print(Text.from_ansi(text.rstrip("\n")), soft_wrap=True)
            case Finished():
                self._end = event
            case _:
                pass

    def conclude(self, execution: Execution) -> None:
        """Say how it ended: the failing cell and the error in colour, or where the output is."""
        console, end = self._console, self._end
        if end is not None and end.reason is Reason.CELL_ERROR and end.source is not None:
            source = Syntax(end.source, "python", line_numbers=True, word_wrap=True)
            console.print(Panel(source, title="the failing cell", title_align="left", border_style="red"))
            console.print(Text.from_ansi("\n".join(end.traceback)), soft_wrap=True)
        seconds = f"{end.seconds:.1f} s" if end else ""
        colour = {Status.SUCCESS: "green", Status.CANCELLED: "yellow"}.get(Status(execution.status), "red")
        head = Text.assemble((execution.status, f"bold {colour}"), f"  execution {execution.id}  {seconds}")
        console.print(head)
        if execution.error_message:
            console.print(Text(execution.error_message, style=colour), soft_wrap=True)
        if end is None or end.written:
            self._answer.print(Text(str(execution.output_path)), soft_wrap=True)
