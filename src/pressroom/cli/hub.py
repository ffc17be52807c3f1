"""``pressroom hub``: the lines for the configuration of a JupyterHub."""

from typing import Annotated

import typer

from pressroom.cli.room import explained, out
from pressroom.hub_lines import HubLines, environment_of
from pressroom.settings import Settings


def hub(
    name: Annotated[str | None, typer.Option(help="The service's name at the Hub; else pressroom.")] = None,
    url: Annotated[
        str | None, typer.Option(help="Where the Hub's proxy reaches Pressroom; else the port of the settings, here.")
    ] = None,
    public_url: Annotated[
        str | None, typer.Option(help="The address by which people reach the Hub: https://hub.example.com.")
    ] = None,
    *,
    external: Annotated[
        bool, typer.Option("--external", help="A Pressroom that the Hub does not start: by systemd, say.")
    ] = False,
) -> None:
    """Print the lines that put this installation beside a JupyterHub, for its jupyterhub_config.py.

    No secret is in them: they name the variables of the Hub's environment that hold one.
    """
    settings = explained(Settings)
    lines = HubLines(
        name=name or settings.hub_service,
        url=(url or f"http://127.0.0.1:{settings.port}").rstrip("/"),
        public_url=(public_url or settings.jupyterhub_public_hub_url or "").rstrip("/").removesuffix("/hub"),
        environment={} if external else environment_of(settings),
    )
    out(lines.external() if external else lines.managed())
