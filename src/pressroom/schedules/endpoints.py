"""Schedules over HTTP."""

import asyncio
from datetime import datetime
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from pressroom.api import (
    PAGE,
    ActingRunner,
    Facts,
    Id,
    Limit,
    Page,
    QueryText,
    Reader,
    Skip,
    TheParts,
    Transaction,
    Viewer,
    page_response,
    problems,
)
from pressroom.batches.endpoints import MADE
from pressroom.batches.schemas import BatchOut
from pressroom.batches.standing import standing_of
from pressroom.callers_first import CallerFirst
from pressroom.errors import AlreadyExists, Invalid, NotAllowed, NotFound, TooMany
from pressroom.executions.endpoints import ACCEPTED, accepted
from pressroom.executions.history_endpoints import Moment
from pressroom.executions.schemas import ExecutionOut
from pressroom.schedules import backfill, history, service, ticks
from pressroom.schedules.answers import answer
from pressroom.schedules.schemas import (
    BackfillWanted,
    RunWanted,
    ScheduleCreate,
    ScheduleOut,
    ScheduleUpdate,
    TickOut,
)
from pressroom.wire import MAX_ID, Timestamp

router = APIRouter(prefix="/db/schedules", tags=["schedules"], route_class=CallerFirst)
MOST_SHOWN = 1000


@router.post("", status_code=201, responses=problems(NotAllowed, NotFound, AlreadyExists, Invalid))
async def add_a_schedule(
    wanted: ScheduleCreate, session: Transaction, parts: TheParts, caller: ActingRunner, facts: Facts
) -> ScheduleOut:
    """Have a notebook executed at certain times. The execution of the next tick is checked as if it were asked for now;
    it is submitted then as the schedule's user, with the groups and roles that they had when they last saved it."""
    facts["notebook_id"] = wanted.notebook_id
    schedule = await service.create(session, parts.intake, caller, wanted)
    facts["schedule_id"] = schedule.id
    return await answer(session, schedule)


@router.get("", response_model=list[ScheduleOut], responses=PAGE | problems(Invalid))
async def list_schedules(
    request: Request,
    session: Transaction,
    caller: Reader,
    skip: Skip = 0,
    limit: Limit = 100,
    username: QueryText = None,
    notebook_id: Annotated[int | None, Query(ge=1, le=MAX_ID, description="Only those of this notebook.")] = None,
) -> Response:
    """The caller's schedules, and those of the notebooks that they may see, by id."""
    page = Page(*await service.page(session, caller, username, notebook_id, skip, limit))
    return page_response(request, page, skip, limit)


@router.get("/preview", responses=problems(Invalid))
async def preview_a_schedule(
    _: Reader,
    cron: Annotated[str, Query(max_length=255, description="A cron expression.", examples=["0 6 1 * *"])],
    timezone: Annotated[str, Query(max_length=100, description="An IANA time zone.")] = "UTC",
    from_: Annotated[
        Moment | None, Query(alias="from", description="The first time is the next one after this; if left out, now.")
    ] = None,
    count: Annotated[int, Query(ge=1, le=MOST_SHOWN, description="How many times to answer at most.")] = 10,
) -> list[Timestamp]:
    """The times that an expression means in a time zone, in UTC. A local time that does not exist, where clocks are put
    forward, is the moment after the gap; one that exists twice comes once, or both times where the expression is of
    every hour."""
    begin = from_ or datetime.now(ticks.UTC)
    place = ticks.zone(timezone)
    return await asyncio.to_thread(lambda: list(islice(ticks.following(cron, place, begin), count)))


@router.get("/{schedule_id}", responses=problems(NotFound, Invalid))
async def read_a_schedule(schedule_id: Id, session: Transaction, caller: Viewer) -> ScheduleOut:
    """One schedule, with its next tick."""
    return await answer(session, await service.get(session, caller, schedule_id))


@router.put("/{schedule_id}", responses=problems(NotAllowed, NotFound, AlreadyExists, Invalid))
async def change_a_schedule(
    schedule_id: Id, wanted: ScheduleUpdate, session: Transaction, parts: TheParts, caller: ActingRunner
) -> ScheduleOut:
    """Change the fields that are sent; the others stay as they are. Only its user may, and who acts for them."""
    changed = await service.change(session, parts.intake, caller, schedule_id, wanted.changes())
    return await answer(session, changed)


@router.delete("/{schedule_id}", status_code=204, responses=problems(NotAllowed, NotFound, Invalid))
async def delete_a_schedule(schedule_id: Id, session: Transaction, caller: ActingRunner) -> None:
    """Delete a schedule and the history of its ticks. Its executions stay."""
    await service.delete(session, caller, schedule_id)


@router.post("/{schedule_id}/pause", responses=problems(NotAllowed, NotFound, Invalid))
async def pause_a_schedule(schedule_id: Id, session: Transaction, parts: TheParts, caller: ActingRunner) -> ScheduleOut:
    """Let no tick fire until it is resumed. What runs goes on."""
    changed = await service.change(session, parts.intake, caller, schedule_id, {"paused": True})
    return await answer(session, changed)


@router.post("/{schedule_id}/resume", responses=problems(NotAllowed, NotFound, Invalid))
async def resume_a_schedule(
    schedule_id: Id, session: Transaction, parts: TheParts, caller: ActingRunner
) -> ScheduleOut:
    """Let ticks fire again, from the next one on. Those of the pause are not made up for."""
    changed = await service.change(session, parts.intake, caller, schedule_id, {"paused": False})
    return await answer(session, changed)


@router.post(
    "/{schedule_id}/run",
    status_code=202,
    response_model=ExecutionOut,
    responses=ACCEPTED | problems(NotAllowed, NotFound, AlreadyExists, Invalid, TooMany),
)
async def run_a_schedule(
    schedule_id: Id,
    request: Request,
    session: Transaction,
    parts: TheParts,
    caller: ActingRunner,
    facts: Facts,
    wanted: RunWanted | None = None,
) -> Response:
    """Execute it by hand, as of now, or with the parameters of a time that is over. Nothing is waited for."""
    at = wanted.scheduled_at if wanted else None
    execution = await service.run(session, parts.intake, caller, schedule_id, at)
    facts["execution_ids"] = [execution.id]
    return accepted(request, execution)


@router.get("/{schedule_id}/ticks", response_model=list[TickOut], responses=PAGE | problems(NotFound, Invalid))
async def list_ticks_of_a_schedule(
    schedule_id: Id, request: Request, session: Transaction, caller: Viewer, skip: Skip = 0, limit: Limit = 100
) -> Response:
    """What became of each tick, newest first: the execution that was made for it, or why there is none."""
    page = Page(*await history.page(session, caller, schedule_id, skip, limit))
    return page_response(request, page, skip, limit)


@router.post(
    "/{schedule_id}/backfill", status_code=201, responses=MADE | problems(NotAllowed, NotFound, Invalid, TooMany)
)
async def backfill_a_schedule(
    schedule_id: Id,
    wanted: BackfillWanted,
    request: Request,
    response: Response,
    session: Transaction,
    parts: TheParts,
    caller: ActingRunner,
    facts: Facts,
) -> BatchOut:
    """Execute it for each tick of a range of time that is over, as one batch, whether or not a tick has fired before.
    Each execution has its tick as `scheduled_at`."""
    batch = await backfill.begin(session, parts.intake, caller, schedule_id, wanted)
    facts |= {"batch_id": batch.id, "total": batch.total}
    response.headers["Location"] = f"{request.scope.get('root_path', '')}/db/batches/{batch.id}"
    return await standing_of(session, batch)
