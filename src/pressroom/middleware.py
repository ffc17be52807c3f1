"""What stands before every endpoint: limits on bodies, by which names it may be asked and from where, kept answers."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pressroom.api import problem_response
from pressroom.errors import HostNotAllowed, NotAllowed, PressroomError, TooLarge
from pressroom.hosts import is_loopback
from pressroom.kept_answers import KeptAnswer, KeptAnswers
from pressroom.prefix import path_inside
from pressroom.settings import Settings

MONITORED: dict[str, Callable[[Iterable[tuple[bytes, bytes]]], bool]] = {
    "/health": lambda _: True,
    "/metrics": lambda headers: any(name == b"authorization" for name, _ in headers),
}
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class BodyLimit:
    """Answers 413 to a body over its limit, whether or not its length was announced. ``uploads``: path → bytes."""

    def __init__(self, app: ASGIApp, limit_bytes: int, uploads: dict[str, int]) -> None:
        self._app, self._limit, self._uploads = app, limit_bytes, uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._uploads.get(path_inside(scope), self._limit)
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdigit() and int(announced) > limit:
            await problem_response(TooLarge("The body", limit), scope)(scope, receive, send)
            return
        received = 0
        began = False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise TooLarge("The body", limit)
            return message

        async def answered(message: Message) -> None:
            nonlocal began
            # Whoever reads the body may take what was raised for a body that cannot be read: that answer is left out.
            if received <= limit or began:
                began = True
                await send(message)

        await self._app(scope, counted, answered)
        if not began:
            await problem_response(TooLarge("The body", limit), scope)(scope, receive, send)


class LoopbackOnly:
    """Refuses what a web page of another site sends to a service that has no sign-in.

    A name other than loopback's in ``Host`` is DNS rebinding; another site in ``Origin``, a request across sites.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] == "http":
            for name, value in scope["headers"]:
                if name != b"host" and (name != b"origin" or not value):
                    continue
                url = value.decode("latin-1")
                if not _is_loopback("//" + url if name == b"host" else url):
                    what = name.decode().title()
                    error = NotAllowed(f"With PRESSROOM_AUTH=local, {what} must be a loopback name.")
                    await problem_response(error, scope)(scope, receive, send)
                    return
        await self._app(scope, receive, send)


class AllowedHosts:
    """Answers 400 to a request that asks for a name which is not one of this service's: its answers hold links, and a
    link by somebody else's name leads there. Monitors ask by address: for ``/health``, which is anybody's to know, and
    for ``/metrics`` with their token, which no page that only took this machine's name has.

    ``names``: each a host's name, or ``*.`` and the end of many.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        self._app = app
        self._names = frozenset(name for name in names if not name.startswith("*."))
        self._ends = tuple(name[1:] for name in names if name.startswith("*."))
        self._allowed = lru_cache(maxsize=64)(self._is_allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] == "http":
            headers: list[tuple[bytes, bytes]] = scope["headers"]
            given = [value.decode("latin-1") for name, value in headers if name == b"host"]
            monitor = MONITORED.get(path_inside(scope))
            if not (len(given) == 1 and self._allowed(given[0])) and not (monitor and monitor(headers)):
                await problem_response(HostNotAllowed(", ".join(given)), scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_allowed(self, given: str) -> bool:
        url = _split("//" + given)
        name = (url.hostname or "").rstrip(".") if url is not None and url.netloc == given and "@" not in given else ""
        return bool(name) and (name in self._names or f"[{name}]" in self._names or name.endswith(self._ends))


def allowed_hosts(settings: Settings) -> list[str]:
    """The names that a service may be asked by; none where it may be any."""
    if settings.allowed_hosts or settings.public_url is None:
        return settings.allowed_hosts
    return [*LOOPBACK, urlsplit(settings.public_url).hostname or ""]


class KeptFirst:
    """Sends an answer that is kept and still holds; every other request goes on to its endpoint."""

    def __init__(self, app: ASGIApp, kept: KeptAnswers) -> None:
        self._app, self._kept = app, kept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] == "http" and scope["method"] == "GET":
            kept = await self._found(scope)
            if kept is not None:
                scope["route"] = kept.route  # for the span's name
                await send({"type": "http.response.start", "status": 200, "headers": list(kept.headers)})
                await send({"type": "http.response.body", "body": kept.body})
                return
        await self._app(scope, receive, send)

    async def _found(self, scope: Scope) -> KeptAnswer | None:
        if not self._kept.knows(scope):
            return None
        try:
            caller = await scope["app"].state.parts.authentication.caller(scope)
        except PressroomError:  # the endpoint says so
            return None
        return await self._kept.find(scope, caller)


@lru_cache(maxsize=64)
def _is_loopback(text: str) -> bool:
    url = _split(text)
    return url is not None and is_loopback(url.hostname or "")


def _split(text: str) -> SplitResult | None:
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        return None
    return url
