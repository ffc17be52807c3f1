"""Who may read the metrics, and a listener of their own for a process that has no API."""

import asyncio
import contextlib
import ipaddress
import secrets
import socket
from collections.abc import Generator

import uvicorn
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from pressroom import logs
from pressroom.database.session import Database
from pressroom.errors import Invalid
from pressroom.http_protocol import BoundedHttp
from pressroom.metrics import Metrics

REFUSED = "Only programs on this machine may read the metrics, or those that send the token of PRESSROOM_METRICS_TOKEN."
_FORWARDED = ("forwarded", "x-forwarded-for")
log = logs.logger("pressroom.metrics")


def may_read(request: HTTPConnection, token: SecretStr | None) -> bool:
    """Whether ``request`` comes from this machine, or carries ``token`` as a bearer.

    What a proxy on this machine passes on does not come from this machine.
    """
    expected = token.get_secret_value() if token else ""
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if expected and kind.lower() == "bearer" and secrets.compare_digest(given.strip().encode(), expected.encode()):
        return True
    return not any(name in request.headers for name in _FORWARDED) and _is_loopback(request)


def _is_loopback(request: HTTPConnection) -> bool:
    try:
        address = ipaddress.ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


async def serve_metrics(
    metrics: Metrics,
    database: Database,
    host: str,
    port: int,
    *,
    token: SecretStr | None = None,
    listening: asyncio.Future[int] | None = None,
) -> None:
    """Answer ``GET /metrics`` at ``host`` and ``port`` (0 takes a free one) until cancelled.

    ``token`` is what a client on another machine must send. ``listening`` gets the port. Signals are left alone. Raises
    :class:`Invalid` where the address cannot be listened on.
    """

    async def answer(request: Request) -> Response:
        if not may_read(request, token):
            return PlainTextResponse(REFUSED, 403)
        body, content_type = await metrics.render(database, request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type})

    app = Starlette(routes=[Route("/metrics", answer)])
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
        http=BoundedHttp,
        ws="none",
        proxy_headers=False,
        server_header=False,
    )
    server = _Listener(config)
    with _bound(host, port) as opened:
        # Uvicorn says at once where it listens; that is said here in words that tell it from the API.
        number = opened.getsockname()[1]
        serving = asyncio.create_task(server.serve(sockets=[opened]), name="metrics")
        try:
            if listening is not None:
                listening.set_result(number)
            log.info("metrics are served", address=f"http://{f'[{host}]' if ':' in host else host}:{number}/metrics")
            await asyncio.shield(serving)
        finally:
            server.should_exit = True
            await serving


@contextlib.contextmanager
def _bound(host: str, port: int) -> Generator[socket.socket]:
    try:
        opened = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise Invalid(f"The metrics cannot be served at {host}, port {port}: {error.strerror or error}.") from error
    with opened:
        yield opened


class _Listener(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Signals are the process's own, which has more to end than this."""
        yield
