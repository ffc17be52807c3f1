"""The fork servers of a press: which there are, and the kernels that they can fork."""

import fnmatch
import json
import logging
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pressroom.press import fork_server
from pressroom.press.launch import CannotFork, Launch

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
READY_SECONDS = 60.0
"""How long a server may take to load what it has to."""
AGAIN_SECONDS = 60.0
"""After how long a server that could not be started is tried again."""
_ANSWER_SECONDS = 5.0


@dataclass
class ForkServer:
    """One fork server's process. ``mode``: as in :class:`fork_server.Settings`."""

    python: tuple[str, ...]
    mode: str
    environment: dict[str, str]
    settings: dict[str, Any]
    preloaded: tuple[str, ...] = ()
    refused: dict[str, str] = field(default_factory=dict[str, str])
    forks: int = 0
    _packages: dict[str, int] = field(default_factory=dict[str, int])
    _why: str | None = None
    _failed: float | None = None
    broken: bool = False
    """Whether a request could not be given to it: what it hears from now on is out of step."""

    def __post_init__(self) -> None:
        """Start the process."""
        self._lock, self._sending, self._is_ready = threading.RLock(), threading.Lock(), False
        self._owner, self._closed = os.getpid(), False
        self._start()

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(READY_SECONDS)
        settings = json.dumps(self.settings | {"mode": self.mode, "refused": self.refused})
        try:
            self._process = subprocess.Popen(  # noqa: S603 - a kernel spec's own interpreter
                [*self.python, fork_server.__file__, str(theirs.fileno()), settings],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd="/",
                env=self.environment,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            self._socket.close()
            raise CannotFork(f"{self.python[0]} cannot be started: {error.strerror}") from error
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def ready(self) -> None:
        """Wait until it has loaded what it has to. Blocks. Raises :class:`CannotFork`."""
        with self._lock:
            if self._is_ready:
                return
            if self._why is None:
                self._why = self._await()
            if self._why is not None:
                self._failed = self._failed or time.monotonic()
                self._process.kill()
                raise CannotFork(self._why)
            self._is_ready = True
            self._socket.settimeout(_ANSWER_SECONDS)

    def _await(self) -> str | None:
        """Hear of its loading until it is ready; one that a library brought down begins again without that."""
        loading = ""
        while True:
            try:
                said, _ = fork_server.receive(self._socket)
                why = "their fork server ended before it was ready" if said is None else said.get("failed")
                how = "the process ended"
            except TimeoutError:
                said, why = None, f"their fork server was not ready within {READY_SECONDS:g} s"
                how = f"it took longer than {READY_SECONDS:g} s"
            except OSError as error:
                said, why, how = None, f"their fork server cannot be heard: {error.strerror}", str(error.strerror)
            if self._closed:
                return "their fork server was ended"
            if said is not None and "ready" in said:
                self.preloaded, self.refused = tuple(said["preloaded"]), said["refused"]
                self._packages = said["packages"]
                return None
            if said is not None and "loading" in said:
                loading, self.refused = said["loading"], said["refused"]
                continue
            if not loading or (said is not None and "failed" in said):
                return why if said is None else f"their fork server could not start: {why}"
            self.refused[loading] = f"it cannot be loaded ahead: {how} while it was imported"
            loading = ""
            self._process.kill()
            self._process.wait()
            self._socket.close()
            self._start()

    def fork(self, request: dict[str, Any], fds: Sequence[int]) -> None:
        """Fork a process. ``fds``: its keeper's control socket, its working directory, its standard error, and what
        it works with. Raises ``OSError`` where the server is gone."""
        with self._sending:
            try:
                fork_server.send(self._socket, request, fds)
            except OSError:
                self.broken = True
                raise
            self.forks += 1

    def outdated(self) -> bool:
        """Whether a package was installed, removed or changed since it started."""
        for path, changed in self._packages.items():
            try:
                if Path(path).stat().st_mtime_ns != changed:
                    return True
            except OSError:
                return True
        return False

    def ended(self) -> bool:
        """Whether its process has ended."""
        return self._process.poll() is not None

    def memory_bytes(self) -> int | None:
        """Its proportional share of memory (PSS) in bytes. Blocks; ``None`` where it does not answer."""
        with self._lock:
            if not self._is_ready or self.broken:
                return None
            try:
                with self._sending:
                    fork_server.send(self._socket, {"report": True})
                said, _ = fork_server.receive(self._socket)
            except OSError:
                self.broken = True  # its answer may come yet, and would be taken for another
                return None
        return said.get("pss") if said is not None else None

    @property
    def is_ready(self) -> bool:
        """Whether it has loaded what it has to."""
        return self._is_ready

    @property
    def why_not(self) -> str | None:
        """Why it cannot serve, if so."""
        return self._why

    def failed_at(self) -> float | None:
        """When it was seen that it cannot serve (monotonic seconds)."""
        return self._failed

    def close(self) -> None:
        """End it; what it has forked goes on until whoever asked for it ends it."""
        if os.getpid() != self._owner:
            self._socket.close()  # a copy, in a process that the owner forked
            return
        self._closed = True
        if not self._is_ready:
            self._process.kill()  # it loads its libraries, and hears nothing
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._socket.close()
        if not _ends(self._process.pid, _ANSWER_SECONDS):
            self._process.kill()
        self._process.wait()


Key = tuple[tuple[str, ...], tuple[str, ...], tuple[tuple[str, str], ...]]
"""What kernels of one server have in common: their interpreter, what is said to ipykernel, what is read at start."""


class Servers:
    """The fork servers of a press. ``preload``: modules that kernels' servers load ahead; ``memory_mb``: how large one
    may grow by that. Safe to use from any thread; whoever makes it closes it."""

    def __init__(self, preload: Sequence[str] = (), memory_mb: int = 1024, mode: str = "line") -> None:
        self._preload, self._memory_mb, self._mode = tuple(preload), memory_mb, mode
        self._lock = threading.RLock()
        self._kernels: OrderedDict[Key, ForkServer] = OrderedDict()
        self._coming: dict[Key, ForkServer] = {}
        self._runners: ForkServer | None = None
        self._told: set[tuple[str, str]] = set()
        self._forks: dict[Key, int] = {}

    def preload(self, modules: Sequence[str]) -> None:
        """Load other modules ahead from now on."""
        self._preload = tuple(modules)

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
            server = self._kernels.get(_key(launch))
            wanted = server is not None and tuple(server.settings["preload"]) == self._preload
            return server if server is not None and wanted and server.is_ready and not self._is_done(server) else None

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


def _ends(pid: int, seconds: float) -> bool:
    """Whether a child ends within some seconds."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
    finally:
        os.close(fd)


def _read_at_start(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in READ_AT_START)


def _key(launch: Launch) -> Key:
    python, argv = launch.interpreter()
    folders = launch.environment.get("PYTHONPATH", "").split(os.pathsep)
    if any(folder and not Path(folder).is_absolute() for folder in folders):
        raise CannotFork("PYTHONPATH names folders from where the kernel is to begin")
    read = sorted((k, v) for k, v in launch.environment.items() if _read_at_start(k) or k in launch.own)
    return python, argv, tuple(read)
