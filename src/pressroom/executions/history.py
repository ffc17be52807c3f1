"""The history: a page of executions, and one.

Pages are by id, so a cursor is an id. How a page stays fast however long the history is, is the matter of
:mod:`pressroom.executions.history_search`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Select, Text, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.checks import versions, writer
from pressroom.database.models import Execution, ExecutionCount
from pressroom.errors import NotFound
from pressroom.executions import history_search
from pressroom.executions.history_filters import History
from pressroom.executions.schemas import ExecutionOut
from pressroom.identity.policy import Viewer
from pressroom.identity.visibility import sees_execution

__all__ = ["History", "HistoryPage", "count", "one", "page", "version", "versions_of_page"]
ROWS = TypeAdapter(list[ExecutionOut])
_COLUMNS: list[Any] = [getattr(Execution, name) for name in ExecutionOut.model_fields]
_VERSION: ColumnElement[str] = literal_column("notebook_executions.xmin::text", Text)
"""The transaction that wrote the row last."""


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A page of history, rendered.

    ``total`` is exact, or ``None`` where counting would cost more than the page. ``more``: whether another page
    follows; it begins after ``last``, the id of this page's last row.
    """

    body: bytes
    length: int
    total: int | None
    last: int | None
    more: bool


async def page(session: AsyncSession, history: History, skip: int, limit: int) -> HistoryPage:
    """A page of at most ``limit`` executions, ``skip`` left out before it.

    The total is told for what ``execution_counts`` knows (user, statuses, notebook) without a cursor, and where the
    page holds everything there is.
    """
    if history.plain:
        found = await _rows(session, history, history_search.ordered(history, skip, limit + 1))
    else:
        ids = await history_search.find(session, history, skip, limit + 1)
        found = await _rows(session, history, ids)
    rows, more = found[:limit], len(found) > limit
    total = None
    if history.countable:
        total = await count(session, history)
    elif history.after is None and skip == 0 and not more:
        total = len(rows)
    body = ROWS.dump_json(ROWS.validate_python(rows))
    return HistoryPage(body, len(rows), total, rows[-1].id if rows else None, more)


async def count(session: AsyncSession, history: History) -> int:
    """How many executions of this user, these statuses and this notebook there are; other conditions do not count."""
    return int(await session.scalar(_count(history)) or 0)


def versions_of_page(history: History, skip: int, limit: int) -> Sequence[Select[Any]]:
    """What :func:`page` of a plain history is made of, for :func:`take`."""
    chosen = history_search.ordered(history, skip, limit + 1).subquery()
    found = select(Execution.id, writer("notebook_executions")).join(chosen, chosen.c.id == Execution.id).subquery()
    rows = select(versions(found))
    return (rows, _count(history)) if history.countable else (rows,)


def _count(history: History) -> Select[Any]:
    return select(func.coalesce(func.sum(ExecutionCount.change), 0)).where(*history.counted(ExecutionCount))


async def one(session: AsyncSession, seen_by: Viewer | None, execution_id: int) -> tuple[ExecutionOut, str]:
    """An execution that ``seen_by`` may see, and the version of its row. Raises :class:`NotFound`."""
    row = (await session.execute(select(*_COLUMNS, _VERSION).where(*_one(seen_by, execution_id)))).one_or_none()
    if row is None:
        raise NotFound("execution", execution_id)
    return ExecutionOut.model_validate(row), str(row[-1])


async def version(session: AsyncSession, seen_by: Viewer | None, execution_id: int) -> str:
    """The version of an execution's row: another one after each change. Raises :class:`NotFound`."""
    found = await session.scalar(select(_VERSION).where(*_one(seen_by, execution_id)))
    if found is None:
        raise NotFound("execution", execution_id)
    return str(found)


def _one(seen_by: Viewer | None, execution_id: int) -> list[ColumnElement[bool]]:
    return [Execution.id == execution_id, *sees_execution(Execution, seen_by)]


async def _rows(session: AsyncSession, history: History, ids: list[int] | Select[Any]) -> Sequence[Any]:
    """The rows of ``ids``, a list or a statement, in the order of the list asked for."""
    if isinstance(ids, list) and not ids:
        return ()
    order = Execution.id.asc() if history.oldest else Execution.id.desc()
    if isinstance(ids, list):
        wanted = select(*_COLUMNS).where(Execution.id == func.any(ids))
    else:
        chosen = ids.subquery()
        wanted = select(*_COLUMNS).join(chosen, chosen.c.id == Execution.id)
    return (await session.execute(wanted.order_by(order))).all()
