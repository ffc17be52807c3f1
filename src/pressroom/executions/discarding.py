"""Artifact directories that are wanted no more, taken away by a chore.

It is asked for in the transaction that ends their attempt, or deletes their execution: so no row is locked while they
are emptied, however much is in them, and whoever is killed at it is followed by another.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Iterable
from threading import Event
from typing import NamedTuple, Protocol

import procrastinate

from pressroom.database.session import Connection
from pressroom.errors import NotFound, PathNotAllowed, PressroomError
from pressroom.executions import artifacts, trees
from pressroom.notebooks.places import Places
from pressroom.notifications.service import CHORES

log = logging.getLogger("pressroom.executions")
NAME = "pressroom.discard_artifacts"
RETRIES = 5
"""What cannot be taken away is tried again after 6 s, 36 s, 4 min, 22 min and 2 h."""
# After all that somebody waits for.
_DEFER = f"""
SELECT procrastinate_defer_jobs_v1(ARRAY[CAST(ROW(
    '{CHORES}', '{NAME}', -10, NULL, NULL, jsonb_build_object('attempts', %(attempts)s::jsonb), NULL
) AS procrastinate_job_to_defer_v1)])
"""


class Attempt(NamedTuple):
    """An attempt whose artifacts are wanted no more, and whose output it was to write."""

    output_path: str
    username: str
    execution_id: int
    number: int


class Context(Protocol):
    """What the chore needs of a worker."""

    @property
    def places(self) -> Places:
        """Where users' files lie."""
        ...


async def defer(connection: Connection, attempts: Iterable[Attempt]) -> None:
    """Have the artifacts of attempts taken away, once the transaction of ``connection`` is committed."""
    await connection.execute(_DEFER, {"attempts": json.dumps(list(attempts))})


def discard(places: Places, attempts: Iterable[Attempt], stopped: Callable[[], bool] = lambda: False) -> list[Attempt]:
    """Take the artifacts of attempts away, as far as they are there; those attempts of which something is left, which
    is logged, and those that were not come to where ``stopped``. Blocks on the file system: call it in a thread."""
    return [attempt for attempt in attempts if stopped() or not _is_discarded(places, attempt)]


def _is_discarded(places: Places, attempt: Attempt) -> bool:
    path, _, execution_id, number = attempt
    try:
        with places.stored(path, attempt.username).parent.in_directory() as folder:
            for name in (artifacts.folder_name(path, execution_id, number), artifacts.gone_name(execution_id, number)):
                trees.remove(folder, name)
    except (NotFound, PathNotAllowed) as error:
        log.debug("no folder holds artifacts of execution %s: %s", execution_id, error)
    except (PressroomError, OSError) as error:
        log.warning("artifacts of attempt %s of execution %s are left: %s", number, execution_id, error)
        return False
    return True


def add_tasks(app: procrastinate.App, context: Context) -> None:
    """Register the chore with ``app``. A worker that stops gives it back; what is left is tried again."""
    again = procrastinate.RetryStrategy(max_attempts=RETRIES, exponential_wait=6)

    @app.task(name=NAME, queue=CHORES, retry=again)
    async def _(attempts: list[tuple[str, str, int, int]]) -> None:  # pyright: ignore[reportUnusedFunction]
        given, halt = [Attempt(*each) for each in attempts], Event()
        try:
            left = await asyncio.to_thread(discard, context.places, given, halt.is_set)
        finally:
            halt.set()  # where the worker stops, it is cancelled, and its thread is not
        if left:
            raise _NotDone(len(left))


class _NotDone(Exception):
    """Artifacts are left."""

    def __init__(self, count: int) -> None:
        super().__init__(f"artifacts of {count} attempts are left")
