"""``pressroom workers`` and ``pressroom queues``: who works, and what waits."""

from typing import Annotated

import typer

from pressroom.cli.room import Room, in_room
from pressroom.cli.tables import show_rows
from pressroom.executions import staff
from pressroom.executions.schemas import QueueOut, WorkerOut
from pressroom.identity.policy import viewer

Json = Annotated[bool, typer.Option("--json", help="Answer JSON.")]


def workers(*, json: Json = False) -> None:
    """List the workers: where they are, which queues they serve, and what they run."""

    async def work(room: Room) -> list[WorkerOut]:
        async with room.database.transaction() as session:
            return await staff.workers(session, room.settings.worker_lost_seconds)

    columns = ("id", "name", "host", "process_id", "queues", "concurrency", "alive", "running")
    show_rows(in_room(work), columns, as_json=json, empty="Nobody works; `pressroom worker` starts one.")


def queues(*, json: Json = False) -> None:
    """List the queues in which something waits or runs."""

    async def work(room: Room) -> list[QueueOut]:
        async with room.database.transaction() as session:
            return await staff.queues(session, viewer(room.caller))

    columns = ("name", "waiting", "running", "oldest_waiting_seconds")
    show_rows(in_room(work), columns, as_json=json, empty="Nothing waits and nothing runs.")
