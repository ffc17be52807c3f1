"""Personal access tokens on the wire."""

from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from pressroom.identity.principal import Scope
from pressroom.wire import Grantee, Name, Timestamp, Username, WireInput, WireModel, example

Scopes = Annotated[list[Scope], Field(min_length=1, max_length=len(Scope), examples=[["execute"]])]

_TOKEN: dict[str, Any] = {
    "id": 1,
    "username": "ana",
    "name": "nightly reports",
    "scopes": ["execute"],
    "groups": ["finance"],
    "created_by": "ana",
    "created_at": "2026-10-31T08:00:00.000000Z",
    "expires_at": "2027-01-29T08:00:00.000000Z",
    "last_used_at": None,
    "revoked_at": None,
}


class TokenWanted(WireInput):
    """A token to make."""

    name: Name = Field(default="token", description="What it is for.", examples=["nightly reports"])
    scopes: Scopes = Field(description="What it may be used for; execute and write bring read, and admin everything.")
    expires_at: AwareDatetime | None = Field(
        default=None, description="Until when; if left out, for 90 days. Ten years at most."
    )
    username: Username | None = Field(
        default=None, description="Whose it is, if not the caller's; only an administrator makes tokens for others."
    )
    groups: list[Grantee] = Field(
        default_factory=list, max_length=100, description="The groups of another user; one's own are known."
    )


class TokenOut(WireModel):
    """A token, without its secret. ``last_used_at`` is to the minute."""

    model_config = example(**_TOKEN)
    id: int
    username: str
    name: str
    scopes: list[str]
    groups: list[str]
    created_by: str
    created_at: Timestamp
    expires_at: Timestamp
    last_used_at: Timestamp | None
    revoked_at: Timestamp | None


class TokenMade(TokenOut):
    """A token that was just made, with its secret, which no later answer holds."""

    model_config = example(**_TOKEN, token="prs_Zk3hP1vQ0x...")  # noqa: S106 - an example
    token: str


def given(row: object, secret: str) -> TokenMade:
    """A row with its secret."""
    return TokenMade(**TokenOut.model_validate(row).model_dump(), token=secret)
