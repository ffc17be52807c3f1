"""Signing in with a browser at an OIDC issuer: the authorization-code flow with PKCE. A :class:`~..doors.Door`."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import httpx
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.client import OAuth2Client
from authlib.oauth2.rfc6749 import parameters
from authlib.oidc.core import CodeIDToken
from joserfc.errors import JoseError
from joserfc.jwt import JWTClaimsRegistry
from starlette.responses import RedirectResponse, Response

from pressroom.errors import NotAuthenticated, Unavailable, shown
from pressroom.identity import attempt as attempts
from pressroom.identity.attempt import Attempt
from pressroom.identity.cookies import Site
from pressroom.identity.issuer import Issuer, told
from pressroom.identity.oidc import SOURCE, OidcTokens
from pressroom.identity.principal import Principal
from pressroom.identity.signatures import Signatures
from pressroom.oidc_settings import OidcSettings

log = logging.getLogger("pressroom.identity")
CALLBACK = "/login/callback"
AFTER_LOGOUT = "/docs"
_LOGOUT = "http://schemas.openid.net/event/backchannel-logout"
_FORM = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
_OF_THE_CLIENT = ("invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope")
_TO_CONFIGURE = (
    "The issuer's access token for browsers is not one for this service: {why} The issuer's client {client!r} must "
    "give out JWT access tokens with the audience {audience!r}, by an audience mapper in Keycloak."
)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody who came back from the issuer, and what their session is begun with."""

    principal: Principal
    subject: str | None
    issuer_session: str | None
    id_token: str


