"""Batches: one notebook executed over many sets of parameters, as one thing that is watched, cancelled and repeated."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.batches.plans import BatchPlan, Grid, Set
from pressroom.database.models import Batch
from pressroom.database.session import Connection, driver_connection
from pressroom.errors import (
    IdempotencyConflict,
    Invalid,
    NotAllowed,
    NotFound,
    OverLimit,
    ParameterInvalid,
    PressroomError,
)
from pressroom.executions.allowances import taken
from pressroom.executions.orders import Intake, Order, OrderBook, Origin
from pressroom.executions.refusals import refusal
from pressroom.executions.registered import Opened, opened
from pressroom.executions.service import Once, add_rows
from pressroom.identity.policy import viewer
from pressroom.identity.principal import Principal
from pressroom.settings import Settings

__all__ = ["BatchPlan", "Grid", "begin"]
AT_ONCE = 1000
"""Executions that are added by one statement: others get their turn in this process between two."""
MOST_NAMED = 1000
"""How many wrong sets an answer names; it counts the others."""


def require_batch(settings: Settings, count: int) -> None:
    """Raise :class:`OverLimit` where a batch may not have so many executions, :class:`Invalid` where it has none."""
    if count == 0:
        raise Invalid("There is no set of parameters, so there is nothing to execute.")
    if count > settings.batch_limit:
        raise OverLimit("executions", count, settings.batch_limit, "PRESSROOM_BATCH_LIMIT")


async def begin(
    session: AsyncSession, intake: Intake, principal: Principal, plan: BatchPlan, once: Once | None = None
) -> Batch:
    """Check all sets of a plan and add a batch with an execution for each, ``pending``, in the caller's transaction:
    all of them or none. With ``once``, the batch that its key began before.

    Where sets are wrong, the error of the first names them (as many as :data:`MOST_NAMED`) by their places:
    ``sets[17].region``. Raises as :func:`pressroom.executions.service.submit`, :class:`OverLimit`, and
    :class:`IdempotencyConflict`.
    """
    if once is not None and (earlier := await _earlier(session, principal, once)) is not None:
        return earlier
    _require(intake, plan.sets.total if isinstance(plan.sets, Grid) else len(plan.sets))
    connection = await driver_connection(session)
    found = await opened(connection, viewer(principal), len(plan.sets), {plan.notebook_id})
    book = OrderBook(connection, intake, principal, found)
    order = Order(
        parameters={}, notebook_id=plan.notebook_id, username=plan.username, how=plan.how, lenient=plan.lenient,
        hidden=plan.hidden,
    )  # fmt: skip
    username = (await book.subject(order)).username
    notebook = found.notebooks[plan.notebook_id]
    batch = _batch(principal, plan, username, plan.kept(notebook.secret_names), once)
    session.add(batch)
    await session.flush()
    await _fill(connection, book, found, batch, _orders(order, plan), plan.scheduled)
    await _charge(connection, intake, principal, batch.total)
    return batch


async def _earlier(session: AsyncSession, principal: Principal, once: Once) -> Batch | None:
    """The batch that a key began. Others with the same key wait until the caller's transaction ends."""
    lock = {"key": f"batch\0{principal.username}\0{once.key}".encode()}
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(encode(:key, 'hex'), 4851201704))"), lock)
    wanted = select(Batch).where(Batch.created_by == principal.username, Batch.idempotency_key == once.key)
    earlier = await session.scalar(wanted)
    if earlier is not None and earlier.idempotency_digest not in once.digests:
        raise IdempotencyConflict(once.key, earlier.id, what="batch")
    return earlier


def _require(intake: Intake, count: int) -> None:
    require_batch(intake.settings, count)
    if intake.per_minute is not None and count > intake.per_minute:
        raise OverLimit("executions", count, intake.per_minute, "PRESSROOM_EXECUTIONS_PER_MINUTE")


def _batch(principal: Principal, plan: BatchPlan, username: str, kept: dict[str, Any], once: Once | None) -> Batch:
    return Batch(
        notebook_id=plan.notebook_id,
        username=username,
        created_by=principal.username,
        name=plan.name,
        source=plan.source,
        plan=kept,
        total=len(plan.sets),
        batch_limit=plan.batch_limit,
        in_order=plan.in_order,
        stop_after_failures=plan.stop_after_failures,
        schedule_id=plan.schedule_id,
        retry_of=plan.retry_of,
        idempotency_key=once.key if once else None,
        idempotency_digest=once.digests[0] if once else None,
    )


async def _orders(order: Order, plan: BatchPlan) -> AsyncIterator[Sequence[Order]]:
    """The orders of a plan, some at a time."""
    for start in range(0, len(plan.sets), AT_ONCE):
        some: Iterable[Set] = plan.sets[start : start + AT_ONCE]
        yield [replace(order, parameters={**plan.fixed, **each}) for each in some]


async def _fill(
    connection: Connection,
    book: OrderBook,
    found: Opened,
    batch: Batch,
    orders: AsyncIterator[Sequence[Order]],
    scheduled: Sequence[datetime] | None = None,
) -> None:
    """Check the orders of a batch and add their rows. From the first wrong one on the others are only checked: the
    transaction is of no use any more, and all wrong ones are to be named."""
    wrong: dict[int, PressroomError] = {}
    count, index = 0, 0
    async for some in orders:
        rows: list[dict[str, Any]] = []
        for order in some:
            origin = Origin(
                batch.id, index, batch.batch_limit, batch.in_order, batch.schedule_id,
                scheduled[index] if scheduled is not None else None,
            )  # fmt: skip
            try:
                rows.append(await book.row(replace(order, origin=origin), found.ids[index]))
            except (NotAllowed, NotFound, Invalid) as error:
                # What is not about a set is about all of them.
                if not isinstance(error, ParameterInvalid):
                    raise
                count += 1
                if len(wrong) < MOST_NAMED:
                    wrong[index] = error
            index += 1
        if wrong:
            await asyncio.sleep(0)
        else:
            await _add(connection, rows, batch)
    if wrong:
        raise refusal({("sets", number): error for number, error in wrong.items()}, count)


async def _add(connection: Connection, rows: Sequence[dict[str, Any]], batch: Batch) -> None:
    try:
        await add_rows(connection, rows)
    except psycopg.errors.ForeignKeyViolation as error:
        what = f"What batch {batch.id} is made of has been deleted meanwhile."
        raise NotFound("notebook", batch.notebook_id, what) from error


async def _charge(connection: Connection, intake: Intake, principal: Principal, count: int) -> None:
    """Take what was started from what the caller may start. At last, since others of theirs wait for it."""
    async with taken(connection, principal.username, count, intake.per_minute):
        pass
