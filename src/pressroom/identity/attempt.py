"""A sign-in that is under way: begun in one browser, and to be finished in the same one within minutes."""

import binascii
import hmac
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from urllib.parse import unquote

from joserfc.util import urlsafe_b64decode, urlsafe_b64encode

from pressroom.errors import Invalid, NotAuthenticated
from pressroom.identity.cookies import derived

PURPOSE = "login-"
"""How the purpose of a cookie that holds an attempt begins: each has its own, since a browser whose session is over may
be sent to the sign-in by several tabs at once."""
SECONDS = 600
LONGEST_PATH = 2000
MOST_KEPT = 6000
"""How many characters the attempts of one browser have, besides the one that began last: each request bears them."""
_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")
_COOKIE = re.compile(r"([A-Za-z0-9_-]{43})\.([0-9]{1,15})\.([A-Za-z0-9_-]*)")
_NOT_BEGUN = "This sign-in was not begun in this browser, or more than ten minutes ago, or it is finished already."


def purpose_of(state: str | None) -> str:
    """The purpose of the cookie that holds the attempt with this ``state``."""
    return PURPOSE + (state or "")[:16]


def too_old(held: Mapping[str, str]) -> list[str]:
    """Of the attempts that a browser holds, by purpose, those that it is to forget as it begins another: the oldest,
    beyond :data:`MOST_KEPT`, and what is none."""
    found = {purpose: _COOKIE.fullmatch(cookie) for purpose, cookie in held.items()}
    newest = sorted((-int(parts[2]), purpose) for purpose, parts in found.items() if parts)
    sizes = accumulate(len(held[purpose]) for _, purpose in newest)
    kept = {purpose for (_, purpose), size in zip(newest, sizes, strict=True) if size <= MOST_KEPT}
    return [purpose for purpose in held if purpose not in kept]


def next_path_of(path: str, prefix: str) -> str:
    """``path`` below the service's ``prefix``, where somebody may be sent after a sign-in. Raises :class:`Invalid` for
    what a browser could take for another site, or for a page of others at the same one."""
    below = path.removeprefix(prefix) if path.startswith(f"{prefix}/") else path
    alone = below.split("?")[0].split("#")[0]
    climbs = not {".", ".."}.isdisjoint(unquote(alone).replace("\\", "/").split("/"))
    if len(path) > LONGEST_PATH or _PATH.fullmatch(below) is None or climbs or alone.startswith("/login"):
        raise Invalid("next must be the path of a page of this service, as /docs is.")
    return below


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sign-in. All that the issuer is told of it is made of ``secret``, which only the browser's cookie holds; and
    what else is in the cookie is part of ``state``, so that it cannot be changed on the way."""

    secret: str = field(repr=False)
    began: int
    """In milliseconds."""
    next_path: str

    @classmethod
    def new(cls, next_path: str) -> "Attempt":
        """An attempt that begins now."""
        return cls(secrets.token_urlsafe(32), int(time.time() * 1000), next_path)

    @classmethod
    def under_way(cls, cookie: str | None, state: str | None) -> "Attempt":
        """The attempt of a cookie, where ``state`` is its own and its time is not over. Raises
        :class:`NotAuthenticated`."""
        if (parts := _COOKIE.fullmatch(cookie or "")) is None:
            raise NotAuthenticated(_NOT_BEGUN)
        secret, began, path = parts.groups()
        try:
            attempt = cls(secret, int(began), next_path_of(urlsafe_b64decode(path.encode()).decode(), ""))
        except (ValueError, binascii.Error, Invalid) as error:
            raise NotAuthenticated(_NOT_BEGUN) from error
        ours = hmac.compare_digest((state or "").encode(), attempt.state.encode())
        if not ours or not 0 <= attempt.seconds <= SECONDS:
            raise NotAuthenticated(_NOT_BEGUN)
        return attempt

    @property
    def cookie(self) -> str:
        """What the browser keeps until it comes back."""
        return f"{self.secret}.{self.began}.{urlsafe_b64encode(self.next_path.encode()).decode()}"

    @property
    def seconds(self) -> float:
        """How long ago it began."""
        return time.time() - self.began / 1000

    @property
    def purpose(self) -> str:
        """That of the cookie."""
        return purpose_of(self.state)

    @property
    def state(self) -> str:
        """What comes back by way of the issuer."""
        return derived(self.secret, f"state {self.began} {self.next_path}").hex()

    @property
    def nonce(self) -> str:
        """What the issuer puts into the ID token."""
        return derived(self.secret, "nonce").hex()

    @property
    def verifier(self) -> str:
        """What PKCE shows the issuer in the end, of which it was given the hash in the beginning."""
        return derived(self.secret, "verifier").hex()
