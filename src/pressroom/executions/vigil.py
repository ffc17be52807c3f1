"""A worker's watch over what it runs, until the last of it ends: signs of life, looks at what it holds, cancels."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sqlalchemy import text

from pressroom.errors import Unavailable
from pressroom.executions.losses import Losses
from pressroom.executions.queue import ExecutionJobs
from pressroom.executions.tasks import Pressman, Workshop

BEATS = 4
"""Signs of life in the time that it takes to count as lost."""
_CANCELS_SECONDS = 1.0
"""How long a cancel may go unheard whose notification was lost, or came before the worker knew the execution."""
_CANCELS = text("""
SELECT id, attempt FROM notebook_executions
WHERE id = ANY(:ids) AND status = 'running' AND cancel_requested_at IS NOT NULL
""")
log = logging.getLogger("pressroom.queue")


class Vigil:
    """Keeps a worker known as living, finds what it holds without knowing, and what it is to cancel; also while it
    stops.

    The database may have given it an execution and gone away before it could say so; such an attempt would run for
    ever. What it is not at work on at two looks in a row is ended as lost, unless a claim has found it by then.

    The three go on each by itself: one that waits, for a lock or a disk, must not hold back the signs of life.
    """

    def __init__(self, shop: Workshop, jobs: ExecutionJobs, pressman: Pressman) -> None:
        self._database = shop.database
        self._jobs, self._pressman = jobs, pressman
        self._losses = Losses(shop)
        self._seconds = shop.settings.worker_lost_seconds / BEATS
        self._suspects: set[tuple[int, int]] = set()

    async def run(self) -> None:
        """Keep watch for ever."""
        async with asyncio.TaskGroup() as watches:
            watches.create_task(_again(self._seconds, self._jobs.beat, "no sign of life can be given"), name="beat")
            watches.create_task(_again(self._seconds, self.look, "what this worker holds cannot be seen"), name="look")
            watches.create_task(_again(_CANCELS_SECONDS, self.cancel, "cancels cannot be heard"), name="cancel")

    async def look(self) -> None:
        """Compare what the database says that the worker holds with what it is at work on."""
        worker_id = self._jobs.worker_id
        if worker_id is None:
            return
        async with self._database.transaction() as session:
            held = await self._losses.held_by(session, worker_id)
            at_work = {attempt for attempt in held if self._pressman.holds(*attempt) or self._jobs.awaits(*attempt)}
            idle = held - at_work
            if dropped := idle & self._suspects:
                self._jobs.give_up(dropped)
                await self._losses.of_living_worker(session, worker_id, dropped)
        self._suspects = idle

    async def cancel(self) -> None:
        """Stop what somebody wants stopped, of what the worker is at work on."""
        if not (in_hand := self._pressman.in_hand()):
            return
        async with self._database.transaction() as session:
            rows = (await session.execute(_CANCELS, {"ids": [execution_id for execution_id, _ in in_hand]})).all()
        for row in rows:
            self._pressman.cancel(row.id, row.attempt)


async def _again(seconds: float, watch: Callable[[], Awaitable[None]], otherwise: str) -> None:
    """Do ``watch`` every ``seconds``, whatever becomes of it."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await watch()
        except Unavailable as error:
            log.warning("%s: %s", otherwise, error.detail)
        except Exception:  # it is tried again
            log.exception("%s", otherwise)
