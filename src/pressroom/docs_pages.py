"""The interactive documentation, `/docs` and `/redoc`: from files of ours, with scripts of ours alone."""

import base64
import hashlib
import re
from html import escape

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html, get_swagger_ui_oauth2_redirect_html
from fastapi.responses import HTMLResponse

FILES = "/static-offline-docs"
"""Where FastAPIOffline serves the scripts and styles of both."""
_OAUTH2_REDIRECT = "/docs/oauth2-redirect"
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)
# Both put styles into their page while they run. Redoc searches in a worker, whose script it makes itself.
_POLICY = (
    "default-src 'none'; script-src 'self'{scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


def add_docs(app: FastAPI) -> None:
    """Give ``app`` its pages, in place of FastAPIOffline's, which say nothing of what their scripts may do."""

    @app.get("/docs", include_in_schema=False)
    async def custom_swagger_ui_html(request: Request) -> HTMLResponse:  # pyright: ignore[reportUnusedFunction]
        root = _root(request)
        page = get_swagger_ui_html(
            openapi_url=f"{root}/openapi.json",
            title=f"{app.title} - Swagger UI",
            oauth2_redirect_url=root + _OAUTH2_REDIRECT,
            swagger_js_url=f"{root}{FILES}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}{FILES}/swagger-ui.css",
            swagger_favicon_url=f"{root}{FILES}/favicon.png",
        )
        return _guarded(page)

    @app.get(_OAUTH2_REDIRECT, include_in_schema=False)
    async def swagger_ui_redirect() -> HTMLResponse:  # pyright: ignore[reportUnusedFunction]
        return _guarded(get_swagger_ui_oauth2_redirect_html())

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


def _guarded(page: HTMLResponse) -> HTMLResponse:
    """A page, with a policy by which its own inline scripts run and no others, named by their hashes."""
    scripts = _INLINE.findall(bytes(page.body).decode())
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    page.headers["Content-Security-Policy"] = _POLICY.format(scripts="".join(f" 'sha256-{one}'" for one in hashes))
    return page
