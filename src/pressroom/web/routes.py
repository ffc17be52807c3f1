"""How pages are asked for: forms that are sent without scripts, and refusals that people can read.

A form sends what a session needs for a change (``csrf_token``) as a field, since a browser without scripts sends no
header of ours. A refusal is the API's own problem document, shown as a page to whoever asked for one.
"""

import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, cast
from urllib.parse import quote, urlencode

from fastapi import FastAPI, Request, Response
from starlette.datastructures import FormData
from starlette.requests import ClientDisconnect
from starlette.responses import RedirectResponse
from starlette.routing import Match

from pressroom.api import PROBLEM_JSON, Parts, transaction
from pressroom.callers_first import CallerFirst
from pressroom.errors import Invalid, NotAllowed, NotAuthenticated
from pressroom.identity import audit
from pressroom.identity.attempt import LONGEST_PATH, next_path_of
from pressroom.identity.authentication import READING, session_secret
from pressroom.identity.cookies import CSRF_HEADER, Site, has_token, unmasked
from pressroom.prefix import path_inside
from pressroom.web.rendering import page

CSRF_FIELD, BACK_FIELD = "csrf_token", "back"
SECRET_PREFIX = "s."  # noqa: S105 - how the names of fields with secrets begin
"""Such a field is in no address, and is not filled in again."""
KEPT_BYTES = 64 * 1024
"""The largest form that is given back to somebody whose session ended before they sent it."""
_IS_PAGE = "pressroom.page"
Handler = Callable[[Request, Exception], Awaitable[Response]]
changing = asynccontextmanager(transaction)
"""The transaction of a change that a page makes, with its entry in the audit: what is raised in it can be shown."""


class PageRoute(CallerFirst):
    """The route of a page."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:  # noqa: D102
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            request.scope[_IS_PAGE] = True
            if request.method not in READING:
                await _take_the_form(request)
            return await handle(request)

        return answered


async def form_of(request: Request) -> FormData:
    """The fields of the form that was sent. Raises :class:`Invalid` where it did not come whole: a page gives up
    what it asks for while one types, once more is typed."""
    try:
        return await request.form()
    except ClientDisconnect as error:
        raise Invalid("The form did not come whole.") from error


def text_fields(form: FormData) -> dict[str, str]:
    """The fields that hold a text, by name: the last of each, its ends of lines as one character."""
    return {name: value.replace("\r\n", "\n") for name, value in form.multi_items() if isinstance(value, str)}


def see_other(request: Request, path: str, **query: str) -> Response:
    """Send the browser to a page, after what it sent was done."""
    root = request.scope.get("root_path", "")
    address = f"{root}{quote(path)}" + (f"?{urlencode(query)}" if query else "")
    return RedirectResponse(address, 303, {"Cache-Control": "no-store"})


async def _take_the_form(request: Request) -> None:
    """Read the form of a caller who is known, and put its token where a script would have put it."""
    audit.facts(request.scope)
    parts = cast("Parts", request.app.state.parts)
    as_read = {**request.scope, "method": "GET"}
    try:
        await parts.authentication.caller(as_read)
    except NotAuthenticated:
        if _wants_page(request) and _is_small(request):
            request.state.way_back = _way_back(request, await form_of(request))
        raise
    form = await form_of(request)
    with suppress(Invalid):
        request.state.form_page = next_path_of(
            text_fields(form).get(BACK_FIELD, ""), request.scope.get("root_path", "")
        )
    token = form.get(CSRF_FIELD)
    if isinstance(token, str) and CSRF_HEADER not in request.headers:
        header = (CSRF_HEADER.lower().encode(), unmasked(token).encode("latin-1", "replace"))
        request.scope["headers"] = [*request.scope["headers"], header]
        site, secret = Site.of(request.scope, parts.settings.public_url), session_secret(as_read)
        if site and secret and token and site.is_own_page(request.scope) and not has_token(request.scope, secret):
            request.state.of_another_session = True  # of which the change is refused
            request.state.way_back = _way_back(request, form)


def _is_small(request: Request) -> bool:
    length = request.headers.get("content-length", "")
    return length.isdigit() and int(length) <= KEPT_BYTES


def _way_back(request: Request, form: FormData) -> tuple[str, bool]:
    """The path of the page that a form stands on, filled in with what was sent; whether all but secrets is in it."""
    fields = text_fields(form)
    try:
        path = next_path_of(fields.get(BACK_FIELD, ""), request.scope.get("root_path", "")).split("#")[0]
    except Invalid:
        return "/home", False
    kept = [
        (name, value)
        for name, value in form.multi_items()
        if isinstance(value, str) and name not in (CSRF_FIELD, BACK_FIELD) and not _is_secret(name, fields)
    ]
    alone, _, query = path.partition("?")
    whole = f"{alone}?" + "&".join(part for part in (query, urlencode(kept)) if part)
    return (whole, True) if len(whole) <= LONGEST_PATH else (path, False)


def _is_secret(name: str, fields: Mapping[str, str]) -> bool:
    """Whether a field holds a secret: a parameter's value, or the default of one that is being defined as secret."""
    row, _, field = name.rpartition(".")
    return name.startswith(SECRET_PREFIX) or (field == "default" and bool(fields.get(f"{row}.secret")))


