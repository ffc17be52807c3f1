"""A sign-in that is under way: begun in one browser, and to be finished in the same one within minutes."""

import binascii
import hmac
import re
import secrets
import time
from dataclasses import dataclass, field
from urllib.parse import unquote

from joserfc.util import urlsafe_b64decode, urlsafe_b64encode

from pressroom.errors import Invalid, NotAuthenticated
from pressroom.identity.cookies import derived

PURPOSE = "login"
"""Of the cookie that holds an attempt."""
SECONDS = 600
LONGEST_PATH = 2000
_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")
_COOKIE = re.compile(r"([A-Za-z0-9_-]{43})\.([0-9]{1,12})\.([A-Za-z0-9_-]*)")
_NOT_BEGUN = "This sign-in was not begun in this browser, or more than ten minutes ago, or it is finished already."


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
    next_path: str

    @classmethod
    def new(cls, next_path: str) -> "Attempt":
        """An attempt that begins now."""
        return cls(secrets.token_urlsafe(32), int(time.time()), next_path)

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
        if not ours or not 0 <= time.time() - attempt.began <= SECONDS:
            raise NotAuthenticated(_NOT_BEGUN)
        return attempt

    @property
    def cookie(self) -> str:
        """What the browser keeps until it comes back."""
        return f"{self.secret}.{self.began}.{urlsafe_b64encode(self.next_path.encode()).decode()}"

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
