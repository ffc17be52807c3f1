"""The conditions on a list of executions, as they are asked for and as SQL."""

import json
import re
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, String, cast, literal, or_
from sqlalchemy.dialects.postgresql import JSONB

from pressroom.database.models import Execution, ExecutionCount
from pressroom.executions.schemas import Status

_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,400})(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class History:
    """Which executions a list holds: all, or those that meet every condition given.

    ``statuses``: any of these; none is no condition. Times have a zone; ``submitted_after`` is in the range,
    ``submitted_before`` is not. ``parameters``: names and texts; a text stands for the JSON string, and for the number,
    boolean or null that it spells. ``oldest``: oldest first. ``after``: only what comes after the execution of this id,
    which need not exist.
    """

    username: str | None = None
    statuses: tuple[str, ...] = ()
    notebook_id: int | None = None
    queue: str | None = None
    submitted_after: datetime | None = None
    submitted_before: datetime | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    oldest: bool = False
    after: int | None = None

    @property
    def countable(self) -> bool:
        """Whether the total is that of a user, of statuses, of a notebook, which ``execution_counts`` can tell."""
        others = (self.queue, self.submitted_after, self.submitted_before, self.after)
        return not self.parameters and all(value is None for value in others)

    @property
    def plain(self) -> bool:
        """Whether one index gives the page, in order."""
        timed = self.submitted_after is not None or self.submitted_before is not None
        return len(self.indexed(Execution)) <= 1 and not timed and not self.parameters

    @property
    def chosen(self) -> tuple[str, ...]:
        """The statuses, where they leave any out."""
        return () if set(self.statuses) == set(Status) else tuple(dict.fromkeys(self.statuses))

    def first(self) -> "History":
        """The one condition that an index holds together with the id and that leaves the fewest rows, as a rule."""
        if self.notebook_id is not None:
            return History(notebook_id=self.notebook_id, oldest=self.oldest, after=self.after)
        if self.username is not None:
            return History(username=self.username, oldest=self.oldest, after=self.after)
        if self.chosen:
            return History(statuses=self.chosen, oldest=self.oldest, after=self.after)
        return History(queue=self.queue, oldest=self.oldest, after=self.after)

    def counted(self, table: type[Execution] | type[ExecutionCount]) -> list[ColumnElement[bool]]:
        """The conditions that the totals know as well."""
        found: list[ColumnElement[bool]] = []
        if self.notebook_id is not None:
            found.append(table.notebook_id == self.notebook_id)
        if self.username is not None:
            found.append(table.username == self.username)
        if self.chosen:
            found.append(or_(*(table.status == status for status in self.chosen)))
        return found

    def indexed(self, table: type[Execution]) -> list[ColumnElement[bool]]:
        """The conditions that an index holds together with the id."""
        return [*self.counted(table), *([] if self.queue is None else [table.queue == self.queue])]

    def timed(self, table: type[Execution]) -> list[ColumnElement[bool]]:
        """The conditions on the time of submission."""
        found: list[ColumnElement[bool]] = []
        if self.submitted_after is not None:
            found.append(table.submitted_at >= self.submitted_after)
        if self.submitted_before is not None:
            found.append(table.submitted_at < self.submitted_before)
        return found

    def used(self, table: type[Execution]) -> list[ColumnElement[bool]]:
        """The conditions on parameters."""
        return [_matches(table, name, value) for name, value in self.parameters]

    def beyond(self) -> list[ColumnElement[bool]]:
        """The condition of the cursor."""
        if self.after is None:
            return []
        return [Execution.id > self.after if self.oldest else Execution.id < self.after]


def _matches(table: type[Execution], name: str, value: str) -> ColumnElement[bool]:
    spelled = [json.dumps(value)]
    if value in ("true", "false", "null") or _NUMBER.fullmatch(value):
        spelled.append(value)

    def contains(token: str) -> ColumnElement[bool]:
        part = cast(literal(f"{{{json.dumps(name)}: {token}}}", String), JSONB)
        return table.parameters_used.op("@>", is_comparison=True)(part)

    return or_(*(contains(token) for token in spelled))
