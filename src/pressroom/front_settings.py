"""The settings of the door: who is let through to the service. A part of :class:`pressroom.settings.Settings`."""

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode

_HOST = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\]")
_PORTS = {"http": 80, "https": 443}


class FrontSettings(BaseSettings):
    """Names, addresses and origins that are let in, TLS, and how much of anything."""

    allowed_hosts: Annotated[list[str], NoDecode] = Field(
        default_factory=list[str],
        description="The names that this service is asked by (Host), separated by ',', without a port; *.example.com "
        "is every name below it. If left out, that of public_url and those of this machine, or any without public_url.",
    )
    trusted_proxies: Annotated[list[str], NoDecode] = Field(
        default_factory=list[str],
        description="The addresses or networks of proxies in front, separated by ',', for instance "
        "127.0.0.1,10.1.0.0/16: who calls, and whether over https, is what they say in X-Forwarded-For and "
        "X-Forwarded-Proto. If left out, nobody is believed that.",
    )
    cors_origins: Annotated[list[str], NoDecode] = Field(
        default_factory=list[str],
        description="Origins of other sites whose pages may call this service from a browser, separated by ',', for "
        "instance https://portal.example.com; with auth=local, only those of this machine. If left out, none.",
    )
    tls_certificate: Path | None = Field(
        default=None,
        description="A file with the certificate, and those between it and its authority, in PEM: the service then "
        "speaks https and nothing else.",
    )
    tls_key: Path | None = Field(
        default=None,
        validate_default=True,
        description="A file with the certificate's private key in PEM, without a passphrase, which only the service's "
        "account and its group may read.",
    )
    max_header_kb: int = Field(
        default=64, ge=8, le=1024, description="Largest head of a request, its line and its headers, in KiB."
    )
    executions_per_minute: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Executions that one caller may start over the API, a minute: so many at once, and as many again "
        "spread over each minute after; those that a key repeats are none. If left out, no limit.",
    )
    refusals_per_minute: int = Field(
        default=600,
        ge=10,
        description="Requests of one address without a valid identity that are answered 401, a minute; the others are "
        "answered 429. Whoever is known is let in all the same.",
    )

    @field_validator("allowed_hosts", "trusted_proxies", "cors_origins", mode="before")
    @classmethod
    def _split_list(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("allowed_hosts")
    @classmethod
    def _host_names(cls, value: list[str]) -> list[str]:
        names = [name.lower() for name in value]
        if wrong := [name for name in names if not _HOST.fullmatch(name)]:
            raise ValueError(
                f"{wrong[0]!r} is no host's name; write pressroom.example.com or *.example.com, and no port"
            )
        return names

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        for part in value:
            try:
                ip_network(part)
            except ValueError as error:
                raise ValueError(f"{part!r} is neither an address nor a network: {error}") from error
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: list[str]) -> list[str]:
        if wrong := [origin for origin in value if origin != _origin(origin)]:
            raise ValueError(f"{wrong[0]!r} is no origin; write it as a browser does: https://portal.example.com")
        return value

    @field_validator("tls_key")
    @classmethod
    def _both_or_none(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if "tls_certificate" in info.data and (value is None) != (info.data["tls_certificate"] is None):
            raise ValueError("tls_certificate and tls_key are needed together")
        return value


def _origin(text: str) -> str | None:
    """``text`` as a browser would write that origin; ``None`` where it is none."""
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return None
    if url.scheme not in _PORTS or not url.hostname or "*" in url.hostname or not url.netloc.isascii():
        return None
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return f"{url.scheme}://{host}" + (f":{port}" if port not in (None, _PORTS[url.scheme]) else "")
