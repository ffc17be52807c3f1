"""Where JupyterHub sends browsers back to."""

from fastapi import APIRouter, Request, Response

from pressroom.api import TheParts
from pressroom.errors import NotFound
from pressroom.identity.arrivals import NO_DOOR, in_words, signed_in, site_of
from pressroom.identity.attempt import Attempt, purpose_of
from pressroom.identity.jupyterhub import SOURCE
from pressroom.identity.jupyterhub_sign_in import CALLBACK, HubSignIn

router = APIRouter(tags=["sessions"])


@router.get(CALLBACK, include_in_schema=False)
async def finish_signing_in_at_the_hub(request: Request, parts: TheParts) -> Response:
    """Where the Hub sends a browser whose user has signed in there, or has not."""

    async def finish() -> Response:
        door, site = parts.doors.get(SOURCE), site_of(request, parts)
        if not isinstance(door, HubSignIn):
            raise NotFound("way to sign in", SOURCE, NO_DOOR)
        state = request.query_params.get("state")
        attempt = Attempt.under_way(site.secret(request.scope, purpose_of(state)), state)
        request.state.next_path = attempt.next_path
        return await signed_in(request, parts, await door.finish(site, attempt, request.query_params), attempt)

    return await in_words(request, parts, finish())
