"""Browsers that come back from where their users sign in, with or without having done so, and that leave; whichever the
door."""

from collections.abc import Awaitable
from typing import cast
from urllib.parse import urlencode

from fastapi import Request, Response
from starlette.responses import RedirectResponse

from pressroom.api import Parts, problem_response, record, refused
from pressroom.errors import Invalid, NotAllowed, NotAuthenticated, NotFound, PressroomError, Unavailable
from pressroom.identity import audit, sessions
from pressroom.identity.attempt import Attempt
from pressroom.identity.audit import Entry
from pressroom.identity.authentication import session_secret
from pressroom.identity.cookies import Site
from pressroom.identity.pages import page
from pressroom.identity.principal import Principal
from pressroom.identity.sessions import Sessions

NO_DOOR = "Nobody signs in to this service with a browser (PRESSROOM_AUTH)."


def site_of(request: Request, parts: Parts) -> Site:
    """Where browsers reach this service. Raises :class:`Unavailable` where nobody has said."""
    site = Site.of(request.scope, parts.settings.public_url)
    if site is None:
        raise Unavailable(
            "sign-in", "PRESSROOM_PUBLIC_URL must be the https:// address of this service, or a loopback one"
        )
    return site


async def signed_in(
    request: Request, parts: Parts, principal: Principal, attempt: Attempt, **more: str | None
) -> Response:
    """Begin a session, in place of the one that the browser may have, and send it to where the attempt leads. One that
    another of its tabs began meanwhile goes on, or the forms of that tab's page would be refused. ``more`` is that of
    :meth:`Sessions.start`."""
    site = site_of(request, parts)
    try:
        old = site.secret(request.scope)
    except NotAuthenticated:  # there are several: whichever was ours, it is not what the browser is given now
        old = None
    async with parts.database.transaction() as session:
        secret = None
        if old is not None and await sessions.goes_on(session, old, principal, attempt.seconds):
            secret = old
        elif old is not None:
            await sessions.end(session, old)
        secret = secret or await cast("Sessions", parts.sessions).start(session, principal, **more)
        entry = Entry.of(request.scope, principal)
        await audit.record(session, entry)
    await parts.audit.tell(entry)
    response = RedirectResponse(site.url + attempt.next_path, 303, {"Cache-Control": "no-store"})
    site.take(response, attempt.purpose)
    site.give(response, secret)
    return response


async def signed_out(request: Request, parts: Parts, caller: Principal) -> tuple[Site, str | None]:
    """End the session that a request is known by. Whose cookie the answer is to take away, and where the browser is
    signed out at the issuer as well, if there is such a place. Raises :class:`Invalid` where there is no session."""
    secret, site = session_secret(request.scope), Site.of(request.scope, parts.settings.public_url)
    if secret is None or site is None:
        raise Invalid("There is no session to end: this request is not known by one.")
    async with parts.database.transaction() as session:
        kept = await sessions.end(session, secret)
        entry = await record(request, session)
    await parts.audit.tell(entry)
    door = parts.doors.get(caller.source)
    return site, None if door is None else await door.leave(site, kept)


async def in_words(request: Request, parts: Parts, answer: Awaitable[Response]) -> Response:
    """``answer``, or what it raises: to a browser as a page, which offers to try again, to come to the
    ``request.state.next_path`` of the first time."""
    try:
        return await answer
    except PressroomError as error:
        if isinstance(error, NotAuthenticated | NotAllowed):
            audit.facts(request.scope)["why"] = error.detail
            error = await refused(request, error)
        if "text/html" not in request.headers.get("accept", ""):
            return problem_response(error, request.scope)
        links: dict[str, str] = {}
        site = Site.of(request.scope, parts.settings.public_url)
        if site is not None and not isinstance(error, NotFound | Invalid):
            path = getattr(request.state, "next_path", None)
            links["Try again"] = f"{site.prefix}/login" + (f"?{urlencode({'next': path})}" if path else "")
        return page("You are not signed in", error.detail, links, error.status)
