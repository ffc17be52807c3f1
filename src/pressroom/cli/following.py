"""``pressroom executions cancel|retry|attempts|log|follow``, and ``submit --wait``: executions that go on."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.text import Text

from pressroom.cli.room import Room, in_room, out
from pressroom.cli.shown import COLOURS, Shown, exit_code, put
from pressroom.cli.tables import show_rows
from pressroom.errors import PressroomError
from pressroom.executions import service
from pressroom.executions.connector import open_jobs
from pressroom.executions.event_schemas import (
    CellFinished,
    CellStarted,
    Log,
    Output,
    Started,
    StatusChanged,
    ToldEvent,
    event_of,
)
from pressroom.executions.following import Told, open_following
from pressroom.executions.schemas import AttemptOut, ExecutionOut
from pressroom.executions.states import Status
from pressroom.notebooks.failing_cell import failing_cell
from pressroom.wire import MAX_EVENT_ID, MAX_ID

Id = Annotated[int, typer.Argument(help="The execution's id.", min=1, max=MAX_ID)]
Json = Annotated[bool, typer.Option("--json", help="Answer JSON.")]


async def told(room: Room, execution_id: int, after: int = 0, *, until_end: bool = True) -> AsyncIterator[Told]:
    """The events of an execution as they come. Raises :class:`NotFound`."""
    await _one(room, execution_id)
    async with (
        open_following(room.database) as following,
        aclosing(cast("Any", following.follow(execution_id, after, until_end=until_end))) as events,
    ):
        async for event in events:
            if event is not None:
                yield event


def event(told: Told) -> ToldEvent | None:
    """The event, typed; ``None`` for a kind that this version does not know."""
    return cast("ToldEvent | None", event_of(told.kind, told.data, told.id))


async def follow_to_end(room: Room, execution_id: int, shown: Shown) -> ExecutionOut:
    """Show an execution until it ends; the execution as it ended."""
    with shown.progress:
        async with aclosing(cast("Any", told(room, execution_id))) as events:
            async for one in events:
                if (known := event(one)) is not None:
                    shown.take(known)
    async with room.database.transaction() as session:
        execution = await service.get(session, execution_id)
        session.expunge(execution)
    if execution.status == Status.FAILED:
        with suppress(PressroomError):  # the output may lie where only the worker can read
            shown.failing = await asyncio.to_thread(failing_cell, room.settings, room.places, execution)
    return ExecutionOut.model_validate(execution)


async def _one(room: Room, execution_id: int) -> ExecutionOut:
    async with room.database.transaction() as session:
        return ExecutionOut.model_validate(await service.get(session, execution_id))


def cancel(execution_id: Id, *, json: Json = False) -> None:
    """Cancel an execution: one that waits never starts, one that runs is stopped and keeps its partial output."""

    async def work(room: Room) -> ExecutionOut:
        async with (
            open_jobs(room.database) as jobs,
            room.change("executions cancel", "cancel_an_execution") as (session, told),
        ):
            told["execution_ids"] = [execution_id]
            cancelled, _ = await service.cancel(session, room.intake(jobs), room.caller, execution_id)
            return ExecutionOut.model_validate(cancelled)

    execution = in_room(work)
    at_once = execution.status is Status.CANCELLED
    sentence = "is cancelled." if at_once else "is asked to stop; `pressroom executions follow` shows its end."
    out(execution.model_dump_json(indent=2) if json else f"Execution {execution_id} {sentence}")


def retry(execution_id: Id, *, json: Json = False) -> None:
    """Execute again what an ended execution did, with the same parameters, and print the new id."""

    async def work(room: Room) -> ExecutionOut:
        async with (
            open_jobs(room.database) as jobs,
            room.change("executions retry", "execute_again") as (session, told),
        ):
            again = await service.retry(session, room.intake(jobs), room.caller, execution_id)
            told |= {"retry_of": execution_id, "execution_ids": [again.id]}
            return ExecutionOut.model_validate(again)

    execution = in_room(work)
    out(execution.model_dump_json(indent=2) if json else str(execution.id))


def attempts(execution_id: Id, *, json: Json = False) -> None:
    """Show the tries at an execution, first to last."""

    async def work(room: Room) -> list[AttemptOut]:
        async with room.database.transaction() as session:
            return [
                AttemptOut.model_validate(row) for row in await service.attempts(session, room.caller, execution_id)
            ]

    columns = ("number", "worker", "started_at", "ended_at", "reason", "message")
    show_rows(in_room(work), columns, as_json=json, empty="It was not tried yet.")


def log(
    execution_id: Id,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the execution ends.")] = False,
) -> None:
    """Print the text that the cells put out, attempt after attempt, as they put it out."""

    async def work(room: Room) -> None:
        text = Log()
        async with aclosing(cast("Any", told(room, execution_id, until_end=follow))) as events:
            async for one in events:
                put(sys.stdout, text.text(one.kind, one.attempt, one.data))

    in_room(work)


def follow(
    execution_id: Id,
    *,
    after: Annotated[int, typer.Option(help="Only events beyond this one's id.", min=0, max=MAX_EVENT_ID)] = 0,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line for each event.")] = False,
) -> None:
    """Follow an execution until it ends. Exits with 0 where it succeeded, 1 where it failed, 130 where it was cancelled
    or after Ctrl-C."""
    console = Console()

    async def work(room: Room) -> ExecutionOut:
        async with aclosing(cast("Any", told(room, execution_id, after))) as events:
            async for one in events:
                known = event(one)
                if known is not None and json:
                    put(sys.stdout, known.model_dump_json() + "\n")
                elif known is not None:
                    _say(console, known)
        return await _one(room, execution_id)

    raise typer.Exit(exit_code(in_room(work).status))


def _say(console: Console, event: ToldEvent) -> None:
    match event:
        case StatusChanged(status=status, message=message):
            style = COLOURS.get(status, "red" if status is Status.FAILED else "cyan")
            text = Text.assemble((status.value, f"bold {style}"), f"  {message}" if message else "")
        case Started(cells=cells):
            text = Text(f"the kernel is up; {cells} cells")
        case CellStarted(number=number, of=of, line=line):
            text = Text(f"[{number}/{of}] {line}")
        case CellFinished(number=number, of=of, seconds=seconds, failed=failed):
            text = Text(f"[{number}/{of}] {'raised' if failed else 'done'} after {seconds:.2f} s")
        case Output(text=written):
            text = Text.from_ansi(written.rstrip("\n"))
        case _:
            text = Text("It is late; it goes on.", style="yellow")
    console.print(Text(f"{event.at.astimezone():%H:%M:%S}  ", style="dim") + text, soft_wrap=True)


def add_commands(app: typer.Typer) -> None:
    """Give ``pressroom executions`` the commands of this module."""
    for command in (cancel, retry, attempts, log, follow):
        app.command()(command)
