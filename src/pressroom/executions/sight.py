"""Whether the caller of a stream may still see what it is of: asked now and then, as long as it lasts."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request

from pressroom.api import Parts
from pressroom.errors import NotAllowed, NotAuthenticated, NotFound, Unavailable
from pressroom.executions import following
from pressroom.identity import rights
from pressroom.identity.policy import viewer
from pressroom.identity.principal import Principal

_OFTEN = 2 / 3
"""How often a stream asks whether its caller may still see it: in parts of the time that it may be silent."""


class Sight:
    """What the caller of a stream sees. ``look`` raises :class:`NotFound` where a caller may not see it; ``what`` names
    it among all that can be seen."""

    def __init__(
        self, parts: Parts, request: Request, what: tuple[str, int], look: Callable[[Principal], Awaitable[Any]]
    ) -> None:
        self._parts, self._request, self._asked_at = parts, request, time.monotonic()
        self._what, self._look = what, look

    async def lost(self) -> str | None:
        """Why they may not, in a sentence; ``None`` where they may, as long as that cannot be told, and where it was
        asked a moment ago."""
        if time.monotonic() - self._asked_at < following.ALIVE_SECONDS * _OFTEN:
            return None
        self._asked_at = time.monotonic()
        try:
            caller = await self._parts.authentication.again(self._request.scope)
            rights.require_scope(caller, rights.VIEWER.scope)
            # Of as many followers as there are who may see the same, one asks.
            await self._parts.reads.get(("seen", *self._what, viewer(caller)), lambda: self._look(caller))
        except Unavailable:
            return None
        except (NotAuthenticated, NotAllowed, NotFound) as error:
            return error.detail
        return None
