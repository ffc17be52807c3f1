"""What stands before every endpoint: limits on bodies, and who may talk to a service without a sign-in."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pressroom.api import problem_response
from pressroom.errors import NotAllowed, TooLarge
from pressroom.settings import is_loopback


class BodyLimit:
    """Answers 413 to a body over its limit, whether or not its length was announced. ``uploads``: path → bytes."""

    def __init__(self, app: ASGIApp, limit_bytes: int, uploads: dict[str, int]) -> None:
        self._app, self._limit, self._uploads = app, limit_bytes, uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._uploads.get(scope["path"], self._limit)
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdigit() and int(announced) > limit:
            await problem_response(TooLarge("The body", limit))(scope, receive, send)
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
            await problem_response(TooLarge("The body", limit))(scope, receive, send)


class LoopbackOnly:
    """Refuses what a web page of another site sends to a service that has no sign-in.

    A name other than loopback's in ``Host`` is DNS rebinding; another site in ``Origin``, a request across sites.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            for name, value in (
                ("Host", "//" + headers.get("host", "localhost")),
                ("Origin", headers.get("origin", "")),
            ):
                if value and not _is_loopback(value):
                    error = NotAllowed(f"With PRESSROOM_AUTH=local, {name} must be a loopback name.")
                    await problem_response(error)(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def _is_loopback(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False
