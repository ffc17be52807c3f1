"""Where the command starts: Ctrl-C ends it in one word from the first moment on, also while modules are imported."""

import os
import signal
import sys
from importlib import import_module

CANCELLED = 130
"""The exit code of a command that Ctrl-C ended."""


def _leave(*_: object) -> None:
    os._exit(CANCELLED)


def main() -> None:
    """The command ``pressroom``."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        # Nothing is open yet, and an exception in the middle of an import would be told as that module's failure.
        signal.signal(signal.SIGINT, _leave)
    app = import_module("pressroom.cli.main").app
    signal.signal(signal.SIGINT, before)
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(CANCELLED)


if __name__ == "__main__":
    main()
