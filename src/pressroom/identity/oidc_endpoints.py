"""Where an OIDC issuer sends browsers back to."""

from fastapi import APIRouter, Request, Response

from pressroom.api import Parts, TheParts
from pressroom.errors import NotFound
from pressroom.identity import attempt as attempts
from pressroom.identity.arrivals import NO_DOOR, in_words, signed_in, site_of
from pressroom.identity.attempt import Attempt
from pressroom.identity.oidc import SOURCE
from pressroom.identity.oidc_sign_in import CALLBACK, OidcSignIn

router = APIRouter(tags=["sessions"])


@router.get(CALLBACK, include_in_schema=False)
async def finish_signing_in(request: Request, parts: TheParts) -> Response:
    """Where the issuer sends a browser whose user has signed in there, or has not."""

    async def finish() -> Response:
        door, site = _door(parts), site_of(request, parts)
        cookie = site.secret(request.scope, attempts.PURPOSE)
        attempt = Attempt.under_way(cookie, request.query_params.get("state"))
        request.state.next_path = attempt.next_path
        came = await door.finish(site, attempt, request.query_params)
        return await signed_in(
            request,
            parts,
            came.principal,
            attempt.next_path,
            subject=came.subject,
            issuer_session=came.issuer_session,
            kept=came.id_token,
        )

    return await in_words(request, parts, finish())


def _door(parts: Parts) -> OidcSignIn:
    door = parts.doors.get(SOURCE)
    if not isinstance(door, OidcSignIn):
        raise NotFound("way to sign in", SOURCE, NO_DOOR)
    return door