def install_error_pages(app: FastAPI) -> None:
    """Show the problem documents of ``app`` as pages, where a page was asked for."""
    for kind, handle in list(app.exception_handlers.items()):
        app.add_exception_handler(kind, _as_page(cast("Handler", handle)))


def _as_page(handle: Handler) -> Any:
    async def handled(request: Request, error: Exception) -> Response:
        of_ours = _IS_PAGE in request.scope or "route" not in request.scope
        in_part = of_ours and "hx-request" in request.headers and request.method in READING
        if in_part and isinstance(error, NotAuthenticated) and cast("Parts", request.app.state.parts).doors:
            return _to_sign_in(request)  # a script asks for anything, not for a page
        if getattr(error, "status_code", None) == 405 and request.method == "GET" and _is_form(request):
            return see_other(request, _page_above(request))
        if not (of_ours and _wants_page(request)):
            return await handle(request, error)
        doors = cast("Parts", request.app.state.parts).doors
        if isinstance(error, NotAuthenticated) and doors and request.method in READING:
            return _to_sign_in(request)
        answer = await handle(request, error)
        if answer.headers.get("content-type") != PROBLEM_JSON:
            return answer
        problem: dict[str, Any] = json.loads(bytes(answer.body))
        headers = {name: answer.headers[name] for name in ("www-authenticate", "retry-after") if name in answer.headers}
        path, whole = getattr(request.state, "way_back", (None, False))
        anew = isinstance(error, NotAllowed) and getattr(request.state, "of_another_session", False)
        return page(
            request,
            "problem.html",
            status=answer.status_code,
            headers=headers,
            problem=problem,
            sign_in_at=(path or "/home") if doors and isinstance(error, NotAuthenticated) else None,
            form_at=(path or "/home") if anew else None,
            keeps=whole,
        )

    return handled


def _to_sign_in(request: Request) -> Response:
    """To the sign-in, and from there back to the same page. A script that asks for a part of a page is told to load
    it anew, since no script can follow to another site."""
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"HX-Refresh": "true", "WWW-Authenticate": "Bearer"})
    query = request.scope.get("query_string", b"").decode("latin-1")
    path = quote(path_inside(request.scope)) + (f"?{query}" if query else "")
    if len(path) > LONGEST_PATH:
        path = path.partition("?")[0]
    return see_other(request, "/login", next=path)


def _is_form(request: Request) -> bool:
    """Whether somebody opens the address that a form is sent to, as it stands in the browser after a refusal."""
    return _wants_page(request) and isinstance(request.scope.get("route"), PageRoute)


def _page_above(request: Request) -> str:
    """The path of the nearest page above the address of a form."""
    path = path_inside(request.scope)
    while path := path.rpartition("/")[0]:
        asked: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
        if any(each.matches(asked)[0] is Match.FULL for each in request.app.routes):
            return path
    return "/home"


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")
