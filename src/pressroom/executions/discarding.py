"""Artifact directories that are wanted no more, taken away by a chore: however much is in them, no row is locked
meanwhile, and it is asked for in the transaction that ends their attempt, so that a kill right after it leaves nothing
behind. Where a worker is killed at it, another one goes on."""

import asyncio
import json
import logging
from collections.abc import Iterable
from typing import NamedTuple, Protocol

import procrastinate

from pressroom.database.session import Connection
from pressroom.errors import PressroomError
from pressroom.executions import artifacts
from pressroom.notebooks.places import Places
from pressroom.notifications.service import CHORES

log = logging.getLogger("pressroom.executions")
NAME = "pressroom.discard_artifacts"
_DEFER = f"""
SELECT procrastinate_defer_jobs_v1(ARRAY[CAST(ROW(
    '{CHORES}', '{NAME}', 0, NULL, NULL, jsonb_build_object('folders', %(folders)s::jsonb), NULL
) AS procrastinate_job_to_defer_v1)])
"""


class Folder(NamedTuple):
    """A folder beside an output, by its name there, and the user whose output it is."""

    output_path: str
    username: str
    name: str


class Context(Protocol):
    """What the chore needs of a worker."""

    @property
    def places(self) -> Places:
        """Where users' files lie."""
        ...


def of_attempt(output_path: str, username: str, execution_id: int, attempt: int) -> Folder:
    """The artifact directory of an attempt."""
    return Folder(output_path, username, artifacts.folder_name(output_path, execution_id, attempt))


async def defer(connection: Connection, folders: Iterable[Folder]) -> None:
    """Have folders taken away once the transaction of ``connection`` is committed."""
    await connection.execute(_DEFER, {"folders": json.dumps(list(folders))})


def discard(places: Places, folders: Iterable[Folder]) -> None:
    """Take folders away, as far as they are there; what cannot be taken away is logged and stays. Blocks on the file
    system: call it in a thread."""
    for folder in folders:
        try:
            directory = places.stored(folder.output_path, folder.username).beside(folder.name)
        except PressroomError as error:
            log.debug("no folder is left that held %s beside %s: %s", folder.name, folder.output_path, error)
        else:
            artifacts.discard(directory)


def add_tasks(app: procrastinate.App, context: Context) -> None:
    """Register the chore with ``app``."""

    @app.task(name=NAME, queue=CHORES)
    async def _(folders: list[tuple[str, str, str]]) -> None:  # pyright: ignore[reportUnusedFunction]
        await asyncio.to_thread(discard, context.places, [Folder(*folder) for folder in folders])
