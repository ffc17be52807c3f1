"""When a batch has ended or is stopped, whatever goes on at the same time; and what batches cost those who claim."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text

from batching import begun, registered, stands
from line import ANA, Line, Other, until
from pressroom.batches import service, tasks
from pressroom.database.url import conninfo
from pressroom.executions.sweep import Sweep

CANCEL = "UPDATE notebook_executions SET status = 'cancelled', completed_at = now() WHERE id = %s"
PUT_BACK = "SELECT end_attempt(%s, 1, 'pending', 'worker_lost', NULL, NULL, 0, '0 s', NULL, NULL, '[]')"
SUCCEED = "SELECT end_attempt(%s, 1, 'success', NULL, NULL, NULL, 0, NULL, NULL, NULL, '[]')"
CHORES = "procrastinate_jobs WHERE task_name = 'pressroom.clear_batch'"
# What has been read of executions in this transaction.
READ = "SELECT idx_scan + idx_tup_fetch + seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = %s"


@asynccontextmanager
async def other(line: Line) -> AsyncIterator[Other]:
    """A transaction of somebody else, committed at the end."""
    async with await Other.connect(conninfo(line.database.url)) as connection:
        yield connection


async def blocked(line: Line, connection: Other, doing: asyncio.Task[Any]) -> None:
    """Wait until somebody waits for what a connection has locked, or does not have to."""

    async def waits() -> bool:
        waiting = await line.count(f"pg_locks WHERE {connection.info.backend_pid} = ANY (pg_blocking_pids(pid))")
        return bool(waiting) or doing.done()

    await until(waits)


async def end_while_committing(line: Line, connection: Other, execution_id: int, status: str) -> None:
    """End an execution while another transaction commits: it has done all but the last of its commit."""
    await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    ending = asyncio.create_task(line.end(execution_id, status))
    await blocked(line, connection, ending)
    await connection.commit()
    assert await ending


@pytest.mark.parametrize("committing", [False, True])
@pytest.mark.parametrize("statement", [CANCEL, SUCCEED])
async def test_a_batch_ends_with_the_last_two_that_do_not_see_each_other(
    line: Line, statement: str, committing: bool
) -> None:
    batch_id, [first, second] = await begun(line, await registered(line), 2)
    assert await line.claim() == first
    if statement == SUCCEED:
        assert await line.claim() == second
    async with other(line) as connection:
        await connection.execute(statement, [second])
        if committing:
            await end_while_committing(line, connection, first, "success")
        else:
            await line.end(first)
            assert (await stands(line, batch_id)).status == "running"
    assert (await stands(line, batch_id)).status == "finished"


@pytest.mark.parametrize("committing", [False, True])
async def test_what_is_put_back_while_its_batch_is_stopped_is_cancelled(line: Line, committing: bool) -> None:
    batch_id, [first, second, _] = await begun(line, await registered(line), 3, stop_after_failures=1)
    assert [await line.claim(), await line.claim()] == [first, second]
    async with other(line) as connection:
        await connection.execute(PUT_BACK, [second])
        if committing:
            await end_while_committing(line, connection, first, "failed")
        else:
            await line.end(first, "failed")
            assert await tasks.clear(line.shop(), batch_id)
            async with line.database.transaction() as session:
                await session.execute(text(f"DELETE FROM {CHORES}"))
    assert await line.claim() is None
    assert await line.count(CHORES) == 1
    assert await tasks.clear(line.shop(), batch_id)
    over = await stands(line, batch_id)
    assert (over.status, over.counts.failed, over.counts.cancelled) == ("stopped", 1, 2)


async def test_a_sweep_ends_what_nobody_ended_and_clears_what_nobody_cleared(line: Line) -> None:
    notebook_id = await registered(line)
    ended, [one] = await begun(line, notebook_id, 1)
    stopping, _ = await begun(line, notebook_id, 2)
    goes_on, _ = await begun(line, notebook_id, 1)
    async with other(line) as connection:
        await connection.execute("SET session_replication_role = replica")  # without triggers
        await connection.execute(CANCEL, [one])
        stop = "UPDATE batches SET stopping_at = now(), stop_reason = 'cancelled' WHERE id = %s"
        await connection.execute(stop, [stopping])
    for _ in range(2):
        await Sweep(line.shop()).once()
    assert await line.count(CHORES) == 1
    await tasks.clear(line.shop(), stopping)
    statuses = [(await stands(line, each)).status for each in (ended, stopping, goes_on)]
    assert statuses == ["finished", "cancelled", "running"]


async def test_failures_that_were_pruned_still_count_and_the_last_of_all_stops_nothing(line: Line) -> None:
    notebook_id = await registered(line)
    batch_id, ids = await begun(line, notebook_id, 4, stop_after_failures=2)
    await line.end(await line.claim() or 0, "failed")
    async with line.database.transaction() as session:
        await session.execute(text("DELETE FROM notebook_executions WHERE id = :id"), {"id": ids[0]})
    await line.end(await line.claim() or 0, "failed")
    assert ((await stands(line, batch_id)).status, await line.claim()) == ("stopping", None)
    all_of_them, _ = await begun(line, notebook_id, 2, stop_after_failures=2)
    for _ in range(2):
        await line.end(await line.claim() or 0, "failed")
    over = await stands(line, all_of_them)
    assert (over.status, over.counts.failed, over.stopping_at) == ("finished", 2, None)


async def test_what_is_to_be_repeated_is_not_pruned_before_it_is(line: Line) -> None:
    batch_id, ids = await begun(line, await registered(line), 3)
    for status in ("failed", "success", "failed"):
        await line.end(await line.claim() or 0, status)

    async def retry() -> int:
        async with line.database.transaction() as session:
            return (await service.retry(session, line.intake, ANA, batch_id)).id

    async with other(line) as connection:
        await connection.execute("SELECT FROM notebooks FOR UPDATE")  # which a new batch is about
        retrying = asyncio.create_task(retry())
        await blocked(line, connection, retrying)
        async with line.database.transaction() as pruning:
            unlocked = "SELECT id FROM notebook_executions FOR UPDATE SKIP LOCKED"
            pruned = await pruning.scalars(
                text(f"DELETE FROM notebook_executions WHERE id IN ({unlocked}) RETURNING id")
            )
            assert pruned.all() == [ids[1]]
    again = await stands(line, await retrying)
    assert (again.total, again.counts.pending) == (2, 2)


async def read_by_a_claim(line: Line) -> tuple[int, int | None]:
    """How much of executions a claim reads, and what it claims; nothing is claimed of it."""
    async with other(line) as connection:
        await connection.execute("SELECT claim_execution(NULL, %s)", [line.worker_id])  # what is planned, and hinted
        await connection.rollback()
        found = await (
            await connection.execute("SELECT claim_execution(NULL, %s) -> 'id'", [line.worker_id])
        ).fetchone()
        read = await (await connection.execute(READ, ["notebook_executions"])).fetchone()
        await connection.rollback()
    assert read is not None
    assert found is not None
    return read[0], found[0]


async def test_a_claim_reads_no_more_however_many_batches_wait(line: Line) -> None:
    _, ids = await begun(line, await registered(line), 300)
    async with line.database.transaction() as session:
        await session.execute(
            text("""
            WITH made AS (
                INSERT INTO batches (id, username, created_by, source, plan, total)
                SELECT 1000000 + id, 'ana', 'ana', 'sets', '{}', 1 FROM notebook_executions
            )
            UPDATE notebook_executions SET batch_id = 1000000 + id
        """)
        )
    read, claimed = await read_by_a_claim(line)
    assert (claimed, read < 30) == (ids[0], True)


async def test_a_claim_passes_by_a_stopped_batch_in_one_step(line: Line) -> None:
    notebook_id = await registered(line)
    stopped, _ = await begun(line, notebook_id, 300)
    _, [behind] = await begun(line, notebook_id, 1)
    async with line.database.transaction() as session:
        await session.execute(text("UPDATE batches SET stopping_at = now() WHERE id = :id"), {"id": stopped})
    read, claimed = await read_by_a_claim(line)
    assert (claimed, read < 30) == (behind, True)
