"""The path under which a proxy serves the application, and what it means inside."""

from starlette.types import ASGIApp, Receive, Scope, Send


class Prefixed:
    """Serves the application under a prefix.

    A proxy may pass the prefix on, as JupyterHub's does, or take it away: what comes without it is given it, so that
    every address that is made from a request has it.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app, self._prefix = app, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] == "http":
            path: str = scope["path"]
            if path != self._prefix and not path.startswith(self._prefix + "/"):
                path = self._prefix + path
            scope = {**scope, "path": path, "root_path": self._prefix}
        await self._app(scope, receive, send)


def path_inside(scope: Scope) -> str:
    """The path of a request inside the application."""
    return scope["path"].removeprefix(scope.get("root_path", ""))
