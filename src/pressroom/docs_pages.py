"""The interactive documentation, `/docs` and `/redoc`: from files of ours, with scripts of ours alone.

Where people sign in with a browser, `/docs` signs in with them.
"""

import base64
import hashlib
import json
import re
from contextlib import suppress
from html import escape

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse

from pressroom.api import Parts
from pressroom.errors import PressroomError
from pressroom.identity.authentication import session_secret

FILES = "/static-offline-docs"
"""Where FastAPIOffline serves the scripts and styles of both."""
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)
# Both put styles into their page while they run. Redoc searches in a worker, whose script it makes itself.
_POLICY = (
    "default-src 'none'; script-src 'self'{scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_SESSION = """
<div id="session" style="position: fixed; top: .6rem; right: .8rem; z-index: 9; padding: .4rem .8rem; background: #fff;
  border: 1px solid #bbb; border-radius: .3rem; font: 14px/1.4 sans-serif"></div>
<script>
const service = PREFIX;
const asked = SIGNED_IN ? fetch(`${service}/session`).then(answer => answer.ok ? answer.json() : null) : null;
const session = Promise.resolve(asked);
ui.getConfigs().requestInterceptor = async request => {
  const known = await session;
  const ours = new URL(request.url, location.href).origin === location.origin;
  if (ours && known?.csrf_token) request.headers["X-CSRF-Token"] = known.csrf_token;
  return request;
};
session.then(known => {
  const link = document.createElement("a");
  link.textContent = known ? "Sign out" : "Sign in";
  link.href = `${service}/login?next=/docs`;
  if (known) link.onclick = async event => {
    event.preventDefault();
    const headers = {"X-CSRF-Token": known.csrf_token};
    const answer = await fetch(`${service}/logout`, {method: "POST", headers});
    location.href = (answer.ok && (await answer.json()).continue_at) || location.pathname;
  };
  document.getElementById("session").append(known ? `Signed in as ${known.username} · ` : "", link);
});
</script>
</body>
"""


def add_docs(app: FastAPI) -> None:
    """Give ``app`` its pages, in place of FastAPIOffline's, which say nothing of what their scripts may do."""

    @app.get("/docs", include_in_schema=False)
    async def show_the_docs(request: Request) -> HTMLResponse:  # pyright: ignore[reportUnusedFunction]
        root = _root(request)
        page = get_swagger_ui_html(
            openapi_url=f"{root}/openapi.json",
            title=f"{app.title} - Swagger UI",
            swagger_js_url=f"{root}{FILES}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}{FILES}/swagger-ui.css",
            swagger_favicon_url=f"{root}{FILES}/favicon.png",
        )
        parts: Parts = request.app.state.parts
        return _guarded(await _with_session(request, parts, page) if parts.doors else page)

    @app.get("/redoc", include_in_schema=False)
    async def redoc_html(request: Request) -> HTMLResponse:  # pyright: ignore[reportUnusedFunction]
        root = _root(request)
        page = get_redoc_html(
            openapi_url=f"{root}/openapi.json",
            title=f"{app.title} - ReDoc",
            redoc_js_url=f"{root}{FILES}/redoc.standalone.js",
            redoc_favicon_url=f"{root}{FILES}/favicon.png",
            with_google_fonts=False,
        )
        return _guarded(page)


def _root(request: Request) -> str:
    return escape(request.scope.get("root_path", "")).rstrip("/")


async def _with_session(request: Request, parts: Parts, page: HTMLResponse) -> HTMLResponse:
    """The page, that signs in and out, and sends with each change what one in a session needs."""
    with suppress(PressroomError):  # an ended session is none
        await parts.authentication.caller(request.scope)
    signed_in = json.dumps(session_secret(request.scope) is not None)
    # A path may hold a quotation mark or the end of a script.
    prefix = json.dumps(request.scope.get("root_path", "")).replace("<", "\\u003c")
    script = _SESSION.replace("PREFIX", prefix).replace("SIGNED_IN", signed_in)
    return HTMLResponse(bytes(page.body).decode().replace("</body>", script), headers={"Cache-Control": "no-store"})


def _guarded(page: HTMLResponse) -> HTMLResponse:
    """A page, with a policy by which its own inline scripts run and no others, named by their hashes."""
    scripts = _INLINE.findall(bytes(page.body).decode())
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    page.headers["Content-Security-Policy"] = _POLICY.format(scripts="".join(f" 'sha256-{one}'" for one in hashes))
    return page
