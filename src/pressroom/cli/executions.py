"""``pressroom executions``: the history."""

from typing import Annotated

import typer
from pydantic import TypeAdapter

from pressroom.cli.room import Room, in_room
from pressroom.cli.tables import show_one, show_rows
from pressroom.executions import service
from pressroom.executions.schemas import ExecutionOut
from pressroom.executions.service import History
from pressroom.executions.states import Status

app = typer.Typer(help="The history of executions.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Answer JSON.")]


@app.command("list")
def list_(
    *,
    username: Annotated[str | None, typer.Option("--user", help="Those of this user.")] = None,
    status: Annotated[Status | None, typer.Option(help="Those of this status.")] = None,
    notebook: Annotated[int | None, typer.Option(help="Those of this notebook.", min=1)] = None,
    skip: Annotated[int, typer.Option(min=0)] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    json: Json = False,
) -> None:
    """List executions, newest first."""

    async def work(room: Room) -> list[ExecutionOut]:
        async with room.database.transaction() as session:
            body, _, _ = await service.page(session, History(username, status, notebook), skip, limit)
        return TypeAdapter(list[ExecutionOut]).validate_json(body)

    columns = ("id", "status", "started_at", "execution_time_seconds", "username", "input_path", "parameters_used")
    empty = "There are no executions; `pressroom run NOTEBOOK` makes one."
    show_rows(in_room(work), columns, as_json=json, empty=empty)


@app.command()
def show(execution_id: Annotated[int, typer.Argument(min=1)], *, json: Json = False) -> None:
    """Show one execution."""

    async def work(room: Room) -> ExecutionOut:
        async with room.database.transaction() as session:
            return ExecutionOut.model_validate(await service.get(session, execution_id))

    show_one(in_room(work), as_json=json)
