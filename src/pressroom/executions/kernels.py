"""The kernels that living workers have, and whether an execution can get the one that it needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.errors import KernelNotThere
from pressroom.executions.limits import DEFAULT_QUEUE, Limits
from pressroom.executions.options import ExecutionDefaults
from pressroom.settings import Settings

USUAL = "python3"
"""The kernel of a notebook whose file names none."""
PRIVATE = "@"
"""What the name of a queue begins with that is one command's own; no caller can choose such a name."""
LIVING = """(
    SELECT jsonb_agg(jsonb_build_array(w.queues, jsonb_path_query_array(w.kernels, '$[*].name')))
    FROM workers AS w JOIN procrastinate_workers AS p USING (id)
    WHERE p.last_heartbeat > now() - make_interval(secs => %(lost)s)
)"""
"""The queues and the kernels of each living worker, for :meth:`LivingKernels.of`. A worker without a sign of life for
``lost`` seconds is taken for lost."""
_LIVING = text("SELECT " + LIVING.replace("%(lost)s", ":lost"))


@dataclass(frozen=True, slots=True)
class LivingKernels:
    """What each living worker serves, ``None`` for every queue, and its kernels, ``None`` before it has told."""

    workers: Sequence[tuple[frozenset[str] | None, frozenset[str] | None]]

    @classmethod
    def of(cls, told: Sequence[Sequence[Any]] | None) -> "LivingKernels":
        """From what :data:`LIVING` answers."""
        return cls([(_names(queues), _names(kernels)) for queues, kernels in told or ()])

    def require(self, name: str, queue: str) -> None:
        """Raise :class:`KernelNotThere` where it is known that no living worker of a queue has the kernel.

        Where none lives, or one has not told yet what it has, nothing is known: what is queued waits for a worker.
        """
        there = set[str]()
        serving = [kernels for queues, kernels in self.workers if _serves(queues, queue)]
        for kernels in serving:
            if kernels is None or name in kernels:
                return
            there |= kernels
        if serving:
            raise KernelNotThere(name, queue, sorted(there))


async def require_defaults(session: AsyncSession, settings: Settings, said: ExecutionDefaults | None) -> None:
    """Raise :class:`OverLimit` where what a notebook is to hold for its executions is more than they may have, and
    :class:`KernelNotThere` where its kernel is not there."""
    if said is None:
        return
    queue = said.queue or DEFAULT_QUEUE
    Limits(settings, queue).require(said)
    if said.kernel_name is not None:
        told = await session.scalar(_LIVING, {"lost": settings.worker_lost_seconds})
        LivingKernels.of(told).require(said.kernel_name, queue)


def _serves(queues: frozenset[str] | None, queue: str) -> bool:
    return not queue.startswith(PRIVATE) if queues is None else queue in queues


def _names(told: Sequence[str] | None) -> frozenset[str] | None:
    return None if told is None else frozenset(told)
