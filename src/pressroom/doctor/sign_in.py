"""How callers are known: the issuer, the Hub, or nobody but this machine's user. All of it blocks."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import httpx

from pressroom.doctor.case import Case
from pressroom.doctor.findings import Finding, ok, warning, wrong
from pressroom.errors import Unavailable, shown
from pressroom.hosts import is_loopback
from pressroom.identity.issuer import Issuer
from pressroom.settings import JUPYTERHUB, LOCAL, OIDC, Settings

PART = "sign-in"


def local(case: Case) -> list[Finding]:
    """Whoever connects is one user: only where nobody else can connect."""
    settings = case.settings
    if LOCAL not in settings.auth:
        return []
    if not settings.listens_on_loopback:
        says = f"PRESSROOM_AUTH=local lets whoever connects do everything, and {settings.host} is no loopback address"
        return [wrong(PART, says, "PRESSROOM_HOST=127.0.0.1, or PRESSROOM_AUTH=oidc or jupyterhub")]
    says = f"none is set up: whoever is on this machine is {settings.local_user}, and nobody else can connect"
    return [ok(PART, f"{says} ({settings.host}:{settings.port})")]


def issuer(case: Case) -> list[Finding]:
    """Whether the OIDC issuer's metadata can be had, and browsers can come back from there."""
    settings = case.settings
    if OIDC not in settings.auth or settings.oidc_issuer is None:
        return []
    return asyncio.run(_issuer(settings, settings.oidc_issuer, case.answer_seconds))


def hub(case: Case) -> list[Finding]:
    """Whether the Hub's API answers, and takes this service's token for that of this service."""
    settings = case.settings
    if JUPYTERHUB not in settings.auth or settings.jupyterhub_api_url is None:
        return []
    url = settings.jupyterhub_api_url
    token = settings.jupyterhub_api_token
    with httpx.Client(timeout=case.answer_seconds, trust_env=False) as http:
        try:
            says = _hub_version(http, url)
            if token is None:
                no_token = f"{says}; without a token of this service's, browsers cannot sign in there"
                return [warning(PART, no_token, "PRESSROOM_JUPYTERHUB_API_TOKEN, as `pressroom hub --external` prints")]
            answer = http.get(f"{url}/user", headers={"Authorization": f"token {token.get_secret_value()}"})
            return [known_as(settings, says, answer)]
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            why = shown(str(error) or type(error).__name__)
            return [wrong(PART, f"the Hub at {url} cannot be asked: {why}", f"curl {url}/")]


def known_as(settings: Settings, says: str, answer: httpx.Response) -> Finding:
    """What the Hub's answer to ``GET /user`` means for this service."""
    mend = f"the same api_token for {settings.hub_service} in jupyterhub_config.py and here; pressroom hub --external"
    if answer.status_code in (401, 403):
        return wrong(PART, f"{says}, and does not take this service's token", mend)
    if answer.is_error:
        return wrong(PART, f"{says}, and answers {answer.status_code} to this service's token", mend)
    who: dict[str, Any] = answer.json()
    if (who.get("kind"), who.get("name")) != ("service", settings.hub_service):
        is_of = f"{shown(str(who.get('kind')))} {shown(str(who.get('name')))}"
        return wrong(PART, f"{says}, and the token is that of {is_of}, not of {settings.hub_service}", mend)
    return ok(PART, f"{says}, and knows this service as {settings.hub_service}")


async def _issuer(settings: Settings, url: str, seconds: float) -> list[Finding]:
    metadata_url = settings.oidc_metadata_url or url.rstrip("/") + "/.well-known/openid-configuration"
    async with httpx.AsyncClient(timeout=seconds) as http:
        try:
            metadata = await Issuer(url, http, settings.oidc_metadata_url).metadata()
        except Unavailable as error:
            mend = f"curl {metadata_url}; PRESSROOM_OIDC_ISSUER to the letter as its answer says"
            return [wrong(PART, f"{url}: {error.detail}", mend)]
    kind = "with a secret" if settings.oidc_client_secret is not None else "public, without a secret"
    says = f"{url} answers; client {settings.oidc_client_id} ({kind}), audience {settings.oidc_audience}"
    found = [ok(PART, says)]
    if missing := [name for name in ("jwks_uri", "authorization_endpoint", "token_endpoint") if name not in metadata]:
        found = [wrong(PART, f"{url} does not say its {', '.join(missing)}", f"curl {metadata_url}")]
    if urlsplit(url).scheme == "http" and not is_loopback(urlsplit(url).hostname or ""):
        says = f"{url} is reached without TLS: whoever is in between can be anybody"
        found.append(warning(PART, says, "an issuer with https"))
    if settings.public_url is None:
        says = "without an address for browsers to come back to, people sign in on this machine only"
        found.append(warning(PART, says, "PRESSROOM_PUBLIC_URL=https://pressroom.example.com"))
    return found


def _hub_version(http: httpx.Client, url: str) -> str:
    answer = http.get(f"{url}/")
    answer.raise_for_status()
    version = answer.json().get("version")
    if not isinstance(version, str):
        raise ValueError("what answers is no Hub")  # noqa: TRY004, an address of something else
    return f"the Hub {shown(version)} answers at {url}"
