"""``pressroom batches``: one notebook over many sets of parameters."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from pressroom.batches import requests, service
from pressroom.batches.schemas import BatchCreate, BatchFields, BatchOut, Method
from pressroom.batches.standing import standing_of
from pressroom.cli import batch_files, batch_watching
from pressroom.cli.notebook_named import HELP, notebook_named
from pressroom.cli.pairs import assigned
from pressroom.cli.room import WRONG, Room, complain, in_room, out
from pressroom.cli.secrets import Secrets, asked
from pressroom.cli.tables import show_one, show_rows
from pressroom.executions.connector import open_jobs
from pressroom.executions.orders import Intake
from pressroom.identity.policy import viewer
from pressroom.notebooks.files import ValidFiles
from pressroom.notebooks.places import Places
from pressroom.settings import MEBIBYTE
from pressroom.wire import MAX_ID

app = typer.Typer(help="One notebook over many sets of parameters.", no_args_is_help=True)
Id = Annotated[int, typer.Argument(help="The batch's id.", min=1, max=MAX_ID)]
Json = Annotated[bool, typer.Option("--json", help="Answer JSON.")]
Follow = Annotated[bool, typer.Option("--follow", help="Show how it goes on until all have ended.")]
COLUMNS = ("id", "name", "status", "done", "total", "counts", "estimated_end", "created_at", "username", "notebook_id")


@app.command()
def run(
    notebook: Annotated[str, typer.Argument(help=HELP)],
    *,
    grid: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=A,B,...", help="Values of a parameter; every combination is executed."),
    ] = None,
    sets: Annotated[
        Path | None, typer.Option(help="A file of sets of parameters: .csv, .parquet or .json, a list of objects.")
    ] = None,
    sample: Annotated[Method | None, typer.Option(help="Draw them from what the parameters may be.")] = None,
    count: Annotated[int | None, typer.Option(help="With --sample: how many sets.", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="With --sample: the same seed, the same sets.", min=0)] = None,
    draw: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="With --sample: draw this one, and none that is not named.")
    ] = None,
    range_: Annotated[
        list[str] | None,
        typer.Option("--range", metavar="NAME=MIN..MAX[,log]", help="With --sample: what to draw this one from."),
    ] = None,
    fixed: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter that all of them share.")
    ] = None,
    secret: Secrets = None,
    name: Annotated[str | None, typer.Option(help="A name for the batch.")] = None,
    username: Annotated[str | None, typer.Option("--user", help="Whom to act as; else the notebook's owner.")] = None,
    queue: Annotated[str | None, typer.Option(help="The queue to wait in; else `default`.")] = None,
    priority: Annotated[int | None, typer.Option(help="Higher ones start first.", min=-1000, max=1000)] = None,
    timeout: Annotated[float | None, typer.Option(help="Time limit of an attempt in seconds.", min=0.001)] = None,
    limit: Annotated[int | None, typer.Option(help="So many run at once at most.", min=1)] = None,
    in_order: Annotated[bool, typer.Option("--in-order", help="Start each when all before it have ended.")] = False,
    stop_after: Annotated[
        int | None, typer.Option(help="When so many have failed, start nothing more, and cancel what waits.", min=1)
    ] = None,
    follow: Follow = False,
    json: Json = False,
) -> None:
    """Execute a registered notebook over many sets of parameters, and print the batch's id.

    All sets are checked before anything is submitted. Ctrl-C with --follow ends the watching only. Exits with 0 where
    it was accepted, 2 where it was refused; with --follow as `watch` does.
    """
    if sum(given is not None for given in (grid, sets, sample)) != 1:
        complain("Give one of --grid, --sets and --sample.")
        raise typer.Exit(WRONG)
    shared = assigned(fixed, "--set")
    secrets = asked(secret, shared)
    said: dict[str, Any] = {
        "name": name,
        "username": username,
        "queue": queue,
        "priority": priority,
        "timeout_seconds": timeout,
        "concurrency_limit": limit,
        "in_order": in_order,
        "stop_after_failures": stop_after,
        "parameters": shared | secrets,
    }
    if grid is not None:
        said["grid"] = {key: batch_files.values(value) for key, value in assigned(grid, "--grid").items()}
    if sample is not None:
        drawn = {"method": sample, "count": count, "seed": seed, "parameters": draw or None}
        said["sample"] = {k: v for k, v in drawn.items() if v is not None} | {"ranges": batch_files.ranges(range_)}
    hidden = frozenset(secrets)

    async def work(room: Room) -> BatchOut:
        return await _begun(room, notebook, {k: v for k, v in said.items() if v is not None}, sets, hidden)

    batch = in_room(work)
    _told(batch, follow=follow, as_json=json)


async def _begun(
    room: Room, notebook: str, said: dict[str, Any], sets: Path | None, hidden: frozenset[str]
) -> BatchOut:
    """The batch that was asked for. A worker executes it, so it is checked by a worker's rights on files."""
    settings = room.settings
    intake_of = (Places.of(settings), settings)
    async with open_jobs(room.database) as jobs, room.change("batches run", "begin_a_batch") as (session, told):
        said["notebook_id"] = await notebook_named(session, room.caller, notebook)
        if sets is not None:
            table = await asyncio.to_thread(batch_files.read, sets, settings)
            plan = await requests.planned_of_table(
                session,
                room.caller,
                BatchFields.model_validate(said),
                table,
                texts=True,
                hidden=hidden,
            )
        else:
            asked_for = BatchCreate.model_validate(said)
            plan = await requests.planned(session, settings, room.caller, asked_for, lenient=True, hidden=hidden)
        intake = Intake(*intake_of, jobs, ValidFiles(int(settings.max_notebook_mb * MEBIBYTE)))
        batch = await service.begin(session, intake, room.caller, plan)
        told |= {"batch_id": batch.id, "notebook_id": batch.notebook_id, "executions": batch.total}
        return await standing_of(session, batch)


