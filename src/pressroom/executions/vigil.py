"""A worker's signs of life, and its look at what it holds, until the last of its executions has ended."""

import asyncio
import logging

from pressroom.errors import Unavailable
from pressroom.executions.losses import Losses
from pressroom.executions.queue import ExecutionJobs
from pressroom.executions.tasks import Pressman, Workshop

BEATS = 4
"""Signs of life in the time that it takes to count as lost."""
log = logging.getLogger("pressroom.queue")


class Vigil:
    """Keeps a worker known as living, also while it stops, and finds what it holds without knowing.

    The database may have given it an execution and gone away before it could say so; such an attempt would run for
    ever. What it is not at work on at two looks in a row is ended as lost.
    """

    def __init__(self, shop: Workshop, jobs: ExecutionJobs, pressman: Pressman) -> None:
        self._database, self._jobs, self._pressman = shop.database, jobs, pressman
        self._losses = Losses(shop)
        self._seconds = shop.settings.worker_lost_seconds / BEATS
        self._suspects: set[tuple[int, int]] = set()

    async def run(self) -> None:
        """Keep watch for ever."""
        while True:
            await asyncio.sleep(self._seconds)
            await self._jobs.beat()
            try:
                await self.look()
            except Unavailable as error:
                log.warning("what this worker holds cannot be seen: %s", error.detail)
            except Exception:  # the signs of life must go on
                log.exception("what this worker holds could not be looked at")

    async def look(self) -> None:
        """Compare what the database says that the worker holds with what it is at work on."""
        worker_id = self._jobs.worker_id
        if worker_id is None:
            return
        async with self._database.transaction() as session:
            held = await self._losses.held_by(session, worker_id)
            idle = {attempt for attempt in held if not self._pressman.holds(*attempt)}
            if dropped := idle & self._suspects:
                await self._losses.of_living_worker(session, worker_id, dropped)
        self._suspects = idle
