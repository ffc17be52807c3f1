"""The home page: what runs, what failed, what comes next, and the notebooks that one owns or executes."""

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request, Response

from pressroom.api import Reader, TheParts
from pressroom.executions import recent
from pressroom.executions.history import History
from pressroom.executions.states import Status
from pressroom.identity.policy import Viewer, viewer
from pressroom.identity.principal import Scope
from pressroom.notebooks import finding
from pressroom.schedules.upcoming import upcoming
from pressroom.web.listing import listed
from pressroom.web.rendering import page
from pressroom.web.routes import PageRoute
from pressroom.web.strips import strip

SHOWN = 8
"""How many of each there are at most."""
MARKS = 20
LATELY_DAYS = 7
UNDER_WAY = (Status.PENDING.value, Status.RUNNING.value)
router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/home")
async def show_home(request: Request, parts: TheParts, caller: Reader) -> Response:
    """What a person wants to know first; where the page asks for it again, what runs or waits alone."""
    seen_by = viewer(caller)
    # Each list has a transaction of its own, whose plans it changes.
    async with parts.database.snapshot() as session:
        now = await listed(session, History(statuses=UNDER_WAY, seen_by=seen_by), SHOWN)
    if request.headers.get("hx-target") == "now":
        return page(request, "home_now.html", now=now)
    since = datetime.now(UTC) - timedelta(days=LATELY_DAYS)
    async with parts.database.snapshot() as session:
        recently = History(statuses=(Status.FAILED.value,), submitted_after=since, seen_by=seen_by)
        failed = await listed(session, recently, SHOWN)
    async with parts.database.snapshot() as session:
        found = await finding.of(session, Viewer(caller.username, caller.groups), seen_by, SHOWN + 1)
        mine = found[:SHOWN]
        marks = await recent.marks(session, [notebook.id for notebook in mine], MARKS)
        coming = await upcoming(session, caller, SHOWN)
        names = await finding.names(session, seen_by, {each.notebook_id for each in coming})
    return page(
        request,
        "home.html",
        now=now,
        failed=failed,
        lately=LATELY_DAYS,
        coming=[(each.model_dump(mode="json"), names.get(each.notebook_id)) for each in coming],
        mine=mine,
        more=len(found) > SHOWN,
        may_register=Scope.WRITE in caller.scopes,
        strips={notebook.id: strip(marks[notebook.id]) for notebook in mine},
    )
