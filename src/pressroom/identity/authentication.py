"""Who is calling: the one seam by which a request becomes a :class:`Principal`."""

from collections.abc import MutableMapping, Sequence
from typing import Any, Protocol

from pressroom.errors import NotAuthenticated
from pressroom.identity.cookies import Site
from pressroom.identity.principal import Principal

READING = ("GET", "HEAD", "OPTIONS")
"""The methods that change nothing."""
SCHEMES = ("bearer", "token")
"""``Authorization: Bearer ...``, and JupyterHub's spelling of the same."""
_KNOWN = "pressroom.principal"
_REFUSED = "pressroom.refused"
_SESSION = "pressroom.session"


class Source(Protocol):
    """One way to be known."""

    async def principal(self, token: str) -> Principal | None:
        """Whom ``token`` stands for; ``None`` where it is not of this source's kind.

        Raises :class:`NotAuthenticated` where it is of this kind and not valid, and :class:`Unavailable` where that
        cannot be told now.
        """
        ...


class Browsers(Protocol):
    """The sessions of browsers."""

    async def principal(self, secret: str) -> Principal:
        """Whose session has this secret. Raises :class:`NotAuthenticated` where none has."""
        ...


class Authentication:
    """Asks each source in turn; whoever no source knows is refused.

    ``local`` is who calls without any token, where there is such a one. Whoever sends a token is whom the token stands
    for, and never whoever's session the browser has, nor the local user, in its stead. Nor is the local user who sends
    the cookie of a session that has ended.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        local: Principal | None,
        browsers: Browsers | None = None,
        public_url: str | None = None,
    ) -> None:
        """``browsers``: their sessions, where people can sign in with one, at ``public_url``."""
        self._sources, self._local = tuple(sources), local
        self._browsers, self._public_url = browsers, public_url

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
        """Who sent the request of an ASGI scope; found once, however often it is asked. Raises as :meth:`principal`,
        and :class:`NotAllowed` where another site may have had a browser send it."""
        if (known := scope.get(_KNOWN)) is None:
            given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
            if len(given) > 1:
                raise NotAuthenticated("Authorization was sent more than once.")
            known = None if given else await self._by_session(scope)
            known = scope[_KNOWN] = known or await self.principal(given[0] if given else None)
        return known

    async def _by_session(self, scope: MutableMapping[str, Any]) -> Principal | None:
        """Whose session's cookie the request has; ``None`` where it has none."""
        if self._browsers is None or (site := Site.of(scope, self._public_url)) is None:
            return None
        if (secret := site.secret(scope)) is None:
            return None
        found = scope[_REFUSED] = await self._browsers.principal(secret)
        if scope["method"] not in READING:
            site.require_own_page(scope, secret)
        scope[_SESSION] = secret
        return found


def known_caller(scope: MutableMapping[str, Any]) -> Principal | None:
    """Who sent the request of an ASGI scope, where that was asked and found; or in whose session, where another site
    did."""
    return scope.get(_KNOWN) or scope.get(_REFUSED)


def session_secret(scope: MutableMapping[str, Any]) -> str | None:
    """The secret of the session by which the caller is known, if it is by one."""
    return scope.get(_SESSION)
