"""Sessions of browsers over HTTP."""

from fastapi import APIRouter, Request, Response

from pressroom.api import Reader, TheParts, Transaction, problems
from pressroom.errors import Invalid
from pressroom.identity import sessions
from pressroom.identity.authentication import session_secret
from pressroom.identity.cookies import Site, csrf_token
from pressroom.identity.session_schemas import SessionOut, SignedOut

router = APIRouter(tags=["sessions"])


@router.get("/session", responses=problems())
async def read_the_session(request: Request, caller: Reader, response: Response) -> SessionOut:
    """Who is calling, and the CSRF token that goes with each change in a browser's session. 401 where nobody is signed
    in: `/login?next=/docs` is where a browser goes then."""
    response.headers["Cache-Control"] = "no-store"
    secret = session_secret(request.scope)
    return SessionOut(
        username=caller.username,
        groups=sorted(caller.groups),
        roles=sorted(caller.roles),
        scopes=sorted(caller.scopes),
        source=caller.source,
        csrf_token=None if secret is None else csrf_token(secret),
    )


@router.post("/logout", responses=problems(Invalid))
async def sign_out(
    request: Request, parts: TheParts, session: Transaction, caller: Reader, response: Response
) -> SignedOut:
    """End the browser's session. The browser then goes to `continue_at`, to be signed out at the issuer as well."""
    response.headers["Cache-Control"] = "no-store"
    secret, site = session_secret(request.scope), Site.of(request.scope, parts.settings.public_url)
    if secret is None or site is None:
        raise Invalid("There is no session to end: this request is not known by one.")
    kept = await sessions.end(session, secret)
    site.take(response)
    door = parts.doors.get(caller.source)
    return SignedOut(continue_at=None if door is None else await door.leave(site, kept))
