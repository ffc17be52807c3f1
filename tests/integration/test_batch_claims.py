"""Which execution of a batch is next, and which is not: its limit, its order, its end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from sqlalchemy import text

from batching import begun, registered, stands
from line import ANA, Line, until, working
from pressroom.batches import service, tasks
from pressroom.database.url import conninfo
from pressroom.errors import BatchEnded
from pressroom.executions import service as executions
from pressroom.executions.options import HowToExecute


@asynccontextmanager
async def told(line: Line) -> AsyncIterator[None]:
    """The workers are told that something may be ready, by what is done inside."""
    async with await psycopg.AsyncConnection.connect(conninfo(line.database.url), autocommit=True) as workers:
        await workers.execute('LISTEN "procrastinate_queue_v1#default"')
        yield
        assert [each.channel async for each in workers.notifies(timeout=10, stop_after=1)]


async def cancelled(line: Line, batch_id: int) -> None:
    async with line.database.transaction() as session:
        await service.cancel(session, ANA, batch_id)


async def test_the_limit_of_a_batch_holds_and_holds_nobody_else_back(line: Line) -> None:
    notebook_id = await registered(line)
    _, limited = await begun(line, notebook_id, 6, batch_limit=2)
    _, others = await begun(line, notebook_id, 2)
    claimed = await asyncio.gather(*(line.claim() for _ in range(8)))
    assert sorted(found for found in claimed if found) == [*limited[:2], *others]
    async with told(line):
        await line.end(limited[1], "failed")
    assert await line.claim() == limited[2]
    assert await line.claim() is None


async def test_a_notebooks_limit_counts_the_executions_of_all_batches(line: Line) -> None:
    notebook_id = await registered(line)
    _, first = await begun(line, notebook_id, 2)
    await begun(line, notebook_id, 2, how=HowToExecute(notebook_limit=2))
    assert [await line.claim() for _ in range(3)] == [*first, None]


async def test_a_batch_in_order_runs_one_after_the_other_also_while_one_waits_for_its_next_try(line: Line) -> None:
    _, ids = await begun(line, await registered(line), 3, in_order=True)
    assert [await line.claim(), await line.claim()] == [ids[0], None]
    await line.end(ids[0], "pending", "1 hour")
    assert await line.claim() is None
    async with line.database.transaction() as session:
        await session.execute(text("UPDATE notebook_executions SET not_before = now() WHERE id = :id"), {"id": ids[0]})
    assert await line.claim() == ids[0]
    async with told(line):
        await line.end(ids[0], "failed")
    assert [await line.claim(), await line.claim()] == [ids[1], None]
    async with told(line), line.database.transaction() as session:
        await executions.cancel(session, line.intake, ANA, ids[2])
    await line.end(ids[1])
    assert await line.claim() is None


async def test_users_take_turns_however_many_batches_one_of_them_has(line: Line) -> None:
    notebook_id = await registered(line)
    batches = [(await begun(line, notebook_id, 2))[1] for _ in range(3)]
    bo = await line.submit("bo", n=2)
    mine = [execution_id for ids in batches for execution_id in ids]
    assert [await line.claim() for _ in range(8)] == [mine[0], bo[0], mine[1], bo[1], *mine[2:]]


async def test_nothing_of_a_batch_starts_from_the_moment_that_it_is_cancelled(line: Line) -> None:
    notebook_id = await registered(line)
    batch_id, ids = await begun(line, notebook_id, 3)
    assert await line.claim() == ids[0]
    [other] = await line.submit("bo")
    async with line.database.transaction() as session:
        await service.cancel(session, ANA, batch_id)
        # It is not committed yet, and keeps nobody waiting.
        async with asyncio.timeout(10):
            assert [await line.claim(), await line.claim()] == [other, None]
    assert await line.claim() is None
    stopping = await stands(line, batch_id)
    assert (stopping.status, stopping.stop_reason, stopping.estimated_end) == ("stopping", "cancelled", None)
    assert await tasks.clear(line.shop(), batch_id)
    assert await line.count("notebook_executions WHERE cancel_requested_at IS NOT NULL AND status = 'running'") == 1
    await line.end(ids[0], "cancelled")
    over = await stands(line, batch_id)
    assert (over.status, over.counts.cancelled, over.done) == ("cancelled", 3, 3)
    await cancelled(line, batch_id)
    ended, _ = await begun(line, notebook_id, 1)
    await line.end(await line.claim() or 0)
    with pytest.raises(BatchEnded):
        await cancelled(line, ended)


async def test_a_cancel_that_was_not_committed_changes_nothing(line: Line) -> None:
    batch_id, ids = await begun(line, await registered(line), 1)
    async with line.database.transaction() as session:
        await service.cancel(session, ANA, batch_id)
        await session.rollback()
    assert await line.claim() == ids[0]


async def test_when_as_many_have_failed_as_it_bears_nothing_more_of_it_starts(line: Line) -> None:
    batch_id, ids = await begun(line, await registered(line), 6, stop_after_failures=2)
    claimed = [await line.claim() for _ in range(4)]
    assert claimed == ids[:4]
    # Both end at the same time, so neither sees the other's end.
    await asyncio.gather(line.end(ids[0], "failed"), line.end(ids[1], "failed"))
    assert await line.claim() is None
    await tasks.clear(line.shop(), batch_id)
    # What runs goes on; what is to be tried again is not.
    await line.end(ids[2])
    await line.end(ids[3], "pending")
    assert await line.claim() is None
    await tasks.clear(line.shop(), batch_id)
    over = await stands(line, batch_id)
    assert (over.status, over.counts.model_dump()) == (
        "stopped",
        {"pending": 0, "running": 0, "success": 1, "failed": 2, "cancelled": 3},
    )
    reason = "failure = '{\"reason\": \"batch_stopped\"}' AND error_message LIKE '%2 executions of it had failed%'"
    assert await line.count(f"notebook_executions WHERE {reason}") == 3
    assert await line.count("procrastinate_jobs WHERE task_name = 'execute'") == 0
    assert await line.count("procrastinate_jobs WHERE task_name = 'pressroom.clear_batch'") == 2


async def test_the_end_of_a_batch_is_seen_by_the_later_of_two_that_end_at_the_same_time(line: Line) -> None:
    notebook_id = await registered(line)
    for _ in range(5):
        batch_id, ids = await begun(line, notebook_id, 4)
        assert [await line.claim() for _ in range(4)] == ids
        await asyncio.gather(*(line.end(execution_id) for execution_id in ids))
        assert (await stands(line, batch_id)).status == "finished"


async def test_a_chore_that_is_killed_in_the_middle_is_finished_by_the_next_worker(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "AT_ONCE", 10)
    batch_id, _ = await begun(line, await registered(line), 45, batch_limit=1)
    await cancelled(line, batch_id)
    steps = iter([False, False, True])
    assert not await tasks.clear(line.shop(), batch_id, lambda: next(steps))
    left = await stands(line, batch_id)
    assert (left.counts.pending, left.counts.cancelled, left.status) == (25, 20, "stopping")
    # As a worker leaves it that is gone: in its hand, and it gives no sign of life.
    async with line.database.transaction() as session:
        await session.execute(
            text("UPDATE procrastinate_jobs SET status = 'doing' WHERE task_name = 'pressroom.clear_batch'")
        )
    # What is put back is told to nobody, as other chores.
    async with working(line, poll=0.2, worker_lost_seconds=1.0):

        async def over() -> bool:
            return (await stands(line, batch_id)).status == "cancelled"

        await until(over)
    assert (await stands(line, batch_id)).counts.cancelled == 45
    assert await line.count("procrastinate_jobs") == 0


async def test_what_is_claimed_records_anew(line: Line) -> None:
    [one] = await line.submit()
    assert await line.claim() == one
    async with line.database.transaction() as session:
        await session.execute(text("UPDATE notebook_executions SET results = '{\"old\": 1}'"))
    await line.end(one, "pending")
    assert await line.claim() == one
    assert await line.count("notebook_executions WHERE results IS NOT NULL") == 0
