"""The browser's side of a session: the cookie with its secret, and how a request shows that a page of ours sent it.

A cookie comes with every request of a browser, whoever caused it. So a session is good for reading alone, unless the
request says that its page is ours (``Origin``), and brings what only our pages are told (``X-CSRF-Token``).
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import Response

from pressroom.errors import NotAllowed, NotAuthenticated
from pressroom.hosts import is_loopback, is_loopback_to_browsers

CSRF_HEADER = "X-CSRF-Token"
_TOKEN_BYTES = hashlib.sha256().digest_size
_PORTS = {"http": 80, "https": 443}


def derived(secret: str, purpose: str) -> bytes:
    """32 bytes made of a secret, of which nobody learns it or what is made of it for another purpose."""
    return hmac.digest(secret.encode(), purpose.encode(), hashlib.sha256)


def csrf_token(secret: str) -> str:
    """What a page of ours sends with each change in the session of ``secret``."""
    return derived(secret, "csrf").hex()


def masked(token: str) -> str:
    """A token as a page holds it: another text each time. A page is compressed, and how well it is would tell somebody
    who has it loaded with texts of theirs in it, and sees its length, what else is in it."""
    plain = bytes.fromhex(token)
    mask = secrets.token_bytes(len(plain))
    return mask.hex() + _without(plain, mask).hex()


def unmasked(text: str) -> str:
    """The token in what :func:`masked` made; any other text is answered as it is."""
    try:
        both = bytes.fromhex(text)
    except ValueError:
        return text
    half = len(both) // 2
    return _without(both[half:], both[:half]).hex() if len(both) == 2 * _TOKEN_BYTES else text


def _without(some: bytes, mask: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(some, mask, strict=True))


def _cookies(scope: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The cookies of a request, each with what it holds; one that was sent twice, twice."""
    for header in _header(scope, b"cookie"):
        for pair in header.split(";"):
            name, _, value = pair.strip().partition("=")
            yield name, value


def has_token(scope: Mapping[str, Any], secret: str) -> bool:
    """Whether the request of an ASGI scope brings the token of the session of ``secret``."""
    given = next(_header(scope, CSRF_HEADER.lower().encode()), "")
    return hmac.compare_digest(given.encode(), csrf_token(secret).encode())


@dataclass(frozen=True, slots=True)
class Site:
    """Where browsers reach this service: the ``origin`` of its pages, and the ``prefix`` of all their paths."""

    origin: str
    prefix: str = ""

    @classmethod
    def of(cls, scope: Mapping[str, Any], public_url: str | None) -> "Site | None":
        """The site of ``PRESSROOM_PUBLIC_URL``, else the one that the request of an ASGI scope came to, if that is on
        this machine; ``None`` where nobody has said, since any name may stand in a request, and where whoever listens
        on the way would learn the cookie."""
        address = public_url or f"{scope.get('scheme', 'http')}://{next(_header(scope, b'host'), '')}"
        try:
            url = urlsplit(address)
            host, port = url.hostname or "", url.port
        except ValueError:
            return None
        safe = is_loopback(host) if public_url is None else url.scheme == "https" or is_loopback_to_browsers(host)
        if not safe:
            return None
        host = f"[{host}]" if ":" in host else host
        origin = f"{url.scheme}://{host}" + (f":{port}" if port and port != _PORTS.get(url.scheme) else "")
        return cls(origin, (url.path if public_url else "").rstrip("/") or scope.get("root_path", "").rstrip("/"))

    @property
    def url(self) -> str:
        """The address that paths are added to."""
        return self.origin + self.prefix

    def secret(self, scope: Mapping[str, Any], purpose: str = "session") -> str | None:
        """What our cookie for ``purpose`` holds. Raises :class:`NotAuthenticated` where there are several: one of them
        was put there by somebody else."""
        wanted = self._name(purpose)
        found = [value for name, value in _cookies(scope) if name == wanted]
        if len(found) > 1:
            raise NotAuthenticated(f"The cookie {wanted} was sent more than once.")
        return found[0] if found else None

    def held(self, scope: Mapping[str, Any], beginning: str) -> dict[str, str]:
        """What our cookies hold whose purposes begin so, by purpose."""
        wanted = self._name(beginning)
        found = [(name, value) for name, value in _cookies(scope) if name.startswith(wanted)]
        return {beginning + name.removeprefix(wanted): value for name, value in found}

    def give(self, response: Response, value: str, purpose: str = "session", seconds: int | None = None) -> None:
        """Have the browser keep ``value`` for ``purpose``: until it is closed, or for so many ``seconds``."""
        response.set_cookie(
            self._name(purpose),
            value,
            max_age=seconds,
            path=self.prefix or "/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def take(self, response: Response, purpose: str = "session") -> None:
        """Have the browser forget its cookie for ``purpose``."""
        self.give(response, "", purpose, seconds=0)

    def require_own_page(self, scope: Mapping[str, Any], secret: str) -> None:
        """Raise :class:`NotAllowed` unless a page of this service sent the request, for the session of ``secret``."""
        if not self.is_own_page(scope):
            raise NotAllowed(
                "In a session, changes are taken from this service's own pages only; this request comes from another "
                f"site, or does not say (Origin: {self.origin})."
            )
        if not has_token(scope, secret):
            raise NotAllowed(f"In a session, a change needs the session's {CSRF_HEADER}, which GET /session answers.")

    def is_own_page(self, scope: Mapping[str, Any]) -> bool:
        """Whether a page of this service sent the request of an ASGI scope, as its browser says."""
        origin = next(_header(scope, b"origin"), None)
        return next(_header(scope, b"sec-fetch-site"), "") == "same-origin" if origin is None else origin == self.origin

    @property
    def _secure(self) -> bool:
        return self.origin.startswith("https://")

    def _name(self, purpose: str) -> str:
        if not self._secure:
            return f"pressroom_{purpose}"
        # What the browser demands of such a name: __Host- is for the path / alone.
        name = "pressroom" if purpose == "session" else f"pressroom-{purpose}"
        return f"__Secure-{name}" if self.prefix else f"__Host-{name}"


def _header(scope: Mapping[str, Any], wanted: bytes) -> Iterator[str]:
    return (value.decode("latin-1") for name, value in scope["headers"] if name == wanted)
