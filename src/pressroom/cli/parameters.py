"""``pressroom parameters``: the definitions of notebooks' parameters."""

import json as json_
from typing import Annotated, Any

import typer

from pressroom.cli.notebooks import limit_of
from pressroom.cli.pairs import PairsCommand, pairs
from pressroom.cli.room import WRONG, Room, complain, in_room
from pressroom.cli.tables import show_one, show_removed, show_rows
from pressroom.identity.rights import Level
from pressroom.notebooks import levels
from pressroom.notebooks import service as notebooks
from pressroom.parameters import service
from pressroom.parameters.proposals import propose
from pressroom.parameters.schemas import ParameterFields, ParameterOut
from pressroom.parameters.sealing import SecretKeys

app = typer.Typer(help="The definitions of notebooks' parameters.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Answer JSON.")]
COLUMNS = ("id", "param_name", "param_type", "required", "secret", "default_value", "validation_rules", "description")


@app.command("list")
def list_(notebook_id: Annotated[int, typer.Argument(min=1)], *, json: Json = False) -> None:
    """List the parameters of a notebook."""

    async def work(room: Room) -> list[ParameterOut]:
        async with room.database.transaction() as session:
            await levels.require(session, room.caller, notebook_id, Level.VIEWER)
            return [ParameterOut.model_validate(row) for row in await service.of_notebook(session, notebook_id)]

    empty = f"It has no parameters; `pressroom parameters infer {notebook_id}` proposes some."
    show_rows(in_room(work), COLUMNS, as_json=json, empty=empty)


@app.command()
def show(parameter_id: Annotated[int, typer.Argument(min=1)], *, json: Json = False) -> None:
    """Show one definition."""

    async def work(room: Room) -> ParameterOut:
        async with room.database.transaction() as session:
            return ParameterOut.model_validate(await service.get(session, parameter_id))

    show_one(in_room(work), as_json=json)


@app.command(cls=PairsCommand)
def add(
    notebook_id: Annotated[int, typer.Argument(min=1)],
    name: Annotated[str, typer.Argument()],
    type_: Annotated[
        str, typer.Argument(metavar="TYPE", help="string, integer, float, boolean, json, list, date, ...")
    ],
    *,
    default: Annotated[str | None, typer.Option(help="As JSON; what is not JSON is a string.")] = None,
    description: Annotated[str | None, typer.Option()] = None,
    required: Annotated[bool, typer.Option("--required")] = False,
    secret: Annotated[bool, typer.Option("--secret", help="Keep its values encrypted, and show them nowhere.")] = False,
    rule: Annotated[list[str] | None, typer.Option("--rule", metavar="RULE VALUE", help="As JSON, e.g. min 1.")] = None,
    json: Json = False,
) -> None:
    """Give a notebook a parameter."""
    fields: dict[str, Any] = {
        "param_name": name,
        "param_type": type_,
        "default_value": None if default is None else _json(default),
        "description": description,
        "required": required,
        "validation_rules": {key: _json(value) for key, value in pairs(rule)} or None,
        "secret": secret,
    }

    async def work(room: Room) -> ParameterOut:
        if secret:
            SecretKeys.of(room.settings).require_for_definition(name)
        async with room.change("parameters add", "define_a_parameter") as (session, told):
            told["notebook_id"] = notebook_id
            [row] = await service.add(session, notebook_id, [ParameterFields(**fields)])
            return ParameterOut.model_validate(row)

    show_one(in_room(work), as_json=json)


@app.command()
def infer(
    notebook_id: Annotated[int, typer.Argument(min=1)],
    *,
    save: Annotated[bool, typer.Option("--save", help="Save what is proposed.")] = False,
    json: Json = False,
) -> None:
    """Propose parameters from the notebook's cell tagged `parameters`."""

    async def work(room: Room) -> tuple[list[ParameterFields], list[str]]:
        async with room.database.transaction() as session:
            notebook, data = await notebooks.source(session, room.places, limit_of(room), room.caller, notebook_id)
        proposed, _, notes = propose(data, notebook.file_path)
        if save:
            async with room.change("parameters infer", "define_several_parameters") as (session, told):
                told["notebook_id"] = notebook_id
                await service.add(session, notebook_id, proposed)
        return proposed, notes

    proposed, notes = in_room(work)
    for note in notes:
        typer.echo(note, err=True)
    show_rows(proposed, COLUMNS[1:], as_json=json, empty="Nothing is proposed.")


@app.command()
def remove(parameter_id: Annotated[int, typer.Argument(min=1)], *, json: Json = False) -> None:
    """Delete a definition."""

    async def work(room: Room) -> None:
        async with room.change("parameters remove", "delete_a_parameter") as (session, told):
            told["parameter_id"] = parameter_id
            await service.delete(session, parameter_id)

    in_room(work)
    show_removed(parameter_id, f"Parameter {parameter_id} is defined no more.", as_json=json)


def _json(text: str) -> Any:
    try:
        return json_.loads(text, parse_constant=_refuse)
    except json_.JSONDecodeError:
        return text


def _refuse(text: str) -> None:
    complain(f"{text} is not a number in JSON.")
    raise typer.Exit(WRONG)
