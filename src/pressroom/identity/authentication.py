"""Who is calling: the one seam by which a request becomes a :class:`Principal`."""

from collections.abc import MutableMapping, Sequence
from typing import Any, Protocol

from pressroom.errors import NotAuthenticated
from pressroom.identity.principal import Principal

SCHEMES = ("bearer", "token")
"""``Authorization: Bearer ...``, and JupyterHub's spelling of the same."""
_KNOWN = "pressroom.principal"


class Source(Protocol):
    """One way to be known."""

    async def principal(self, token: str) -> Principal | None:
        """Whom ``token`` stands for; ``None`` where it is not of this source's kind.

        Raises :class:`NotAuthenticated` where it is of this kind and not valid, and :class:`Unavailable` where that
        cannot be told now.
        """
        ...


class Authentication:
    """Asks each source in turn; whoever no source knows is refused.

    ``local`` is who calls without any token, where there is such a one. Whoever sends a token is whom the token stands
    for, and never the local user in its stead.
    """

    def __init__(self, sources: Sequence[Source], local: Principal | None) -> None:
        self._sources, self._local = tuple(sources), local

    async def principal(self, authorization: str | None) -> Principal:
        """Who sent this ``Authorization`` header, or none. Raises :class:`NotAuthenticated`."""
        if authorization is None:
            if self._local is None:
                raise NotAuthenticated("Send a token, as Authorization: Bearer TOKEN.")
            return self._local
        scheme, _, token = authorization.strip().partition(" ")
        token = token.strip()
        if scheme.lower() not in SCHEMES or not token:
            raise NotAuthenticated("Authorization must be: Bearer TOKEN.")
        for source in self._sources:
            if (found := await source.principal(token)) is not None:
                return found
        raise NotAuthenticated("The token is not valid.")

    async def caller(self, scope: MutableMapping[str, Any]) -> Principal:
        """Who sent the request of an ASGI scope; found once, however often it is asked. Raises as :meth:`principal`."""
        if (known := scope.get(_KNOWN)) is None:
            given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
            if len(given) > 1:
                raise NotAuthenticated("Authorization was sent more than once.")
            known = scope[_KNOWN] = await self.principal(given[0] if given else None)
        return known

    async def again(self, scope: MutableMapping[str, Any]) -> Principal:
        """As :meth:`caller`, asked anew: for an answer that goes on after it began. Raises as :meth:`principal`."""
        return await self.caller({**scope, _KNOWN: None})


def known_caller(scope: MutableMapping[str, Any]) -> Principal | None:
    """Who sent the request of an ASGI scope, where that was asked and found."""
    return scope.get(_KNOWN)
