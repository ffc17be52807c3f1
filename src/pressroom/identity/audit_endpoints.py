"""The audit over HTTP."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from pressroom.api import Administrator, Limit, QueryText, Transaction, address, problems
from pressroom.errors import Invalid
from pressroom.identity import audit
from pressroom.identity.audit_schemas import AuditOut
from pressroom.wire import MAX_EVENT_ID

router = APIRouter(tags=["service"])


@router.get("/db/audit", response_model=list[AuditOut], responses=problems(Invalid))
async def read_the_audit(
    request: Request,
    session: Transaction,
    _: Administrator,
    username: QueryText = None,
    allowed: Annotated[bool | None, Query(description="Only what was done, or only what was refused.")] = None,
    after: Annotated[int | None, Query(ge=1, le=MAX_EVENT_ID, description="A cursor, as `Link` gives it.")] = None,
    limit: Limit = 100,
) -> Response:
    """Who changed what, and who was refused, newest first. Nothing is ever taken out of it."""
    body, ids = await audit.page(session, username, allowed, after, limit)
    headers: dict[str, str] = {}
    if len(ids) == limit:
        query = dict(request.query_params) | {"after": str(ids[-1]), "limit": str(limit)}
        headers["Link"] = f'<{address(request, urlencode(query))}>; rel="next"'
    return Response(body, media_type="application/json", headers=headers)
