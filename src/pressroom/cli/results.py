"""``pressroom executions results|artifacts``: what executions recorded."""

import asyncio
import shutil
import sys
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from pressroom.cli.room import WRONG, Room, complain, in_room, out
from pressroom.cli.tables import show_rows
from pressroom.executions import access, results
from pressroom.executions.result_schemas import ArtifactOut, ResultOut
from pressroom.wire import MAX_ID

Id = Annotated[int, typer.Argument(help="The execution's id.", min=1, max=MAX_ID)]
Json = Annotated[bool, typer.Option("--json", help="Answer JSON.")]


def results_(
    execution_id: Id,
    *,
    name: Annotated[str | None, typer.Option(help="Answer this one itself: a value as JSON, else its data.")] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it to this file.")] = None,
    json: Json = False,
) -> None:
    """List what an execution recorded, or answer one of them."""
    if name is not None:
        _write(execution_id, name, output)
        return
    if output is not None:
        complain("--output goes with --name.")
        raise typer.Exit(WRONG)

    async def work(room: Room) -> list[ResultOut]:
        async with room.database.transaction() as session:
            return await results.results(session, await access.seen(session, room.caller, execution_id))

    columns = ("name", "kind", "value", "media_type", "size")
    empty = f"Execution {execution_id} has recorded no results."
    show_rows(in_room(work), columns, as_json=json, empty=empty)


def _write(execution_id: int, name: str, output: Path | None) -> None:
    """One result, as it was recorded: a table as its JSON or its Parquet."""

    async def work(room: Room) -> bytes:
        async with room.database.transaction() as session:
            found = await results.result(session, await access.seen(session, room.caller, execution_id), name)
        return found.data if found.data is not None else dumps(found.value).encode() + b"\n"

    data = in_room(work)
    if output is not None:
        output.write_bytes(data)
        return
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def artifacts_(
    execution_id: Id,
    *,
    download: Annotated[Path | None, typer.Option(metavar="DIR", help="Copy them all into this folder.")] = None,
    json: Json = False,
) -> None:
    """List the files that an execution left in its artifact directory, or copy them."""

    async def work(room: Room) -> list[ArtifactOut]:
        async with room.database.transaction() as session:
            execution = await access.seen(session, room.caller, execution_id)
            found = await results.files(session, execution)

        def copy() -> None:
            for each in found if download is not None else ():
                target = Path(str(download), each.path)
                target.parent.mkdir(parents=True, exist_ok=True)
                with results.opened(room.places, execution, each.path) as file, target.open("wb") as copied:
                    shutil.copyfileobj(file, copied)

        await asyncio.to_thread(copy)
        return found

    found = in_room(work)
    if download is not None and found and not json:
        out(f"{len(found)} files are in {download}.")
        return
    empty = f"Execution {execution_id} has left no artifacts."
    show_rows(found, ("path", "size", "media_type"), as_json=json, empty=empty)


def add_commands(app: typer.Typer) -> None:
    """Put these commands among those of the history."""
    app.command("results")(results_)
    app.command("artifacts")(artifacts_)
