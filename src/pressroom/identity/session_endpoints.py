"""Sessions of browsers over HTTP."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from pressroom.api import Reader, TheParts, problems
from pressroom.errors import Invalid, NotFound
from pressroom.identity.arrivals import NO_DOOR, in_words, signed_out, site_of
from pressroom.identity.attempt import PURPOSE, next_path_of, too_old
from pressroom.identity.authentication import session_secret
from pressroom.identity.cookies import csrf_token
from pressroom.identity.pages import page
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
async def sign_out(request: Request, parts: TheParts, caller: Reader, response: Response) -> SignedOut:
    """End the browser's session. The browser then goes to `continue_at`, to be signed out at the issuer as well."""
    response.headers["Cache-Control"] = "no-store"
    site, address = await signed_out(request, parts, caller)
    site.take(response)
    return SignedOut(continue_at=address)


@router.get("/login", include_in_schema=False)
async def begin_to_sign_in(
    request: Request,
    parts: TheParts,
    next_path: Annotated[str, Query(alias="next")] = "/docs",
    by: str | None = None,
) -> Response:
    """Send the browser to where its user signs in, and from there to the page ``next``. Where there are several ways,
    ``by`` says which; a page asks, where it does not."""

    async def begin() -> Response:
        doors = {name: door for name, door in parts.doors.items() if by in (None, name)}
        if not doors:
            raise NotFound("way to sign in", by or "", None if by else NO_DOOR)
        site = site_of(request, parts)
        request.state.next_path = path = next_path_of(next_path, site.prefix)
        if len(doors) == 1:
            response = await next(iter(doors.values())).begin(site, path)
            for purpose in too_old(site.held(request.scope, PURPOSE)):
                site.take(response, purpose)
            return response
        here = f"{site.prefix}/login?"
        ways = {door.title: here + urlencode({"by": name, "next": path}) for name, door in doors.items()}
        return page("Sign in", "There are several ways to sign in.", ways)

    return await in_words(request, parts, begin())
