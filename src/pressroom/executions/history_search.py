"""How the rows of a page are found among ten million.

A condition that an index holds together with the id is *plain*: the page is read off the index, in order. Anything else
is looked for in one of two ways. A *walk* reads rows in the order of the page and leaves out what does not match: fast
where matches are many. *Gathering* finds all matches by the indexes of the conditions and sorts them: fast where they
are few. PostgreSQL chooses between the two as if matches were spread evenly; a value that was common last year and is
not any more would have it walk through the whole year. So the choice is made here, by its own estimates: a walk that is
expected to be short is made, but only so far, and the matches are gathered after all where it did not fill the page.

A range of time is narrowed to a range of ids first (``execution_hours``), so that a walk begins where the range does.
"""

from typing import Any, cast

from sqlalchemy import ColumnElement, Select, func, select, text, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import HOUR_BLOCK_BITS, Execution, ExecutionHour
from pressroom.executions.history_filters import History
from pressroom.wire import MAX_ID

LONGER = 5
"""How much longer than expected a walk may be, before the matches are gathered after all..."""
WALKS = (2_000, 200_000)
"""... and the least and the most rows that it may take."""
_SETTINGS = text(
    "SELECT "
    # A plan that is kept for any value would be made from the estimates of no value in particular.
    "set_config('plan_cache_mode', 'force_custom_plan', true), "
    # None of these ends before it has seen everything, however early the page is full.
    "set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), "
    "set_config('enable_mergejoin', 'off', true), "
    # Compiling a statement takes longer than any page.
    "set_config('jit', 'off', true)"
)


def ordered(history: History, skip: int, count: int, *bounds: ColumnElement[bool]) -> Select[Any]:
    """The ids of a page of a plain history, off one index; within ``bounds``, a range of ids, if need be.

    Only ids are asked for, so that an index which holds the condition is cheaper than any other, however common
    PostgreSQL thinks the value is.
    """
    limits = [*history.beyond(), *bounds]
    if len(history.chosen) > 1:
        # An index gives each status in order, but not several of them: they are merged.
        each = [
            _page(select(Execution.id).where(Execution.status == status, *limits), history, 0, skip + count)
            for status in history.chosen
        ]
        merged = union_all(*(select(one.subquery().c.id) for one in each)).subquery()
        return _page(select(merged.c.id), history, skip, count, merged.c.id)
    return _page(select(Execution.id).where(*history.indexed(Execution), *limits), history, skip, count)


async def find(session: AsyncSession, history: History, skip: int, count: int) -> list[int]:
    """The ids of a page of any history, in order. Changes settings of the transaction that the planner heeds."""
    await session.execute(_SETTINGS)
    narrowed = await _narrowed(session, history)
    if narrowed is None:
        return []
    bounds = [*history.beyond(), *narrowed]
    window = await _window(session, history, bounds, skip + count)
    if window:
        found = await _ids(session, _walk(history, bounds, window).offset(skip).limit(count))
        if len(found) == count:
            return found
    conditions = [*history.indexed(Execution), *history.used(Execution)]
    matching = select(Execution.id).where(*bounds, *conditions, *history.timed(Execution))
    gathered = matching.cte("gathered").prefix_with("MATERIALIZED", dialect="postgresql")
    return await _ids(session, _page(select(gathered.c.id), history, skip, count, gathered.c.id))


def _walk(history: History, bounds: list[ColumnElement[bool]], window: int) -> Select[Any]:
    """What matches among the first ``window`` rows within ``bounds`` that meet the first indexed condition."""
    order = Execution.id.asc() if history.oldest else Execution.id.desc()
    walked = ordered(history.first(), 0, window, *bounds).subquery()
    conditions = [*history.indexed(Execution), *history.used(Execution), *history.timed(Execution)]
    return select(Execution.id).join(walked, walked.c.id == Execution.id).where(*conditions).order_by(order)


def _page(statement: Select[Any], history: History, skip: int, count: int, column: Any = Execution.id) -> Select[Any]:
    return statement.order_by(column.asc() if history.oldest else column.desc()).offset(skip).limit(count)


async def _ids(session: AsyncSession, statement: Select[Any]) -> list[int]:
    return list((await session.scalars(statement)).all())


async def _window(session: AsyncSession, history: History, bounds: list[ColumnElement[bool]], wanted: int) -> int:
    """How many rows to walk through for ``wanted`` matches; 0 where gathering is expected to cost less.

    A row that is walked through counts as one unit of PostgreSQL's costs, the reading of a page from the disk.
    """
    # The range of ids stands for the range of time in the estimates: together they would count twice.
    of_first, _ = await _estimate(session, *history.first().indexed(Execution), *bounds)
    matches, cost = await _estimate(session, *history.indexed(Execution), *history.used(Execution), *bounds)
    expected = wanted * of_first / max(matches, 1)
    if expected > min(cost, WALKS[1]):
        return 0
    return min(max(int(expected * LONGER), WALKS[0], wanted), WALKS[1])


async def _estimate(session: AsyncSession, *conditions: ColumnElement[bool]) -> tuple[float, float]:
    """How many rows PostgreSQL expects to meet conditions, and what it expects that finding them all costs."""
    connection = await session.connection()
    compiled = select(Execution.id).where(*conditions).compile(dialect=connection.dialect)
    explained = await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {compiled}", dict(compiled.params))
    plan = explained.scalar_one()[0]["Plan"]
    return float(plan["Plan Rows"]), float(plan["Total Cost"])


async def _narrowed(session: AsyncSession, history: History) -> list[ColumnElement[bool]] | None:
    """The range of ids that holds what was submitted in the history's range of time; ``None`` where nothing was."""
    after, before = history.submitted_after, history.submitted_before
    if after is None and before is None:
        return []
    hours: list[ColumnElement[bool]] = []
    if after is not None:
        hours.append(ExecutionHour.hour >= func.date_trunc("hour", after, "UTC"))
    if before is not None:
        hours.append(ExecutionHour.hour < before)
    blocks = select(func.min(ExecutionHour.block), func.max(ExecutionHour.block)).where(*hours)
    low, high = cast("tuple[int | None, int | None]", (await session.execute(blocks)).one())
    if low is None or high is None:
        return None
    last = min(((high + 1) << HOUR_BLOCK_BITS) - 1, MAX_ID)
    return [Execution.id >= low << HOUR_BLOCK_BITS, Execution.id <= last]
