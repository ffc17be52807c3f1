"""The settings of ``PRESSROOM_AUTH=jupyterhub``: a part of :class:`pressroom.settings.Settings`.

A service that the Hub starts is told most of them by the Hub, in variables of its environment. One that was started
otherwise is told by whoever started it, in those or in Pressroom's own, which come first.
"""

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

_PATH = re.compile(r"(/[A-Za-z0-9._~@:+-]+)*")


def _told(variable: str) -> AliasChoices:
    return AliasChoices(f"PRESSROOM_{variable}", variable)


class JupyterHubSettings(BaseSettings):
    """Which Hub is asked about tokens, and what its answers give."""

    jupyterhub_api_url: str | None = Field(
        default=None,
        validation_alias=_told("JUPYTERHUB_API_URL"),
        description="The address of the Hub's REST API with auth=jupyterhub, for instance "
        "http://127.0.0.1:8081/hub/api; if left out, JUPYTERHUB_API_URL, which a Hub tells the services that it "
        "starts, as it does the other variables of that name.",
    )
    jupyterhub_service_name: str | None = Field(
        default=None,
        validation_alias=_told("JUPYTERHUB_SERVICE_NAME"),
        description="The name of this service in the Hub's configuration; if left out, JUPYTERHUB_SERVICE_NAME, else "
        "pressroom.",
    )
    jupyterhub_service_prefix: str | None = Field(
        default=None,
        validation_alias=_told("JUPYTERHUB_SERVICE_PREFIX"),
        description="The path under which the Hub's proxy serves this service, /services/pressroom/; if left out, "
        "JUPYTERHUB_SERVICE_PREFIX. It is the root_path of a service that is given none.",
    )
    jupyterhub_service_url: str | None = Field(
        default=None,
        validation_alias=_told("JUPYTERHUB_SERVICE_URL"),
        description="Where the Hub's proxy expects this service, http://127.0.0.1:8002; if left out, "
        "JUPYTERHUB_SERVICE_URL. It is the host and the port of a service that is given none.",
    )
    jupyterhub_public_url: str | None = Field(
        default=None,
        validation_alias=_told("JUPYTERHUB_PUBLIC_URL"),
        description="The address under which people reach this service through the Hub; if left out, "
        "JUPYTERHUB_PUBLIC_URL. It is the public_url of a service that is given none.",
    )
    jupyterhub_api_token: SecretStr | None = Field(
        default=None,
        validation_alias=_told("JUPYTERHUB_API_TOKEN"),
        description="This service's own token at the Hub, which browsers' sign-ins need; if left out, "
        "JUPYTERHUB_API_TOKEN, and without either there are none.",
    )
    jupyterhub_client_id: str | None = Field(
        default=None,
        validation_alias=_told("JUPYTERHUB_CLIENT_ID"),
        description="What this service is called when browsers sign in at the Hub; if left out, JUPYTERHUB_CLIENT_ID, "
        "else service- and its name.",
    )
    jupyterhub_oauth_callback_url: str | None = Field(
        default=None,
        validation_alias=_told("JUPYTERHUB_OAUTH_CALLBACK_URL"),
        description="Where the Hub sends browsers back to, to the letter as the Hub has it; if left out, "
        "JUPYTERHUB_OAUTH_CALLBACK_URL, else oauth_callback under this service's path.",
    )
    jupyterhub_public_hub_url: str | None = Field(
        default=None,
        validation_alias=_told("JUPYTERHUB_PUBLIC_HUB_URL"),
        description="The address under which people reach the Hub, https://hub.example.com/hub/; if left out, "
        "JUPYTERHUB_PUBLIC_HUB_URL, else the host at which they reach this service.",
    )
    jupyterhub_access_gives: Annotated[list[Literal["read", "execute", "write"]], NoDecode] = Field(
        default_factory=lambda: ["read"],
        description="What whoever may access the service may do in it (read, execute, write), separated by ','; none: "
        "nothing; if left out, read. The Hub's scopes custom:pressroom:execute, :write, :act and :admin add to it.",
    )
    jupyterhub_admins: bool = Field(
        default=False,
        description="Whether an administrator of the Hub is one here, by any of their tokens, those of their notebook "
        "servers included.",
    )
    jupyterhub_cache_seconds: float = Field(
        default=30.0,
        ge=0,
        le=3600,
        description="Seconds that the Hub's word on a token is taken before it is asked again: so long may a token be "
        "of use after it was revoked.",
    )
    jupyterhub_outage_seconds: float = Field(
        default=300.0,
        ge=0,
        le=86_400,
        description="Seconds after the Hub's word on a token that it is still taken where the Hub cannot be asked.",
    )
    root_path: str = Field(
        default="",
        description="The path under which a proxy serves this service, for instance /pressroom, whether the proxy "
        "passes it on or takes it away; if left out, none, or the one that JupyterHub says.",
    )

    @field_validator(
        "jupyterhub_api_url", "jupyterhub_service_url", "jupyterhub_public_url", "jupyterhub_public_hub_url"
    )
    @classmethod
    def _a_url(cls, value: str | None) -> str | None:
        if not value:
            return None
        try:
            parts = urlsplit(value)
            known = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port)
        except ValueError:
            known = False
        if not known:
            raise ValueError("is no address; write it as http://127.0.0.1:8081/hub/api")
        return value.rstrip("/")

    @field_validator("jupyterhub_access_gives", mode="before")
    @classmethod
    def _split_scopes(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        names = [part.strip() for part in value.split(",") if part.strip()]
        return [] if names == ["none"] else names

    @field_validator("root_path", "jupyterhub_service_prefix")
    @classmethod
    def _a_path(cls, value: str | None) -> str | None:
        if value is None:
            return None
        path = value.rstrip("/")
        if _PATH.fullmatch(path) is None:
            raise ValueError("is no path; write it as /services/pressroom")
        return path

    @property
    def hub_service(self) -> str:
        """The name of this service at the Hub."""
        return self.jupyterhub_service_name or "pressroom"

    def told_by_the_hub(self) -> dict[str, Any]:
        """The settings of a service that listens where the Hub expects it, under the path that the Hub serves it at."""
        told: dict[str, Any] = {}
        if self.jupyterhub_service_prefix is not None:
            told["root_path"] = self.jupyterhub_service_prefix
        if self.jupyterhub_public_url is not None:
            told["public_url"] = self.jupyterhub_public_url
        if self.jupyterhub_service_url is not None:
            parts = urlsplit(self.jupyterhub_service_url)
            told |= {"host": parts.hostname, "port": parts.port or 80}
        return told
