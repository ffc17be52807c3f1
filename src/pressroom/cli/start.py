"""Where the command starts: Ctrl-C ends it in one word from the first moment on, also while modules are imported."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import cast

CANCELLED = 130
"""The exit code of a command that Ctrl-C ended."""


def _leave(*_: object) -> None:
    os._exit(CANCELLED)


@contextmanager
def leaving_on_ctrl_c() -> Iterator[None]:
    """While modules are imported: nothing is open yet, and an exception in the middle of an import would be told as
    that module's failure."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def without_what_is_not_asked_for() -> None:
    """Have jsonschema do without its check of international addresses: the package for it, which comes with JupyterLab,
    compiles a grammar when it is imported, half of the time that a command takes to start; no schema here has such an
    address."""
    sys.modules.setdefault("rfc3987_syntax", cast("ModuleType", None))


def main() -> None:
    """The command ``pressroom``."""
    without_what_is_not_asked_for()
    with leaving_on_ctrl_c():
        app = import_module("pressroom.cli.main").app
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(CANCELLED)


if __name__ == "__main__":
    main()
