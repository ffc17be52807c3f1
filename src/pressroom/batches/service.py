"""Batches: one notebook executed over many sets of parameters, as one thing that is watched, cancelled and repeated."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.batches.plans import BatchPlan, Grid, Set
from pressroom.batches.schemas import BatchOut
from pressroom.batches.standing import standing
from pressroom.database.models import Batch, Execution
from pressroom.database.session import Connection, driver_connection
from pressroom.errors import (
    BatchEnded,
    IdempotencyConflict,
    Invalid,
    NotAllowed,
    NotFound,
    OverLimit,
    ParameterInvalid,
    PressroomError,
)
from pressroom.executions import access
from pressroom.executions.allowances import SETTING, taken
from pressroom.executions.orders import Intake, Order, OrderBook, Origin, repeated
from pressroom.executions.refusals import refusal
from pressroom.executions.registered import Opened, opened
from pressroom.executions.service import Once, add_rows
from pressroom.executions.states import Status
from pressroom.identity.policy import Viewer, viewer
from pressroom.identity.principal import Principal
from pressroom.identity.rights import Level
from pressroom.identity.visibility import sees_execution
from pressroom.settings import Settings

__all__ = ["BatchPlan", "begin", "cancel", "get", "page", "require_batch", "retry", "seen"]
CANCELLED = "cancelled"
"""Why somebody's batch starts nothing any more who cancelled it."""
AT_ONCE = 250
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
        raise OverLimit("executions", count, intake.per_minute, SETTING)


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
        **_kept(once),
    )


def _kept(once: Once | None) -> dict[str, str]:
    return {} if once is None else {"idempotency_key": once.key, "idempotency_digest": once.digests[0]}


async def _orders(order: Order, plan: BatchPlan) -> AsyncIterator[Sequence[Order]]:
    """The orders of a plan, some at a time."""
    for start in range(0, len(plan.sets), AT_ONCE):
        # Sets that are made when they are asked for may take their time.
        some: Iterable[Set] = await asyncio.to_thread(plan.sets.__getitem__, slice(start, start + AT_ONCE))
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


async def seen(session: AsyncSession, principal: Principal, batch_id: int) -> Batch:
    """A batch that ``principal`` may see: theirs, or of a notebook that they may see. Raises :class:`NotFound`."""
    wanted = select(Batch).where(Batch.id == batch_id, *sees_execution(Batch, viewer(principal)))
    batch = await session.scalar(wanted)
    if batch is None:
        raise NotFound("batch", batch_id)
    return batch


async def get(session: AsyncSession, batch_id: int) -> Batch:
    """One batch. Raises :class:`NotFound`."""
    batch = await session.get(Batch, batch_id)
    if batch is None:
        raise NotFound("batch", batch_id)
    return batch


async def page(
    session: AsyncSession, seen_by: Viewer | None, username: str | None, notebook_id: int | None, skip: int, limit: int
) -> tuple[list[BatchOut], int]:
    """The newest batches that ``seen_by`` may see, and how many there are in all."""
    conditions = sees_execution(Batch, seen_by)
    if username is not None:
        conditions.append(Batch.username == username)
    if notebook_id is not None:
        conditions.append(Batch.notebook_id == notebook_id)
    total = await session.scalar(select(func.count(Batch.id)).where(*conditions))
    wanted = select(Batch).where(*conditions).order_by(Batch.id.desc()).offset(skip).limit(limit)
    return await standing(session, (await session.scalars(wanted)).all()), int(total or 0)


async def cancel(session: AsyncSession, principal: Principal, batch_id: int) -> Batch:
    """Cancel a batch: from the end of the caller's transaction on, nothing of it starts any more. What waits is
    cancelled and what runs is asked to stop by a chore, however many they are.

    One that is being stopped already stays so. Raises :class:`NotFound`, :class:`NotAllowed` or :class:`BatchEnded`.
    """
    batch = await seen(session, principal, batch_id)
    await access.require_on_batch(session, principal, batch, Level.EDITOR)
    # Until this transaction has ended, nobody claims anything of it: see claim_execution().
    await session.execute(text("SELECT pg_advisory_xact_lock(batch_lock(:batch))"), {"batch": batch_id})
    await session.refresh(batch, with_for_update={"key_share": True})
    if batch.ended_at is not None:
        if batch.stop_reason == CANCELLED:
            return batch
        raise BatchEnded(batch_id)
    if batch.stop_reason != CANCELLED:
        batch.stopping_at = batch.stopping_at or func.clock_timestamp()
        batch.stop_reason, batch.stopped_by = CANCELLED, principal.username
        await session.flush()
        await session.refresh(batch)
        await session.execute(text("SELECT clear_batch(:batch)"), {"batch": batch_id})
        await session.execute(text("SELECT pg_notify('pressroom_executions', 'batch-' || :batch)"), {"batch": batch_id})
    return batch


async def retry(
    session: AsyncSession,
    intake: Intake,
    principal: Principal,
    batch_id: int,
    *,
    cancelled: bool = False,
    once: Once | None = None,
) -> Batch:
    """Begin a batch that repeats those executions of another that have failed, or with ``cancelled`` those that were
    cancelled too: to the letter, secrets among it, in their order.

    Raises as :func:`begin`, and :class:`Invalid` where there are none.
    """
    earlier = await seen(session, principal, batch_id)
    if once is not None and (found := await _earlier(session, principal, once)) is not None:
        return found
    statuses = [Status.FAILED, Status.CANCELLED] if cancelled else [Status.FAILED]
    wanted = select(Execution.id).where(Execution.batch_id == batch_id, Execution.status.in_(statuses))
    ids = (await session.scalars(wanted.order_by(Execution.id))).all()
    if not ids:
        which = "has failed or was cancelled" if cancelled else "has failed"
        raise Invalid(f"None of the executions of batch {batch_id} {which}, so there is nothing to repeat.")
    _require(intake, len(ids))
    connection = await driver_connection(session)
    new = await opened(connection, viewer(principal), len(ids), ())
    book = OrderBook(connection, intake, principal, new)
    [[first]] = [some async for some in _repetitions(session, ids[:1])]
    batch = Batch(
        notebook_id=earlier.notebook_id,
        username=(await book.subject(first)).username,
        created_by=principal.username,
        name=earlier.name,
        source="retry",
        plan={"cancelled": cancelled},
        total=len(ids),
        batch_limit=earlier.batch_limit,
        in_order=earlier.in_order,
        stop_after_failures=earlier.stop_after_failures,
        retry_of=earlier.id,
        **_kept(once),
    )
    session.add(batch)
    await session.flush()
    await _fill(connection, book, new, batch, _repetitions(session, ids))
    await _charge(connection, intake, principal, batch.total)
    return batch


async def _repetitions(session: AsyncSession, ids: Sequence[int]) -> AsyncIterator[Sequence[Order]]:
    for start in range(0, len(ids), AT_ONCE):
        wanted = select(Execution).where(Execution.id == func.any(list(ids[start : start + AT_ONCE])))
        rows = (await session.scalars(wanted.order_by(Execution.id))).all()
        for row in rows:
            session.expunge(row)
        yield [repeated(row) for row in rows]
