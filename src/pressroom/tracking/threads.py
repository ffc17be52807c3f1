"""Threads that wait for MLflow: few, with a deadline, and of their own, so that nothing else waits with them."""

import asyncio
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")
AT_ONCE = 2
"""How many runs a process writes at once."""
_FREE = threading.BoundedSemaphore(AT_ONCE)


class Late(Exception):
    """It has taken too long to write a run, or is to be left."""


class Deadline:
    """Until when a run may be written. What is asked of MLflow is asked before, or not at all."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = time.monotonic() + seconds

    @property
    def left_seconds(self) -> float:
        """How long there is left; none where it has passed."""
        return max(0.0, self._until - time.monotonic())

    def leave(self) -> None:
        """Let it be now, from whichever thread."""
        self._until = -math.inf

    def check(self) -> None:
        """Raise :class:`Late` where it has passed."""
        if not self.left_seconds:
            raise Late(f"it was not written within {self._seconds:g} s")


def in_thread(work: Callable[[], T], deadline: Deadline) -> asyncio.Future[T]:
    """Do ``work`` in a thread, of which :data:`AT_ONCE` work at once: one that a server keeps for ever keeps neither
    the others' threads nor the end of the process. Raises :class:`Late` where none was free in time."""
    done = Future[T]()

    def run() -> None:
        free = _FREE.acquire(timeout=deadline.left_seconds)
        try:
            if done.set_running_or_notify_cancel():
                deadline.check()
                done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            done.set_exception(error)
        finally:
            if free:
                _FREE.release()

    answer = asyncio.wrap_future(done)
    threading.Thread(target=run, name="mlflow", daemon=True).start()
    return answer
