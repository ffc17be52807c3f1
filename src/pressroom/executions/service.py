"""Executions: what is asked is checked and becomes a row and a job; rows become history."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psycopg
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import Attempt, Execution
from pressroom.database.session import Connection, driver_connection, violated
from pressroom.errors import (
    AlreadyEnded,
    AlreadyExists,
    ExecutionCancelled,
    ExecutionFailed,
    ExecutionInterrupted,
    ExecutionTimedOut,
    IdempotencyConflict,
    Invalid,
    NotAllowed,
    NotEnded,
    NotFound,
    PressroomError,
)
from pressroom.executions import access
from pressroom.executions.allowances import taken
from pressroom.executions.orders import Intake, Order, OrderBook, repeated
from pressroom.executions.refusals import refusal
from pressroom.executions.registered import opened
from pressroom.executions.states import TERMINAL, Change, Status, after
from pressroom.identity.audit import Entry
from pressroom.identity.policy import viewer
from pressroom.identity.principal import Principal
from pressroom.identity.rights import Level
from pressroom.notifications import service as notifications
from pressroom.notifications.schemas import Event
from pressroom.parameters.sealing import SecretKeys
from pressroom.settings import Settings

TASK = "execute"
"""The name of Procrastinate's task."""
_COLUMNS = (
    "notebook_id, username, input_path, output_path, parameters_used, secrets, status, kernel_name, in_place, "
    "submitted_by, submitted_at, retry_of, trace, queue, priority, timeout_seconds, memory_mb, cpu_seconds, "
    "max_processes, max_attempts, retry_on, retry_delay_seconds, notebook_limit, user_limit, queue_limit, expires_at, "
    "late_at, idempotency_key, idempotency_digest, batch_id, batch_index, batch_limit, in_order, schedule_id, "
    "scheduled_at"
)
# The rows and their jobs, in one statement; Procrastinate answers the jobs' ids in the order of what it is given.
_ADDING = f"""
WITH given AS MATERIALIZED (
    SELECT * FROM jsonb_populate_recordset(CAST(NULL AS notebook_executions), %(rows)s::jsonb)
), jobs AS (
    SELECT array_agg(id ORDER BY id) AS executions, procrastinate_defer_jobs_v1(array_agg(CAST(ROW(
        queue, '{TASK}', priority, NULL, NULL, jsonb_build_object('execution_id', id), NULL
    ) AS procrastinate_job_to_defer_v1) ORDER BY id)) AS jobs FROM given
)
{{audited}}INSERT INTO notebook_executions (id, job_id, {_COLUMNS})
SELECT id, added.job, {_COLUMNS} FROM given
JOIN (SELECT unnest(executions) AS id, unnest(jobs) AS job FROM jobs) AS added USING (id)
"""  # noqa: S608 - no value of anybody's is in it
_AUDIT = "username, source, token_id, address, operation, method, path, facts, allowed, status"
_AUDITED = f""", audited AS (
    INSERT INTO audit_log ({_AUDIT})
    SELECT {_AUDIT} FROM jsonb_populate_record(CAST(NULL AS audit_log), %(audit)s::jsonb)
)
"""  # noqa: S608
_ADD, _ADD_AUDITED = (_ADDING.format(audited=audited).encode() for audited in ("", _AUDITED))

_OF_KEYS = """
SELECT idempotency_key, id, idempotency_digest FROM notebook_executions
WHERE submitted_by = %(principal)s AND idempotency_key = ANY (%(keys)s)
"""
_UNDER_WAY = """
SELECT output_path FROM notebook_executions
WHERE output_path = ANY (%(paths)s) AND status IN ('pending', 'running')
"""


@dataclass(frozen=True, slots=True)
class Once:
    """An idempotency key, and what tells the request that it came with from others: see :func:`digests_of`."""

    key: str
    digests: tuple[str, ...]

    def keys(self, count: int) -> list[str]:
        """What each of ``count`` executions keeps: the first the key itself, the others what no caller can send."""
        rest = hashlib.sha256(self.key.encode()).hexdigest()
        return [self.key, *(f"{rest} {number}" for number in range(1, count))]


async def submit(
    session: AsyncSession, intake: Intake, principal: Principal, orders: Sequence[Order], once: Once | None = None
) -> list[int]:
    """Check orders and add a row, ``pending``, and a job for each, in the caller's transaction: all of them or none.

    Answers the executions' ids; ``once`` is kept with them. Where several are refused, the error of the first names
    them all. Raises :class:`NotAllowed`, :class:`PathNotAllowed`, :class:`NotFound`, :class:`NotebookInvalid`,
    :class:`KernelNotThere`, :class:`ParameterInvalid`, :class:`TooMany`, or :class:`AlreadyExists` where another
    execution under way writes to the same file.
    """
    return await submit_on(await driver_connection(session), intake, principal, orders, once)


