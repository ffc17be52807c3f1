"""Where an OIDC issuer sends browsers back to, and what it calls itself."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import JSONResponse

from pressroom.api import Parts, TheParts, refused
from pressroom.errors import NotAuthenticated, NotFound
from pressroom.identity import audit, sessions
from pressroom.identity.arrivals import NO_DOOR, in_words, signed_in, site_of
from pressroom.identity.attempt import Attempt, purpose_of
from pressroom.identity.audit import Entry
from pressroom.identity.oidc import SOURCE
from pressroom.identity.oidc_sign_in import CALLBACK, OidcSignIn

LONGEST_TOKEN = 20_000
router = APIRouter(tags=["sessions"])


@router.get(CALLBACK, include_in_schema=False)
async def finish_signing_in(request: Request, parts: TheParts) -> Response:
    """Where the issuer sends a browser whose user has signed in there, or has not."""

    async def finish() -> Response:
        door, site = _door(parts), site_of(request, parts)
        state = request.query_params.get("state")
        attempt = Attempt.under_way(site.secret(request.scope, purpose_of(state)), state)
        request.state.next_path = attempt.next_path
        came = await door.finish(site, attempt, request.query_params)
        return await signed_in(
            request,
            parts,
            came.principal,
            attempt,
            subject=came.subject,
            issuer_session=came.issuer_session,
            kept=came.id_token,
        )

    return await in_words(request, parts, finish())


@router.post("/logout/backchannel", include_in_schema=False)
async def sign_out_by_the_issuer(
    request: Request, parts: TheParts, logout_token: Annotated[str, Form(max_length=LONGEST_TOKEN)]
) -> Response:
    """What the issuer calls when it has ended a session of its own, whoever asked for that: the browser's session here
    ends with it (OpenID Connect Back-Channel Logout)."""
    headers = {"Cache-Control": "no-store"}
    try:
        subject, issuer_session = await _door(parts).signed_out(logout_token)
    except NotAuthenticated as error:
        audit.facts(request.scope)["why"] = error.detail
        await refused(request, error)
        said = {"error": "invalid_request", "error_description": error.detail}
        return JSONResponse(said, status_code=400, headers=headers)
    entry = None
    async with parts.database.transaction() as session:
        ended = await sessions.end_of_issuer(session, SOURCE, subject=subject, issuer_session=issuer_session)
        if ended:
            audit.facts(request.scope)["sessions"] = ended
            entry = Entry.of(request.scope, None)
            await audit.record(session, entry)
    if entry is not None:
        await parts.audit.tell(entry)
    return Response(headers=headers)


def _door(parts: Parts) -> OidcSignIn:
    door = parts.doors.get(SOURCE)
    if not isinstance(door, OidcSignIn):
        raise NotFound("way to sign in", SOURCE, NO_DOOR)
    return door
