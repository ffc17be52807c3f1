"""Batches: the list, and one with a mark for each of its executions."""

import asyncio
import functools

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.api import Canceller, Id, Reader, Runner, TheParts, Viewer
from pressroom.batches import service
from pressroom.batches.standing import standing_of
from pressroom.database.models import Batch
from pressroom.errors import BatchEnded, NotAllowed
from pressroom.executions import access, recent
from pressroom.identity.audit import facts
from pressroom.identity.policy import viewer
from pressroom.identity.principal import Principal, Scope
from pressroom.identity.rights import Level
from pressroom.notebooks import finding
from pressroom.web.grids import SECONDS, figures_of, heat_map, ordered, sides_of, swept
from pressroom.web.listing import skipped
from pressroom.web.rendering import page
from pressroom.web.routes import PageRoute, changing, form_of, see_other, text_fields

ON_A_PAGE = 50
MOST_MARKS = 1000
MOST_FIGURES = 12
FIRST = 50
"""How many executions tell in which order those of a grid were made."""
router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/batches")
async def show_batches(request: Request, parts: TheParts, caller: Reader) -> Response:
    """The batches that somebody may see, the newest first."""
    skip, seen_by = skipped(request), viewer(caller)
    async with parts.database.snapshot() as session:
        found, total = await service.page(session, seen_by, None, None, skip, ON_A_PAGE)
        names = await finding.names(session, seen_by, {each.notebook_id for each in found if each.notebook_id})
    return page(
        request,
        "batches.html",
        batches=[(each.model_dump(mode="json"), names.get(each.notebook_id or 0)) for each in found],
        total=total,
        skip=skip,
        on_a_page=ON_A_PAGE,
    )


@router.get("/batches/{batch_id}")
async def show_a_batch(batch_id: Id, request: Request, parts: TheParts, caller: Viewer) -> Response:
    """One batch, as it stands. ``skip=NUMBER`` leaves out so many of its marks; ``show=NAME`` says which figure the map
    of a grid is of; ``ask=cancel`` asks whether it is to be cancelled."""
    async with parts.database.snapshot() as session:
        row = await service.seen(session, caller, batch_id)
        batch = await standing_of(session, row)
        grid = swept(batch.plan, batch.total)
        skip = min(skipped(request), max(0, batch.total - 1) // MOST_MARKS * MOST_MARKS)
        if sides_of(grid):  # a map is of all executions or of none
            grid = ordered(grid, await recent.parameters_of_batch(session, batch_id, FIRST))
            all_of_them = await recent.marks_of_batch(session, batch_id, 0, batch.total)
            marks = all_of_them[skip : skip + MOST_MARKS]
        else:
            all_of_them = marks = await recent.marks_of_batch(session, batch_id, skip, MOST_MARKS)
        names = await finding.names(session, viewer(caller), [row.notebook_id] if row.notebook_id else [])
        may_cancel = await _may(session, caller, row, Level.EDITOR)
        may_execute = await _may(session, caller, row, Level.RUNNER)
    figures = figures_of(all_of_them)[:MOST_FIGURES]
    asked = request.query_params.get("show", "")
    figure = asked if asked in figures else figures[1] if len(figures) > 1 else SECONDS
    # What is asked for again and again while it goes on is the parts that change.
    part = not batch.ended and request.headers.get("hx-target") == "stands"
    ask = functools.partial(
        page,
        request,
        "batch_now.html" if part else "batch.html",
        # What is asked for again and again while it goes on shows no buttons: the end brings the whole page.
        headers={"HX-Refresh": "true"} if batch.ended and "hx-request" in request.headers else None,
        batch=batch.model_dump(mode="json"),
        ended=batch.ended,
        notebook=names.get(batch.notebook_id or 0),
        marks=marks,
        skip=skip,
        most_marks=MOST_MARKS,
        figures=figures,
        figure=figure,
        asking="ask" in request.query_params,
        may_cancel=may_cancel and batch.stopping_at is None,
        may_execute=may_execute,
    )
    if batch.total > MOST_MARKS:  # thousands of cells take a while to be written
        return await asyncio.to_thread(lambda: ask(heat=heat_map(grid, all_of_them, figure)))
    return ask(heat=heat_map(grid, all_of_them, figure))


@router.post("/batches/{batch_id}/cancel")
async def cancel_a_batch_from_a_page(batch_id: Id, request: Request, caller: Canceller) -> Response:
    """Cancel a batch, and show it; one that has ended meanwhile is shown as it is."""
    try:
        async with changing(request) as session:
            await service.cancel(session, caller, batch_id)
    except BatchEnded:
        return see_other(request, f"/batches/{batch_id}")
    return see_other(request, f"/batches/{batch_id}", notice="batch-stopping")


@router.post("/batches/{batch_id}/retry")
async def repeat_a_batch_from_a_page(batch_id: Id, request: Request, parts: TheParts, caller: Runner) -> Response:
    """Execute again what has failed of a batch, and what was cancelled too if that was ticked."""
    cancelled = "cancelled" in text_fields(await form_of(request))
    async with changing(request) as session:
        again = await service.retry(session, parts.intake, caller, batch_id, cancelled=cancelled)
        facts(request.scope).update(batch_id=again.id, executions=again.total)
        made = again.id
    return see_other(request, f"/batches/{made}", notice="batch-again")


async def _may(session: AsyncSession, caller: Principal, row: Batch, level: Level) -> bool:
    """Whether the caller may do with a batch what needs ``level``."""
    try:
        await access.require_on_batch(session, caller, row, level)
    except NotAllowed:
        return False
    return Scope.EXECUTE in caller.scopes
