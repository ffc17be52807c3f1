"""``pressroom compare`` and ``pressroom diff``: executions beside each other."""

import asyncio
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Column, Table
from rich.text import Text

from pressroom.cli.notebook_named import HELP, notebook_named
from pressroom.cli.room import WRONG, Room, complain, in_room, out
from pressroom.cli.tables import NOTHING, UNBROKEN, plain
from pressroom.executions import access, comparison, conditions, differences, frames
from pressroom.executions.comparison import Compared, Comparison
from pressroom.executions.frames import Format
from pressroom.executions.result_schemas import DifferenceOut
from pressroom.executions.states import Status
from pressroom.identity.policy import viewer
from pressroom.identity.rights import Level
from pressroom.notebooks import levels
from pressroom.settings import MEBIBYTE
from pressroom.wire import MAX_ID

MOST = 50_000


class Shape(StrEnum):
    """How a table is shown or written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    ARROW = "arrow"


def compare(
    notebook: Annotated[str, typer.Argument(help=HELP)],
    *,
    executions: Annotated[str | None, typer.Option(metavar="IDS", help="These, separated by commas.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, max=MAX_ID, help="Those of this batch.")] = None,
    status: Annotated[list[Status] | None, typer.Option(help="Any of these; may be given several times.")] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="Conditions, such as 'results.rmse<0.2 and status=success'.")
    ] = None,
    sort: Annotated[
        list[str] | None, typer.Option(help="Columns; a minus is for descending: results.rmse,-parameters.alpha.")
    ] = None,
    columns: Annotated[list[str] | None, typer.Option(help="These columns after the id.")] = None,
    skip: Annotated[int, typer.Option(min=0)] = 0,
    limit: Annotated[int, typer.Option(min=1, max=MOST)] = 1000,
    shape: Annotated[Shape, typer.Option("--format", help="How it is shown or written.")] = Shape.TABLE,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it to this file.")] = None,
) -> None:
    """Compare a notebook's executions: a table of their parameters and results."""
    if executions is not None and batch is not None:
        complain("Give either --executions or --batch.")
        raise typer.Exit(WRONG)
    ids = (executions or "").split(",") if executions else []
    if wrong := [part for part in ids if not (part.strip().isdecimal() and 0 < int(part) <= MAX_ID)]:
        complain(f"{wrong[0]!r} is not the id of an execution.")
        raise typer.Exit(WRONG)
    if shape in (Shape.PARQUET, Shape.ARROW) and output is None:
        complain(f"{shape.value} goes into a file: give --output FILE.")
        raise typer.Exit(WRONG)

    async def work(room: Room) -> tuple[Compared, bytes | None]:
        async with room.database.transaction() as session:
            notebook_id = await notebook_named(session, room.caller, notebook)
            await levels.require(session, room.caller, notebook_id, Level.VIEWER)
            asked = Comparison(
                notebook_id,
                executions=tuple(int(part) for part in ids),
                batch=batch,
                statuses=tuple(status or ()),
                where=conditions.conditions(where or ()),
                sort=conditions.keys(sort or ()),
                columns=conditions.fields(columns or (), "columns"),
                seen_by=viewer(room.caller),
            )
            found = await comparison.compare(session, asked, skip, limit, linked=shape is Shape.JSON)
        if shape is Shape.TABLE:
            return found, None
        if shape is Shape.JSON:
            return found, comparison.rendered(found, asked) + b"\n"
        return found, frames.spelled(found.columns, Format(shape.value))

    found, body = in_room(work)
    if body is None:
        _show(found, output)
    elif output is not None:
        output.write_bytes(body)
    else:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()


def _show(found: Compared, output: Path | None) -> None:
    if not found.length:
        Console(stderr=True).print("No execution is like that.")
        return
    columns = [Column(Text(plain(name))) for name in found.columns]  # names are strangers': no markup, no escapes
    table = Table(*columns, box=box.SIMPLE_HEAD, header_style="bold")
    for row in zip(*found.columns.values(), strict=True):
        table.add_row(*(_cell(value) for value in row))
    if output is not None:
        with output.open("w") as file:
            Console(file=file, width=UNBROKEN).print(table)
        return
    console = Console()
    (console if console.is_terminal else Console(width=UNBROKEN)).print(table)


def _cell(value: Any) -> Text:
    if value is None:
        return Text(NOTHING, style="dim")
    if not isinstance(value, float):
        return Text(plain(str(value)))
    # Money is read in full, and what is small or huge by its first digits.
    return Text(f"{value:.2f}" if 1e5 <= abs(value) < 1e15 else f"{value:.6g}")


def diff(
    before: Annotated[int, typer.Argument(help="An execution's id.", min=1, max=MAX_ID)],
    after: Annotated[int, typer.Argument(help="The execution that it becomes.", min=1, max=MAX_ID)],
    *,
    json: Annotated[bool, typer.Option("--json", help="Answer JSON.")] = False,
) -> None:
    """Show what differs between two executions: parameters, results, code cells."""

    async def work(room: Room) -> DifferenceOut:
        async with room.database.transaction() as session:
            pair = [await access.seen(session, room.caller, each) for each in (before, after)]
            results = [await differences.recorded(session, each) for each in pair]
        settings = room.settings
        limit = int((settings.max_notebook_mb + 2 * settings.max_output_mb) * MEBIBYTE)
        return await asyncio.to_thread(differences.difference, room.places, pair, results, limit)

    found = in_room(work)
    if json:
        out(found.model_dump_json(indent=2))
        return
    console = Console()
    for what, rows in (("parameters", found.parameters), ("results", found.results)):
        for row in rows:
            change = "" if row.difference is None else f" ({row.difference:+.6g})"
            line = f"{what}.{row.name} {row.change}: {row.before} → {row.after}{change}"
            console.print(Text(plain(line)), soft_wrap=True)
    if found.cells is None:
        console.print(Text(f"The cells are not compared: {found.cells_unavailable}"), soft_wrap=True)
    for cell in found.cells or ():
        console.print(Text(f"cell {cell.before or NOTHING} → {cell.after or NOTHING} {cell.change}", style="bold"))
        console.print(Syntax(plain(cell.diff), "diff", background_color="default", word_wrap=True))
    if not (found.parameters or found.results or found.cells) and found.cells is not None:
        out("They are the same.")
