"""Access tokens of an OIDC issuer: what is checked, and whom they stand for. A :class:`~..authentication.Source`."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from joserfc.errors import ExpiredTokenError, InvalidClaimError, MissingClaimError
from joserfc.jwt import JWTClaimsRegistry

from pressroom.errors import NotAuthenticated, shown
from pressroom.identity.issuer import Issuer
from pressroom.identity.principal import ADMIN, Principal, Scope
from pressroom.identity.signatures import Signatures
from pressroom.identity.usernames import is_one_beside_a_hub, username_of
from pressroom.oidc_settings import OidcSettings

SOURCE = "oidc"
_HEADER_TYPES = ("jwt", "at+jwt")
_CLAIM_TYPES = ("Bearer",)
"""Keycloak says in each token what it is: ``Bearer``, ``ID``, ``Refresh``, ``Logout``, ..."""
_OF_ID_TOKENS = ("at_hash", "c_hash", "s_hash")
_CHECKED = ("iss", "aud", "exp", "nbf", "sub")


class OidcTokens:
    """Knows callers by the access tokens of one issuer."""

    def __init__(self, settings: OidcSettings, issuer: Issuer, *, beside_a_hub: bool = False) -> None:
        self._beside_a_hub = beside_a_hub
        self._settings, self._issuer = settings, issuer
        self._signatures = Signatures(settings, issuer)
        self._claims = JWTClaimsRegistry(
            leeway=settings.oidc_leeway_seconds,
            iss={"essential": True, "value": issuer.url},
            aud={"essential": True, "value": settings.oidc_audience},
            exp={"essential": True},
            sub={"essential": True},
        )

    async def principal(self, token: str) -> Principal | None:
        """Whom ``token`` stands for; ``None`` where it has not the form of a JWT.

        Raises :class:`NotAuthenticated`, and :class:`Unavailable` where its key is not known and the issuer does not
        answer.
        """
        claims = await self.claims(token)
        return None if claims is None else self.person(claims)

    async def claims(self, token: str) -> dict[str, Any] | None:
        """What an access token says, all of it checked; as :meth:`principal`."""
        if token.count(".") != 2:
            return None
        signed = await self._signatures.verified(token, _HEADER_TYPES)
        if signed.kind == "jwt" and any(claim in signed.claims for claim in _OF_ID_TOKENS):
            raise NotAuthenticated("The token is an ID token; send an access token.")
        self._check(signed.claims)
        return signed.claims

    def _check(self, claims: dict[str, Any]) -> None:
        """Raise :class:`NotAuthenticated` where the token was not made for this service, or not for now."""
        settings = self._settings
        if claims.get("typ", "Bearer") not in _CLAIM_TYPES:
            raise NotAuthenticated("The token is not an access token; send that one.")
        if "cnf" in claims:
            raise NotAuthenticated("The token is bound to a key of its holder, which this service does not check.")
        try:
            self._claims.validate({name: claims[name] for name in _CHECKED if name in claims})
        except ExpiredTokenError as error:
            raise NotAuthenticated("The token has expired.") from error
        except MissingClaimError as error:
            raise NotAuthenticated(f"The token lacks {error.claim}, which it must have.") from error
        except InvalidClaimError as error:
            raise NotAuthenticated(self._refusal(claims)) from error
        party = claims.get("azp", claims.get("client_id"))
        if party is not None and not isinstance(party, str):
            raise NotAuthenticated("The token's azp is not a text.")
        if settings.oidc_authorized_parties and party not in settings.oidc_authorized_parties:
            raise NotAuthenticated("The token was made for a client (azp) that this service does not take tokens of.")

    def _refusal(self, claims: Mapping[str, Any]) -> str:
        audience = claims.get("aud")
        if claims.get("iss") != self._issuer.url:
            return "The token is of another issuer."
        if audience != self._settings.oidc_audience and (
            not isinstance(audience, list) or self._settings.oidc_audience not in audience
        ):
            return f"The token is not for this service: its audience (aud) lacks {self._settings.oidc_audience!r}."
        if "nbf" in claims:
            return "The token is not valid yet, or one of its times is no number; do the clocks differ?"
        return "One of the token's claims has not the form that it must have."

    def person(self, claims: Mapping[str, Any]) -> Principal:
        """Whom the claims of an access token tell of. Raises :class:`NotAuthenticated` where that can be no user."""
        settings = self._settings
        claim = settings.oidc_username_claim
        if (username := username_of(claims.get(claim))) is None:
            raise NotAuthenticated(f"The token's {shown(claim)} cannot be the name of a user.")
        if self._beside_a_hub and not is_one_beside_a_hub(username):
            raise NotAuthenticated(
                f"The token's {shown(claim)} is {username!r}. Beside a JupyterHub, whose names have small letters, it "
                "must have small letters too, and not begin with 'service-', as the Hub's services do."
            )
        given = frozenset(self._roles(claims))
        # The issuer's role of this name is none of ours, where another one makes an administrator.
        roles = given | {ADMIN} if settings.oidc_admin_role in given else given - {ADMIN}
        groups = frozenset(name.removeprefix("/") for name in _texts(claims.get(settings.oidc_groups_claim)))
        person = Principal.person(username, groups=groups, roles=roles, source=SOURCE)
        if ADMIN not in roles and settings.oidc_viewer_role in given:
            return Principal(username, groups, roles, frozenset({Scope.READ}), SOURCE)
        return person

    def _roles(self, claims: Mapping[str, Any]) -> Iterator[str]:
        yield from _texts(_object(claims.get("realm_access")).get("roles"))
        clients = _object(claims.get("resource_access"))
        for client in {self._settings.oidc_client_id, self._settings.oidc_audience}:
            yield from _texts(_object(clients.get(client)).get("roles"))
        yield from _texts(claims.get("roles"))


def _object(value: object) -> Mapping[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, list):
        yield from (text for text in cast("list[object]", value) if isinstance(text, str) and text)
