"""What browsers are told of every answer: what they may make of it, and what not."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Headers = tuple[tuple[bytes, bytes], ...]
POLICY = b"content-security-policy"
_ALWAYS: Headers = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"private, no-cache"),  # a cookie does not keep a shared cache away, as Authorization does
)
_OF_DATA: Headers = (
    (POLICY, b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
)
"""Of an answer that does not say itself what a page of it may do, and where it may be framed."""
_NAMES = frozenset(name for name, _ in _ALWAYS + _OF_DATA)
YEAR_SECONDS = 365 * 24 * 3600


class SecurityHeaders:
    """Adds them to every answer, errors and kept answers too; a header that an answer has is left as it is.

    ``https``: browsers are to come by https only, from now on.
    """

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self._app = app
        always = _ALWAYS
        if https:
            always += ((b"strict-transport-security", f"max-age={YEAR_SECONDS}".encode()),)
        self._always, self._of_data = always, always + _OF_DATA

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.get("headers", ())
                has = {name for name, _ in headers} & _NAMES
                ours = self._always if POLICY in has else self._of_data
                message["headers"] = [*headers, *([pair for pair in ours if pair[0] not in has] if has else ours)]
            await send(message)

        await self._app(scope, receive, answered)
