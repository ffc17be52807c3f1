"""How the rows of a page are found among ten million.

Each condition but those on time has a *line*: an index gives the executions that meet it in the order of the page. A
page by one condition is read off its line. One by several is found by *walking* along one line and testing the rows:
the line with the widest gaps just there, which the first entries of each tell. PostgreSQL would choose by the share of
all rows, as if matches were spread evenly; a value that was common last year and is not any more would have it walk
through the whole year. Before each walk all lines are followed to where the last of them begins, since no match comes
before. A walk that did not fill the page is followed by a longer one from where it ended.

A range of time is narrowed to a range of ids first (``execution_hours``), so that a walk begins where the range does.
"""

from typing import Any, cast

from sqlalchemy import ColumnElement, Select, func, literal, select, text, true, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import HOUR_BLOCK_BITS, Execution, ExecutionHour
from pressroom.executions.history_filters import TESTED, History, Line
from pressroom.identity.policy import Viewer
from pressroom.identity.visibility import notebooks_seen
from pressroom.wire import MAX_ID

WINDOW, LONGER = 2_000, 4
"""How many rows the first walk of a page tests at most, and how many times longer each later one is."""
SAMPLE, LEAPS = 200, 8
"""How many entries of a line tell how dense it is, and how many times it is looked again, after a leap, at most."""
_SETTINGS = text(
    "SELECT "
    # A plan that is kept for any value would be made from the estimates of no value in particular.
    "set_config('plan_cache_mode', 'force_custom_plan', true), "
    # None of these ends before it has seen everything, however early the page is full.
    "set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), "
    "set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), "
    "set_config('enable_hashagg', 'off', true), set_config('enable_sort', 'off', true), "
    # Compiling a statement takes longer than any page.
    "set_config('jit', 'off', true)"
)
_TESTED = [Execution.__table__.c[name] for name in TESTED]
Ids = tuple[int, int]
"""A range of ids: the first and the last."""


def ordered(history: History, skip: int, count: int) -> Select[Any]:
    """The ids of a page of a plain history, off its line."""
    [line] = history.lines()
    return _off(line, _asked(history), history, skip, count)


async def find(session: AsyncSession, history: History, skip: int, count: int) -> list[int]:
    """The ids of a page of any history, in order. Changes settings of the transaction that the planner heeds."""
    await session.execute(_SETTINGS)
    lines, found = history.lines(), list[int]()
    window = WINDOW
    span = await _narrowed(session, history)
    while span is not None:
        chosen = await _chosen(session, history, lines, span)
        if chosen is None:
            break
        line, span = chosen
        walk = _walk(history, lines, line, span, window).limit(skip + count - len(found))
        found += (await session.scalars(walk)).all()
        if len(found) == skip + count:
            break
        last = await session.scalar(_off(line, span, history, window - 1, 1))
        span = None if last is None else _beyond(span, last, history)
        window *= LONGER
    return found[skip:]


def _asked(history: History) -> Ids:
    """The ids that the cursor leaves."""
    everything = (0, MAX_ID)
    return everything if history.after is None else _beyond(everything, history.after, history)


def _beyond(span: Ids, last: int, history: History) -> Ids:
    """What of a range comes after an id."""
    low, high = span
    return (max(low, last + 1), high) if history.oldest else (low, min(high, last - 1))


def _off(line: Line, span: Ids, history: History, skip: int, count: int) -> Select[Any]:
    """The ids of a line within a range, in order.

    Only ids are asked for, so that an index which holds the condition is cheaper than any other, however common
    PostgreSQL thinks the value is.
    """
    low, high = span
    bounds: list[ColumnElement[bool]] = []
    if low > 0:
        bounds.append(line.id >= low)
    if high < MAX_ID:
        bounds.append(line.id <= high)
    if line.seen_by is not None:
        return _seen(line.seen_by, bounds, history, skip, count)
    ids = select(line.id.label("id"))
    if line.id is not Execution.id:
        ids = ids.distinct()  # an entry may be there twice
    if len(line.alternatives) < 2:
        return _page(ids.where(*line.alternatives, *bounds), line.id, history, skip, count)
    # An index gives each of them in order, but not several: they are merged.
    each = [_page(ids.where(one, *bounds), line.id, history, 0, skip + count) for one in line.alternatives]
    merged = union_all(*(select(one.subquery().c.id) for one in each)).subquery()
    return _page(select(merged.c.id).distinct(), merged.c.id, history, skip, count)


