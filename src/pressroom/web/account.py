"""How pages look to somebody, and the end of their session."""

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from pressroom.api import Reader, TheParts
from pressroom.errors import Invalid
from pressroom.identity.arrivals import signed_out
from pressroom.identity.attempt import next_path_of
from pressroom.web.rendering import THEME_COOKIE, THEMES, page
from pressroom.web.routes import PageRoute

YEAR_SECONDS = 365 * 24 * 3600
router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/appearance")
async def choose_appearance(request: Request, _: Reader, theme: str = "auto", back: str = "/home") -> Response:
    """Have the browser keep whether pages are light or dark, and go back to the page."""
    if theme not in THEMES:
        raise Invalid(f"theme must be one of {', '.join(THEMES)}.")
    root = request.scope.get("root_path", "")
    response = RedirectResponse(root + next_path_of(back, root), 303, {"Cache-Control": "no-store"})
    response.set_cookie(
        THEME_COOKIE,
        theme,
        max_age=YEAR_SECONDS,
        path=root or "/",
        secure=request.url.scheme == "https",
        samesite="lax",
    )
    return response


@router.post("/sign-out")
async def sign_out_from_a_page(request: Request, parts: TheParts, caller: Reader) -> Response:
    """End the browser's session, and say where to sign out at the issuer."""
    site, address = await signed_out(request, parts, caller)
    door = parts.doors.get(caller.source)
    # Not sent there at once: a form of ours leads to this service alone.
    response = page(request, "signed_out.html", address=address, title=door.title if door else "")
    site.take(response)
    return response
