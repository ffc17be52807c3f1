"""Signing in with a browser at JupyterHub: its authorization-code flow with PKCE. A :class:`~..doors.Door`."""

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
from authlib.oauth2.client import OAuth2Client
from starlette.responses import RedirectResponse, Response

from pressroom.errors import NotAuthenticated, Unavailable, shown
from pressroom.identity import attempt as attempts
from pressroom.identity.attempt import Attempt
from pressroom.identity.cookies import Site
from pressroom.identity.jupyterhub import SOURCE, HubTokens
from pressroom.identity.principal import Principal
from pressroom.jupyterhub_settings import JupyterHubSettings

CALLBACK = "/oauth_callback"
"""The end of the address that the Hub sends browsers back to, unless its configuration names another."""


class HubSignIn:
    """The door of ``PRESSROOM_AUTH=jupyterhub``. ``secret`` is the service's own token."""

    source = SOURCE
    title = "JupyterHub"

    def __init__(self, settings: JupyterHubSettings, secret: str, tokens: HubTokens) -> None:
        self._settings, self._secret, self._tokens = settings, secret, tokens
        self._client = settings.jupyterhub_client_id or f"service-{settings.hub_service}"
        api = settings.jupyterhub_api_url or ""
        public = urlsplit(settings.jupyterhub_public_hub_url or "")
        # Where no public address is known, this service is looked at through the Hub's own proxy, at the same host.
        self._public_api = (f"{public.scheme}://{public.netloc}" if public.netloc else "") + urlsplit(api).path
        self._token_url = f"{api}/oauth2/token"

    async def begin(self, site: Site, next_path: str) -> Response:
        """Send the browser to the Hub."""
        attempt = Attempt.new(next_path)
        client: Any = OAuth2Client(
            session=None,
            client_id=self._client,
            redirect_uri=self._callback(site),
            code_challenge_method="S256",
        )
        address, _ = client.create_authorization_url(
            f"{self._public_api}/oauth2/authorize", state=attempt.state, code_verifier=attempt.verifier
        )
        response = RedirectResponse(address, 303, {"Cache-Control": "no-store"})
        site.give(response, attempt.cookie, attempt.purpose, attempts.SECONDS)
        return response

    async def finish(self, site: Site, attempt: Attempt, query: Mapping[str, str]) -> Principal:
        """Who came back from the Hub with this query, which has the attempt's ``state``.

        Raises :class:`NotAuthenticated`, and :class:`Unavailable` where the Hub does not answer.
        """
        if "error" in query or not query.get("code"):
            raise NotAuthenticated(f"The Hub did not sign you in ({shown(query.get('error') or 'it gave no code')}).")
        given = await self._exchange(site, attempt, query["code"])
        token = given.get("access_token")
        principal = await self._tokens.principal(token) if isinstance(token, str) else None
        if principal is None:
            raise NotAuthenticated("The Hub gave out no token for the browser's code.")
        return principal

    async def leave(self, site: Site, kept: str | None) -> str | None:  # noqa: ARG002 - as the door has it
        """The Hub's page that signs its users out."""
        return self._public_api.removesuffix("/api") + "/logout"

    def _callback(self, site: Site) -> str:
        # The Hub compares it to the letter with what it has for the service: by itself, a path alone.
        return self._settings.jupyterhub_oauth_callback_url or site.prefix + CALLBACK

    async def _exchange(self, site: Site, attempt: Attempt, code: str) -> dict[str, Any]:
        """What the Hub gives for a code."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._callback(site),
            "code_verifier": attempt.verifier,
            "client_id": self._client,
            "client_secret": self._secret,
        }
        try:
            answer = await self._tokens.http.post(self._token_url, data=form)
            if answer.status_code >= 500:
                answer.raise_for_status()
            given = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise Unavailable("Hub", str(error) or type(error).__name__) from error
        given = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
        if answer.is_error:
            why = given.get("error") or f"status {answer.status_code}"
            raise NotAuthenticated(f"The Hub did not take the browser's code ({shown(str(why))}).")
        return given
