"""``/docs``: Swagger UI, from this service's own files. Where people sign in with a browser, it signs in with them."""

import json
from contextlib import suppress

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from pressroom.api import TheParts
from pressroom.errors import PressroomError
from pressroom.identity.authentication import session_secret

STATIC = "/static-offline-docs"
router = APIRouter()
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


@router.get("/docs", include_in_schema=False)
async def show_the_docs(request: Request, parts: TheParts) -> HTMLResponse:
    """The API, to read and to try out."""
    root = request.scope.get("root_path", "")
    shown = get_swagger_ui_html(
        openapi_url=f"{root}{request.app.openapi_url}",
        title=f"{request.app.title} - Swagger UI",
        swagger_js_url=f"{root}{STATIC}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{STATIC}/swagger-ui.css",
        swagger_favicon_url=f"{root}{STATIC}/favicon.png",
    )
    if not parts.doors:
        return shown
    with suppress(PressroomError):  # an ended session is none
        await parts.authentication.caller(request.scope)
    signed_in = json.dumps(session_secret(request.scope) is not None)
    # A path may hold a quotation mark or the end of a script.
    prefix = json.dumps(root).replace("<", "\\u003c")
    script = _SESSION.replace("PREFIX", prefix).replace("SIGNED_IN", signed_in)
    return HTMLResponse(bytes(shown.body).decode().replace("</body>", script), headers={"Cache-Control": "no-store"})
