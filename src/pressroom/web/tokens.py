"""One's own personal access tokens: the list, a new one, and one that is revoked."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from pressroom.api import Id, Parts, Reader, TheParts, Writer
from pressroom.errors import Invalid
from pressroom.identity import tokens
from pressroom.identity.audit import facts
from pressroom.identity.authentication import session_secret
from pressroom.identity.policy import is_admin
from pressroom.identity.principal import Principal, Scope
from pressroom.identity.token_schemas import TokenWanted
from pressroom.web.forms import wrong_fields
from pressroom.web.listing import skipped
from pressroom.web.rendering import page
from pressroom.web.routes import PageRoute, changing, form_of, see_other, text_fields

ON_A_PAGE = 50
MEANINGS = {
    Scope.READ: "see what you see",
    Scope.EXECUTE: "execute, cancel and schedule notebooks",
    Scope.WRITE: "register and change notebooks, and make files",
    Scope.ACT: "act for other users",
    Scope.ADMIN: "everything that an administrator may do",
}
DAYS = (7, 30, 90, 365)
router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/tokens")
async def show_tokens(request: Request, parts: TheParts, caller: Reader) -> Response:
    """The caller's tokens; everybody's, for an administrator."""
    query = request.query_params
    return await _page(request, parts, caller, {**query, "scopes": query.getlist("scopes")})


@router.post("/tokens")
async def make_a_token_from_a_page(request: Request, parts: TheParts, caller: Writer) -> Response:
    """Make a token, and show its secret, this once."""
    form = await form_of(request)
    said: dict[str, Any] = {**text_fields(form), "scopes": [text for text in form.getlist("scopes") if text]}
    errors: dict[str, str] = {}
    days = said.get("days", "")
    try:
        wanted = TokenWanted.model_validate(
            {
                "name": said.get("name", "").strip() or "token",
                "scopes": said["scopes"],
                "expires_at": datetime.now(UTC) + timedelta(days=int(days)) if days in map(str, DAYS) else None,
            }
        )
        async with changing(request) as session:
            in_person = session_secret(request.scope) is not None
            made, secret = await tokens.create(session, caller, wanted, in_person=in_person)
            facts(request.scope).update(token_id=made.id, username=made.username, scopes=made.scopes)
    except ValidationError as error:
        errors = wrong_fields(error)
        if not said["scopes"]:
            errors["scopes"] = "Tick what it may be used for."
    except Invalid as error:
        errors = {"name": error.detail}
    else:
        return await _page(request, parts, caller, secret=secret)
    return await _page(request, parts, caller, said, errors, status=422)


@router.post("/tokens/{token_id}/revoke")
async def revoke_a_token_from_a_page(token_id: Id, request: Request, caller: Writer) -> Response:
    """Make a token worthless at once."""
    async with changing(request) as session:
        await tokens.revoke(session, caller, token_id)
    return see_other(request, "/tokens", notice="revoked")


async def _page(
    request: Request,
    parts: Parts,
    caller: Principal,
    said: dict[str, Any] | None = None,
    errors: dict[str, str] | None = None,
    *,
    secret: str | None = None,
    status: int = 200,
) -> Response:
    skip, now = skipped(request), datetime.now(UTC)
    async with parts.database.transaction() as session:
        body, length, total = await tokens.page(session, caller, skip, ON_A_PAGE)
    rows: list[dict[str, Any]] = json.loads(body)
    for row in rows:
        expired = datetime.fromisoformat(row["expires_at"]) <= now
        row["state"] = "revoked" if row["revoked_at"] else "expired" if expired else "good"
    return page(
        request,
        "tokens.html",
        status=status,
        headers={"Cache-Control": "no-store"},
        tokens=rows,
        length=length,
        total=total,
        skip=skip,
        on_a_page=ON_A_PAGE,
        scopes=[(scope.value, meaning) for scope, meaning in MEANINGS.items() if scope in caller.scopes],
        days=DAYS,
        said=said or {},
        errors=errors or {},
        secret=secret,
        everybody=is_admin(caller),
        may_make=Scope.WRITE in caller.scopes,
    )
