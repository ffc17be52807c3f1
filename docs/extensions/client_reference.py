"""The methods of the Python clients, and whether the reference has them all."""

import inspect

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

from pressroom.client import AsyncClient, Client


def methods() -> list[str]:
    """The full names of what the clients offer."""
    return [
        f"pressroom.client.{client.__name__}.{name}"
        for client in (Client, AsyncClient)
        for name, member in inspect.getmembers(client)
        if not name.startswith("_") and (callable(member) or isinstance(member, property))
    ]


def check_clients(_: Sphinx, env: BuildEnvironment) -> None:
    """Warn of each method that has no entry: one without a docstring, say."""
    known = env.domains["py"].data["objects"]
    for name in methods():
        if name not in known:
            logging.getLogger(__name__).warning("the reference lacks %s", name, location="reference/client")
