"""How ``pressroom schedules`` changes schedules, and how it shows them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.cli.room import Room, out
from pressroom.executions.connector import open_jobs
from pressroom.executions.orders import Intake
from pressroom.notebooks.files import ValidFiles
from pressroom.notebooks.places import Places
from pressroom.schedules import ticks
from pressroom.schedules.schemas import ScheduleOut
from pressroom.settings import MEBIBYTE


class Line(BaseModel):
    """A schedule in a table."""

    id: int
    name: str
    notebook_id: int
    username: str
    cron: str
    timezone: str
    next: str | None
    missed: str
    overlap: str


def line_of(row: ScheduleOut) -> Line:
    """A schedule as a line of a table."""
    local = "paused" if row.paused else row.next_at and local_time(row.next_at, row.timezone)
    return Line.model_validate(row.model_dump() | {"next": local})


def local_time(at: datetime, zone: str) -> str:
    """A moment as the clocks of a zone show it."""
    return at.astimezone(ticks.zone(zone)).strftime("%a %Y-%m-%d %H:%M %Z")


@asynccontextmanager
async def changing(
    room: Room, command: str, operation: str
) -> AsyncGenerator[tuple[AsyncSession, dict[str, Any], Intake]]:
    """A change by a worker's rights on files, since workers execute what it brings."""
    settings = room.settings
    valid = ValidFiles(int(settings.max_notebook_mb * MEBIBYTE))
    async with open_jobs(room.database) as jobs, room.change(f"schedules {command}", operation) as (session, told):
        yield session, told, Intake(Places.of(settings), settings, jobs, valid)


def show_schedule(row: ScheduleOut, *, as_json: bool) -> None:
    """Say what a schedule does next."""
    if as_json:
        out(row.model_dump_json(indent=2))
        return
    then = "is paused" if row.paused else f"next {local_time(row.next_at, row.timezone)}" if row.next_at else "is over"
    out(f"Schedule {row.id}, {row.name}: {row.cron} in {row.timezone}, {then}.")
