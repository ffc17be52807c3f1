"""The home page: what runs, what failed, what comes next, and one's own notebooks."""

from fastapi import APIRouter, Request, Response

from pressroom.api import Reader, TheParts
from pressroom.executions import recent
from pressroom.executions.history import History
from pressroom.executions.states import Status
from pressroom.identity.policy import viewer
from pressroom.notebooks import finding
from pressroom.schedules.upcoming import upcoming
from pressroom.web.listing import listed
from pressroom.web.rendering import page
from pressroom.web.routes import PageRoute
from pressroom.web.strips import strip

SHOWN = 8
"""How many of each there are at most."""
MARKS = 20
router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/home")
async def show_home(request: Request, parts: TheParts, caller: Reader) -> Response:
    """What a person wants to know first."""
    seen_by = viewer(caller)
    async with parts.database.snapshot() as session:
        mine, owned = await finding.find(session, seen_by, username=caller.username, limit=SHOWN)
        marks = await recent.marks(session, [notebook.id for notebook in mine], MARKS)
        coming = await upcoming(session, caller, SHOWN)
        names = await finding.names(session, seen_by, {each.notebook_id for each in coming})
        under_way = (Status.PENDING.value, Status.RUNNING.value)
        now = await listed(session, History(statuses=under_way, seen_by=seen_by), SHOWN)
        failed = await listed(session, History(statuses=(Status.FAILED.value,), seen_by=seen_by), SHOWN)
    return page(
        request,
        "home.html",
        now=now,
        failed=failed,
        coming=[(each.model_dump(mode="json"), names.get(each.notebook_id)) for each in coming],
        mine=mine,
        owned=owned,
        strips={notebook.id: strip(marks[notebook.id]) for notebook in mine},
    )
