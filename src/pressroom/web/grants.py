"""Who may do what with a notebook: said, and taken back, on its page."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ValidationError

from pressroom.api import Id, Owner, TheParts
from pressroom.errors import Invalid
from pressroom.identity.audit import facts
from pressroom.identity.rights import Level
from pressroom.notebooks import grants
from pressroom.notebooks.grant_schemas import GrantedLevel, GranteeKind
from pressroom.web.forms import wrong_fields
from pressroom.web.notebook import Typed, page_of
from pressroom.web.registered import seen
from pressroom.web.routes import PageRoute, changing, form_of, see_other, text_fields
from pressroom.wire import Grantee

router = APIRouter(route_class=PageRoute, include_in_schema=False)


class Granted(BaseModel):
    """What the form says."""

    kind: GranteeKind
    grantee: Grantee
    level: GrantedLevel = "viewer"


@router.post("/notebooks/{notebook_id}/grants")
async def grant_from_a_page(notebook_id: Id, request: Request, parts: TheParts, caller: Owner) -> Response:
    """Let a user or a group see, execute or change a notebook, in place of what they could before; or show its page
    again, with what is wrong with their name."""
    sent = text_fields(await form_of(request))
    try:
        wanted = _granted(sent)
    except Invalid as error:
        if error.where != ("grantee",):
            raise
        async with parts.database.transaction() as session:
            shown = await seen(session, caller, notebook_id, Level.OWNER)
        typed = Typed(grant=sent, grant_error=error.detail.removeprefix("grantee: "))
        return await page_of(request, parts, caller, shown, typed, status=error.status)
    async with changing(request) as session:
        facts(request.scope).update(kind=wanted.kind, grantee=wanted.grantee, level=wanted.level)
        await grants.grant(session, caller, notebook_id, wanted.kind, wanted.grantee, Level(wanted.level))
    return see_other(request, f"/notebooks/{notebook_id}", notice="granted")


@router.post("/notebooks/{notebook_id}/grants/revoke")
async def revoke_a_grant_from_a_page(notebook_id: Id, request: Request, caller: Owner) -> Response:
    """Take it back."""
    wanted = _granted(text_fields(await form_of(request)))
    async with changing(request) as session:
        facts(request.scope).update(kind=wanted.kind, grantee=wanted.grantee)
        await grants.revoke(session, caller, notebook_id, wanted.kind, wanted.grantee)
    return see_other(request, f"/notebooks/{notebook_id}", notice="granted")


def _granted(sent: dict[str, str]) -> Granted:
    try:
        return Granted.model_validate({**sent, "grantee": sent.get("grantee", "").strip()})
    except ValidationError as error:
        wrong = wrong_fields(error)
        invalid = Invalid("; ".join(f"{name}: {sentence}" for name, sentence in wrong.items()))
        invalid.where = tuple(wrong)
        raise invalid from error
