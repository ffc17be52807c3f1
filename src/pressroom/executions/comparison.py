"""The comparison: one table of the parameters and the results of a notebook's executions, sorted and filtered in SQL.

A number is compared as a number, a text as a text, in the order of its characters. What is missing, and what is not a
number (``NaN``), meets no condition but ``= null``, and comes last in every order.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast
from urllib.parse import quote

from sqlalchemy import ColumnElement, Numeric, String, and_, case, func, literal, or_, select
from sqlalchemy import cast as cast_to
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from pressroom.database.models import Execution, ExecutionResult
from pressroom.executions.conditions import PARAMETERS, PLAIN, RESULTS, Condition, Field, Key
from pressroom.executions.frames import spelled_time
from pressroom.executions.states import Status
from pressroom.identity.policy import Viewer
from pressroom.identity.visibility import sees_execution

MOST_LOOKED_AT = 100_000
"""Executions of a notebook that are looked at, the newest, where nobody says which."""
_INFINITE = ("Infinity", "-Infinity")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Which executions of a notebook are compared, and how.

    ``executions``: these ids; ``batch``: those of a batch; neither: all, of the newest :data:`MOST_LOOKED_AT`.
    ``columns``: these, besides the id; none: all that any of them has. Without a ``sort`` the newest come first.
    """

    notebook_id: int
    executions: tuple[int, ...] = ()
    batch: int | None = None
    statuses: tuple[Status, ...] = ()
    where: tuple[Condition, ...] = ()
    sort: tuple[Key, ...] = ()
    columns: tuple[Field, ...] = ()
    seen_by: Viewer | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """The rows of a page, and how many there are in all. ``links``: of each row, what is no value, by name."""

    columns: dict[str, list[Any]]
    links: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    total: int = 0

    @property
    def length(self) -> int:
        """How many rows there are."""
        return len(self.columns["id"])


async def compare(session: AsyncSession, asked: Comparison, skip: int, limit: int, *, linked: bool = False) -> Compared:
    """A page of the table. ``linked``: with what the executions recorded that is no number, text or boolean."""
    rows = (await session.execute(_rows(asked, linked=linked).offset(skip).limit(limit))).all()
    total = rows[0].total if rows else 0
    if not rows and skip:
        total = await session.scalar(select(func.count()).select_from(_rows(asked, linked=False).subquery())) or 0
    plain: dict[str, list[Any]] = {
        "id": [row.id for row in rows],
        "status": [row.status for row in rows],
        "started_at": [row.started_at for row in rows],
        "seconds": [row.seconds for row in rows],
    }
    wide = plain | _wide(PARAMETERS, [row.parameters_used for row in rows]) | _wide(RESULTS, [r.results for r in rows])
    if asked.columns:
        names = ["id", *(each.column for each in asked.columns)]
        wide = {name: wide.get(name, [None] * len(rows)) for name in names}
    links = [cast("dict[str, str]", row.links or {}) for row in rows] if linked else []
    return Compared(wide, links, int(total))


def rendered(compared: Compared, asked: Comparison, prefix: str = "") -> bytes:
    """The table as JSON, an object a row; what is no value is a link, under ``prefix``."""
    names = list(compared.columns)
    values = [[_value(value) for value in column] for column in compared.columns.values()]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
    wanted = {each.column for each in asked.columns}
    for row, links in zip(rows, compared.links, strict=False):
        for name, kind in links.items():
            if not wanted or f"{RESULTS}.{name}" in wanted:
                path = f"{prefix}/db/executions/{row['id']}/results/{quote(name, safe='')}"
                row[f"{RESULTS}.{name}"] = {"kind": kind, "href": path}
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def _value(value: Any) -> Any:
    return spelled_time(value) if isinstance(value, datetime) else value


def _wide(group: str, objects: Sequence[dict[str, Any] | None]) -> dict[str, list[Any]]:
    """The values of objects, a column a name, in the order of the names."""
    names = sorted({name for each in objects if each for name in each})
    found: dict[str, list[Any]] = {}
    for name in names:
        column = [None if each is None else each.get(name) for each in objects]
        found[f"{group}.{name}"] = [_flat(value) if isinstance(value, dict | list) else value for value in column]
    return found


