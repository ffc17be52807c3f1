"""An OIDC issuer: its keys, fetched when they are needed and kept for as long as it cannot be asked."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from pressroom.errors import Unavailable

log = logging.getLogger("pressroom.identity")
PublicKey = RSAKey | ECKey | OKPKey
KEYS_SECONDS = 300
"""The age at which keys are asked for anew: what the issuer has taken back is not believed for longer than about this,
as long as it can be reached."""
AGAIN_SECONDS = 10
"""The least time between two times that it is asked, whatever the tokens say that come."""


class Issuer:
    """An issuer and its public keys. A key that is known is used also while the issuer cannot be reached."""

    def __init__(
        self,
        url: str,
        http: httpx.AsyncClient,
        metadata_url: str | None = None,
        *,
        again_seconds: float = AGAIN_SECONDS,
    ) -> None:
        self.url, self.http = url, http
        self._again_seconds = again_seconds
        self._metadata_url = metadata_url or url.rstrip("/") + "/.well-known/openid-configuration"
        self._keys: list[PublicKey] = []
        self._asking = asyncio.Lock()
        self._asked_at = self._fetched_at = float("-inf")
        self._trouble: str | None = None
        self._refreshing: asyncio.Task[None] | None = None

    async def key(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """The key of that id for that algorithm; without an id, the only one there is.

        The issuer is asked about a key that is not known, though not more often than every :data:`AGAIN_SECONDS`.
        Raises :class:`Unavailable` where it did not answer, ``None`` says that it has no such key.
        """
        if (known := self._find(kid, algorithm)) is not None:
            if time.monotonic() - self._fetched_at > KEYS_SECONDS:
                self._refresh()
            return known
        if (trouble := await self._ask()) is not None:
            raise Unavailable("issuer of the token", trouble)
        return self._find(kid, algorithm)

    def _find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        fitting = [key for key in self._keys if key.get("alg") in (None, algorithm) and kid in (None, key.get("kid"))]
        return fitting[0] if len(fitting) == 1 or (fitting and kid is not None) else None

    def _refresh(self) -> None:
        """Ask anew, while those who are known go on."""

        async def ask() -> None:
            if (trouble := await self._ask()) is not None:
                log.warning("the keys of %s cannot be renewed, and those that are known hold on: %s", self.url, trouble)

        may_ask = time.monotonic() - self._asked_at > self._again_seconds
        if may_ask and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = asyncio.create_task(ask())

    async def _ask(self) -> str | None:
        """Fetch the keys, unless that was just done; why they could not be had, the last time."""
        async with self._asking:
            if time.monotonic() - self._asked_at > self._again_seconds:
                try:
                    self._keys = await self._fetch()
                    self._fetched_at, self._trouble = time.monotonic(), None
                except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
                    self._trouble = told(error)
                self._asked_at = time.monotonic()
            return self._trouble

    async def metadata(self) -> dict[str, Any]:
        """What the issuer says of itself, now. Raises :class:`Unavailable` where it does not answer."""
        try:
            return await self._metadata()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise Unavailable("issuer", told(error)) from error

    async def _metadata(self) -> dict[str, Any]:
        metadata = await self._get(self._metadata_url)
        if (named := metadata.get("issuer")) != self.url:
            raise ValueError(f"{self._metadata_url} is about the issuer {named!r}, and the settings name {self.url!r}")
        return metadata

    async def _fetch(self) -> list[PublicKey]:
        metadata = await self._metadata()
        keys = (await self._get(str(metadata.get("jwks_uri")))).get("keys")
        found = [key for given in cast("list[Any]", keys if isinstance(keys, list) else []) if (key := _key(given))]
        if not found:
            raise ValueError(f"{self.url} publishes no key that tokens can be signed with")
        return found

    async def _get(self, url: str) -> dict[str, Any]:
        answer = await self.http.get(url)
        answer.raise_for_status()
        body = answer.json()
        if not isinstance(body, dict):
            raise ValueError(f"{url} does not answer with an object")  # noqa: TRY004, it is one of several such
        return cast("dict[str, Any]", body)

    async def close(self) -> None:
        """End what is under way."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            with suppress(asyncio.CancelledError):
                await self._refreshing


def told(error: Exception) -> str:
    """What went wrong on the way to an issuer, in words."""
    return str(error) or f"it ended the connection or did not answer in time ({type(error).__name__})"


def _key(given: Any) -> PublicKey | None:
    """A key to check signatures with; ``None`` for one of another use, and one that is not understood."""
    if not isinstance(given, dict) or cast("dict[str, Any]", given).get("use", "sig") != "sig":
        return None
    try:
        key = JWKRegistry.import_key(cast("dict[str, Any]", given))
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return key if isinstance(key, PublicKey) else None


@asynccontextmanager
async def open_issuer(url: str, metadata_url: str | None = None) -> AsyncIterator[Issuer]:
    """The issuer, asked over connections of its own."""
    async with httpx.AsyncClient(timeout=5) as http:
        issuer = Issuer(url, http, metadata_url)
        try:
            yield issuer
        finally:
            await issuer.close()
