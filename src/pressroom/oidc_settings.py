"""The settings of ``PRESSROOM_AUTH=oidc``: a part of :class:`pressroom.settings.Settings`."""

from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
"""How a token may be signed: by a key of which the issuer publishes one half. Never ``none``, never a shared secret."""


class OidcSettings(BaseSettings):
    """Which issuer's tokens are taken, and what in them says who it is."""

    oidc_issuer: str | None = Field(
        default=None,
        description="The issuer whose tokens are taken with auth=oidc, to the letter as it stands in them, for "
        "instance https://keycloak.example.com/realms/pressroom.",
    )
    oidc_metadata_url: str | None = Field(
        default=None,
        description="Where the issuer's metadata is fetched, if this service cannot reach it by the issuer's own name; "
        "if left out, the issuer with /.well-known/openid-configuration.",
    )
    oidc_audience: str = Field(
        default="pressroom", min_length=1, description="What must stand in a token's audience (aud)."
    )
    oidc_client_id: str = Field(
        default="pressroom",
        min_length=1,
        description="The issuer's client that browsers sign in with, and whose roles (resource_access) count, beside "
        "those of the realm.",
    )
    oidc_client_secret: SecretStr | None = Field(
        default=None,
        description="The secret of that client; if left out, it is a public one, which has none.",
    )
    oidc_scopes: str = Field(
        default="openid profile",
        pattern=r"^[!#-\[\]-~]+( [!#-\[\]-~]+)*$",
        description="What a browser's sign-in asks the issuer for, separated by spaces; openid must be there.",
    )
    oidc_authorized_parties: Annotated[list[str], NoDecode] = Field(
        default_factory=list[str],
        description="The clients whose tokens are taken (azp), separated by ','; if left out, those of every client "
        "that the issuer gives this service's audience to.",
    )
    oidc_algorithms: Annotated[list[str], NoDecode] = Field(
        default_factory=lambda: ["RS256", "PS256", "ES256", "Ed25519"],
        min_length=1,
        description="How a token may be signed, separated by ','; if left out, RS256,PS256,ES256,Ed25519.",
    )
    oidc_leeway_seconds: int = Field(
        default=60,
        ge=0,
        le=600,
        description="Seconds that the clocks of the issuer and of this service may differ: a token is taken so much "
        "before its nbf and after its exp.",
    )
    oidc_username_claim: str = Field(
        default="preferred_username", min_length=1, description="The claim that holds the user's name."
    )
    oidc_groups_claim: str = Field(
        default="groups",
        min_length=1,
        description="The claim that holds the user's groups; a slash in front of a name, as Keycloak writes it, is "
        "left out.",
    )
    oidc_admin_role: str = Field(
        default="admin", min_length=1, description="The issuer's role that makes a user an administrator here."
    )
    oidc_viewer_role: str = Field(
        default="viewer",
        min_length=1,
        description="The issuer's role that lets a user see and do nothing else, unless an administrator.",
    )

    @field_validator("oidc_issuer", "oidc_metadata_url")
    @classmethod
    def _an_issuer(cls, value: str | None) -> str | None:
        if value is not None and (not value.startswith(("http://", "https://")) or "?" in value or "#" in value):
            raise ValueError("is no address; write it as https://keycloak.example.com/realms/pressroom")
        return value

    @field_validator("oidc_scopes")
    @classmethod
    def _with_openid(cls, value: str) -> str:
        if "openid" not in value.split():
            raise ValueError("lacks openid, without which the issuer does not say who it is")
        return value

    @field_validator("oidc_authorized_parties", "oidc_algorithms", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("oidc_algorithms")
    @classmethod
    def _known_algorithms(cls, value: list[str]) -> list[str]:
        if wrong := [name for name in value if name not in ALGORITHMS]:
            raise ValueError(f"{wrong[0]!r} is none that is taken; those are {', '.join(ALGORITHMS)}")
        return value
