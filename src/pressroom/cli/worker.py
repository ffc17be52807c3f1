"""``pressroom worker``: executes what waits, anywhere that reaches the database and the files."""

import asyncio
import os
import signal
from typing import Annotated

import typer

from pressroom.cli.room import WRONG, complain, explained
from pressroom.database.session import open_database
from pressroom.notebooks.places import Places
from pressroom.settings import Settings
from pressroom.worker import Staffing, open_crew


def worker(
    concurrency: Annotated[
        int | None, typer.Option(help="Executions at once; if left out, the number of processors.", min=1, max=1000)
    ] = None,
    queues: Annotated[str | None, typer.Option(help="Queues to serve, separated by ','; else every queue.")] = None,
    name: Annotated[str | None, typer.Option(help="Its name in lists and attempts; else host and process.")] = None,
    grace: Annotated[
        float | None,
        typer.Option(help="Seconds that executions may go on at a stop, before they go back into the queue.", min=0),
    ] = None,
) -> None:
    """Run a worker. SIGTERM or Ctrl-C stops it: it takes nothing new, lets executions finish for the grace period, and
    puts the rest back into the queue."""
    wanted = [part.strip() for part in queues.split(",")] if queues is not None else None
    if wanted is not None and not all(wanted):
        complain("--queues needs names, separated by ','.")
        raise typer.Exit(WRONG)
    settings = explained(Settings)
    staffing = Staffing(
        concurrency or os.cpu_count() or 1,
        queues=wanted,
        name=name,
        grace_seconds=settings.worker_grace_seconds if grace is None else grace,
    )
    explained(lambda: asyncio.run(_work(settings, staffing)))


async def _work(settings: Settings, staffing: Staffing) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    places = Places(settings.users_root, tuple(settings.shared_roots))
    async with open_database(settings) as database, open_crew(database, places, settings, staffing) as crew:
        known = staffing.registration()
        typer.echo(f"Worker {known.name}: {staffing.concurrency} at once, {_shown(staffing.queues)}.", err=True)
        ended = asyncio.create_task(crew.wait())
        await asyncio.wait({asyncio.create_task(stopped.wait()), ended}, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            ended.result()


def _shown(queues: list[str] | None) -> str:
    return f"queues {', '.join(queues)}" if queues else "every queue"
