"""What the clients do with schedules."""

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar, Unpack

from pydantic import JsonValue

from pressroom.batches.schemas import BatchOut
from pressroom.client import schedule_calls as calls
from pressroom.client.calls import Call
from pressroom.client.schedule_calls import BackfillOptions, ScheduleOptions
from pressroom.executions.schemas import ExecutionOut
from pressroom.schedules.schemas import ScheduleOut, TickOut

T = TypeVar("T")


class Schedules:
    """The methods of the synchronous client."""

    def _call(self, call: Call[T]) -> T:
        raise NotImplementedError

    def schedule(
        self,
        notebook_id: int,
        name: str,
        cron: str,
        timezone: str = "UTC",
        *,
        parameters: Mapping[str, JsonValue] | None = None,
        **options: Unpack[ScheduleOptions],
    ) -> ScheduleOut:
        """Have a notebook executed at certain times. A text in ``parameters`` may use the tick:
        ``{{ previous_month }}``."""
        return self._call(calls.create(notebook_id, name, cron, timezone, parameters, options))

    def get_schedule(self, schedule_id: int) -> ScheduleOut:
        """One schedule, with its next tick."""
        return self._call(calls.one(schedule_id))

    def update_schedule(self, schedule_id: int, **changes: Any) -> ScheduleOut:
        """Change the fields that are given."""
        return self._call(calls.update(schedule_id, changes))

    def delete_schedule(self, schedule_id: int) -> None:
        """Delete a schedule and the history of its ticks; its executions stay."""
        self._call(calls.delete(schedule_id))

    def pause_schedule(self, schedule_id: int) -> ScheduleOut:
        """Let no tick fire until it is resumed."""
        return self._call(calls.pause(schedule_id))

    def resume_schedule(self, schedule_id: int) -> ScheduleOut:
        """Let ticks fire again, from the next one on."""
        return self._call(calls.resume(schedule_id))

    def run_schedule(self, schedule_id: int, scheduled_at: datetime | None = None) -> ExecutionOut:
        """Execute it by hand, as of now, or with the parameters of a time that is over. Waits for nothing."""
        return self._call(calls.run(schedule_id, scheduled_at))

    def backfill_schedule(
        self, schedule_id: int, start: datetime, end: datetime, **options: Unpack[BackfillOptions]
    ) -> BatchOut:
        """Execute it for each tick from ``start`` to ``end``, both of them in it, as one batch."""
        return self._call(calls.backfill(schedule_id, start, end, options))

    def preview_schedule(
        self, cron: str, timezone: str = "UTC", *, after: datetime | None = None, count: int = 10
    ) -> list[datetime]:
        """The first times that an expression means after a moment, or from now on, in UTC."""
        return self._call(calls.preview(cron, timezone, after, count))

    def schedules(self, *, username: str | None = None, notebook_id: int | None = None) -> Iterator[ScheduleOut]:
        """The schedules that the caller may see, by id, page after page."""
        skip = 0
        while True:
            page = self._call(calls.page(username, notebook_id, skip))
            yield from page
            if len(page) < calls.PAGE:
                return
            skip += calls.PAGE

    def schedule_history(self, schedule_id: int) -> Iterator[TickOut]:
        """What became of each tick, newest first, page after page; what is added meanwhile is not given, and none
        twice."""
        skip, last = 0, None
        while True:
            page = self._call(calls.ticks(schedule_id, skip))
            for item in page:
                if last is None or item.scheduled_at < last:
                    last = item.scheduled_at
                    yield item
            if len(page) < calls.PAGE:
                return
            skip += calls.PAGE


class AsyncSchedules:
    """The methods of the asynchronous client."""

    async def _call(self, call: Call[T]) -> T:
        raise NotImplementedError

    async def schedule(
        self,
        notebook_id: int,
        name: str,
        cron: str,
        timezone: str = "UTC",
        *,
        parameters: Mapping[str, JsonValue] | None = None,
        **options: Unpack[ScheduleOptions],
    ) -> ScheduleOut:
        """Have a notebook executed at certain times. A text in ``parameters`` may use the tick:
        ``{{ previous_month }}``."""
        return await self._call(calls.create(notebook_id, name, cron, timezone, parameters, options))

    async def get_schedule(self, schedule_id: int) -> ScheduleOut:
        """One schedule, with its next tick."""
        return await self._call(calls.one(schedule_id))

    async def update_schedule(self, schedule_id: int, **changes: Any) -> ScheduleOut:
        """Change the fields that are given."""
        return await self._call(calls.update(schedule_id, changes))

    async def delete_schedule(self, schedule_id: int) -> None:
        """Delete a schedule and the history of its ticks; its executions stay."""
        await self._call(calls.delete(schedule_id))

    async def pause_schedule(self, schedule_id: int) -> ScheduleOut:
        """Let no tick fire until it is resumed."""
        return await self._call(calls.pause(schedule_id))

    async def resume_schedule(self, schedule_id: int) -> ScheduleOut:
        """Let ticks fire again, from the next one on."""
        return await self._call(calls.resume(schedule_id))

    async def run_schedule(self, schedule_id: int, scheduled_at: datetime | None = None) -> ExecutionOut:
        """Execute it by hand, as of now, or with the parameters of a time that is over. Waits for nothing."""
        return await self._call(calls.run(schedule_id, scheduled_at))

    async def backfill_schedule(
        self, schedule_id: int, start: datetime, end: datetime, **options: Unpack[BackfillOptions]
    ) -> BatchOut:
        """Execute it for each tick from ``start`` to ``end``, both of them in it, as one batch."""
        return await self._call(calls.backfill(schedule_id, start, end, options))

    async def preview_schedule(
        self, cron: str, timezone: str = "UTC", *, after: datetime | None = None, count: int = 10
    ) -> list[datetime]:
        """The first times that an expression means after a moment, or from now on, in UTC."""
        return await self._call(calls.preview(cron, timezone, after, count))

    async def schedules(
        self, *, username: str | None = None, notebook_id: int | None = None
    ) -> AsyncIterator[ScheduleOut]:
        """The schedules that the caller may see, by id, page after page."""
        skip = 0
        while True:
            page = await self._call(calls.page(username, notebook_id, skip))
            for item in page:
                yield item
            if len(page) < calls.PAGE:
                return
            skip += calls.PAGE

    async def schedule_history(self, schedule_id: int) -> AsyncIterator[TickOut]:
        """What became of each tick, newest first, page after page; what is added meanwhile is not given, and none
        twice."""
        skip, last = 0, None
        while True:
            page = await self._call(calls.ticks(schedule_id, skip))
            for item in page:
                if last is None or item.scheduled_at < last:
                    last = item.scheduled_at
                    yield item
            if len(page) < calls.PAGE:
                return
            skip += calls.PAGE
