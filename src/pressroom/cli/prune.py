"""``pressroom prune``: delete old executions."""

import signal
from dataclasses import asdict
from datetime import timedelta
from json import dumps
from typing import Annotated

import typer
from rich.console import Console

from pressroom.cli.room import Room, in_room, out
from pressroom.cli.start import CANCELLED
from pressroom.cli.times import span
from pressroom.executions import retention
from pressroom.executions.retention import Pruned
from pressroom.notebooks.places import Places
from pressroom.settings import MEBIBYTE, USER


def prune(
    older_than: Annotated[
        timedelta,
        typer.Option("--older-than", parser=span, metavar="AGE", help="How long ago it ended: 90d, 12h, 2w."),
    ],
    keep_last: Annotated[
        int, typer.Option("--keep-last", min=0, max=10_000, help="Keep the last N of each notebook, however old.")
    ] = 0,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Answer JSON.")] = False,
) -> None:
    """Delete executions that ended long ago, with their events and their outputs under executions/; never an input.
    The ticks of schedules go with their executions, and by their age where they have none.

    Ctrl-C ends it after the batch of 1,000 that is under way; run it again and it goes on.
    """
    interrupted = False

    def stop(*_: object) -> None:
        nonlocal interrupted
        interrupted = True

    console = Console(stderr=True)
    with console.status("looking for executions") as status:

        async def work(room: Room) -> Pruned:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, stop)
            if not dry_run:
                # Before anything goes: it may be ended at any time, and what is gone by then is gone.
                async with room.change("prune", "prune") as (_, told):
                    told |= {"older_than_seconds": older_than.total_seconds(), "keep_last": keep_last}
            return await retention.prune(
                room.database,
                Places.of(room.settings) if room.settings.run_as == USER else room.places,
                older_than,
                keep_last,
                dry_run=dry_run,
                progress=lambda pruned: status.update(_sentence(pruned, dry_run=dry_run)),
                stopped=lambda: interrupted,
            )

        pruned = in_room(work)
    if json:
        out(dumps({**asdict(pruned), "dry_run": dry_run, "complete": not interrupted}, indent=2))
    else:
        out(_sentence(pruned, dry_run=dry_run))
    if interrupted:
        raise typer.Exit(CANCELLED)


def _sentence(pruned: Pruned, *, dry_run: bool) -> str:
    files = f"{pruned.files:,} output files ({pruned.bytes / MEBIBYTE:,.1f} MiB)"
    what = f"{pruned.executions:,} executions, {pruned.events:,} events, {files}"
    what += f", {pruned.ticks:,} ticks of schedules" if pruned.ticks else ""
    return f"Would delete {what}." if dry_run else f"Deleted {what}."
