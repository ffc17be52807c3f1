"""The states of an execution, and what may follow what.

::

    pending ──claimed──▶ running ──succeeded──▶ success
       ▲  │                │  │
       │  └──cancelled─────┼──┼──cancelled────▶ cancelled
       └────put back───────┘  └──failed───────▶ failed

A terminal state never changes. Everything here is pure; the database holds to it by the ``WHERE`` of each ``UPDATE``.
"""

import random
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

INTERRUPTED, STOPPED = "interrupted", "cancelled"
"""Two of the reasons in :class:`pressroom.press.Reason`: the attempt's worker stopped, or somebody stopped it."""
MAX_DELAY_SECONDS = 3600.0
"""The longest wait between two attempts."""


class Status(StrEnum):
    """Where an execution stands. The last three are terminal and never change."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Change(StrEnum):
    """What can happen to an execution."""

    CLAIMED = "claimed"
    """A worker begins an attempt."""
    PUT_BACK = "put_back"
    """The attempt ended without a result, and there is to be another."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL = frozenset({Status.SUCCESS, Status.FAILED, Status.CANCELLED})
TRANSITIONS: dict[tuple[Status, Change], Status] = {
    (Status.PENDING, Change.CLAIMED): Status.RUNNING,
    (Status.PENDING, Change.CANCELLED): Status.CANCELLED,
    (Status.RUNNING, Change.PUT_BACK): Status.PENDING,
    (Status.RUNNING, Change.SUCCEEDED): Status.SUCCESS,
    (Status.RUNNING, Change.FAILED): Status.FAILED,
    (Status.RUNNING, Change.CANCELLED): Status.CANCELLED,
}


class RetryOn(StrEnum):
    """For which ends of an attempt there is another."""

    WORKER_LOST = "worker_lost"
    """The worker was killed, or its machine vanished."""
    TIMED_OUT = "timed_out"
    """The time limit was reached."""
    ANY_FAILURE = "any_failure"
    """Whatever went wrong, a cell that raised among it; the other two are included."""


def after(status: Status, change: Change) -> Status | None:
    """The status that follows; ``None`` where the change cannot happen to an execution of this status."""
    return TRANSITIONS.get((status, change))


@dataclass(frozen=True, slots=True)
class Patience:
    """How often an execution is tried. ``attempts``: those that count so far, the one that ends now included."""

    attempts: int
    max_attempts: int
    retry_on: Collection[str]
    delay_seconds: float
    cancel_requested: bool = False


def end_of_attempt(reason: str | None, patience: Patience) -> Change:
    """What becomes of an execution whose attempt ended for ``reason`` (``None``: its last cell was done)."""
    if reason is None:
        return Change.SUCCEEDED
    if reason == STOPPED:
        return Change.CANCELLED
    if not (reason == INTERRUPTED or _tried_again(reason, patience)):
        return Change.FAILED
    return Change.CANCELLED if patience.cancel_requested else Change.PUT_BACK


def _tried_again(reason: str, patience: Patience) -> bool:
    wanted = reason in patience.retry_on or RetryOn.ANY_FAILURE in patience.retry_on
    return wanted and patience.attempts < patience.max_attempts


def delay_seconds(reason: str, patience: Patience, rng: random.Random) -> float:
    """Seconds before the next attempt: doubled each time, and up to half as much more by chance, so that what failed
    together is not tried together. None after an interruption, which is no fault of the execution, nor after the first
    attempt where its worker was lost: that took its time to be noticed, and rarely is the execution's fault."""
    if reason == INTERRUPTED or (reason == RetryOn.WORKER_LOST and patience.attempts == 1):
        return 0.0
    doubled = patience.delay_seconds * 2.0 ** min(patience.attempts - 1, 30)
    return min(doubled, MAX_DELAY_SECONDS) * (1 + rng.random() / 2)