class OidcSignIn:
    """The door of ``PRESSROOM_AUTH=oidc``."""

    source = SOURCE
    title = "Single sign-on"

    def __init__(self, settings: OidcSettings, issuer: Issuer, tokens: OidcTokens) -> None:
        self._settings, self._issuer, self._tokens = settings, issuer, tokens
        self._signatures = Signatures(settings, issuer)
        secret = settings.oidc_client_secret
        self._secret = None if secret is None else secret.get_secret_value()
        self._logout = JWTClaimsRegistry(
            leeway=settings.oidc_leeway_seconds,
            iss={"essential": True, "value": issuer.url},
            aud={"essential": True, "value": settings.oidc_client_id},
            exp={"essential": True},
        )

    async def begin(self, site: Site, next_path: str) -> Response:
        """Send the browser to the issuer. Raises :class:`Unavailable` where that does not answer."""
        attempt = Attempt.new(next_path)
        client: Any = OAuth2Client(
            session=None,
            client_id=self._settings.oidc_client_id,
            scope=self._settings.oidc_scopes,
            redirect_uri=site.url + CALLBACK,
            code_challenge_method="S256",
        )
        address, _ = client.create_authorization_url(
            _endpoint(await self._issuer.metadata(), "authorization_endpoint"),
            state=attempt.state,
            code_verifier=attempt.verifier,
            nonce=attempt.nonce,
        )
        response = RedirectResponse(address, 303, {"Cache-Control": "no-store"})
        site.give(response, attempt.cookie, attempt.purpose, attempts.SECONDS)
        return response

    async def finish(self, site: Site, attempt: Attempt, query: Mapping[str, str]) -> SignedIn:
        """Who came back from the issuer with this query, which has the attempt's ``state``.

        Raises :class:`NotAuthenticated`, and :class:`Unavailable` where the issuer does not answer.
        """
        if query.get("iss", self._issuer.url) != self._issuer.url:
            raise NotAuthenticated("The answer comes from another issuer than the one that was asked.")
        if "error" in query or not query.get("code"):
            raise NotAuthenticated(_refused_there(query))
        given = await self._exchange(site, attempt, query["code"])
        access_token, id_token = given.get("access_token"), given.get("id_token")
        if not isinstance(access_token, str) or not isinstance(id_token, str):
            raise NotAuthenticated("The issuer did not give out both an ID token and an access token.")
        identity = await self._identity(id_token, attempt, access_token)
        claims = await self._access(access_token)
        if claims["sub"] != identity["sub"]:
            raise NotAuthenticated("The issuer's ID token and its access token are not of the same user.")
        return SignedIn(
            principal=self._tokens.person(claims),
            subject=_name(identity["sub"]),
            issuer_session=_name(identity.get("sid")),
            id_token=id_token,
        )

    async def leave(self, site: Site, kept: str | None) -> str | None:
        """Where the issuer signs the browser out. ``None`` where it has no such address, or does not answer."""
        try:
            address = (await self._issuer.metadata()).get("end_session_endpoint")
        except Unavailable as error:
            log.warning("a browser is signed out here and not at the issuer: %s", error)
            return None
        if not isinstance(address, str):
            return None
        query = {"client_id": self._settings.oidc_client_id, "post_logout_redirect_uri": site.url + AFTER_LOGOUT}
        return str(httpx.URL(address).copy_merge_params(query | ({} if kept is None else {"id_token_hint": kept})))

    async def signed_out(self, logout_token: str) -> tuple[str | None, str | None]:
        """Whose sessions the issuer has ended, by its own word: the user (``sub``) and the session there (``sid``), of
        which one is said. Raises :class:`NotAuthenticated`, and :class:`Unavailable` where the issuer does not answer.
        """
        signed = await self._signatures.verified(logout_token, ("jwt", "logout+jwt"), "a logout token")
        claims = signed.claims
        try:
            self._logout.validate({name: value for name, value in claims.items() if name != "iat"})
        except (JoseError, TypeError, ValueError) as error:
            raise NotAuthenticated(f"The logout token is not for this service, or not for now: {error}.") from error
        events = claims.get("events")
        # A nonce would make it an ID token, which many have.
        if not isinstance(events, dict) or _LOGOUT not in events or "nonce" in claims:
            raise NotAuthenticated("The token is not a logout token.")
        subject, session = _name(claims.get("sub")), _name(claims.get("sid"))
        if (subject, session) == (None, None) or (session is None and "sid" in claims):
            raise NotAuthenticated("The logout token says neither whose sessions ended nor which.")
        return subject, session

    async def _exchange(self, site: Site, attempt: Attempt, code: str) -> dict[str, Any]:
        """The tokens for a code."""
        metadata = await self._issuer.metadata()
        endpoint = _endpoint(metadata, "token_endpoint")
        body: str = cast("Any", parameters).prepare_token_request(
            "authorization_code",
            code=code,
            redirect_uri=site.url + CALLBACK,
            code_verifier=attempt.verifier,
        )
        client: Any = ClientAuth(self._settings.oidc_client_id, self._secret, self._method(metadata))
        address, headers, body = client.prepare("POST", endpoint, dict(_FORM), body)
        try:
            answer = await self._issuer.http.post(address, headers=headers, content=body)
            if answer.status_code >= 500:
                answer.raise_for_status()
            given = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise Unavailable("issuer", told(error)) from error
        if not isinstance(given, dict):
            raise Unavailable("issuer", "its answer to the code is no object")
        given = cast("dict[str, Any]", given)
        if answer.is_error:
            raise NotAuthenticated(self._not_exchanged(str(given.get("error"))))
        return given

    def _method(self, metadata: Mapping[str, Any]) -> str:
        """How this service says to the issuer who it is."""
        if self._secret is None:
            return "none"
        # Where either will do, the form: whether an id and a secret are encoded in the header, issuers differ.
        known = metadata.get("token_endpoint_auth_methods_supported")
        in_form = isinstance(known, list) and "client_secret_post" in known
        return "client_secret_post" if in_form else "client_secret_basic"

    def _not_exchanged(self, error: str) -> str:
        if error in _OF_THE_CLIENT:
            log.error("the issuer refuses the client %r: %s", self._settings.oidc_client_id, shown(error))
            return (
                f"The issuer does not let this service sign anybody in ({error}). PRESSROOM_OIDC_CLIENT_ID and "
                "PRESSROOM_OIDC_CLIENT_SECRET must be as the issuer has them."
            )
        return f"The issuer did not take the code: it was used before, or is too old ({shown(error)})."

    async def _identity(self, id_token: str, attempt: Attempt, access_token: str) -> dict[str, Any]:
        """The claims of an ID token, if it is of this sign-in."""
        signed = await self._signatures.verified(id_token, ("jwt",), "an ID token")
        client_id = self._settings.oidc_client_id
        # When it was issued says nothing that its end does not, but how much the clocks differ.
        claims = {name: value for name, value in signed.claims.items() if name != "iat"}
        options = {"iss": {"value": self._issuer.url}, "aud": {"value": client_id}, "exp": {"essential": True}}
        token: Any = _IdToken(
            claims,
            {"alg": signed.algorithm},
            cast("Any", options),
            {"nonce": attempt.nonce, "client_id": client_id, "access_token": access_token},
        )
        try:
            token.validate(leeway=self._settings.oidc_leeway_seconds)
        except (JoseError, TypeError, ValueError) as error:
            raise NotAuthenticated(f"The issuer's ID token is not one of this sign-in: {shown(str(error))}.") from error
        return claims

    async def _access(self, access_token: str) -> dict[str, Any]:
        """The claims of the access token, which are what a program's say, too."""
        settings = self._settings
        configure = {"client": settings.oidc_client_id, "audience": settings.oidc_audience}
        try:
            claims = await self._tokens.claims(access_token)
        except NotAuthenticated as error:
            raise NotAuthenticated(_TO_CONFIGURE.format(why=error.detail, **configure)) from error
        if claims is None:
            raise NotAuthenticated(_TO_CONFIGURE.format(why="It is no JWT.", **configure))
        return claims


class _IdToken(CodeIDToken):
    ESSENTIAL_CLAIMS = ["iss", "sub", "aud", "exp"]  # noqa: RUF012 - as the library has it


def _endpoint(metadata: Mapping[str, Any], name: str) -> str:
    found = metadata.get(name)
    if not isinstance(found, str):
        raise Unavailable("issuer", f"its metadata names no {name}")
    return found


def _name(value: object) -> str | None:
    """An issuer's name for a user or a session, if it has the form that such a name must have."""
    return value if isinstance(value, str) and 0 < len(value) <= 255 and value.isprintable() else None


def _refused_there(query: Mapping[str, str]) -> str:
    error, why = query.get("error"), query.get("error_description")
    if error is None:
        return "The issuer sent the browser back with neither a code nor a reason."
    told = f"{shown(error)}: {shown(why)}" if why else shown(error)
    return f"The issuer did not sign you in ({told})."
