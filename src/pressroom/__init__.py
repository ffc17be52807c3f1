"""Pressroom turns Jupyter notebooks into jobs.

``pressroom.Client`` and ``pressroom.AsyncClient`` speak to a service; the command is ``pressroom``. The clients are
imported when they are asked for, so that the parts which need only one corner of the package start quickly.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pressroom.client import AsyncClient, Client

__version__ = "0.1.0"
__all__ = ["AsyncClient", "Client", "__version__"]


def __getattr__(name: str) -> object:
    if name in ("Client", "AsyncClient"):
        return getattr(import_module("pressroom.client"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
