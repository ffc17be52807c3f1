"""How an attempt ends: what becomes of its execution, and its output put in its place, in one transaction.

This and the claim are what every execution costs, so they speak to the driver itself, without SQLAlchemy.
"""

import asyncio
import json
import logging
import random
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from pressroom.database.session import Connection
from pressroom.errors import PressroomError
from pressroom.executions import discarding
from pressroom.executions.progress import NOTHING, Facts, Progress, kept
from pressroom.executions.recording import Recorded
from pressroom.executions.states import TRANSITIONS, Change, Patience, Status, delay_seconds, end_of_attempt
from pressroom.notebooks.places import Location, Places
from pressroom.press import Finished, Reason
from pressroom.press.saving import publish, unstage

log = logging.getLogger("pressroom.executions")
_spread = random.Random()  # noqa: S311 - it spreads retries, it guards nothing
# Locks the row of an attempt that is the current one, until the transaction ends.
_HOLD = """
SELECT cancel_requested_at IS NOT NULL FROM notebook_executions
WHERE id = %(id)s AND attempt = %(attempt)s AND status = 'running' FOR UPDATE
"""
# Whoever else ends an attempt ends it as lost.
_WRITTEN = """
SELECT FROM execution_attempts
WHERE execution_id = %(id)s AND number = %(attempt)s AND ended_at IS NOT NULL AND reason IS DISTINCT FROM 'worker_lost'
"""
_END = """
SELECT end_attempt(
    %(id)s, %(attempt)s, %(status)s, %(reason)s, %(message)s, %(failure)s::jsonb, %(seconds)s,
    make_interval(secs => %(delay)s), %(total)s, %(completed)s, %(events)s::jsonb
)
"""


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

    @property
    def patience(self) -> Patience:
        """How often it may be tried."""
        ...


class Ending:
    """The end of one attempt. ``finished`` is how it ended, once :meth:`write` has said so; ``recorded``, what is kept
    of it, unless it is tried again."""

    def __init__(self, places: Places, held: Written, finished: Finished, recorded: Recorded) -> None:
        self._places, self._held, self._recorded = places, held, recorded
        self._staged = staged_name(held.id, held.attempt)
        self._attempt = discarding.Attempt(held.output_path, held.username, held.id, held.attempt)
        self._published = not finished.written
        self._sent: Change | None = None
        self._in_vain = False
        self.finished = finished

    async def write(self, connection: Connection, progress: Progress) -> Change | None:
        """End the attempt, and put its output in its place; ``None`` where another worker holds the execution now.

        ``connection`` is in autocommit mode. Where this fails, it may be tried again: the output is in its place by
        then, and stays there; and what was written, though the connection was lost before it could be said, is found.
        """
        held, patience = self._held, self._held.patience
        before = self._sent
        change = end_of_attempt(self.finished.reason, patience)
        if self._published and change is not Change.PUT_BACK and not self._recorded:
            # Nothing depends on the row staying as it is, and the statement itself ends only the current attempt.
            self._sent = change
            ended = await end_attempt(connection, held, change, self.finished, patience, progress.rest())
        else:
            async with connection.transaction():
                row = await (await connection.execute(_HOLD, {"id": held.id, "attempt": held.attempt})).fetchone()
                if ended := row is not None:
                    if not self._published:
                        self.finished = await asyncio.to_thread(self._publish)
                        self._published = True
                    patience = replace(patience, cancel_requested=row[0])
                    change = end_of_attempt(self.finished.reason, patience)
                    self._sent = change
                    if self._recorded and change is not Change.PUT_BACK:
                        await self._recorded.write(connection, held.id)
                    await end_attempt(connection, held, change, self.finished, patience, progress.rest())
                    if change is Change.PUT_BACK:
                        await discarding.defer(connection, [self._attempt])
        if not ended and before is not None:
            known = await connection.execute(_WRITTEN, {"id": held.id, "attempt": held.attempt})
            if known.rowcount:
                return before
        if not ended:
            await asyncio.to_thread(discard, self._places, held.output_path, held.username, self._staged)
        self._in_vain = not ended or change is Change.PUT_BACK
        return change if ended else None

    async def clear(self) -> None:
        """Take away the artifacts of an attempt that is not the last, however many: after :meth:`write`, without its
        connection."""
        if self._in_vain:
            await asyncio.to_thread(discarding.discard, self._places, [self._attempt])

    def _publish(self) -> Finished:
        held, finished = self._held, self.finished
        try:
            output = self._places.stored(held.output_path, held.username)
            with output.parent.in_directory() as folder:
                publish(folder, self._staged, output.name)
        except (OSError, PressroomError) as error:
            why = error.detail if isinstance(error, PressroomError) else f"{error.strerror}."
            sentence = f"{finished.message} The output {held.output_path} could not be written: {why}".strip()
            discard(self._places, held.output_path, held.username, self._staged)
            reason = finished.reason or Reason.OUTPUT_NOT_WRITTEN
            return replace(finished, reason=reason, message=sentence, written=False)
        return finished


async def end_attempt(
    connection: Connection,
    held: Held,
    change: Change,
    finished: Finished,
    patience: Patience,
    rest: Facts = NOTHING,
) -> bool:
    """Record what became of an execution whose attempt has ended, and have everybody told who wants to know; whether
    the attempt was the current one. ``rest`` is what the attempt has not told yet."""
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
    ended = await connection.execute(
        _END,
        {
            **rest,
            "id": held.id,
            "attempt": held.attempt,
            "status": TRANSITIONS[Status.RUNNING, change].value,
            "reason": finished.reason.value if finished.reason else None,
            "message": sentence,
            "failure": json.dumps(failure) if failure else None,
            "seconds": finished.seconds,
            "delay": delay_seconds(finished.reason.value, patience, _spread) if again and finished.reason else 0.0,
        },
    )
    row = await ended.fetchone()
    return row is not None and row[0]


def discard(places: Places, output_path: str, username: str, staged: str) -> None:
    """Take away what an attempt wrote and may not put in its place. What cannot be taken away is logged and stays: the
    attempt ends all the same."""
    try:
        with suppress(PressroomError):  # where its folder cannot be opened, there is nothing of it either
            output: Location = places.stored(output_path, username)
            with output.parent.in_directory() as folder:
                unstage(folder, staged)
    except OSError as error:
        log.warning("%s is left in the folder of %s: %s", staged, output_path, error.strerror)
