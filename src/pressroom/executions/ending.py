"""How an attempt ends: what becomes of its execution, and its output put in its place, in one transaction."""

import asyncio
import json
import random
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from procrastinate.manager import JobManager
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.errors import PressroomError
from pressroom.executions.progress import NOTHING, Facts, Progress, kept
from pressroom.executions.states import TRANSITIONS, Change, Patience, Status, delay_seconds, end_of_attempt
from pressroom.notebooks.places import Location, Places
from pressroom.notifications import service as notifications
from pressroom.notifications.schemas import Event
from pressroom.press import Finished, Reason
from pressroom.press.saving import publish, unstage

_spread = random.Random()  # noqa: S311 - it spreads retries, it guards nothing
_HOLD = text("""
SELECT (
        SELECT count(*) FROM execution_attempts AS t
        WHERE t.execution_id = e.id AND t.reason IS DISTINCT FROM 'interrupted'
    ) AS tries, e.max_attempts, e.retry_on, e.retry_delay_seconds, e.cancel_requested_at
FROM notebook_executions AS e WHERE e.id = :id AND e.attempt = :attempt AND e.status = 'running' FOR UPDATE OF e
""")
_END = text("""
SELECT end_attempt(
    :id, :attempt, :status, :reason, :message, CAST(:failure AS jsonb), :seconds, make_interval(secs => :delay),
    :total, :completed, CAST(:events AS jsonb)
), EXISTS (SELECT FROM notifications WHERE notebook_id IS NULL OR notebook_id = :notebook) AS interesting
""")


class Held(Protocol):
    """The attempt that ends, and its execution."""

    @property
    def id(self) -> int:
        """The execution's id."""
        ...

    @property
    def attempt(self) -> int:
        """The attempt's number."""
        ...

    @property
    def notebook_id(self) -> int | None:
        """The registered notebook."""
        ...


def staged_name(execution_id: int, attempt: int) -> str:
    """The name of an attempt's output in the output's folder, until the attempt has ended."""
    return f".pressroom-{execution_id}-{attempt}.tmp"


class Written(Held, Protocol):
    """An attempt whose output waits to be put in its place."""

    @property
    def username(self) -> str:
        """Whom it acts as."""
        ...

    @property
    def output_path(self) -> str:
        """Where the output goes."""
        ...


class Ending:
    """The end of one attempt. ``finished`` is how it ended, once :meth:`write` has said so."""

    def __init__(self, places: Places, jobs: JobManager, held: Written, finished: Finished) -> None:
        self._places, self._jobs, self._held = places, jobs, held
        self._staged = staged_name(held.id, held.attempt)
        self._published = not finished.written
        self.finished = finished

    async def write(self, session: AsyncSession, progress: Progress) -> Change | None:
        """End the attempt, and put its output in its place; ``None`` where another worker holds the execution now.

        Where the transaction fails, it may be tried again: the output is in its place by then, and stays there.
        """
        held = self._held
        patience = await _patience(session, held)
        if patience is None:
            await asyncio.to_thread(discard, self._places, held.output_path, held.username, self._staged)
            return None
        if not self._published:
            self.finished = await asyncio.to_thread(self._publish)
            self._published = True
        change = end_of_attempt(self.finished.reason, patience)
        await end_attempt(session, self._jobs, held, change, self.finished, patience, progress.rest())
        return change

    def _publish(self) -> Finished:
        held, finished = self._held, self.finished
        try:
            output = self._places.locate(held.output_path, held.username)
            with output.parent.open_directory() as folder:
                publish(folder, self._staged, output.name)
        except (OSError, PressroomError) as error:
            why = error.detail if isinstance(error, PressroomError) else f"{error.strerror}."
            sentence = f"{finished.message} The output {held.output_path} could not be written: {why}".strip()
            discard(self._places, held.output_path, held.username, self._staged)
            reason = finished.reason or Reason.OUTPUT_NOT_WRITTEN
            return replace(finished, reason=reason, message=sentence, written=False)
        return finished


async def _patience(session: AsyncSession, held: Held) -> Patience | None:
    """How often it may be tried, its row locked; ``None`` where the attempt is not the current one any more."""
    row = (await session.execute(_HOLD, {"id": held.id, "attempt": held.attempt})).first()
    if row is None:
        return None
    tries, most, retry_on, delay, cancelled = row
    return Patience(tries, most, retry_on, delay, cancel_requested=cancelled is not None)


_TOLD = {Change.SUCCEEDED: Event.SUCCEEDED, Change.FAILED: Event.FAILED, Change.CANCELLED: Event.CANCELLED}


async def end_attempt(
    session: AsyncSession,
    jobs: JobManager,
    held: Held,
    change: Change,
    finished: Finished,
    patience: Patience,
    rest: Facts = NOTHING,
) -> None:
    """Record what became of an execution whose attempt has ended; its row is locked by the caller. ``rest`` is what
    the attempt has not told yet."""
    failure: dict[str, Any] | None = None
    sentence = kept(finished.message)[:10_000] or None
    if finished.reason is not None:
        failure = {"reason": finished.reason.value}
        if finished.cell_index is not None:
            failure |= {
                "cell_index": finished.cell_index,
                "ename": kept(finished.ename or "")[:1000],
                "evalue": kept(finished.evalue or "")[:10_000],
            }
    again = change is Change.PUT_BACK
    if change is Change.FAILED and patience.attempts >= patience.max_attempts > 1:
        sentence = f"{sentence} It was tried {patience.attempts} times."
    ended = await session.execute(
        _END,
        {
            **rest,
            "id": held.id,
            "attempt": held.attempt,
            "notebook": held.notebook_id,
            "status": TRANSITIONS[Status.RUNNING, change].value,
            "reason": finished.reason.value if finished.reason else None,
            "message": sentence,
            "failure": json.dumps(failure) if failure else None,
            "seconds": finished.seconds,
            "delay": delay_seconds(finished.reason.value, patience, _spread) if again and finished.reason else 0.0,
        },
    )
    if ended.one().interesting and not again:
        await notifications.announce(session, jobs, held.id, held.notebook_id, _TOLD[change])


def discard(places: Places, output_path: str, username: str, staged: str) -> None:
    """Take away what an attempt wrote and may not put in its place."""
    with suppress(PressroomError):  # where its folder cannot be opened, there is nothing of it either
        output: Location = places.locate(output_path, username)
        with output.parent.open_directory() as folder:
            unstage(folder, staged)
