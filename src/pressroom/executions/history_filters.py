"""The conditions on a list of executions, as they are asked for and as SQL."""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Integer, String, cast, func, literal, or_
from sqlalchemy.dialects.postgresql import BIT, JSONB

from pressroom.database.models import Execution, ExecutionParameter
from pressroom.executions.schemas import Status
from pressroom.identity.policy import Viewer
from pressroom.identity.visibility import sees_execution

TESTED = ("notebook_id", "username", "status", "queue", "batch_id", "schedule_id", "submitted_at", "parameters_used")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,400})(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class Line:
    """The executions that meet a condition, in the order of their ids, as an index holds them.

    ``id`` is the column of the ids. ``alternatives``: the index gives those of each in order, and the line has them
    all; none stands for every execution.
    """

    id: Any
    alternatives: tuple[ColumnElement[bool], ...] = ()
    seen_by: Viewer | None = None
    """In place of alternatives: those that somebody may see."""

    @property
    def conditions(self) -> list[ColumnElement[bool]]:
        """That an execution is one of the line."""
        if self.seen_by is not None:
            return sees_execution(Execution, self.seen_by)
        return [or_(*self.alternatives)] if self.alternatives else []


@dataclass(frozen=True, slots=True)
class History:
    """Which executions a list holds: all, or those that meet every condition given.

    ``statuses``: any of these; none is no condition. Times have a zone; ``submitted_after`` is in the range,
    ``submitted_before`` is not. ``parameters``: names and texts; a text stands for the JSON string, and for the number,
    boolean or null that it spells. ``oldest``: oldest first. ``after``: only what comes after the execution of this id,
    which need not exist. ``seen_by``: only what they may see.
    """

    username: str | None = None
    statuses: tuple[str, ...] = ()
    notebook_id: int | None = None
    queue: str | None = None
    batch_id: int | None = None
    schedule_id: int | None = None
    submitted_after: datetime | None = None
    submitted_before: datetime | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    oldest: bool = False
    after: int | None = None
    seen_by: Viewer | None = None

    @property
    def hidden(self) -> Viewer | None:
        """Who does not see everything that meets the other conditions, if anybody: all that is theirs, they see."""
        return None if self.seen_by is None or self.username == self.seen_by.username else self.seen_by

    @property
    def countable(self) -> bool:
        """Whether the total is that of a user, of statuses, of a notebook, which ``execution_counts`` can tell."""
        others = (
            self.queue, self.batch_id, self.schedule_id, self.submitted_after, self.submitted_before, self.after,
        )  # fmt: skip
        return not self.parameters and all(value is None for value in others)

    @property
    def plain(self) -> bool:
        """Whether one line is the page: nothing else is to be tested."""
        timed = self.submitted_after is not None or self.submitted_before is not None
        return len(self.lines()) == 1 and not timed and not self.parameters

    @property
    def chosen(self) -> tuple[str, ...]:
        """The statuses, where they leave any out."""
        return () if set(self.statuses) == set(Status) else tuple(dict.fromkeys(self.statuses))

    def lines(self) -> list[Line]:
        """A line for each condition that has one: all but those on time; where there is none, every execution."""
        found: list[Line] = []
        if self.notebook_id is not None:
            found.append(Line(Execution.id, (Execution.notebook_id == self.notebook_id,)))
        if self.username is not None:
            found.append(Line(Execution.id, (Execution.username == self.username,)))
        if self.hidden is not None:
            found.append(Line(Execution.id, seen_by=self.hidden))
        if self.chosen:
            found.append(Line(Execution.id, tuple(Execution.status == status for status in self.chosen)))
        if self.queue is not None:
            found.append(Line(Execution.id, (Execution.queue == self.queue,)))
        if self.batch_id is not None:
            found.append(Line(Execution.id, (Execution.batch_id == self.batch_id,)))
        if self.schedule_id is not None:
            found.append(Line(Execution.id, (Execution.schedule_id == self.schedule_id,)))
        for name, value in self.parameters:
            keys = (ExecutionParameter.parameter == _key(name, token) for token in _spelled(value))
            found.append(Line(ExecutionParameter.execution_id, tuple(keys)))
        return found or [Line(Execution.id)]

    def counted(self, table: Any) -> list[ColumnElement[bool]]:
        """The conditions that the totals know as well, on executions or on ``execution_counts``."""
        found = sees_execution(table, self.hidden)
        if self.notebook_id is not None:
            found.append(table.notebook_id == self.notebook_id)
        if self.username is not None:
            found.append(table.username == self.username)
        if self.chosen:
            found.append(or_(*(table.status == status for status in self.chosen)))
        return found

    def conditions(self, row: Any) -> list[ColumnElement[bool]]:
        """All conditions but the cursor's, on what has the columns :data:`TESTED` of an execution."""
        found = self.counted(row)
        if self.queue is not None:
            found.append(row.queue == self.queue)
        if self.batch_id is not None:
            found.append(row.batch_id == self.batch_id)
        if self.schedule_id is not None:
            found.append(row.schedule_id == self.schedule_id)
        if self.submitted_after is not None:
            found.append(row.submitted_at >= self.submitted_after)
        if self.submitted_before is not None:
            found.append(row.submitted_at < self.submitted_before)
        return [*found, *(_matches(row, *each) for each in self.parameters)]


def _spelled(value: str) -> list[str]:
    """What a text stands for, as JSON."""
    spelled = [json.dumps(value)]
    if value in ("true", "false", "null") or _NUMBER.fullmatch(value):
        spelled.append(value)
    return spelled


def _key(name: str, token: str) -> ColumnElement[int]:
    """The entry of ``execution_parameters``, as ``parameters_of()`` in migrations/sql/history.sql computes it."""
    seed = func.hashtextextended(cast(name, String), 0)
    return cast(cast(func.jsonb_hash_extended(cast(literal(token, String), JSONB), seed), BIT(32)), Integer)


def _matches(row: Any, name: str, value: str) -> ColumnElement[bool]:
    def contains(token: str) -> ColumnElement[bool]:
        part = cast(literal(f"{{{json.dumps(name)}: {token}}}", String), JSONB)
        return row.parameters_used.op("@>", is_comparison=True)(part)

    return or_(*(contains(token) for token in _spelled(value)))