async def submit_on(
    connection: Connection,
    intake: Intake,
    principal: Principal,
    orders: Sequence[Order],
    once: Once | None = None,
    audit: Entry | None = None,
) -> list[int]:
    """As :func:`submit`, on the driver's own connection: rows and jobs, and an entry of the ``audit``, are added by one
    statement, so that they need no transaction around it."""
    named = {order.notebook_id for order in orders if order.notebook_id is not None}
    found = await opened(connection, viewer(principal), len(orders), named)
    book = OrderBook(connection, intake, principal, found)
    rows: dict[int, dict[str, Any]] = {}
    refused: dict[int, PressroomError] = {}
    for number, (order, execution_id) in enumerate(zip(orders, found.ids, strict=True)):
        try:
            rows[number] = await book.row(order, execution_id)
        except (NotAllowed, NotFound, Invalid) as error:
            if not order.place:
                raise
            refused[number] = error
    refused |= await _conflicts(connection, orders, rows)
    if refused:
        raise refusal({orders[number].place: refused[number] for number in sorted(refused)})
    if once is not None:
        for row, key in zip(rows.values(), once.keys(len(rows)), strict=True):
            row |= {"idempotency_key": key, "idempotency_digest": once.digests[0]}
    try:
        async with taken(connection, principal.username, len(rows), intake.per_minute):
            await add_rows(connection, list(rows.values()), audit)
    except psycopg.IntegrityError as error:
        if violated(error) == "uq_notebook_executions_output_path_under_way":
            said = error.diag.message_detail or ""
            number = next((n for n, row in rows.items() if f"=({row['output_path']})" in said), 0)
            raise refusal({orders[number].place: output_taken(rows[number]["output_path"])}) from error
        if isinstance(error, psycopg.errors.ForeignKeyViolation):
            what = "notebook" if "notebook_id" in (violated(error) or "") else "execution"
            raise NotFound(what, "named", f"The {what} that was named has been deleted meanwhile.") from error
        raise
    return found.ids


async def add_rows(connection: Connection, rows: Sequence[Mapping[str, Any]], audit: Entry | None = None) -> None:
    """Add rows that :class:`OrderBook` made, and a job for each. Raises psycopg's ``IntegrityError``."""
    values = {"rows": json.dumps(rows)}
    if audit is None:
        await connection.execute(_ADD, values)
        return
    audit.facts["execution_ids"] = [row["id"] for row in rows]
    await connection.execute(_ADD_AUDITED, values | {"audit": json.dumps(asdict(audit))})


async def _conflicts(
    connection: Connection, orders: Sequence[Order], rows: Mapping[int, dict[str, Any]]
) -> dict[int, PressroomError]:
    """Which of many orders would write where another one, or an execution under way, writes. Of one alone the database
    says so by itself."""
    chosen = {n: str(row["output_path"]) for n, row in rows.items() if orders[n].place and orders[n].chooses_output}
    if not chosen:
        return {}
    under_way = await connection.execute(_UNDER_WAY, {"paths": list(chosen.values())})
    taken = {path for (path,) in await under_way.fetchall()}
    found: dict[int, PressroomError] = {}
    for number, path in chosen.items():
        if path in taken:
            found[number] = output_taken(path)
        taken.add(path)
    return found


def output_taken(path: str) -> AlreadyExists:
    """The error of an execution whose output another one that is under way writes."""
    error = AlreadyExists("execution", "output_path", path, f"Another execution that is under way writes to {path}.")
    error.where = ("output_path",)
    return error


def digests_of(settings: Settings, request: Any) -> tuple[str, ...]:
    """What tells a request from another: of its JSON, whatever the order of its fields. The first is kept, and is made
    with a key where there is one, as the request may hold secrets; the others are those of before another key came."""
    said = json.dumps(request, sort_keys=True).encode()
    return (*SecretKeys.of(settings).digests(said), hashlib.sha256(said).hexdigest())


async def submit_once(
    session: AsyncSession, intake: Intake, principal: Principal, orders: Sequence[Order], once: Once
) -> list[int]:
    """As :func:`submit`, but a key that the caller used before gives the executions of that time.

    Raises :class:`IdempotencyConflict` where the key came with another request then, or some have been deleted since.
    """
    # Of several at once with one key, the first goes on and the rest wait here for its row.
    lock = {"key": f"{principal.username}\0{once.key}".encode()}
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(encode(:key, 'hex'), 4851201704))"), lock)
    connection, keys = await driver_connection(session), once.keys(len(orders))
    answer = await connection.execute(_OF_KEYS, {"principal": principal.username, "keys": keys})
    earlier: dict[str, tuple[int, str]] = {key: (found, digest) for key, found, digest in await answer.fetchall()}
    if not earlier:
        return await submit(session, intake, principal, orders, once)
    # One of several may have been deleted since, and its key used for something else.
    if others := [found for found, digest in earlier.values() if digest not in once.digests]:
        raise IdempotencyConflict(once.key, min(others))
    first = min(found for found, _ in earlier.values())
    if deleted := len(keys) - len(earlier):
        raise IdempotencyConflict(once.key, first, deleted)
    return [earlier[key][0] for key in keys]


