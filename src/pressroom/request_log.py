"""What every request gets: an id, a span, and one line in the log."""

import logging
import re
import time
import uuid

from opentelemetry.trace import SpanKind, Status, StatusCode
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pressroom import logs, traces
from pressroom.errors import shown
from pressroom.prefix import path_inside

QUIET_PATHS = ("/health", "/metrics")
"""Asked for every few seconds: their lines are at debug level, and they are not traced."""
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_HEADERS = (b"x-request-id", b"traceparent", b"tracestate")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
log = logs.logger("pressroom.requests")


class RequestLog:
    """Stands around the whole application, its error pages too.

    A request's id is what ``X-Request-ID`` says, if that is sane, and a new one else; the answer says it. The line
    has no query string: that may hold values of parameters.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = {name: value.decode("latin-1") for name, value in scope["headers"] if name in _HEADERS}
        given = told.pop(b"x-request-id", "")
        request = _Request(given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex, send)
        with logs.context(request_id=request.id):
            if path_inside(scope) in QUIET_PATHS or not (told or traces.wanted()):
                await self._logged(request, scope, receive)
                return
            carrier = {name.decode(): value for name, value in told.items()}
            await self._traced(request, scope, receive, carrier)

    async def _traced(self, request: "_Request", scope: Scope, receive: Receive, carrier: dict[str, str]) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "HTTP"
        attributes = {
            "http.request.method": method if method != "HTTP" else "_OTHER",
            "url.scheme": scope.get("scheme"),
            "url.path": scope["path"],
            "client.address": scope["client"][0] if scope.get("client") else None,
        }
        with traces.span(method, carrier, kind=SpanKind.SERVER, **attributes) as span:
            try:
                await self._logged(request, scope, receive)
            finally:
                if route := getattr(scope.get("route"), "path", None):
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)
                span.set_attribute("http.response.status_code", request.status)
                if request.status >= 500:
                    span.set_attribute("error.type", str(request.status))
                    span.set_status(Status(StatusCode.ERROR))

    async def _logged(self, request: "_Request", scope: Scope, receive: Receive) -> None:
        started = time.perf_counter()
        try:
            await self._app(scope, receive, request.send)
        except Exception:
            # Raised again after the answer to it, which has logged it; Uvicorn would log it a second time.
            if not request.answered:
                raise
        finally:
            level = logging.DEBUG if path_inside(scope) in QUIET_PATHS else logging.INFO
            if log.isEnabledFor(level):
                log.log(
                    level,
                    "request",
                    method=scope["method"],
                    path=shown(scope["path"], 500),
                    status=request.status,
                    seconds=round(time.perf_counter() - started, 6),
                )


class _Request:
    """A request's id, and what has been sent in answer."""

    def __init__(self, id_: str, send: Send) -> None:
        self.id = id_
        self.status = 500
        """500 until an answer starts: where none does, the server sends that."""
        self.answered = False
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self.id.encode())]
        elif message["type"] == "http.response.body":
            self.answered = not message.get("more_body", False)
        await self._send(message)
