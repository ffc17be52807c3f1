"""``pressroom worker``: executes what waits, anywhere that reaches the database and the files."""

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from typing import Annotated

import typer
from pydantic import TypeAdapter

from pressroom import logs, traces
from pressroom.cli.room import WRONG, complain, explained
from pressroom.database.session import open_database
from pressroom.executions.options import QueueName
from pressroom.executions.tasks import Workshop
from pressroom.metrics import Metrics
from pressroom.metrics_listener import serve_metrics
from pressroom.notebooks.places import Places
from pressroom.press import control_groups
from pressroom.settings import Settings
from pressroom.worker import Staffing, ended, open_crew

_QUEUES = TypeAdapter(dict[str, list[QueueName] | None])


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
    metrics_port: Annotated[
        int | None, typer.Option(help="Serve its own counters at /metrics of this port.", min=1, max=65535)
    ] = None,
) -> None:
    """Run a worker. SIGTERM or Ctrl-C stops it: it takes nothing new, lets executions finish for the grace period, and
    puts the rest back into the queue."""
    wanted = [part.strip() for part in queues.split(",")] if queues is not None else None
    if wanted is not None and not all(wanted):
        complain("--queues needs names, separated by ','.")
        raise typer.Exit(WRONG)
    explained(lambda: _QUEUES.validate_python({"queues": wanted}))
    settings = explained(Settings)
    places = explained(lambda: Places.of(settings))
    control_groups.settle()
    logs.configure(settings)
    traces.configure()
    staffing = Staffing(
        concurrency or os.cpu_count() or 1,
        queues=wanted,
        name=name,
        grace_seconds=settings.worker_grace_seconds if grace is None else grace,
    )
    explained(lambda: asyncio.run(_work(settings, places, staffing, metrics_port)))


async def _work(settings: Settings, places: Places, staffing: Staffing, metrics_port: int | None) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with AsyncExitStack() as opened:
        database = await opened.enter_async_context(open_database(settings))
        shop = Workshop(database, places, settings, Metrics(settings.worker_lost_seconds))
        if metrics_port is not None:
            host, token = settings.metrics_host or settings.host, settings.metrics_token
            serving = serve_metrics(shop.metrics, database, host, metrics_port, token=token)
            opened.push_async_callback(ended, asyncio.create_task(serving, name="metrics"))
        crew = await opened.enter_async_context(open_crew(shop, staffing))
        known = staffing.registration()
        typer.echo(f"Worker {known.name}: {staffing.concurrency} at once, {_shown(staffing.queues)}.", err=True)
        working = asyncio.create_task(crew.wait())
        await asyncio.wait({asyncio.create_task(stopped.wait()), working}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    await asyncio.to_thread(traces.flush)


def _shown(queues: list[str] | None) -> str:
    return f"queues {', '.join(queues)}" if queues else "every queue"
