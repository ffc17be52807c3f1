"""The fork servers of a press: which there are, and the kernels that they can fork."""

import fnmatch
import logging
import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pressroom.press.launch import CannotFork, Launch
from pressroom.press.server import ForkServer

log = logging.getLogger("pressroom.press")

READ_AT_START = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "PYTHON*", "LD_*", "DYLD_*",
    "IPYTHONDIR", "JUPYTER_*", "VIRTUAL_ENV", "CONDA_*", "*_NUM_THREADS", "OPENBLAS_*", "MKL_*", "MPLBACKEND",
    "MPLCONFIGDIR", "CUDA_*", "XDG_*",
)  # fmt: skip
"""The variables that Python and its libraries read when they start: kernels that differ in one have servers of their
own. All others are set after the fork."""
MOST_SERVERS = 8
"""How many servers of kernels a press has at once; the one that was used least recently makes room."""
MOST_WAITING = 64
"""How many executions wait for servers at once; others wait for those."""
AGAIN_SECONDS = 60.0
"""After how long a server that could not be started is tried again."""


Key = tuple[tuple[str, ...], tuple[str, ...], tuple[tuple[str, str], ...]]
"""What kernels of one server have in common: their interpreter, what is said to ipykernel, what is read at start."""


class Servers:
    """The fork servers of a press. ``preload``: modules that kernels' servers load ahead; ``memory_mb``: how large one
    may grow by that. Safe to use from any thread; whoever makes it closes it."""

    def __init__(self, preload: Sequence[str] = (), memory_mb: int = 1024, mode: str = "line") -> None:
        self._preload, self._memory_mb, self._mode = tuple(preload), memory_mb, mode
        self._lock = threading.RLock()
        self._threads = ThreadPoolExecutor(MOST_WAITING, "pressroom-servers")
        self._kernels: OrderedDict[Key, ForkServer] = OrderedDict()
        self._coming: dict[Key, ForkServer] = {}
        self._runners: ForkServer | None = None
        self._told: set[tuple[str, str]] = set()
        self._forks: dict[Key, int] = {}

    def preload(self, modules: Sequence[str]) -> None:
        """Load other modules ahead from now on."""
        self._preload = tuple(modules)

    def waiting(self, wanted: Callable[..., ForkServer], *of: Any) -> Future[ForkServer]:
        """Wait for a server in a thread of theirs: in those of others, its start would hold up what they are for.
        Raises :class:`CannotFork` when they were closed."""
        try:
            return self._threads.submit(wanted, *of)
        except RuntimeError as error:
            raise CannotFork("the press was closed") from error

    def runners(self, environment: Mapping[str, str], call: str) -> ForkServer:
        """The server of the service's own processes, ready. Blocks while it starts. Raises :class:`CannotFork`."""
        over = None
        with self._lock:
            server = self._runners
            if server is None or server.ended() or self._is_over(server):
                over = server
                path = [str(Path(__file__).parents[2])]
                settings: dict[str, Any] = {"call": call, "preload": [call.partition(":")[0]], "path": path}
                kept = {k: v for k, v in environment.items() if _read_at_start(k)}
                server = ForkServer((sys.executable,), "call", kept, settings)
                self._runners = server
        if over is not None:
            over.close()
        server.ready()
        return server

    def ready_runners(self) -> ForkServer | None:
        """The server of the service's own processes, if it is up: does not block."""
        server = self._runners
        return server if server is not None and server.is_ready and not server.ended() else None

    def ready_kernels(self, launch: Launch) -> ForkServer | None:
        """The server that forks a spec's kernels, if it is up and as it should be: does not block. Raises
        :class:`CannotFork`."""
        with self._lock:
            key = _key(launch)
            server = self._kernels.get(key)
            wanted = server is not None and tuple(server.settings["preload"]) == self._preload
            if server is None or not wanted or not server.is_ready or self._is_done(server):
                return None
            self._kernels.move_to_end(key)
            return server

    def kernels(self, launch: Launch) -> ForkServer:
        """The server that forks a spec's kernels, ready. Blocks while it starts. Raises :class:`CannotFork`, whose
        reason is logged once."""
        try:
            return self._found(launch)
        except CannotFork as error:
            if (launch.name, str(error)) not in self._told:
                self._told.add((launch.name, str(error)))
                log.info("Kernels %r are started by the stock launcher: %s.", launch.name, error)
            raise

    def _found(self, launch: Launch) -> ForkServer:
        key = _key(launch)
        python, argv, environment = key[0], key[1], dict(key[2])
        over: list[ForkServer] = []
        with self._lock:
            server = self._kernels.get(key)
            if server is not None and self._is_done(server):
                del self._kernels[key]
                self._forks[key] = self._forks.get(key, 0) + server.forks
                over.append(server)
                server = None
            if server is None:
                server = self._kernels[key] = self._start(python, argv, environment)
                while len(self._kernels) > MOST_SERVERS:
                    over.append(self._kernels.popitem(last=False)[1])
            else:
                server = self._renewed(key, server, python, argv, environment)
            self._kernels.move_to_end(key)
        for other in over:  # without the lock: it waits for their ends
            other.close()
        server.ready()
        return server

    def _start(self, python: tuple[str, ...], argv: tuple[str, ...], environment: dict[str, str]) -> ForkServer:
        settings = {"argv": list(argv), "preload": list(self._preload), "memory_mb": self._memory_mb}
        return ForkServer(python, self._mode, environment, settings)

    def _is_done(self, server: ForkServer) -> bool:
        return self._is_over(server) or (server.why_not is None and (server.ended() or server.outdated()))

    def _is_over(self, server: ForkServer) -> bool:
        failed = server.failed_at()
        return server.broken or (failed is not None and time.monotonic() - failed > AGAIN_SECONDS)

    def _renewed(self, key: Key, server: ForkServer, *how: Any) -> ForkServer:
        """The server with the modules that are wanted now; until that is ready, the one that there is."""
        if tuple(server.settings["preload"]) == self._preload or server.failed_at() is not None:
            return server
        coming = self._coming.get(key)
        if coming is not None and tuple(coming.settings["preload"]) != self._preload:
            coming.close()
            coming = None
        if coming is None:
            coming = self._coming[key] = self._start(*how)
            threading.Thread(target=self._replace, args=(key, coming), name="preload", daemon=True).start()
        return server

    def _replace(self, key: Key, coming: ForkServer) -> None:
        try:
            coming.ready()
        except (CannotFork, OSError) as error:
            log.warning("Kernels go on with what was loaded ahead before: %s.", error)
            with self._lock:
                if self._coming.get(key) is coming:
                    # Not tried again before other libraries are wanted.
                    del self._coming[key]
                    if (server := self._kernels.get(key)) is not None:
                        server.settings["preload"] = coming.settings["preload"]
            coming.close()
            return
        with self._lock:
            if self._coming.get(key) is not coming:
                return
            del self._coming[key]
            if (old := self._kernels.get(key)) is not None:
                self._forks[key] = self._forks.get(key, 0) + old.forks
            self._kernels[key] = coming
        if old is not None:
            old.close()

    def of(self, launch: Launch) -> tuple[ForkServer | None, int]:
        """The server of a spec's kernels, if there is one, and how many it and those before it have forked. Raises
        :class:`CannotFork` where there can be none."""
        key = _key(launch)
        with self._lock:
            server = self._kernels.get(key)
            return server, self._forks.get(key, 0) + (server.forks if server is not None else 0)

    def pids(self) -> list[int]:
        """The servers' processes."""
        with self._lock:
            servers = [*self._kernels.values(), *self._coming.values()]
            return [server.pid for server in (*servers, self._runners) if server is not None]

    def close(self) -> None:
        """End them all."""
        with self._lock:
            servers = [*self._kernels.values(), *self._coming.values()]
            if self._runners is not None:
                servers.append(self._runners)
            self._kernels.clear()
            self._coming.clear()
            self._runners = None
        for server in servers:
            server.close()
        self._threads.shutdown(wait=False)


def _read_at_start(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in READ_AT_START)


def _key(launch: Launch) -> Key:
    python, argv = launch.interpreter()
    folders = launch.environment.get("PYTHONPATH", "").split(os.pathsep)
    if any(folder and not Path(folder).is_absolute() for folder in folders):
        raise CannotFork("PYTHONPATH names folders from where the kernel is to begin")
    read = sorted((k, v) for k, v in launch.environment.items() if _read_at_start(k) or k in launch.own)
    return python, argv, tuple(read)
