"""Fills a batch: its sets of parameters are checked and become rows, some at a time."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import psycopg

from pressroom.batches.plans import BatchPlan, Grid, Set
from pressroom.database.models import Batch
from pressroom.database.session import Connection, violated
from pressroom.errors import NotFound, ParameterInvalid, PressroomError, TooLarge
from pressroom.executions.orders import Order, OrderBook, Origin
from pressroom.executions.refusals import refusal
from pressroom.executions.registered import Opened
from pressroom.executions.service import add_rows, output_taken
from pressroom.settings import MEBIBYTE

AT_ONCE = 250
"""Executions that are added by one statement: others get their turn in this process between two."""
BYTES_AT_ONCE = 4 * MEBIBYTE
"""Of JSON that one statement adds, and an execution more."""
MOST_BYTES = 256 * MEBIBYTE
"""Of JSON that the parameters of a batch have, in all of its executions together."""
MOST_NAMED = 1000
"""How many wrong sets an answer names; it counts the others."""
_SETS = "What the sets of parameters, with those that all share, come to"


def require_size(plan: BatchPlan) -> None:
    """Raise :class:`TooLarge` for more than :data:`MOST_BYTES`: of a grid before any of its sets is made. Takes a
    second where there are many: call it in a thread."""
    size = len(plan.sets) * _size(plan.fixed) if plan.fixed else 0
    if isinstance(plan.sets, Grid):
        size += plan.sets.characters
    elif size <= MOST_BYTES:
        for each in plan.sets:
            size += _size(each)
            if size > MOST_BYTES:
                break
    _limited(size)


async def orders_of(order: Order, plan: BatchPlan) -> AsyncIterator[Sequence[Order]]:
    """The orders of a plan, some at a time."""
    for start in range(0, len(plan.sets), AT_ONCE):
        # Sets that are made when they are asked for may take their time.
        some: Sequence[Set] = await asyncio.to_thread(plan.sets.__getitem__, slice(start, start + AT_ONCE))
        yield [replace(order, parameters={**plan.fixed, **each}) for each in some]


async def fill(
    connection: Connection,
    book: OrderBook,
    found: Opened,
    batch: Batch,
    orders: AsyncIterator[Sequence[Order]],
    scheduled: Sequence[datetime] | None = None,
) -> None:
    """Check the orders of a batch and add their rows. From the first wrong one on the others are only checked: the
    transaction is of no use any more, and all wrong ones are to be named.

    Raises as :meth:`OrderBook.row`, :class:`TooLarge` for more than :data:`MOST_BYTES`, defaults among them,
    :class:`NotFound` where orders are missing by now, and :class:`AlreadyExists` for an output that is written to.
    """
    wrong: dict[int, PressroomError] = {}
    rows: list[dict[str, Any]] = []
    count, index, held, size = 0, 0, 0, 0
    async for some in orders:
        for order in some:
            row = await _row(book, order, batch, index, found.ids[index], scheduled)
            if isinstance(row, ParameterInvalid):
                count += 1
                if len(wrong) < MOST_NAMED:
                    wrong[index] = row
            else:
                rows.append(row)
                held += _size(row["parameters_used"]) + len(row["secrets"] or "")
            index += 1
            if held > BYTES_AT_ONCE or index % AT_ONCE == 0:
                size = _limited(size + held)
                await _add(connection, [] if wrong else rows, batch)
                rows, held = [], 0
    if wrong:
        raise refusal({("sets", number): error for number, error in wrong.items()}, count)
    if index < batch.total:
        what = f"{batch.total - index} of the {batch.total} executions of batch {batch.id} have been deleted meanwhile."
        raise NotFound("execution", batch.retry_of, what)
    await _add(connection, rows, batch)


async def _row(
    book: OrderBook, order: Order, batch: Batch, index: int, execution_id: int, scheduled: Sequence[datetime] | None
) -> dict[str, Any] | ParameterInvalid:
    """The row of an order, or what is wrong with its set; what is not about a set is about all of them, and raised."""
    at = scheduled[index] if scheduled is not None else None
    origin = Origin(batch.id, index, batch.batch_limit, batch.in_order, batch.schedule_id, at)
    try:
        return await book.row(replace(order, origin=origin), execution_id)
    except ParameterInvalid as error:
        return error


async def _add(connection: Connection, rows: Sequence[dict[str, Any]], batch: Batch) -> None:
    if not rows:
        await asyncio.sleep(0)
        return
    try:
        await add_rows(connection, rows)
    except psycopg.errors.ForeignKeyViolation as error:
        what = f"What batch {batch.id} is made of has been deleted meanwhile."
        raise NotFound("notebook", batch.notebook_id, what) from error
    except psycopg.IntegrityError as error:
        if violated(error) != "uq_notebook_executions_output_path_under_way":
            raise
        said = error.diag.message_detail or ""
        paths = [str(row["output_path"]) for row in rows]
        raise output_taken(next((path for path in paths if f"=({path})" in said), paths[0])) from error


def _limited(size: int) -> int:
    if size > MOST_BYTES:
        raise TooLarge(_SETS, MOST_BYTES)
    return size


def _size(value: Any) -> int:
    return len(json.dumps(value))
