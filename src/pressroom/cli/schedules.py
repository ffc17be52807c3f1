"""``pressroom schedules``: notebooks that are executed at certain times."""

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter

from pressroom.batches.schemas import BatchOut
from pressroom.batches.standing import standing_of
from pressroom.cli.notebook_named import HELP, notebook_named
from pressroom.cli.room import Room, explained, in_room, out
from pressroom.cli.schedule_options import (
    At,
    Attempts,
    Cron,
    Description,
    Ends,
    Given,
    Id,
    Jitter,
    Json,
    Miss,
    MissLimit,
    Named,
    Over,
    Priority,
    Queue,
    Starts,
    Timeout,
    User,
    Zone,
    parameters_of,
    said,
)
from pressroom.cli.schedules_shown import Line, changing, line_of, local_time, show_schedule
from pressroom.cli.secrets import Secrets, asked
from pressroom.cli.tables import show_one, show_removed, show_rows
from pressroom.cli.times import moment
from pressroom.executions.schemas import ExecutionOut
from pressroom.schedules import backfill as backfills
from pressroom.schedules import history as histories
from pressroom.schedules import service, ticks
from pressroom.schedules.answers import answer
from pressroom.schedules.schemas import (
    BackfillWanted,
    ScheduleCreate,
    ScheduleOut,
    ScheduleUpdate,
    TickOut,
)
from pressroom.wire import MAX_ID

app = typer.Typer(help="Notebooks that are executed at certain times.", no_args_is_help=True)


@app.command()
def create(
    notebook: Annotated[str, typer.Argument(help=HELP)],
    *,
    name: Annotated[str, typer.Option("--name", help="What it is called.")],
    cron: Annotated[str, typer.Option("--cron", help="When: five fields, or a word such as @daily.")],
    timezone: Zone = None,
    given: Given = None,
    secret: Secrets = None,
    description: Description = None,
    username: User = None,
    starts: Starts = None,
    ends: Ends = None,
    missed: Miss = None,
    missed_limit: MissLimit = None,
    overlap: Over = None,
    jitter: Jitter = None,
    queue: Queue = None,
    priority: Priority = None,
    timeout: Timeout = None,
    max_attempts: Attempts = None,
    paused: Annotated[bool, typer.Option("--paused", help="Let no tick fire until it is resumed.")] = False,
    json: Json = False,
) -> None:
    """Have a registered notebook executed at certain times."""
    parameters = parameters_of(given)
    secrets = asked(secret, parameters)
    fields = said(
        name=name, cron=cron, timezone=timezone, description=description, username=username, starts_at=starts,
        ends_at=ends, missed=missed, missed_limit=missed_limit, overlap=overlap, jitter_seconds=jitter, queue=queue,
        priority=priority, timeout_seconds=timeout, max_attempts=max_attempts, paused=paused,
    )  # fmt: skip

    async def work(room: Room) -> ScheduleOut:
        async with changing(room, "create", "add_a_schedule") as (session, told, intake):
            notebook_id = await notebook_named(session, room.caller, notebook)
            wanted = ScheduleCreate(notebook_id=notebook_id, parameters={**parameters, **secrets}, **fields)
            hidden = frozenset(secrets)
            schedule = await service.create(session, intake, room.caller, wanted, lenient=True, hidden=hidden)
            told |= {"schedule_id": schedule.id, "notebook_id": notebook_id}
            return await answer(session, schedule)

    show_schedule(in_room(work), as_json=json)


