"""The clock of a worker as a process of its own, by a time that is written into a file."""

import asyncio
import multiprocessing
from datetime import datetime
from multiprocessing.process import BaseProcess
from pathlib import Path

from pressroom.database.session import Database
from pressroom.database.url import normalise
from pressroom.executions.tasks import Workshop
from pressroom.metrics import Metrics
from pressroom.notebooks.places import Places
from pressroom.schedules.clock import Clock
from pressroom.settings import Settings
from pressroom.worker import open_jobs


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


def begin(url: str, home: Path, told: Path) -> BaseProcess:
    """Start a clock that goes by the time in the file ``told``."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["chaos.clocks"])
    process = forks.Process(target=_go, args=(url, home, told), daemon=True)
    process.start()
    return process
