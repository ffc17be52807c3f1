"""The clock of a worker as a process of its own, by a time that is written into a file."""

import asyncio
import multiprocessing
from datetime import datetime
from multiprocessing.process import BaseProcess
from pathlib import Path

from sqlalchemy import make_url

from pressroom.database.session import Database
from pressroom.database.url import normalise
from pressroom.executions.connector import open_jobs
from pressroom.executions.tasks import Workshop
from pressroom.metrics import Metrics
from pressroom.notebooks.places import Places
from pressroom.schedules.clock import Clock
from pressroom.settings import Settings


def settings_of(url: str, home: Path) -> Settings:
    """The settings of a service whose users live in ``home``."""
    return Settings(database_url=url, users_root=home, local_user="ana", preload=[])


def _go(url: str, home: Path, told: Path) -> None:
    async def run() -> None:
        settings = settings_of(url, home)
        shop = Workshop(Database(normalise(url), 2), Places.of(settings), settings, Metrics(20))
        async with open_jobs(shop.database) as jobs:
            clock = Clock(shop, jobs, lambda: datetime.fromisoformat(told.read_text()))
            await asyncio.gather(clock.run(), clock.listen())

    asyncio.run(run())


def begin(url: str, home: Path, told: Path, name: str) -> BaseProcess:
    """Start a clock that goes by the time in the file ``told``; the database knows it by its ``name``."""
    forks = multiprocessing.get_context("forkserver")
    # Modules of the tests are not on its path: it would import nothing, and each clock all of it.
    forks.set_forkserver_preload(["pressroom.worker", "pressroom.schedules.clock"])
    named = make_url(url).update_query_dict({"application_name": name}).render_as_string(hide_password=False)
    process = forks.Process(target=_go, args=(named, home, told), daemon=True)
    process.start()
    return process