@app.command("list")
def list_(
    *,
    notebook: Annotated[int | None, typer.Option(help="Those of this notebook.", min=1, max=MAX_ID)] = None,
    username: Annotated[str | None, typer.Option("--user", help="Those of this user.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    json: Json = False,
) -> None:
    """List the schedules, with the next time of each in its own zone."""

    async def work(room: Room) -> list[ScheduleOut]:
        async with room.database.transaction() as session:
            body, _, _ = await service.page(session, room.caller, username, notebook, 0, limit)
        return TypeAdapter(list[ScheduleOut]).validate_json(body)

    rows = in_room(work)
    shown = rows if json else [line_of(row) for row in rows]
    show_rows(shown, tuple(Line.model_fields), as_json=json, empty="Nothing is scheduled.")


@app.command()
def show(schedule_id: Id, *, json: Json = False) -> None:
    """Show one schedule."""

    async def work(room: Room) -> ScheduleOut:
        async with room.database.transaction() as session:
            return await answer(session, await service.get(session, room.caller, schedule_id))

    show_one(in_room(work), as_json=json)


@app.command()
def preview(
    cron: Annotated[str, typer.Argument(help="A cron expression.")],
    *,
    timezone: Zone = None,
    after: Annotated[
        datetime | None, typer.Option("--from", parser=moment, metavar="TIME", help="The times after this; else now.")
    ] = None,
    count: Annotated[int, typer.Option(help="How many times.", min=1, max=1000)] = 10,
    json: Json = False,
) -> None:
    """Show the times that an expression means: in its zone, and in UTC."""

    def found() -> list[datetime]:
        place = ticks.zone(timezone or "UTC")
        return list(islice(ticks.following(cron, place, after or datetime.now(UTC)), count))

    times = explained(found)
    if json:
        out(TypeAdapter(list[datetime]).dump_json(times, indent=2).decode())
        return
    for each in times:
        out(f"{local_time(each, timezone or 'UTC')}   {each:%Y-%m-%d %H:%M} UTC")


@app.command()
def update(
    schedule_id: Id,
    *,
    name: Named = None,
    cron: Cron = None,
    timezone: Zone = None,
    given: Given = None,
    secret: Secrets = None,
    description: Description = None,
    username: User = None,
    starts: Starts = None,
    ends: Ends = None,
    missed: Miss = None,
    missed_limit: MissLimit = None,
    overlap: Over = None,
    jitter: Jitter = None,
    queue: Queue = None,
    priority: Priority = None,
    timeout: Timeout = None,
    max_attempts: Attempts = None,
    json: Json = False,
) -> None:
    """Change what is given of a schedule. A parameter that is given is set, and the others stay."""
    parameters = parameters_of(given)
    secrets = asked(secret, parameters)
    fields = said(
        name=name, cron=cron, timezone=timezone, description=description, username=username, starts_at=starts,
        ends_at=ends, missed=missed, missed_limit=missed_limit, overlap=overlap, jitter_seconds=jitter, queue=queue,
        priority=priority, timeout_seconds=timeout, max_attempts=max_attempts,
    )  # fmt: skip

    async def work(room: Room) -> ScheduleOut:
        async with changing(room, "update", "change_a_schedule") as (session, told, intake):
            told["schedule_id"] = schedule_id
            changed = parameters | secrets
            if changed:
                before = (await service.get(session, room.caller, schedule_id)).parameters
                fields["parameters"] = before | changed
            changes = ScheduleUpdate(**fields).changes()
            typed = frozenset(changed)
            hidden = frozenset(secrets)
            schedule = await service.change(
                session, intake, room.caller, schedule_id, changes, typed=typed, hidden=hidden
            )
            return await answer(session, schedule)

    show_schedule(in_room(work), as_json=json)


def _changed(schedule_id: int, command: str, changes: Mapping[str, Any]) -> ScheduleOut:
    async def work(room: Room) -> ScheduleOut:
        async with changing(room, command, f"{command}_a_schedule") as (session, told, intake):
            told["schedule_id"] = schedule_id
            return await answer(session, await service.change(session, intake, room.caller, schedule_id, changes))

    return in_room(work)


@app.command()
def pause(schedule_id: Id, *, json: Json = False) -> None:
    """Let no tick fire until it is resumed."""
    show_schedule(_changed(schedule_id, "pause", {"paused": True}), as_json=json)


@app.command()
def resume(schedule_id: Id, *, json: Json = False) -> None:
    """Let ticks fire again, from the next one on."""
    show_schedule(_changed(schedule_id, "resume", {"paused": False}), as_json=json)


@app.command()
def run(schedule_id: Id, *, at: At = None, json: Json = False) -> None:
    """Have it executed once by hand, and print the execution's id."""

    async def work(room: Room) -> ExecutionOut:
        async with changing(room, "run", "run_a_schedule") as (session, told, intake):
            execution = await service.run(session, intake, room.caller, schedule_id, at)
            told |= {"schedule_id": schedule_id, "execution_ids": [execution.id]}
            return ExecutionOut.model_validate(execution)

    execution = in_room(work)
    out(execution.model_dump_json(indent=2) if json else str(execution.id))


@app.command()
def history(schedule_id: Id, *, limit: Annotated[int, typer.Option(min=1, max=1000)] = 20, json: Json = False) -> None:
    """List what became of its ticks, newest first."""

    async def work(room: Room) -> list[TickOut]:
        async with room.database.transaction() as session:
            body, _, _ = await histories.page(session, room.caller, schedule_id, 0, limit)
        return TypeAdapter(list[TickOut]).validate_json(body)

    columns = ("scheduled_at", "outcome", "execution_id", "execution_status", "message")
    show_rows(in_room(work), columns, as_json=json, empty="No tick has come yet.")


@app.command()
def backfill(
    schedule_id: Id,
    *,
    start: Annotated[datetime, typer.Option("--from", parser=moment, metavar="TIME", help="From this time on.")],
    end: Annotated[datetime, typer.Option("--to", parser=moment, metavar="TIME", help="Until this time.")],
    in_order: Annotated[bool, typer.Option("--in-order", help="Each starts when all before it have ended.")] = False,
    concurrency: Annotated[int | None, typer.Option(help="How many run at once at most.", min=1)] = None,
    stop_after: Annotated[int | None, typer.Option(help="Start nothing more after so many failures.", min=1)] = None,
    json: Json = False,
) -> None:
    """Have it executed for each tick of a range of time that is over, as one batch."""
    fields = {"from": start, "to": end, "in_order": in_order, "concurrency_limit": concurrency}

    async def work(room: Room) -> BatchOut:
        wanted = BackfillWanted.model_validate(fields | {"stop_after_failures": stop_after})
        async with changing(room, "backfill", "backfill_a_schedule") as (session, told, intake):
            batch = await backfills.begin(session, intake, room.caller, schedule_id, wanted)
            told |= {"schedule_id": schedule_id, "batch_id": batch.id, "total": batch.total}
            return await standing_of(session, batch)

    batch = in_room(work)
    out(batch.model_dump_json(indent=2) if json else f"Batch {batch.id}: {batch.total} executions.")


@app.command()
def delete(schedule_id: Id, *, json: Json = False) -> None:
    """Delete a schedule and the history of its ticks; its executions stay."""

    async def work(room: Room) -> None:
        async with room.change("schedules delete", "delete_a_schedule") as (session, told):
            told["schedule_id"] = schedule_id
            await service.delete(session, room.caller, schedule_id)

    in_room(work)
    show_removed(schedule_id, f"Schedule {schedule_id} is gone.", as_json=json)
