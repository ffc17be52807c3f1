"""``pressroom notebooks``: the registry."""

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter

from pressroom.cli import grants, limits
from pressroom.cli.room import Room, absolute, in_room, out
from pressroom.cli.tables import show_one, show_removed, show_rows
from pressroom.executions.kernels import require_defaults
from pressroom.executions.options import ExecutionDefaults
from pressroom.identity.policy import viewer
from pressroom.identity.rights import Level
from pressroom.notebooks import levels, service
from pressroom.notebooks.schemas import NotebookCreate, NotebookOut, NotebookUpdate, NotebookWithParameters
from pressroom.parameters import service as parameters
from pressroom.parameters.proposals import propose
from pressroom.settings import MEBIBYTE

app = typer.Typer(help="The registry of notebooks.", no_args_is_help=True)
for command in (grants.grants, grants.grant, grants.revoke):
    app.command()(command)
Json = Annotated[bool, typer.Option("--json", help="Answer JSON.")]
Id = Annotated[int, typer.Argument(help="The notebook's id.", min=1)]
Kernel = Annotated[
    str | None, typer.Option(help="The kernel of its executions, in place of the one that the file names.")
]


def limit_of(room: Room) -> int:
    """The largest notebook, in bytes."""
    return int(room.settings.max_notebook_mb * MEBIBYTE)


def _kernel(name: str | None) -> dict[str, Any]:
    return {} if name is None else {"kernel_name": name}


@app.command("list")
def list_(
    *,
    username: Annotated[str | None, typer.Option("--user", help="Those of this user.")] = None,
    tag: Annotated[str | None, typer.Option(help="Those with this tag.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    json: Json = False,
) -> None:
    """List the registered notebooks."""

    async def work(room: Room) -> list[NotebookOut]:
        async with room.database.transaction() as session:
            body, _, _ = await service.page(session, viewer(room.caller), username, tag, 0, limit)
        return TypeAdapter(list[NotebookOut]).validate_json(body)

    columns = ("id", "name", "username", "tags", "file_path")
    empty = "No notebook is registered; `pressroom notebooks add FILE` registers one."
    show_rows(in_room(work), columns, as_json=json, empty=empty)


@app.command()
def show(notebook_id: Id, *, json: Json = False) -> None:
    """Show a notebook and its parameters."""

    async def work(room: Room) -> NotebookWithParameters:
        async with room.database.transaction() as session:
            return NotebookWithParameters.model_validate_json(
                await service.with_parameters(session, viewer(room.caller), notebook_id)
            )

    notebook = in_room(work)
    if json:
        out(notebook.model_dump_json(indent=2))
        return
    show_one(NotebookOut.model_validate(notebook.model_dump()), as_json=False)
    columns = (
        "id",
        "param_name",
        "param_type",
        "required",
        "secret",
        "default_value",
        "validation_rules",
        "description",
    )
    show_rows(notebook.parameters, columns, as_json=False, empty="It has no parameters.")


@app.command()
def add(
    file: Annotated[str, typer.Argument(help="The notebook's file.")],
    *,
    name: Annotated[str | None, typer.Option(help="Its name; else the file's.")] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    username: Annotated[str | None, typer.Option("--user", help="Who owns it; else you.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be given several times.")] = None,
    kernel: Kernel = None,
    memory_mb: limits.MemoryMb = None,
    cpu_seconds: limits.CpuSeconds = None,
    max_processes: limits.MaxProcesses = None,
    infer: Annotated[
        bool, typer.Option("--infer", help="Define the parameters that its parameters cell shows.")
    ] = False,
    json: Json = False,
) -> None:
    """Register a notebook. Limits are for those of its executions whose caller names none."""

    async def work(room: Room) -> tuple[NotebookWithParameters, list[str]]:
        fields: dict[str, Any] = {
            "name": name or Path(file).stem,
            "description": description,
            "file_path": absolute(file),
            "username": username or room.caller.username,
            "tags": tag or [],
            "execution_defaults": limits.said(memory_mb, cpu_seconds, max_processes) | _kernel(kernel),
        }
        notes: list[str] = []
        async with room.change("notebooks add", "register_a_notebook") as (session, told):
            wanted = NotebookCreate(**fields)
            await require_defaults(session, room.settings, wanted.execution_defaults)
            notebook = await service.register(session, room.places, limit_of(room), room.caller, wanted)
            told["notebook_id"] = notebook.id
            if infer:
                _, data = await service.source(session, room.places, limit_of(room), room.caller, notebook.id)
                proposed, _, notes = propose(data, notebook.file_path)
                await parameters.add(session, notebook.id, proposed)
            body = await service.with_parameters(session, viewer(room.caller), notebook.id)
        return NotebookWithParameters.model_validate_json(body), notes

    notebook, notes = in_room(work)
    for note in notes:
        typer.echo(note, err=True)
    if json:
        out(notebook.model_dump_json(indent=2))
        return
    names = ", ".join(p.param_name for p in notebook.parameters) or "none"
    typer.echo(f"Notebook {notebook.id}, {notebook.name!r}; parameters: {names}.")


@app.command()
def update(
    notebook_id: Id,
    *,
    name: Annotated[str | None, typer.Option()] = None,
    description: Annotated[str | None, typer.Option()] = None,
    file: Annotated[str | None, typer.Option()] = None,
    tag: Annotated[list[str] | None, typer.Option()] = None,
    run_as: Annotated[
        str | None, typer.Option(help="Whose the executions are that others start: their own, caller, or the owner's.")
    ] = None,
    kernel: Kernel = None,
    memory_mb: limits.MemoryMb = None,
    cpu_seconds: limits.CpuSeconds = None,
    max_processes: limits.MaxProcesses = None,
    json: Json = False,
) -> None:
    """Change what is given; the rest stays as it is."""
    fields: dict[str, Any] = {
        "name": name,
        "description": description,
        "file_path": absolute(file) if file else None,
        "tags": tag,
        "run_as": run_as,
    }
    allowed = limits.said(memory_mb, cpu_seconds, max_processes) | _kernel(kernel)

    async def work(room: Room) -> NotebookOut:
        given = {key: value for key, value in fields.items() if value is not None}
        async with room.change("notebooks update", "change_a_notebook") as (session, told):
            told["notebook_id"] = notebook_id
            if allowed:
                before = await levels.require(session, room.caller, notebook_id, Level.EDITOR)
                given["execution_defaults"] = {**before.execution_defaults, **allowed}
            wanted = NotebookUpdate(**given)
            # What it held before may be over a limit that is newer, and is held to it.
            await require_defaults(session, room.settings, ExecutionDefaults(**allowed))
            changes = wanted.changes()
            changed = await service.change(session, room.places, limit_of(room), room.caller, notebook_id, changes)
            return NotebookOut.model_validate(changed)

    show_one(in_room(work), as_json=json)


@app.command()
def remove(notebook_id: Id, *, json: Json = False) -> None:
    """Take a notebook out of the registry; its file and its history stay."""

    async def work(room: Room) -> None:
        async with room.change("notebooks remove", "delete_a_notebook") as (session, told):
            told["notebook_id"] = notebook_id
            await service.delete(session, room.caller, notebook_id)

    in_room(work)
    sentence = f"Notebook {notebook_id} is not registered any more; its file and its executions are still there."
    show_removed(notebook_id, sentence, as_json=json)