async def cancel(
    session: AsyncSession, intake: Intake, principal: Principal, execution_id: int
) -> tuple[Execution, bool]:
    """Cancel an execution: one that is pending ends at once and never starts, one that runs is asked to stop. Answers
    it, and whether it ended by this.

    One that was cancelled already stays so. Raises :class:`NotFound`, :class:`NotAllowed`, or :class:`AlreadyEnded`.
    """
    execution = await access.seen(session, principal, execution_id, lock=True)
    await access.require(session, principal, execution, Level.EDITOR)
    status = Status(execution.status)
    if status is Status.CANCELLED:
        return execution, False
    if status in TERMINAL:
        raise AlreadyEnded(execution_id, status)
    execution.cancel_requested_at = execution.cancel_requested_at or func.clock_timestamp()
    at_once = after(status, Change.CANCELLED) is not None and status is Status.PENDING
    if at_once:
        who = "" if principal.username == execution.username else f" by {principal.username}"
        execution.status = Status.CANCELLED
        execution.completed_at = func.clock_timestamp()
        execution.execution_time_seconds = 0
        execution.not_before = None
        execution.failure = {"reason": "cancelled"}
        execution.error_message = (
            f"It was cancelled{who} before it {'started' if not execution.attempt else 'started again'}."
        )
    assert execution.job_id is not None
    await session.flush()
    await intake.jobs.cancel_job_by_id_async(
        execution.job_id, abort=not at_once, delete_job=at_once, connection=await driver_connection(session)
    )
    await session.refresh(execution)
    if at_once:
        await notifications.announce(session, execution.id, execution.notebook_id, Event.CANCELLED)
    return execution, at_once


async def retry(
    session: AsyncSession, intake: Intake, principal: Principal, execution_id: int, once: Once | None = None
) -> Execution:
    """Execute again what an ended execution did: a new one, with the same input and parameters, linked to it.

    Raises as :func:`submit_once`, and :class:`NotEnded` where it is still under way.
    """
    execution = await access.seen(session, principal, execution_id)
    if Status(execution.status) not in TERMINAL:
        raise NotEnded(execution_id, execution.status)
    if once is not None:
        [again] = await submit_once(session, intake, principal, [repeated(execution)], once)
    else:
        [again] = await submit(session, intake, principal, [repeated(execution)])
    return await get(session, again)


async def get(session: AsyncSession, execution_id: int) -> Execution:
    """One execution. Raises :class:`NotFound`."""
    execution = await session.get(Execution, execution_id)
    if execution is None:
        raise NotFound("execution", execution_id)
    return execution


async def attempts(session: AsyncSession, principal: Principal, execution_id: int) -> Sequence[Attempt]:
    """The tries at an execution, first to last. Raises :class:`NotFound`."""
    await access.seen(session, principal, execution_id)
    wanted = select(Attempt).where(Attempt.execution_id == execution_id).order_by(Attempt.number)
    return (await session.scalars(wanted)).all()


_USUAL_OF = 20


async def usual_seconds(session: AsyncSession, execution: Execution) -> float | None:
    """How long the last successes of a registered notebook took, in seconds (the median); ``None`` without any."""
    if execution.notebook_id is None:
        return None
    last = (
        select(func.extract("epoch", Execution.completed_at - Execution.started_at).label("seconds"))
        .where(Execution.notebook_id == execution.notebook_id, Execution.status == Status.SUCCESS)
        .order_by(Execution.id.desc())
        .limit(_USUAL_OF)
        .subquery()
    )
    median = await session.scalar(select(func.percentile_cont(0.5).within_group(last.c.seconds)))
    return float(median) if median is not None else None


def raise_for_status(execution: Execution) -> None:
    """Raise the error of an execution that ended without success; nothing for one that succeeded."""
    if execution.status == Status.SUCCESS:
        return
    failure = execution.failure or {}
    facts = {"execution_id": execution.id, "output_path": execution.output_path, **failure}
    sentence = execution.error_message or "The execution did not succeed."
    reason = failure.get("reason")
    if execution.status == Status.CANCELLED:
        raise ExecutionCancelled(sentence, **facts)
    if reason == "timed_out":
        raise ExecutionTimedOut(sentence, **facts)
    if reason == "interrupted":
        raise ExecutionInterrupted(sentence, **facts)
    raise ExecutionFailed(sentence, **({"cell_index": None, "ename": None, "evalue": None} | facts))
