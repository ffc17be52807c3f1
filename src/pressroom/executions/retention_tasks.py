"""The daily pruning, as a chore of the workers."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

import procrastinate

from pressroom.database.session import Database
from pressroom.executions.retention import Pruned, prune
from pressroom.notebooks.places import Places
from pressroom.notifications.service import CHORES
from pressroom.settings import Settings

log = logging.getLogger("pressroom.executions")
NAME = "pressroom.prune_daily"


class Context(Protocol):
    """What pruning needs of a worker."""

    @property
    def settings(self) -> Settings:
        """The settings."""
        ...

    @property
    def database(self) -> Database:
        """The database."""
        ...

    @property
    def places(self) -> Places:
        """Where users' files lie."""
        ...


async def prune_daily(context: Context, stopped: Callable[[], bool] = lambda: False) -> Pruned | None:
    """Delete what ``retention_days`` says; ``None`` where it is not set. Ends after a batch where ``stopped``."""
    settings = context.settings
    if settings.retention_days is None:
        return None
    older_than = timedelta(days=settings.retention_days)
    pruned = await prune(context.database, context.places, older_than, settings.retention_keep_last, stopped=stopped)
    log.info("pruned %s executions, %s files, %s bytes", pruned.executions, pruned.files, pruned.bytes)
    return pruned


def add_tasks(app: procrastinate.App, context: Context) -> None:
    """Register the daily chore with ``app``; one run at a time waits, whoever defers it."""

    @app.periodic(cron="17 3 * * *")
    @app.task(name=NAME, queue=CHORES, queueing_lock=NAME, pass_context=True)
    async def _(job: procrastinate.JobContext, timestamp: int) -> None:  # pyright: ignore[reportUnusedFunction]
        del timestamp  # when it was due
        await prune_daily(context, job.should_abort)
