"""JupyterHub's tokens: what the Hub says of them, and whom they stand for. A :class:`~..authentication.Source`.

The Hub is asked by its documented REST API, ``GET /user`` with the token itself, over connections that are kept.
JupyterHub's own class for it needs the whole package, and lets nobody in while the Hub is away.
"""

import asyncio
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import httpx

from pressroom.database.shared_read import SharedReads
from pressroom.errors import NotAllowed, NotAuthenticated, PressroomError, Unavailable
from pressroom.identity.principal import ADMIN, Principal, Scope, with_implied
from pressroom.identity.usernames import SERVICE_PREFIX, service_name_of, username_of
from pressroom.jupyterhub_settings import JupyterHubSettings

T = TypeVar("T")
SOURCE = "jupyterhub"
CUSTOM = "custom:pressroom:"
REFUSED_SECONDS = 5
"""How long the Hub is not asked again about a token that it refused."""
AGAIN_SECONDS = 2
"""How long the Hub is not asked at all after it did not answer."""
MOST = 10_000
"""How many tokens are remembered; what was not sent for longest goes first."""
CONNECTIONS = 20
"""How many tokens are asked about at the same time: the Hub has more to do."""
UNKNOWN = 15
"""How many of these may be tokens that the Hub never vouched for: anybody can send those, and many."""
_FORM = re.compile(r"[!-~]{1,512}")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a token is not taken."""

    kind: type[PressroomError]
    sentence: str


class _Words(Generic[T]):
    """What the Hub said of tokens, by the tokens' SHA-256, and when."""

    def __init__(self) -> None:
        self._words: OrderedDict[bytes, tuple[T, float]] = OrderedDict()

    def keep(self, key: bytes, word: T) -> None:
        self._words[key] = (word, time.monotonic())
        self._words.move_to_end(key)
        if len(self._words) > MOST:
            self._words.popitem(last=False)

    def find(self, key: bytes, seconds: float) -> T | None:
        """What was said less than ``seconds`` ago."""
        if (said := self._words.get(key)) is None or time.monotonic() - said[1] >= seconds:
            return None
        self._words.move_to_end(key)
        return said[0]

    def forget(self, key: bytes) -> None:
        self._words.pop(key, None)


class HubTokens:
    """Knows callers by the tokens of one Hub. Wrong tokens, of which anybody can send many, do not push out others."""

    def __init__(
        self,
        settings: JupyterHubSettings,
        http: httpx.AsyncClient,
        reads: SharedReads,
        *,
        again_seconds: float = AGAIN_SECONDS,
    ) -> None:
        self._settings, self.http, self._reads = settings, http, reads
        self._url = f"{settings.jupyterhub_api_url}/user"
        self._access = f"access:services!service={settings.hub_service}"
        self._known: _Words[Principal] = _Words()
        self._refused: _Words[Refusal] = _Words()
        self._again_seconds = again_seconds
        self._away_until = float("-inf")
        self._trouble = ""
        self._strangers = asyncio.Semaphore(UNKNOWN)

    async def principal(self, token: str) -> Principal | None:
        """Whom ``token`` stands for; ``None`` where it has not the form of one of the Hub's.

        Raises :class:`NotAuthenticated`; :class:`NotAllowed` where it is not for this service; :class:`Unavailable`
        where the Hub cannot be asked, and has not been for too long.
        """
        if token.count(".") == 2 or _FORM.fullmatch(token) is None:
            return None
        key = hashlib.sha256(token.encode()).digest()
        said = self._said(key)
        if said is None:
            said = await self._reads.get(("jupyterhub", key), lambda: self._ask(key, token))
        if isinstance(said, Refusal):
            raise said.kind(said.sentence)
        return said

    def _said(self, key: bytes) -> Principal | Refusal | None:
        known = self._known.find(key, self._settings.jupyterhub_cache_seconds)
        return known or self._refused.find(key, REFUSED_SECONDS)

    async def _ask(self, key: bytes, token: str) -> Principal | Refusal:
        """The Hub's word on a token, or its last one where it is away. Raises :class:`Unavailable`."""
        if (said := self._said(key)) is not None:  # whoever asked just before has it
            return said
        if time.monotonic() >= self._away_until:
            try:
                known = self._known.find(key, float("inf")) is not None
                async with nullcontext() if known else self._strangers:
                    said = self._judged(await self._model(token))
            except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
                self._trouble = str(error) or type(error).__name__
                self._away_until = time.monotonic() + self._again_seconds
            else:
                if isinstance(said, Principal):
                    self._known.keep(key, said)
                else:
                    self._known.forget(key)
                    self._refused.keep(key, said)
                return said
        if (known := self._known.find(key, self._settings.jupyterhub_outage_seconds)) is not None:
            return known
        raise Unavailable("Hub", self._trouble)

    async def _model(self, token: str) -> Mapping[str, Any] | None:
        """Whose token it is, as the Hub describes them; ``None`` where it does not take the token."""
        answer = await self.http.get(self._url, headers={"Authorization": f"token {token}"})
        if answer.status_code in (401, 403):
            return None
        answer.raise_for_status()
        model = answer.json()
        if not isinstance(model, dict):
            raise ValueError(f"{self._url} does not answer with an object")  # noqa: TRY004, it is one of several such
        return cast("dict[str, Any]", model)

    def _judged(self, model: Mapping[str, Any] | None) -> Principal | Refusal:
        if model is None:
            return Refusal(NotAuthenticated, "The token is not valid: the Hub does not take it, or no more.")
        held = frozenset(_texts(model.get("scopes")))
        if not held & {"access:services", self._access}:
            return Refusal(NotAllowed, f"The token is not for this service: it lacks the Hub's scope {self._access}.")
        name = username_of(model.get("name"))
        if name is not None and model.get("kind") == "service":
            name = service_name_of(name)
        elif name is not None and (name.startswith(SERVICE_PREFIX) or model.get("kind") != "user"):
            name = None
        if name is None:
            return Refusal(NotAuthenticated, "The Hub's name of the token's owner cannot be the name of a user.")
        given = {scope for scope in Scope if CUSTOM + scope in held} | set(self._settings.jupyterhub_access_gives)
        if self._settings.jupyterhub_admins and model.get("admin") is True:
            given.add(Scope.ADMIN)
        groups = frozenset(group.removeprefix("/") for group in _texts(model.get("groups")))
        roles = frozenset({ADMIN}) if Scope.ADMIN in given else frozenset[str]()
        return Principal(name, groups, roles, with_implied(given), SOURCE)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, list):
        yield from (text for text in cast("list[object]", value) if isinstance(text, str) and text)


@asynccontextmanager
async def open_hub(settings: JupyterHubSettings, reads: SharedReads) -> AsyncIterator[HubTokens]:
    """What asks the Hub, over connections of its own, and never by a proxy that the environment names."""
    trusted, limits = httpx.create_ssl_context(), httpx.Limits(max_connections=CONNECTIONS)
    async with httpx.AsyncClient(timeout=5, verify=trusted, limits=limits, trust_env=False) as http:
        yield HubTokens(settings, http, reads)
