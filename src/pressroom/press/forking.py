"""Kernels that are forked for this process itself, in the way that the stock launcher would start them."""

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pressroom.press.launch import CannotFork, Launch
from pressroom.press.servers import Servers

_STARTED_BY = ("JPY_PARENT_PID", "JPY_INTERRUPT_EVENT", "PYTHONEXECUTABLE")
"""What the stock launcher sets itself or takes away: a kernel's keeper does what these are for."""


def fork_kernel(servers: Servers, launch: Launch, private: Mapping[str, Any], fds: Sequence[int]) -> socket.socket:
    """Have a kernel forked with the environment of its launch and this process's umask: the socket to its keeper.
    Blocks while the fork server starts. Raises :class:`CannotFork`.

    ``private``: what the kernel is told besides. ``fds``: the working directory, the standard error, and what the
    kernel works with; they stay the caller's.
    """
    environment = {name: value for name, value in launch.environment.items() if name not in _STARTED_BY}
    private = {"env": environment, **private}
    for _ in range(2):
        server = servers.kernels(launch)
        control, keepers = socket.socketpair()
        try:
            server.fork({"umask": _umask()}, private, [keepers.fileno(), *fds])
        except OSError:
            control.close()  # it was killed: another takes its place
            continue
        finally:
            keepers.close()
        return control
    raise CannotFork("their fork server was killed")


def open_folder(path: str | os.PathLike[str]) -> int:
    """A folder, open to become a working directory. Raises ``OSError``."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def standard(number: int) -> int:
    """A copy of this process's standard output or error; of nowhere, if it has none."""
    try:
        return os.dup(number)
    except OSError:
        return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)


def _umask() -> int:
    with Path("/proc/self/status").open() as file:
        return next(int(line.split()[1], 8) for line in file if line.startswith("Umask:"))
