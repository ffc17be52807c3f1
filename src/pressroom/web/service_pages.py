"""The service itself: who works, what waits, which kernels there are, and who did what."""

import json
from typing import Any

from fastapi import APIRouter, Request, Response

from pressroom.api import Administrator, Reader, TheParts
from pressroom.executions import staff
from pressroom.identity import audit
from pressroom.identity.policy import is_admin, viewer
from pressroom.web.rendering import page
from pressroom.web.routes import PageRoute
from pressroom.wire import MAX_EVENT_ID, id_in

ENTRIES = 100
LONGEST = 255
router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/service/workers")
async def show_workers(request: Request, parts: TheParts, caller: Reader) -> Response:
    """The queues in which something of the caller's sight waits or runs; and for administrators, the workers."""
    async with parts.database.snapshot() as session:
        queues = await staff.queues(session, viewer(caller))
        workers = await staff.workers(session, parts.settings.worker_lost_seconds) if is_admin(caller) else None
    return page(
        request,
        "workers.html",
        queues=[each.model_dump(mode="json") for each in queues],
        workers=None if workers is None else [each.model_dump(mode="json") for each in workers],
    )


@router.get("/service/kernels")
async def show_kernels(request: Request, parts: TheParts, _: Reader) -> Response:
    """The kernels that notebooks can ask for, and how each worker starts them."""
    async with parts.database.snapshot() as session:
        kernels = await staff.kernels(session, parts.settings.worker_lost_seconds)
    return page(request, "kernels.html", kernels=[each.model_dump(mode="json") for each in kernels])


@router.get("/service/audit")
async def show_the_audit(request: Request, parts: TheParts, _: Administrator) -> Response:
    """Who changed what, and who was refused, the newest first."""
    query = request.query_params
    username = query.get("username", "").strip()[:LONGEST].replace("\0", "") or None
    allowed = {"yes": True, "no": False}.get(query.get("allowed", ""))
    after = id_in(query.get("after", ""), MAX_EVENT_ID)
    async with parts.database.transaction() as session:
        body, ids = await audit.page(session, username, allowed, after, ENTRIES)
    entries: list[dict[str, Any]] = json.loads(body)
    return page(
        request,
        "audit.html",
        entries=entries,
        username=username,
        allowed=query.get("allowed", ""),
        after=after,
        older=ids[-1] if len(ids) == ENTRIES else None,
    )
