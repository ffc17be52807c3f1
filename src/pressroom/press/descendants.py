"""Processes that must not outlive an execution."""

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress

import psutil

_PATIENCE_SECONDS = 10
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
# Loaded here and not in the child: between fork and exec nothing may be imported.
_libc: ctypes.CDLL | None = ctypes.CDLL(None, use_errno=True) if sys.platform.startswith("linux") else None


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that none gets away (Linux)."""
    if _libc is not None:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> None:
    """Have the system kill this process when the thread that started it ends (Linux)."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def kill_descendants(pid: int | None = None) -> None:
    """Kill all that was started by a process (by default this one), directly or not; returns when they are gone.

    A process started while they are being killed is killed as well. One that may not be killed, or that the system
    cannot end, is given up after some seconds.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (living := _descendants(pid)) and time.monotonic() < deadline:
        for process in living:
            # PermissionError: a program that changed its user; it is left to who may.
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, signal.SIGKILL)
        psutil.wait_procs(living, timeout=1)


def _descendants(pid: int | None) -> list[psutil.Process]:
    try:
        found = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [process for process in found if _lives(process)]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
