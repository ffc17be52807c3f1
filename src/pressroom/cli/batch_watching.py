"""Watching a batch in a shell: a bar with its counts and its estimated end."""

from contextlib import aclosing
from datetime import datetime
from typing import Any, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from pressroom.batches import service
from pressroom.batches.schemas import BatchOut, BatchStatus
from pressroom.batches.standing import standing_of
from pressroom.batches.watching import watch
from pressroom.cli.room import Room, in_room, out
from pressroom.cli.start import CANCELLED
from pressroom.executions.following import open_following


def watch_to_end(batch_id: int, *, as_json: bool) -> None:
    """Show a batch until it has ended, and end the command as it did. Ctrl-C ends the watching only, and says so. With
    ``as_json``, a line for each time that it is told of."""
    console = Console(stderr=True)

    async def work(room: Room) -> BatchOut:
        return await _watched(room, batch_id, console, as_json=as_json)

    try:
        batch = in_room(work)
    except KeyboardInterrupt:
        console.print(f"Batch {batch_id} goes on; `pressroom batches watch {batch_id}` shows how.", soft_wrap=True)
        raise typer.Exit(CANCELLED) from None
    if not as_json:
        colour = "green" if batch.counts.success == batch.total else "red"
        console.print(Text.assemble((batch.status.value, f"bold {colour}"), f"  batch {batch.id}  {_told(batch)}"))
    raise typer.Exit(exit_code(batch))


def exit_code(batch: BatchOut) -> int:
    """0 where all succeeded, 130 for what was cancelled, 1 for the rest."""
    if batch.status is BatchStatus.CANCELLED:
        return CANCELLED
    return 0 if batch.counts.success == batch.total else 1


async def _watched(room: Room, batch_id: int, console: Console, *, as_json: bool) -> BatchOut:
    async def look() -> BatchOut:
        async with room.database.transaction() as session:
            return await standing_of(session, await service.seen(session, room.caller, batch_id))

    batch = await look()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[told]}"),
        console=console,
        disable=as_json or not console.is_terminal,
    )
    task = bar.add_task(batch.status.value, total=batch.total, told="")
    with bar:
        async with (
            open_following(room.database) as following,
            aclosing(cast("Any", watch(following, batch_id, look))) as stands,
        ):
            async for stand in stands:
                if stand is None:
                    continue
                batch = cast("BatchOut", stand)
                bar.update(task, description=batch.status.value, completed=batch.done, told=_told(batch))
                if as_json:
                    out(batch.model_dump_json())
    return batch


def _told(batch: BatchOut) -> str:
    """The counts that are there, and when it will have ended."""
    counts = ", ".join(f"{count} {status}" for status, count in batch.counts.model_dump().items() if count)
    if batch.estimated_end is None:
        return counts
    end = batch.estimated_end.astimezone()
    today = end.date() == datetime.now().astimezone().date()
    return f"{counts}; until about {end:%H:%M:%S}" if today else f"{counts}; until about {end:%Y-%m-%d %H:%M}"
