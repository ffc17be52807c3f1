"""Packages that not every installation has: those of ``pip install "pressroom[data]"``."""

from importlib import import_module
from typing import Any

from pressroom.errors import NotInstalled


def load(module: str, needed_for: str) -> Any:
    """A module of the extra ``data``, imported when it is first needed. Raises :class:`NotInstalled`; ``needed_for``
    begins its sentence."""
    try:
        return import_module(module)
    except ImportError as error:
        raise NotInstalled(needed_for, module.partition(".")[0], "data") from error
