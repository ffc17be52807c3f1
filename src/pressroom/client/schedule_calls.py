"""The calls of schedules: what is sent, and how the answer is read."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypedDict

from pydantic import JsonValue

from pressroom.batches.schemas import BatchOut
from pressroom.client.calls import Call
from pressroom.client.options import HowOptions, body
from pressroom.executions.schemas import ExecutionOut
from pressroom.schedules.schemas import Missed, Overlap, ScheduleOut, TickOut

PAGE = 100


class ScheduleOptions(HowOptions, total=False):
    """What may be said of a schedule beside its notebook, its name, its expression and its parameters. Of how an
    execution is queued, limited and retried, where its output goes and until when it must start cannot be said."""

    description: str | None
    starts_at: datetime | None
    """No tick before it; a time without a zone is this machine's."""
    ends_at: datetime | None
    """No tick after it."""
    missed: Missed | str
    """What becomes of the ticks of an outage: ``skip``, ``last``, ``all``."""
    missed_limit: int
    """With ``all``: how many of them fire at most."""
    overlap: Overlap | str
    """What becomes of a tick while an earlier execution is under way: ``queue``, ``skip``, ``cancel_running``."""
    jitter_seconds: float
    """Each tick fires up to so much later."""
    paused: bool


class BackfillOptions(TypedDict, total=False):
    """What may be said of a backfill beside its range."""

    in_order: bool
    """Each starts when all before it have ended."""
    concurrency_limit: int | None
    """How many of them run at once at most."""
    stop_after_failures: int | None
    """After so many failures, nothing more starts."""


def create(
    notebook_id: int,
    name: str,
    cron: str,
    timezone: str,
    parameters: Mapping[str, JsonValue] | None,
    options: Mapping[str, Any],
) -> Call[ScheduleOut]:
    fields = {"notebook_id": notebook_id, "name": name, "cron": cron, "timezone": timezone}
    fields |= {"parameters": dict(parameters or {})}
    return Call("POST", "/db/schedules", ScheduleOut, fields | _plain(body(options)))


def one(schedule_id: int) -> Call[ScheduleOut]:
    return Call("GET", f"/db/schedules/{schedule_id}", ScheduleOut)


def page(username: str | None, notebook_id: int | None, skip: int) -> Call[list[ScheduleOut]]:
    query = {"username": username, "notebook_id": notebook_id, "skip": skip, "limit": PAGE}
    return Call("GET", "/db/schedules", list[ScheduleOut], query=query)


def update(schedule_id: int, changes: Mapping[str, Any]) -> Call[ScheduleOut]:
    return Call("PUT", f"/db/schedules/{schedule_id}", ScheduleOut, _plain(changes))


def delete(schedule_id: int) -> Call[None]:
    return Call("DELETE", f"/db/schedules/{schedule_id}", None)


def pause(schedule_id: int) -> Call[ScheduleOut]:
    return Call("POST", f"/db/schedules/{schedule_id}/pause", ScheduleOut)


def resume(schedule_id: int) -> Call[ScheduleOut]:
    return Call("POST", f"/db/schedules/{schedule_id}/resume", ScheduleOut)


def run(schedule_id: int, scheduled_at: datetime | None) -> Call[ExecutionOut]:
    fields = {} if scheduled_at is None else {"scheduled_at": _moment(scheduled_at)}
    return Call("POST", f"/db/schedules/{schedule_id}/run", ExecutionOut, fields)


def ticks(schedule_id: int, skip: int) -> Call[list[TickOut]]:
    query = {"skip": skip, "limit": PAGE}
    return Call("GET", f"/db/schedules/{schedule_id}/ticks", list[TickOut], query=query)


def backfill(schedule_id: int, start: datetime, end: datetime, options: Mapping[str, Any]) -> Call[BatchOut]:
    fields = {"from": _moment(start), "to": _moment(end)} | {k: v for k, v in options.items() if v is not None}
    return Call("POST", f"/db/schedules/{schedule_id}/backfill", BatchOut, fields)


def preview(cron: str, timezone: str, after: datetime | None, count: int) -> Call[list[datetime]]:
    query = {"cron": cron, "timezone": timezone, "from": after and _moment(after), "count": count}
    return Call("GET", "/db/schedules/preview", list[datetime], query=query)


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as JSON has them."""

    def plain(value: Any) -> Any:
        if isinstance(value, datetime):
            return _moment(value)
        return value.value if isinstance(value, Enum) else value

    return {name: plain(value) for name, value in fields.items()}
