"""What a batch is to be: the notebook, its sets of parameters, and how they are executed."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast, overload

from pydantic import JsonValue

from pressroom.executions.options import HowToExecute
from pressroom.press.masks import MARK

Set = Mapping[str, JsonValue]
"""The parameters of one execution."""
MOST_VALUES = 2_000_000
"""Values of a sample or a file, in all of its sets together: some hundred MiB while they are made."""
_LONGEST_PLAN = 20_000
"""Characters of JSON that a batch keeps of what was asked for."""


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """One notebook over many sets of parameters.

    ``source``: what the sets came from: ``sets``, ``file``, ``grid``, ``sample``, ``backfill``, ``retry``. ``plan`` is
    what was asked for, where that is short. ``fixed`` are parameters that all sets share; a set overrides them.
    ``username`` is ``None`` where the caller named nobody. ``batch_limit``: so many of its executions run at once at
    most; ``in_order``: each starts when all before it have ended; ``stop_after_failures``: when so many have failed,
    nothing more starts. ``scheduled``: the tick of each set, of a schedule. ``lenient``: the values are texts.
    ``hidden``: the parameters that were given where nobody sees them; ``None`` is all.
    """

    notebook_id: int
    sets: Sequence[Set] = field(repr=False)
    source: str
    plan: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue], repr=False)
    username: str | None = None
    name: str | None = None
    how: HowToExecute = field(default_factory=HowToExecute)
    batch_limit: int | None = None
    in_order: bool = False
    stop_after_failures: int | None = None
    schedule_id: int | None = None
    scheduled: Sequence[datetime] | None = None
    retry_of: int | None = None
    fixed: Set = field(default_factory=dict[str, JsonValue], repr=False)
    lenient: bool = False
    hidden: frozenset[str] | None = None

    def kept(self, secret: frozenset[str]) -> dict[str, Any]:
        """What the batch keeps of its plan: a mark in place of each value of a secret, and of what is long, only how
        much it was."""
        said: dict[str, Any] = dict(self.plan)
        if self.fixed:
            said["parameters"] = dict(self.fixed)
        for part in ("parameters", "grid", "ranges"):
            values = cast("dict[str, Any]", said.get(part) or {})
            if hidden := secret & values.keys():
                said[part] = values | dict.fromkeys(hidden, MARK)
        if len(json.dumps(said)) <= _LONGEST_PLAN:
            return said
        return {name: value if len(json.dumps(value)) <= 1000 else _size(value) for name, value in said.items()}


def _size(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _size(part) for name, part in list(cast("dict[str, Any]", value).items())[:100]}
    return f"{len(cast('list[Any]', value))} values" if isinstance(value, list) else "a long value"


class Grid(Sequence[Set]):
    """The sets of a grid, each made when it is asked for: all combinations of its values, in the order of its names,
    the last of which changes fastest."""

    def __init__(self, values: Mapping[str, Sequence[JsonValue]]) -> None:
        self._values = values
        self.total = math.prod(len(each) for each in values.values())
        """How many there are: more, perhaps, than ``len()`` can say."""

    @property
    def characters(self) -> int:
        """Of JSON that all sets have together."""
        size = 0
        for name, values in self._values.items():
            size += self.total * (len(json.dumps(name)) + 4)
            size += self.total * sum(len(json.dumps(value)) for value in values) // max(1, len(values))
        return size

    def __len__(self) -> int:
        return self.total

    @overload
    def __getitem__(self, index: int) -> Set: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Set]: ...
    def __getitem__(self, index: int | slice) -> Set | Sequence[Set]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(self.total))]
        if not -self.total <= index < self.total:
            raise IndexError(index)
        rest, found = index % self.total, dict[str, JsonValue]()
        for name, values in reversed(list(self._values.items())):
            rest, place = divmod(rest, len(values))
            found[name] = values[place]
        return dict(reversed(list(found.items())))

    def __iter__(self) -> Iterator[Set]:
        return (self[number] for number in range(self.total))
