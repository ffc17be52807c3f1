"""An account of this machine, and what this process does with its rights alone."""

import asyncio
import ctypes
import os
import platform
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SETGROUPS = {"x86_64": 116, "aarch64": 159, "riscv64": 159, "ppc64le": 81, "s390x": 206}
"""The number of the system call. The C library's function of that name changes every thread of the process."""
_CAPABILITIES = {"CAP_CHOWN": 0, "CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7}
"""What whoever acts as others needs: to give them what is theirs, to end what they run, and to become them."""
_VERSION_3 = 0x20080522  # of the form in which capabilities are told to the system
_UNCHANGED = 2**32 - 1
_DEFAULT_UMASK = 0o022
_OWN = (
    "IPYTHONDIR", "JULIA_DEPOT_PATH", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR",
    "PYTHONUSERBASE", "R_LIBS_USER", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
)  # fmt: skip
"""Variables that name folders of the service's own account."""
_libc = ctypes.CDLL(None, use_errno=True)
_libc.setfsuid.restype = _libc.setfsgid.restype = ctypes.c_uint32
_libc.setfsuid.argtypes = _libc.setfsgid.argtypes = (ctypes.c_uint32,)
_acting = threading.local()


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@dataclass(frozen=True, slots=True)
class Account:
    """An account: who it is, and what a process of its own begins with."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    shell: str
    umask: int

    def told(self) -> dict[str, Any]:
        """What a forked process must know to become it."""
        return {"uid": self.uid, "gid": self.gid, "groups": list(self.groups)}

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """The environment of its processes: ``base``, with its own home in place of the service's."""
        kept = {name: value for name, value in base.items() if name not in _OWN}
        return kept | {"HOME": self.home, "USER": self.name, "LOGNAME": self.name, "SHELL": self.shell}

    @contextmanager
    def files(self) -> Iterator[None]:
        """Until the end, this thread has the account's rights on files, and none of root's; other threads keep theirs,
        but one that is started meanwhile has the account's for good.

        For root, in a thread that runs no event loop, which others would go on in. Raises ``OSError`` where the system
        refuses. The process ends at once where the thread cannot become what it was.
        """
        acting = getattr(_acting, "account", None)
        if acting == self:
            yield
            return
        if acting is not None:
            raise RuntimeError(f"this thread acts as {acting.name} already")
        if _in_event_loop():
            raise RuntimeError("files of an account are touched in a thread of their own")
        groups, gid, uid, sets = os.getgroups(), os.getegid(), os.geteuid(), _capabilities()
        try:
            self._put_on(sets)
            _acting.account = self
            yield
        finally:
            _acting.account = None
            try:
                _set_capabilities(sets)
                _set_groups(groups)
                _libc.setfsgid(gid)
                _libc.setfsuid(uid)
                restored = _file_ids() == (uid, gid) and os.getgroups() == groups and _equal(_capabilities(), sets)
            except OSError:
                restored = False
            if not restored:
                sys.stderr.write(f"A thread that acted as {self.name} cannot become itself again.\n")
                os._exit(70)

    def _put_on(self, sets: Any) -> None:
        _set_groups(self.groups)
        _libc.setfsgid(self.gid)
        _libc.setfsuid(self.uid)
        # Not only those over files: others let root look through links into the files of any process.
        _set_capabilities([_Sets(0, half.permitted, half.inheritable) for half in sets])
        if _file_ids() != (self.uid, self.gid) or set(os.getgroups()) != set(self.groups):
            raise PermissionError(f"the system does not let this process act as {self.name}")


def why_not() -> str | None:
    """Why this process cannot act as other accounts, if so; completes "since ..."."""
    if sys.platform != "linux" or platform.machine() not in _SETGROUPS:
        return f"it cannot act as other accounts on {sys.platform} {platform.machine()}"
    if os.geteuid() != 0:
        return "it does not run as root"
    status = Path("/proc/self/status").read_text()
    held = int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), 16)
    if missing := [name for name, bit in _CAPABILITIES.items() if not held >> bit & 1]:
        return f"it runs as root without {', '.join(missing)}"
    return None


def usual_umask(definitions: Path = Path("/etc/login.defs")) -> int:
    """The umask that accounts of this machine begin with, by its ``login.defs``."""
    try:
        found = re.search(r"^\s*UMASK\s+([0-7]{3,4})\s*$", definitions.read_text(errors="replace"), re.MULTILINE)
    except OSError:
        return _DEFAULT_UMASK
    return int(found[1], 8) if found else _DEFAULT_UMASK


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _set_groups(groups: tuple[int, ...] | list[int]) -> None:
    given = (ctypes.c_uint32 * len(groups))(*groups)
    _checked(_libc.syscall(_SETGROUPS[platform.machine()], ctypes.c_size_t(len(groups)), given))


def _file_ids() -> tuple[int, int]:
    """As whom this thread reads and writes files: the calls tell what was before, and no such account can be set."""
    return _libc.setfsuid(_UNCHANGED), _libc.setfsgid(_UNCHANGED)


def _capabilities() -> Any:
    sets = (_Sets * 2)()
    _checked(_libc.capget(ctypes.byref(_Header(_VERSION_3, 0)), sets))
    return list(sets)


def _set_capabilities(sets: Any) -> None:
    _checked(_libc.capset(ctypes.byref(_Header(_VERSION_3, 0)), (_Sets * 2)(*sets)))


def _equal(these: Any, those: Any) -> bool:
    return all(bytes(a) == bytes(b) for a, b in zip(these, those, strict=True))


def _checked(answer: int) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
