"""The fork servers that a process shares: those of the Papermill engine, of the kernel provisioner, and of every press
that is not given its own."""

import atexit
import os
import threading

from pressroom.press.servers import Servers

_lock = threading.Lock()
_shared: dict[tuple[int, str], Servers] = {}


def shared_servers(mode: str = "line") -> Servers:
    """The shared servers of a mode (see :class:`pressroom.press.fork_server.Settings`); they end with the process."""
    # By process: a child that this one forked must not talk to its servers.
    key = (os.getpid(), mode)
    with _lock:
        if key not in _shared:
            _shared[key] = Servers(mode=mode)
            atexit.register(_shared[key].close)
        return _shared[key]


def close_shared_servers() -> None:
    """End the servers that are shared; whoever needs them next starts new ones."""
    with _lock:
        mine = [key for key in _shared if key[0] == os.getpid()]
        for key in mine:
            servers = _shared.pop(key)
            atexit.unregister(servers.close)
            servers.close()
