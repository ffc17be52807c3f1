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


def delegated(mount: Path = MOUNT, own: Path = Path("/proc/self/cgroup")) -> Path | None:
    """The group below which this process may make others with limits of memory and processes."""
    try:
        line = next(line for line in own.read_text().splitlines() if line.startswith("0::"))
        folder = mount / line.removeprefix("0::").lstrip("/")
        # A group with processes of its own has no limits to give: systemd's Delegate= leaves it to its owner to put
        # them into a group below.
        enabled = (folder / "cgroup.subtree_control").read_text().split()
        if not {"memory", "pids"} <= set(enabled):
            folder = folder.parent
            enabled = (folder / "cgroup.subtree_control").read_text().split()
    except (OSError, StopIteration):
        return None
    # A slice is the system's to divide, not the service's.
    mine = not folder.name.endswith(".slice") and os.access(folder, os.W_OK)
    return folder if {"memory", "pids"} <= set(enabled) and mine else None
