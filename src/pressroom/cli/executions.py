"""``pressroom executions``: the history."""

from datetime import datetime
from typing import Annotated

import typer
from pydantic import TypeAdapter

from pressroom.cli import following, results
from pressroom.cli.pairs import PairsCommand, pairs
from pressroom.cli.room import WRONG, Room, complain, in_room
from pressroom.cli.tables import show_one, show_rows
from pressroom.cli.times import moment
from pressroom.executions import history as service
from pressroom.executions.history import History
from pressroom.executions.schemas import ExecutionOut
from pressroom.executions.states import Status
from pressroom.identity.policy import viewer
from pressroom.wire import MAX_ID

app = typer.Typer(help="The history of executions.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Answer JSON.")]


@app.command("list", cls=PairsCommand)
def list_(
    *,
    username: Annotated[str | None, typer.Option("--user", help="Those of this user.")] = None,
    status: Annotated[
        list[Status] | None, typer.Option(help="Those of this status; may be given several times.")
    ] = None,
    notebook: Annotated[int | None, typer.Option(help="Those of this notebook.", min=1, max=MAX_ID)] = None,
    queue: Annotated[str | None, typer.Option(help="Those of this queue.")] = None,
    batch: Annotated[int | None, typer.Option(help="Those of this batch.", min=1, max=MAX_ID)] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=moment, metavar="TIME", help="Submitted at this time (ISO 8601) or later; 7d: that long ago."
        ),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(parser=moment, metavar="TIME", help="Submitted before this time.")
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", metavar="NAME VALUE", help="Those with this value of a parameter.")
    ] = None,
    oldest: Annotated[bool, typer.Option("--oldest", help="Oldest first.")] = False,
    skip: Annotated[int | None, typer.Option(min=0)] = None,
    after: Annotated[
        int | None, typer.Option(min=1, max=MAX_ID, help="Only what comes after this execution's id; not with --skip.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    json: Json = False,
) -> None:
    """List executions, newest first."""
    parameters = dict(pairs(param))
    if len(parameters) < len(param or []):
        complain("A parameter is given more than once, and it has one value.")
        raise typer.Exit(WRONG)
    if after is not None and skip is not None:
        complain("Give either --after or --skip.")
        raise typer.Exit(WRONG)
    history = History(
        username=username,
        statuses=tuple(status or ()),
        notebook_id=notebook,
        queue=queue,
        batch_id=batch,
        submitted_after=since,
        submitted_before=until,
        parameters=tuple(sorted(parameters.items())),
        oldest=oldest,
        after=after,
    )

    async def work(room: Room) -> list[ExecutionOut]:
        async with room.database.transaction() as session:
            page = await service.page(session, history, skip or 0, limit)
        return TypeAdapter(list[ExecutionOut]).validate_json(page.body)

    columns = ("id", "status", "started_at", "execution_time_seconds", "username", "input_path", "parameters_used")
    empty = "There are no executions; `pressroom run NOTEBOOK` makes one."
    if history != History():
        empty = "No execution is like that."
    show_rows(in_room(work), columns, as_json=json, empty=empty)


@app.command()
def show(execution_id: Annotated[int, typer.Argument(min=1, max=MAX_ID)], *, json: Json = False) -> None:
    """Show one execution."""

    async def work(room: Room) -> ExecutionOut:
        async with room.database.transaction() as session:
            execution, _ = await service.one(session, viewer(room.caller), execution_id)
            return execution

    show_one(in_room(work), as_json=json)


following.add_commands(app)
results.add_commands(app)