def _seen(seen_by: Viewer, bounds: list[ColumnElement[bool]], history: History, skip: int, count: int) -> Select[Any]:
    """The ids of what somebody may see: of their own, and of each notebook that they may see, as many as the page could
    need, each off its index."""

    def first(condition: ColumnElement[bool]) -> Select[Any]:
        found = select(Execution.id.label("id")).where(condition, *bounds)
        return _page(found, Execution.id, history, 0, skip + count)

    notebooks = notebooks_seen(seen_by).subquery()
    own = first(Execution.username == seen_by.username).subquery()
    of_each = first(Execution.notebook_id == notebooks.c.id).lateral()
    merged = union_all(select(own.c.id), select(of_each.c.id).select_from(notebooks).join(of_each, true())).subquery()
    return _page(select(merged.c.id).distinct(), merged.c.id, history, skip, count)


def _page(statement: Select[Any], column: Any, history: History, skip: int, count: int) -> Select[Any]:
    paged = statement.order_by(column.asc() if history.oldest else column.desc()).limit(count)
    return paged.offset(skip) if skip else paged


def _walk(history: History, lines: list[Line], line: Line, span: Ids, window: int) -> Select[Any]:
    """What matches among the first ``window`` executions of a line within a range.

    Each is looked up in the other lines, which need not read rows, and what is in all of them is tested. The offsets
    change nothing but the plan: they have PostgreSQL do just that, in this order.
    """
    walked = _off(line, span, history, 0, window).subquery()
    others = (
        select(other.id).where(*other.conditions, other.id == walked.c.id).offset(0).exists()
        for other in lines
        if other is not line
    )
    row = select(*_TESTED).where(Execution.id == walked.c.id).offset(0).lateral()
    matching = select(walked.c.id).join(row, true()).where(*others, *history.conditions(row.c))
    return matching.order_by(walked.c.id.asc() if history.oldest else walked.c.id.desc())


async def _chosen(session: AsyncSession, history: History, lines: list[Line], span: Ids) -> tuple[Line, Ids] | None:
    """The line to walk along, and the range from where all lines have begun; ``None`` where one has nothing left."""
    if len(lines) == 1:
        return lines[0], span
    reaches: dict[int, int] = {}
    for _ in range(LEAPS):
        low, high = span
        heads = [_off(line, span, history, 0, SAMPLE).subquery() for line in lines]
        seen = union_all(
            *(
                select(literal(n).label("n"), func.count().label("count"), func.min(head.c.id), func.max(head.c.id))
                for n, head in enumerate(heads)
            )
        )
        rows = [tuple(row) for row in await session.execute(seen)]
        if any(count == 0 for _, count, _, _ in rows):
            return None
        # From the first entry on; and as far as the entries reach, or to the end where the line has no more.
        if history.oldest:
            start = max(first for _, _, first, _ in rows)
            span = start, high
            reaches = {n: last - start if count == SAMPLE else MAX_ID for n, count, _, last in rows}
        else:
            start = min(last for _, _, _, last in rows)
            span = low, start
            reaches = {n: start - first if count == SAMPLE else MAX_ID for n, count, first, _ in rows}
        if min(reaches.values()) >= 0:
            break
    return lines[max(reaches, key=reaches.__getitem__)], span


async def _narrowed(session: AsyncSession, history: History) -> Ids | None:
    """The range of ids that holds what was submitted in the history's range of time; ``None`` where nothing was."""
    low, high = _asked(history)
    after, before = history.submitted_after, history.submitted_before
    if after is None and before is None:
        return low, high
    hours: list[ColumnElement[bool]] = []
    if after is not None:
        hours.append(ExecutionHour.hour >= func.date_trunc("hour", after, "UTC"))
    if before is not None:
        hours.append(ExecutionHour.hour < before)
    blocks = select(func.min(ExecutionHour.block), func.max(ExecutionHour.block)).where(*hours)
    first, last = cast("tuple[int | None, int | None]", (await session.execute(blocks)).one())
    if first is None or last is None:
        return None
    return max(low, first << HOUR_BLOCK_BITS), min(high, ((last + 1) << HOUR_BLOCK_BITS) - 1)