def _told(batch: BatchOut, *, follow: bool, as_json: bool) -> None:
    """Answer a batch that has begun, and follow it where that is wanted."""
    if not as_json:
        out(str(batch.id))
    elif not follow:
        out(batch.model_dump_json(indent=2))
    if follow:
        batch_watching.watch_to_end(batch.id, as_json=as_json)


@app.command("list")
def list_(
    *,
    username: Annotated[str | None, typer.Option("--user", help="Those of this user.")] = None,
    notebook: Annotated[int | None, typer.Option(help="Those of this notebook.", min=1, max=MAX_ID)] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    json: Json = False,
) -> None:
    """List batches, newest first."""

    async def work(room: Room) -> list[BatchOut]:
        async with room.database.transaction() as session:
            found, _ = await service.page(session, viewer(room.caller), username, notebook, 0, limit)
            return found

    empty = "There are no batches; `pressroom batches run NOTEBOOK --grid NAME=A,B` makes one."
    show_rows(in_room(work), COLUMNS, as_json=json, empty=empty)


@app.command()
def show(batch_id: Id, *, json: Json = False) -> None:
    """Show a batch: its executions by status, and when they will probably have ended."""

    async def work(room: Room) -> BatchOut:
        async with room.database.transaction() as session:
            return await standing_of(session, await service.seen(session, room.caller, batch_id))

    show_one(in_room(work), as_json=json)


@app.command()
def cancel(batch_id: Id, *, json: Json = False) -> None:
    """Cancel a batch: nothing of it starts any more, and what runs is stopped."""

    async def work(room: Room) -> BatchOut:
        async with room.change("batches cancel", "cancel_a_batch") as (session, told):
            told["batch_id"] = batch_id
            return await standing_of(session, await service.cancel(session, room.caller, batch_id))

    batch = in_room(work)
    sentence = f"Batch {batch_id} starts nothing any more; `pressroom batches watch {batch_id}` shows its end."
    out(batch.model_dump_json(indent=2) if json else sentence)


@app.command()
def retry(
    batch_id: Id,
    *,
    cancelled: Annotated[bool, typer.Option("--cancelled", help="Also what was cancelled.")] = False,
    follow: Follow = False,
    json: Json = False,
) -> None:
    """Execute again, as a new batch, what has failed of a batch, and print the new batch's id."""

    async def work(room: Room) -> BatchOut:
        settings = room.settings
        async with open_jobs(room.database) as jobs, room.change("batches retry", "repeat_a_batch") as (session, told):
            files = ValidFiles(int(settings.max_notebook_mb * MEBIBYTE))
            intake = Intake(Places.of(settings), settings, jobs, files)
            batch = await service.retry(session, intake, room.caller, batch_id, cancelled=cancelled)
            told |= {"retry_of": batch_id, "batch_id": batch.id, "executions": batch.total}
            return await standing_of(session, batch)

    batch = in_room(work)
    _told(batch, follow=follow, as_json=json)


@app.command()
def watch(batch_id: Id, *, json: Json = False) -> None:
    """Watch a batch until all of its executions have ended. Ctrl-C leaves it running.

    Exits with 0 where all succeeded, 1 where some did not, 130 where it was cancelled or after Ctrl-C.
    """
    batch_watching.watch_to_end(batch_id, as_json=json)
