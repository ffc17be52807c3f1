"""The kernels that living workers have, and whether an execution can get the one that it needs."""

import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.session import Connection, driver_connection
from pressroom.errors import KernelNotThere
from pressroom.executions.limits import DEFAULT_QUEUE, Limits
from pressroom.executions.options import ExecutionDefaults
from pressroom.press.account import Account
from pressroom.settings import USER, Settings

USUAL = "python3"
"""The kernel of a notebook whose file names none."""
PRIVATE = "@"
"""What the name of a queue begins with that is one command's own; no caller can choose such a name."""
KNOWN_SECONDS = 5.0
"""How long it is taken for known what there is: workers tell as often of what has changed."""
_LIVING = b"""
SELECT w.queues, jsonb_path_query_array(w.kernels, '$[*].name')
FROM workers AS w JOIN procrastinate_workers AS p USING (id)
WHERE p.last_heartbeat > now() - make_interval(secs => %s)
"""


@dataclass(frozen=True, slots=True)
class LivingKernels:
    """What each living worker serves, ``None`` for every queue, and its kernels, ``None`` before it has told."""

    workers: Sequence[tuple[frozenset[str] | None, frozenset[str] | None]]

    @classmethod
    async def told(cls, connection: Connection, lost_seconds: float) -> "LivingKernels":
        """Those of the workers that have given a sign of life within ``lost_seconds``. One round trip."""
        answer = await connection.execute(_LIVING, (lost_seconds,))
        return cls.of(await answer.fetchall())

    @classmethod
    def of(cls, rows: Sequence[Sequence[Any]]) -> "LivingKernels":
        """From the queues and the names of the kernels of each worker."""
        return cls([(_names(queues), _names(kernels)) for queues, kernels in rows])

    def require(self, name: str, queue: str) -> None:
        """Raise :class:`KernelNotThere` where it is known that no living worker of a queue has the kernel.

        Where none lives, or one has not told yet what it has, nothing is known: what is queued waits for a worker.
        Jupyter finds a kernel whatever the case of its name, and tells names in small letters.
        """
        there = set[str]()
        serving = [kernels for queues, kernels in self.workers if _serves(queues, queue)]
        for kernels in serving:
            if kernels is None or name.lower() in kernels:
                return
            there |= kernels
        if serving:
            raise KernelNotThere(name, queue, sorted(there))


class KnownKernels:
    """What the living workers of a service have, for a process that is asked for many executions: what it knows may be
    some seconds old where it accepts, and never where it refuses."""

    def __init__(self) -> None:
        self._told = LivingKernels([])
        self._until = float("-inf")

    async def require(self, connection: Connection, lost_seconds: float, name: str, queue: str) -> None:
        """As :meth:`LivingKernels.require`."""
        if time.monotonic() < self._until:
            with suppress(KernelNotThere):
                self._told.require(name, queue)
                return
        self._told = await LivingKernels.told(connection, lost_seconds)
        self._until = time.monotonic() + KNOWN_SECONDS
        self._told.require(name, queue)


def has_of_its_own(account: Account, name: str) -> bool:
    """Whether an account has a kernel in its home, which workers that run notebooks as their users find there and tell
    nobody of. Looks with the account's rights; blocks on the file system."""
    if not re.fullmatch(r"[\w.-]+", name, re.ASCII):
        return False
    kernels = Path(account.home, ".local", "share", "jupyter", "kernels")
    with account.files(), suppress(PermissionError):  # what the account may not read, its kernels cannot be
        return any((kernels / spelled / "kernel.json").is_file() for spelled in {name, name.lower()})
    return False


async def require_defaults(session: AsyncSession, settings: Settings, said: ExecutionDefaults | None) -> None:
    """Raise :class:`OverLimit` where what a notebook is to hold for its executions is more than they may have, and
    :class:`KernelNotThere` where its kernel is not there. Where notebooks run as their users, it may be in the home of
    whoever executes it, and is looked for then."""
    if said is None:
        return
    queue = said.queue or DEFAULT_QUEUE
    Limits(settings, queue).require(said)
    if said.kernel_name is not None and settings.run_as != USER:
        there = await LivingKernels.told(await driver_connection(session), settings.worker_lost_seconds)
        there.require(said.kernel_name, queue)


def _serves(queues: frozenset[str] | None, queue: str) -> bool:
    return not queue.startswith(PRIVATE) if queues is None else queue in queues


def _names(told: Sequence[str] | None) -> frozenset[str] | None:
    return None if told is None else frozenset(told)
