"""One fork server, as its owner sees it."""

import json
import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pressroom.press import fork_server
from pressroom.press.launch import CannotFork

READY_SECONDS = 60.0
"""How long a server may take to load what it has to."""
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
    _modules: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
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
                self._packages = dict(said["packages"])
                folders = (path for path in said["packages"] if not path.endswith("-packages") and Path(path).is_dir())
                self._modules = {path: _modules(path) for path in folders}
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

    def fork(self, request: Mapping[str, Any], private: Mapping[str, Any], fds: Sequence[int]) -> None:
        """Fork a process. ``request``: as whom it runs, and its limits, for the server and the keeper to know;
        ``private``: its environment, and what it works on, which it alone reads. ``fds``: its keeper's control socket,
        its working directory, its standard error, and what it works with. Raises ``OSError`` where the server is gone.
        """
        letter = fork_server.enclosed(private)
        try:
            with self._sending:
                try:
                    fork_server.send(self._socket, request, [*fds, letter])
                except OSError:
                    self.broken = True
                    raise
                self.forks += 1
        finally:
            os.close(letter)

    def outdated(self) -> bool:
        """Whether a package was installed, removed or changed since it started."""
        for path, changed in self._packages.items():
            try:
                now = Path(path).stat().st_mtime_ns
                if now == changed:
                    continue
                # A folder that notebooks are executed in may be on the path, too: files that come there mean nothing.
                if path not in self._modules or _modules(path) != self._modules[path]:
                    return True
            except OSError:
                return True
            self._packages[path] = now
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


def _modules(folder: str) -> frozenset[str]:
    """What this process could import from a folder: nothing of what it cannot enter."""
    try:
        names = [path.name for path in Path(folder).iterdir()]
    except OSError:
        return frozenset()
    endings = (".py", ".so", ".pth", ".zip", "-info", ".egg-link")
    return frozenset(n for n in names if n.endswith(endings) or os.path.exists(f"{folder}/{n}/__init__.py"))  # noqa: PTH110 - that of Path raises


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
