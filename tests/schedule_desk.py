"""A registered notebook whose schedules fire by a time that is moved."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from line import Line
from pressroom.database.models import Execution, Notebook, Schedule, ScheduleTick
from pressroom.identity.principal import Principal
from pressroom.schedules import due, service
from pressroom.schedules.clock import Clock
from pressroom.schedules.schemas import ScheduleCreate

ANA = Principal.local("ana")
BO = Principal.person("bo", source="test")
MINUTE = timedelta(minutes=1)
START = datetime(2030, 1, 1, tzinfo=UTC)
"""All here happens in a year that is to come, by a clock that is moved."""


@dataclass
class Desk:
    """A registered notebook, and a time that is moved."""

    line: Line
    notebook_id: int
    path: Path
    now: datetime = START
    clocks: list[Clock] = field(default_factory=list)

    @classmethod
    async def of(cls, line: Line, path: Path) -> "Desk":
        """With a notebook at ``path``, of ana's."""
        async with line.database.transaction() as session:
            row = Notebook(name="sales", file_path=str(path), username="ana", tags=[], metadata_={})
            session.add(row)
            await session.flush()
        return cls(line, row.id, path)

    def session(self) -> Any:
        return self.line.database.transaction()

    def clock(self, **settings: Any) -> Clock:
        return Clock(self.line.shop(**settings), self.line.intake.jobs, lambda: self.now)

    async def make(self, principal: Principal = ANA, **fields: Any) -> int:
        wanted = ScheduleCreate(**{"notebook_id": self.notebook_id, "name": "s", "cron": "* * * * *", **fields})
        async with self.session() as session:
            schedule = await service.create(session, self.line.intake, principal, wanted)
            if schedule.next_at is not None:
                due.wait_for(schedule, due.following(schedule, self.now))
            return schedule.id

    async def at(self, now: datetime, clock: Clock | None = None) -> None:
        """Let it be that time, and the clock look."""
        self.now = now
        clock = clock or self.clock()
        while await clock.once():
            pass

    async def rows(self, schedule_id: int) -> list[ScheduleTick]:
        """What became of its ticks, the first one first."""
        wanted = select(ScheduleTick).where(ScheduleTick.schedule_id == schedule_id).order_by(ScheduleTick.scheduled_at)
        async with self.session() as session:
            return list((await session.scalars(wanted)).all())

    async def ticks(self, schedule_id: int) -> list[tuple[int, str]]:
        """The minutes after the start, and what became of them."""
        rows = await self.rows(schedule_id)
        return [(int((row.scheduled_at - START) / MINUTE), row.outcome) for row in rows]

    async def change(self, schedule_id: int, principal: Principal = ANA, **changes: Any) -> Schedule:
        async with self.session() as session:
            return await service.change(session, self.line.intake, principal, schedule_id, changes)

    async def executions(self, schedule_id: int) -> list[Execution]:
        wanted = select(Execution).where(Execution.schedule_id == schedule_id).order_by(Execution.id)
        async with self.session() as session:
            return list((await session.scalars(wanted)).all())

    async def message(self, schedule_id: int, minute: int) -> str | None:
        async with self.session() as session:
            row = await session.get(ScheduleTick, (schedule_id, START + MINUTE * minute))
            return row.message
