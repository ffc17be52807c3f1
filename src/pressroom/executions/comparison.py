"""The comparison: one table of the parameters and the results of a notebook's executions, sorted and filtered in SQL.

A number is compared as a number, a text as a text, in the order of its characters. What is missing, and what is not a
number (``NaN``), meets no condition but ``= null``, and comes last in every order.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Numeric,
    String,
    Text,
    and_,
    any_,
    case,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy import cast as cast_to
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from pressroom.database.models import Execution, ExecutionResult
from pressroom.errors import Invalid, TooLarge
from pressroom.executions.conditions import PARAMETERS, PLAIN, RESULTS, Condition, Field, Key
from pressroom.executions.frames import spelled_time
from pressroom.executions.states import Status
from pressroom.identity.policy import Viewer
from pressroom.identity.visibility import sees_execution

MOST_LOOKED_AT = 100_000
"""Executions of a notebook that are looked at, the newest, where nobody says which."""
MOST_COLUMNS = 2000
MOST_CELLS = 2_000_000
MOST_LINKS = 200_000
"""Of a page: each execution may have a thousand names of its own, and a column is as long as the page."""
MOST_BYTES = 64 * 2**20
"""Bytes of the values of a page, as JSON."""
_LESS = "name the columns that are wanted, or ask for a smaller page"
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
    """A page of the table. ``linked``: with what the executions recorded that is no number, text or boolean.

    Raises :class:`TooLarge` where its values have more than :data:`MOST_BYTES` together, and :class:`Invalid` where it
    has more than :data:`MOST_COLUMNS`, :data:`MOST_CELLS` or :data:`MOST_LINKS`.
    """
    ids = list((await session.scalars(_ids(asked).offset(skip).limit(limit))).all())
    total = skip + len(ids)
    if len(ids) == limit or (skip and not ids):
        total = await session.scalar(select(func.count()).select_from(_ids(asked).order_by(None).subquery())) or 0
    values = _values(asked, ids).subquery()
    held = func.octet_length(func.concat(values.c.parameters, values.c.results))
    if (await session.scalar(select(func.sum(held))) or 0) > MOST_BYTES:
        raise TooLarge("A page of so many executions, of all these columns,", MOST_BYTES)
    by_id = {row.id: row for row in await session.execute(select(values))}
    rows = [by_id[each] for each in ids if each in by_id]
    links = await _links(session, asked, [row.id for row in rows]) if linked else []
    return Compared(await asyncio.to_thread(_table, rows, asked), links, total)


def _table(rows: Sequence[Any], asked: Comparison) -> dict[str, list[Any]]:
    """The columns of rows. Takes time in proportion to the cells: call it in a thread."""
    plain: dict[str, list[Any]] = {
        "id": [row.id for row in rows],
        "status": [row.status for row in rows],
        "started_at": [row.started_at for row in rows],
        "seconds": [row.seconds for row in rows],
    }
    groups = {
        PARAMETERS: [_object(row.parameters) for row in rows],
        RESULTS: [_object(row.results) for row in rows],
    }
    names = {group: sorted({name for each in objects for name in each}) for group, objects in groups.items()}
    width = len(asked.columns) + 1 if asked.columns else len(plain) + sum(map(len, names.values()))
    if width > MOST_COLUMNS or width * len(rows) > MOST_CELLS:
        most = f"{MOST_COLUMNS:,} columns and {MOST_CELLS:,} cells"
        raise Invalid(
            f"The table has {width:,} columns in {len(rows):,} rows, and at most {most} are answered: {_LESS}."
        )
    wide = plain | {
        f"{group}.{name}": _column(objects, name) for group, objects in groups.items() for name in names[group]
    }
    if asked.columns:
        return {name: wide.get(name, [None] * len(rows)) for name in ("id", *(each.column for each in asked.columns))}
    return wide


def rendered(compared: Compared, asked: Comparison, prefix: str = "") -> bytes:
    """The table as JSON, an object a row; what is no value is a link, under ``prefix``. Raises :class:`TooLarge`."""
    names = list(compared.columns)
    if sum(map(len, names)) * compared.length > 4 * MOST_BYTES:
        raise TooLarge("The names of these columns, again in each row,", 4 * MOST_BYTES)
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


def _object(text: str | None) -> dict[str, Any]:
    return json.loads(text or "{}") or {}


def _column(objects: Sequence[dict[str, Any]], name: str) -> list[Any]:
    """The values of objects under a name."""
    column = [each.get(name) for each in objects]
    return [_flat(value) if isinstance(value, dict | list) else value for value in column]


def _flat(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _ids(asked: Comparison) -> Any:
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
    statement = select(row.id).where(*(_condition(row, each) for each in asked.where))
    return statement.order_by(*(order for key in asked.sort for order in _order(row, key)), row.id.desc())


def _values(asked: Comparison, ids: Sequence[int]) -> Any:
    """The values of a page's executions, in any order; the objects among them as text, which a thread reads."""
    columns = (("parameters", PARAMETERS, Execution.parameters_used), ("results", RESULTS, Execution.results))
    wanted: list[Any] = [Execution.id, Execution.status, Execution.started_at, _seconds(Execution).label("seconds")]
    for label, group, column in columns:
        held = cast_to(column, Text)
        if asked.columns:
            names = [each.name for each in asked.columns if each.group == group]
            each = func.jsonb_each(case((func.jsonb_typeof(column) == "object", column))).table_valued("key", "value")
            picked = select(cast_to(func.jsonb_object_agg(each.c.key, each.c.value), Text))
            held = picked.where(each.c.key == any_(literal(names, ARRAY(String)))).scalar_subquery()
        wanted.append(held.label(label))
    return select(*wanted).where(Execution.id == any_(literal(ids, ARRAY(BigInteger))))


async def _links(session: AsyncSession, asked: Comparison, ids: Sequence[int]) -> list[dict[str, str]]:
    """What is no value, of each execution."""
    recorded = ExecutionResult
    wanted = select(recorded.execution_id, recorded.name, recorded.kind)
    wanted = wanted.where(recorded.execution_id == any_(literal(ids, ARRAY(BigInteger))))
    if asked.columns:
        names = [each.name for each in asked.columns if each.group == RESULTS]
        wanted = wanted.where(recorded.name == any_(literal(names, ARRAY(String))))
    found: dict[int, dict[str, str]] = {each: {} for each in ids}
    rows = (await session.execute(wanted.limit(MOST_LINKS + 1))).all()
    if len(rows) > MOST_LINKS:
        raise Invalid(f"The table has more than {MOST_LINKS:,} links: {_LESS}.")
    for row in rows:
        found[row.execution_id][row.name] = row.kind
    return list(found.values())


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
