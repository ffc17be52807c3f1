"""What differs between two executions: parameters, results, code cells."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import Execution, ExecutionResult
from pressroom.errors import PressroomError
from pressroom.executions.alignment import MOST_STEPS, Matcher, Steps, TooDifferent, unified
from pressroom.executions.result_schemas import CellDifference, Change, DifferenceOut, Side, ValueDifference
from pressroom.executions.states import Status
from pressroom.notebooks import outputs
from pressroom.notebooks.places import Places

INJECTED = "injected-parameters"
MOST_CELLS = 5000
MOST_BYTES = 16 * 2**20
"""Bytes of the largest output whose cells are compared: while it is parsed, nothing else in the process is done."""
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Code:
    """A code cell: its number among those of its notebook, from 1."""

    number: int
    id: str | None
    source: str


def difference(
    places: Places, pair: Sequence[Execution], results: Sequence[Mapping[str, Any]], limit_bytes: int
) -> DifferenceOut:
    """What differs between two executions, whose results :func:`recorded` told; outputs of more than ``limit_bytes``
    or of :data:`MOST_BYTES` are not compared. Blocks on the file system, and takes seconds: call it in the lane."""
    before, after = (_side(each) for each in pair)
    limit = min(limit_bytes, MOST_BYTES)
    try:
        old, new = (code(outputs.read(places, each, limit)) for each in pair)
        found, why_not = cells(old, new), None
    except PressroomError as error:
        found, why_not = None, error.detail
    except TooDifferent:
        found, why_not = None, "The cells are too many and too different to be compared."
    except (ValueError, RecursionError) as error:
        found, why_not = None, f"An output is no notebook: {error}."
    both = before.seconds is not None and after.seconds is not None
    return DifferenceOut(
        before=before,
        after=after,
        seconds=round((after.seconds or 0) - (before.seconds or 0), 3) if both else None,
        parameters=values(pair[0].parameters_used, pair[1].parameters_used),
        results=values(*results),
        cells=found,
        cells_unavailable=why_not,
    )


def _side(execution: Execution) -> Side:
    """What is told of an execution itself."""
    ended: datetime | None = execution.completed_at
    seconds = None if ended is None else round((ended - execution.started_at).total_seconds(), 3)
    return Side(
        id=execution.id, status=Status(execution.status), started_at=execution.started_at, seconds=seconds,
        attempt=execution.attempt,
    )  # fmt: skip


async def recorded(session: AsyncSession, execution: Execution) -> dict[str, Any]:
    """The results of an execution by name: values, and of all else what tells it from another."""
    digest = func.encode(func.sha256(ExecutionResult.data), "hex")
    wanted = select(ExecutionResult.name, ExecutionResult.kind, ExecutionResult.media_type, digest.label("digest"))
    large = await session.execute(wanted.where(ExecutionResult.execution_id == execution.id))
    told = {row.name: {"kind": row.kind, "media_type": row.media_type, "sha256": row.digest} for row in large}
    return (execution.results or {}) | told


def values(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[ValueDifference]:
    """What is not the same under a name, by name."""
    old, new = before or {}, after or {}
    return [
        found
        for name in sorted(old.keys() | new.keys())
        if (found := _value(name, old.get(name, _MISSING), new.get(name, _MISSING))) is not None
    ]


def _value(name: str, old: Any, new: Any) -> ValueDifference | None:
    if old is not _MISSING and new is not _MISSING and _spelt(old) == _spelt(new):
        return None
    change: Change = "added" if old is _MISSING else "removed" if new is _MISSING else "changed"
    difference = new - old if _is_number(old) and _is_number(new) else None
    old, new = (None if value is _MISSING else value for value in (old, new))
    return ValueDifference(name=name, change=change, before=old, after=new, difference=difference)


def _spelt(value: Any) -> str:
    """A value as JSON, in which 1 and true are not the same."""
    return json.dumps(value, sort_keys=True)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 10**300


def code(notebook: bytes) -> list[Code]:
    """The code cells of an output, but for the injected parameters. Raises ``ValueError`` for what is no notebook."""
    parsed = json.loads(notebook)
    cells = cast("dict[str, Any]", parsed).get("cells") if isinstance(parsed, dict) else None
    if not isinstance(cells, list):
        raise ValueError("it has no cells")  # noqa: TRY004 - as of what is no JSON
    found, number = list[Code](), 0
    for cell in cast("list[dict[str, Any]]", cells):
        if cell.get("cell_type") != "code":
            continue
        number += 1
        source, metadata = cell.get("source", ""), cast("dict[str, Any]", cell.get("metadata") or {})
        if INJECTED not in metadata.get("tags", []):
            text = "".join(cast("list[str]", source)) if isinstance(source, list) else str(source)
            found.append(Code(number, cell.get("id"), text))
    return found[:MOST_CELLS]


def cells(before: Sequence[Code], after: Sequence[Code]) -> list[CellDifference]:
    """The cells that are not the same: those of one id belong together, and else those of one source. Raises
    :class:`TooDifferent`."""
    shared = {cell.id for cell in before if cell.id} & {cell.id for cell in after if cell.id}

    def keys(of: Sequence[Code]) -> list[tuple[bool, str]]:
        return [(True, str(cell.id)) if cell.id in shared else (False, cell.source) for cell in of]

    found: list[CellDifference] = []
    lines, matcher = Steps(MOST_STEPS), Matcher(keys(before), keys(after), Steps(MOST_STEPS))
    for what, left, left_end, right, right_end in matcher.get_opcodes():
        old, new = before[left:left_end], after[right:right_end]
        pairs = min(len(old), len(new)) if what in ("equal", "replace") else 0
        for one, other in zip(old[:pairs], new[:pairs], strict=True):
            if one.source != other.source:
                found.append(_cell("changed", one, other, lines))
        found += [_cell("removed", cell, None, lines) for cell in old[pairs:]]
        found += [_cell("added", None, cell, lines) for cell in new[pairs:]]
    return found


def _cell(change: Change, old: Code | None, new: Code | None, steps: Steps) -> CellDifference:
    either = new or old
    sources = (old.source if old else "", new.source if new else "")
    return CellDifference(
        change=change,
        cell=either.id if either else None,
        before=old.number if old else None,
        after=new.number if new else None,
        diff=unified(*sources, steps),
    )
