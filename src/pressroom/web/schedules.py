"""Schedules: the list, one with what became of its ticks, and what can be done with it."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from pressroom import logs
from pressroom.api import ActingRunner, Id, Reader, TheParts, Viewer
from pressroom.errors import Invalid, ParameterInvalid
from pressroom.identity.audit import facts
from pressroom.identity.policy import acts_for_everybody, viewer
from pressroom.identity.principal import Principal, Scope
from pressroom.notebooks import finding
from pressroom.schedules import backfill, cron, history, service, ticks
from pressroom.schedules.answers import answer
from pressroom.schedules.schemas import BackfillWanted, ScheduleOut
from pressroom.schedules.upcoming import coming
from pressroom.web.forms import wrong_fields
from pressroom.web.listing import skipped
from pressroom.web.rendering import page
from pressroom.web.routes import PageRoute, changing, form_of, see_other, text_fields
from pressroom.wire import id_in

ON_A_PAGE, TICKS, TIMES = 50, 30, 5
BACKFILL = ("from", "to", "concurrency_limit", "stop_after_failures")
router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/schedules")
async def show_schedules(request: Request, parts: TheParts, caller: Reader) -> Response:
    """The schedules that somebody may see; with ``notebook_id``, those of one notebook."""
    skip, given = skipped(request), request.query_params.get("notebook_id", "")
    notebook_id = id_in(given)
    async with parts.database.snapshot() as session:
        body, length, total = await service.page(session, caller, None, notebook_id, skip, ON_A_PAGE)
        rows: list[dict[str, Any]] = json.loads(body)
        names = await finding.names(session, viewer(caller), {row["notebook_id"] for row in rows})
    return page(
        request,
        "schedules.html",
        schedules=[(row, cron.parsed(row["cron"]).words, names.get(row["notebook_id"])) for row in rows],
        length=length,
        total=total,
        skip=skip,
        on_a_page=ON_A_PAGE,
        notebook_id=notebook_id,
        notebook=names.get(notebook_id or 0),
    )


@router.get("/schedules/{schedule_id}")
async def show_a_schedule(schedule_id: Id, request: Request, parts: TheParts, caller: Viewer) -> Response:
    """One schedule: when it fires next, and what became of its last ticks."""
    return await _page(request, parts, caller, schedule_id)


@router.post("/schedules/{schedule_id}/pause")
async def pause_a_schedule_from_a_page(
    schedule_id: Id, request: Request, parts: TheParts, caller: ActingRunner
) -> Response:
    """Let no tick fire until it is resumed."""
    async with changing(request) as session:
        await service.change(session, parts.intake, caller, schedule_id, {"paused": True})
    return see_other(request, f"/schedules/{schedule_id}", notice="paused")


@router.post("/schedules/{schedule_id}/resume")
async def resume_a_schedule_from_a_page(
    schedule_id: Id, request: Request, parts: TheParts, caller: ActingRunner
) -> Response:
    """Let ticks fire again."""
    async with changing(request) as session:
        await service.change(session, parts.intake, caller, schedule_id, {"paused": False})
    return see_other(request, f"/schedules/{schedule_id}", notice="resumed")


@router.post("/schedules/{schedule_id}/run")
async def run_a_schedule_from_a_page(
    schedule_id: Id, request: Request, parts: TheParts, caller: ActingRunner
) -> Response:
    """Execute it now, and show the execution."""
    async with changing(request) as session:
        execution = await service.run(session, parts.intake, caller, schedule_id)
        facts(request.scope)["execution_ids"] = [execution.id]
        made = execution.id
    logs.about(made)
    return see_other(request, f"/executions/{made}", notice="submitted")


@router.post("/schedules/{schedule_id}/delete")
async def delete_a_schedule_from_a_page(schedule_id: Id, request: Request, caller: ActingRunner) -> Response:
    """Delete it and the history of its ticks."""
    async with changing(request) as session:
        await service.delete(session, caller, schedule_id)
    return see_other(request, "/schedules", notice="deleted")


@router.post("/schedules/{schedule_id}/backfill")
async def backfill_a_schedule_from_a_page(
    schedule_id: Id, request: Request, parts: TheParts, caller: ActingRunner
) -> Response:
    """Execute it for each tick of the days that were said, which are those of the schedule's own zone, and show the
    batch; or say what is wrong with them. With ``look``, how many ticks that are is only shown."""
    sent = text_fields(await form_of(request))
    async with parts.database.snapshot() as session:
        schedule = await service.owned(session, caller, schedule_id)
    place, limit = ticks.zone(schedule.timezone), parts.settings.batch_limit
    said: dict[str, Any] = {name: text for name in BACKFILL if (text := sent.get(name, "").strip())}
    days, errors = _days(sent, place, datetime.now(UTC))
    try:
        wanted = BackfillWanted.model_validate({**said, **days, "in_order": "in_order" in sent})
        if "look" in sent:
            backfill.require_forwards(wanted)
            found = await asyncio.to_thread(ticks.between, schedule.cron, place, wanted.from_, wanted.to, limit + 1)
            return await _page(request, parts, caller, schedule_id, sent, count=len(found))
        async with changing(request) as session:
            batch = await backfill.begin(session, parts.intake, caller, schedule_id, wanted)
            facts(request.scope).update(batch_id=batch.id, total=batch.total)
            made = batch.id
    except ValidationError as error:
        errors = wrong_fields(error, of_all="from") | errors
    except Invalid as error:
        errors = {error.where[0] if error.where and error.where[0] in BACKFILL else "from": error.detail}
        if isinstance(error, ParameterInvalid):  # what is wrong with one tick is wrong with hundreds
            errors = {"from": " ".join(error.by_parameter.values())}
    else:
        return see_other(request, f"/batches/{made}", notice="batch")
    return await _page(request, parts, caller, schedule_id, sent, errors, status=200 if "look" in sent else 422)


def _days(sent: Mapping[str, str], place: ZoneInfo, now: datetime) -> tuple[dict[str, datetime | None], dict[str, str]]:
    """When the days begin and end by the clocks of ``place``, the last of them now at the latest; what is wrong with
    a text that is no day."""
    found: dict[str, datetime | None] = {}
    errors: dict[str, str] = {}
    for name, more in (("from", 0), ("to", 1)):
        if not (text := sent.get(name, "").strip()):
            continue
        try:
            day = date.fromisoformat(text) + timedelta(days=more)
            midnight = datetime.combine(day, time.min, place).astimezone(UTC)
        except (ValueError, OverflowError):
            found[name], errors[name] = None, f"{text[:50]!r} is no day, such as 2026-10-31."
            continue
        found[name] = min(midnight - timedelta(microseconds=1), now) if more else midnight
    if (start := found.get("from")) and start > now:
        found["from"], errors["from"] = None, "lies ahead; ticks that are to come fire by themselves."
    return found, errors


async def _page(
    request: Request,
    parts: TheParts,
    caller: Principal,
    schedule_id: int,
    sent: dict[str, str] | None = None,
    errors: dict[str, str] | None = None,
    *,
    count: int | None = None,
    status: int = 200,
) -> Response:
    """The page; ``count``: how many ticks the days have that are typed."""
    skip = skipped(request)
    async with parts.database.snapshot() as session:
        schedule: ScheduleOut = await answer(session, await service.get(session, caller, schedule_id))
        names = await finding.names(session, viewer(caller), [schedule.notebook_id])
        body, length, total = await history.page(session, caller, schedule_id, skip, TICKS)
    ask = (schedule.cron, schedule.timezone, datetime.now(UTC), TIMES)
    bounds = {"starts_at": schedule.starts_at, "ends_at": schedule.ends_at}
    times = [] if schedule.paused else await asyncio.to_thread(lambda: coming(*ask, **bounds))
    may = schedule.username == caller.username or acts_for_everybody(caller)
    return page(
        request,
        "schedule.html",
        status=status,
        schedule=schedule.model_dump(mode="json"),
        words=cron.parsed(schedule.cron).words,
        notebook=names.get(schedule.notebook_id),
        times=times,
        ticks=json.loads(body),
        length=length,
        total=total,
        skip=skip,
        on_a_page=TICKS,
        sent=sent or {},
        errors=errors or {},
        count=count,
        limit=parts.settings.batch_limit,
        may_change=may and Scope.EXECUTE in caller.scopes,
    )
