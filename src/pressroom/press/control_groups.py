"""Control groups (version 2), where the service may make them: limits of memory and processes that hold for all that an
execution starts together."""

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")


def control_group(
    limits: Mapping[str, float], mount: Path = MOUNT, own: Path = Path("/proc/self/cgroup")
) -> str | None:
    """A new control group with the limits ``memory_mb`` (MiB) and ``processes``, below this process's own; ``None``
    where none of them is set, or where this process may not make one: the system has no version 2, or its group was not
    delegated to the service."""
    if limits.get("memory_mb") is None and limits.get("processes") is None:
        return None
    parent = delegated(mount, own)
    if parent is None:
        return None
    group = parent / f"pressroom-{secrets.token_hex(6)}"
    try:
        group.mkdir()
        if (memory := limits.get("memory_mb")) is not None:
            (group / "memory.max").write_text(str(int(memory * 2**20)))
            with suppress(OSError):  # a system without swap has no such file
                (group / "memory.swap.max").write_text("0")
            with suppress(OSError):  # all of it ends, so that nobody waits for the one that was killed
                (group / "memory.oom.group").write_text("1")
        if (processes := limits.get("processes")) is not None:
            (group / "pids.max").write_text(str(int(processes)))
    except OSError:
        with suppress(OSError):
            group.rmdir()
        return None
    return str(group)


def settle(mount: Path = MOUNT, own: Path = Path("/proc/self/cgroup")) -> bool:
    """Where systemd has delegated this process's group to it (``Delegate=memory pids``), go into one below it,
    ``main``, and let those below have limits: a group with processes of its own gives none.

    To be called before anything is started. Returns whether it was done; elsewhere, nothing changes.
    """
    folder = _own(mount, own)
    try:
        if folder is None or os.getxattr(folder, "user.delegate") != b"1":
            return False
        (folder / "main").mkdir(exist_ok=True)
        (folder / "main" / "cgroup.procs").write_text(str(os.getpid()))
        (folder / "cgroup.subtree_control").write_text("+memory +pids")
    except OSError:  # no such mark: nobody has delegated it; or a controller was not
        return False
    return True


def _own(mount: Path, own: Path) -> Path | None:
    """The group of this process; ``None`` where the system has no version 2."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return None
    return next((mount / line.removeprefix("0::").lstrip("/") for line in lines if line.startswith("0::")), None)


def delegated(mount: Path = MOUNT, own: Path = Path("/proc/self/cgroup")) -> Path | None:
    """The group below which this process may make others with limits of memory and processes."""
    folder = _own(mount, own)
    if folder is None:
        return None
    try:
        # A group with processes of its own has no limits to give: `settle` has gone into one below.
        enabled = (folder / "cgroup.subtree_control").read_text().split()
        if not {"memory", "pids"} <= set(enabled):
            folder = folder.parent
            enabled = (folder / "cgroup.subtree_control").read_text().split()
    except OSError:
        return None
    # A slice is the system's to divide, not the service's.
    mine = not folder.name.endswith(".slice") and os.access(folder, os.W_OK)
    return folder if {"memory", "pids"} <= set(enabled) and mine else None
