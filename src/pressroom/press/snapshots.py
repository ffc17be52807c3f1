"""Saving while an execution goes on, at a bounded cost."""

import time
from collections.abc import Callable

SHARE = 0.05
"""How much of the time elapsed is spent on snapshots at most."""
EVERY_SECONDS = 5.0
"""How long after one the next is taken at the earliest."""
_BYTES_PER_SECOND = 10 * 2**20
"""How fast the first snapshot is taken to be; each later one is taken to be as slow as the one before it."""


class Snapshots:
    """Saves a notebook now and then. ``save`` writes it."""

    def __init__(self, save: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._save, self._clock = save, clock
        self._began = self._last = clock()
        self.spent = 0.0
        self._cost = 0.0
        self.failed: OSError | None = None

    def changed(self, size: int) -> None:
        """The notebook has changed; it has about ``size`` bytes of outputs. It is saved if that is due."""
        now = self._clock()
        if now - self._last < EVERY_SECONDS:
            return
        cost = max(self._cost, size / _BYTES_PER_SECOND)
        if self.spent + cost > SHARE * (now - self._began):
            return
        try:
            self._save()
            self.failed = None
        except OSError as error:
            # The last save, at the end, decides; till then the disk may have room again.
            self.failed = error
        self._last = self._clock()
        self._cost = self._last - now
        self.spent += self._cost