def _flat(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _rows(asked: Comparison, *, linked: bool) -> Any:
    """The statement: candidates by what an index gives, then the conditions and the order."""
    candidates = select(Execution).where(Execution.notebook_id == asked.notebook_id)
    candidates = candidates.where(*sees_execution(Execution, asked.seen_by))
    if asked.executions:
        candidates = candidates.where(Execution.id.in_(asked.executions))
    if asked.batch is not None:
        candidates = candidates.where(Execution.batch_id == asked.batch)
    if asked.statuses:
        candidates = candidates.where(Execution.status.in_(asked.statuses))
    if not asked.executions and asked.batch is None:
        candidates = candidates.order_by(Execution.id.desc()).limit(MOST_LOOKED_AT)
    row = aliased(Execution, candidates.subquery())
    wanted: list[Any] = [row.id, row.status, row.started_at, _seconds(row).label("seconds"), row.parameters_used,
                         row.results, func.count().over().label("total")]  # fmt: skip
    if linked:
        large = select(func.jsonb_object_agg(ExecutionResult.name, ExecutionResult.kind))
        wanted.append(large.where(ExecutionResult.execution_id == row.id).scalar_subquery().label("links"))
    statement = select(*wanted).where(*(_condition(row, each) for each in asked.where))
    return statement.order_by(*(order for key in asked.sort for order in _order(row, key)), row.id.desc())


def _seconds(row: Any) -> ColumnElement[Any]:
    return func.round(func.extract("epoch", row.completed_at - row.started_at), 3).cast(Numeric(asdecimal=False))


def _cell(row: Any, of: Field) -> tuple[ColumnElement[Any], ColumnElement[str]]:
    """A value as JSON, and as text."""
    held = row.parameters_used if of.group == PARAMETERS else row.results
    name = literal(of.name, String)
    return held.op("->", return_type=JSONB())(name), held.op("->>", return_type=String())(name)


def _number(row: Any, of: Field) -> ColumnElement[Any]:
    """A value as a number; null where it is none."""
    if not of.group:
        return {"id": row.id, "seconds": _seconds(row)}[of.name]
    value, text = _cell(row, of)
    number = (func.jsonb_typeof(value) == "number", cast_to(text, Numeric))
    if of.group == PARAMETERS:
        return case(number)
    return case(number, (text.in_(_INFINITE), cast_to(text, Numeric)))


def _text(row: Any, of: Field) -> ColumnElement[Any]:
    """A value as a text; null where it is none."""
    if of.name in PLAIN and not of.group:
        return row.status.collate("C")
    value, text = _cell(row, of)
    return case((func.jsonb_typeof(value) == "string", text)).collate("C")


def _condition(row: Any, asked: Condition) -> ColumnElement[bool]:
    of, value = asked.field, asked.value
    if value is None:
        missing = _missing(row, of)
        return missing if asked.operator == "=" else ~missing
    if isinstance(value, bool):
        held, _ = _cell(row, of)
        same = held == cast_to(literal("true" if value else "false", String), JSONB)
        return same if asked.operator == "=" else and_(func.jsonb_typeof(held) == "boolean", ~same)
    if isinstance(value, datetime):
        left: ColumnElement[Any] = row.started_at
        right: ColumnElement[Any] = literal(value)
    elif isinstance(value, str):
        left, right = _text(row, of), literal(value, String)
    else:
        left, right = _number(row, of), cast_to(literal(str(value), String), Numeric)
    return left.op(asked.operator if asked.operator != "!=" else "<>", is_comparison=True)(right)


def _missing(row: Any, of: Field) -> ColumnElement[bool]:
    if not of.group:
        return {"seconds": row.completed_at.is_(None)}.get(of.name, literal(value=False))
    value, text = _cell(row, of)
    gone = or_(value.is_(None), func.jsonb_typeof(value) == "null")
    return gone if of.group == PARAMETERS else or_(gone, func.coalesce(text, "NaN") == "NaN")


def _order(row: Any, key: Key) -> list[ColumnElement[Any]]:
    of = key.field
    if not of.group:
        columns: list[ColumnElement[Any]] = [
            {"started_at": row.started_at, "status": row.status}[of.name]
            if of.name in ("started_at", "status")
            else _number(row, of)
        ]
    else:
        value, text = _cell(row, of)
        kept = case((and_(func.jsonb_typeof(value).in_(("string", "boolean")), text != "NaN"), text)).collate("C")
        columns = [_number(row, of), kept]
    return [(each.desc() if key.descending else each.asc()).nulls_last() for each in columns]
