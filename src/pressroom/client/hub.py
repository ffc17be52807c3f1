"""What a notebook server of JupyterHub knows by its environment: where the Hub is, and a token of its user's."""

import os
from urllib.parse import urlsplit

import httpx

SERVICE = "services/pressroom"


def address_at_the_hub() -> str | None:
    """The address of the service ``pressroom`` of this server's Hub; ``None`` where there is no Hub, or it does not
    say under which address people reach it."""
    hub = httpx.URL(os.environ.get("JUPYTERHUB_PUBLIC_HUB_URL", ""))
    if not hub.host or "JUPYTERHUB_API_TOKEN" not in os.environ:
        return None
    return str(hub.copy_with(raw_path=(os.environ.get("JUPYTERHUB_BASE_URL", "/") + SERVICE).encode()))


def token_of_the_hub(url: str) -> str | None:
    """The token that this server was given by its Hub, if ``url`` is at the Hub's own host: it is sent nowhere else,
    and never in the clear where the Hub itself is spoken to by HTTPS."""
    named = [urlsplit(os.environ.get(name, "")) for name in ("JUPYTERHUB_PUBLIC_HUB_URL", "JUPYTERHUB_API_URL")]
    given = urlsplit(url)
    at_the_hub = any(hub.hostname == given.hostname and given.scheme in (hub.scheme, "https") for hub in named)
    return os.environ.get("JUPYTERHUB_API_TOKEN") if given.hostname and at_the_hub else None
