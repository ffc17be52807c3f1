"""Sessions of browsers on the wire."""

from pydantic import Field

from pressroom.wire import WireModel, example


class SessionOut(WireModel):
    """Who is calling, and what a page of this service needs to change something."""

    model_config = example(
        username="ana",
        groups=["finance"],
        roles=["admin"],
        scopes=["act", "admin", "execute", "read", "write"],
        source="oidc",
        csrf_token="9f2c...",  # noqa: S106 - an example
    )
    username: str
    groups: list[str]
    roles: list[str]
    scopes: list[str]
    source: str = Field(description="By what the caller is known, or was at the sign-in: `oidc`, `token`, `local`, ...")
    csrf_token: str | None = Field(
        description="What goes with each change as `X-CSRF-Token`; null for whoever is not known by a session."
    )


class SignedOut(WireModel):
    """The session has ended here."""

    model_config = example(
        continue_at="https://keycloak.example.com/realms/pressroom/protocol/openid-connect/logout?..."
    )
    continue_at: str | None = Field(
        description="Where the browser goes to be signed out at the issuer, too; null where that has no such address, "
        "or cannot be asked for it."
    )
