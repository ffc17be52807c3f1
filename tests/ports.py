"""Ports for programs that must be told theirs before they start."""

import random
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens at, and that no outgoing connection is given until somebody does.

    What the system gives for port 0 is from the range of outgoing connections: between being given and being used,
    any of them may take it.
    """
    above = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32768
    while True:
        port = random.randrange(10_000, above)
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
