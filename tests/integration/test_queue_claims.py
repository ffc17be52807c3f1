"""Which execution is next: turns, priorities, limits, times; and that a row and its job come and go together."""

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import func, select, text

from line import ANA, Line, working
from pressroom.database.models import Attempt, Execution
from pressroom.database.url import conninfo
from pressroom.executions import service
from pressroom.executions.orders import Order, own_queue, repeated
from pressroom.executions.sweep import Sweep

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]


async def test_the_oldest_of_one_user_is_first(line: Line) -> None:
    submitted = await line.submit(n=3)
    assert [await line.claim() for _ in range(4)] == [*submitted, None]


async def test_ten_thousand_of_one_user_delay_anothers_one_by_what_is_running_and_no_more(line: Line) -> None:
    many = await line.submit("ana", n=10_000)
    running = [await line.claim() for _ in range(4)]
    assert running == many[:4]
    [one] = await line.submit("bo")
    assert await line.claim() == one


async def test_users_take_turns_within_a_priority(line: Line) -> None:
    ana, bo, cy = await line.submit("ana", n=3), await line.submit("bo", n=3), await line.submit("cy", n=1)
    claimed = [await line.claim() for _ in range(7)]
    assert claimed == [ana[0], bo[0], cy[0], ana[1], bo[1], ana[2], bo[2]]


async def test_who_comes_again_and_again_does_not_go_before_who_has_waited(line: Line) -> None:
    waiting = await line.submit("ana", n=4)
    order = []
    for _ in range(3):
        await line.submit("bo")
        order += [await line.claim(), await line.claim()]
    assert [execution_id for execution_id in order if execution_id in waiting] == waiting[:3]


async def test_a_higher_priority_goes_first_whoever_had_the_turn(line: Line) -> None:
    [low] = await line.submit("bo", priority=-1)
    [normal] = await line.submit("ana")
    high = await line.submit("ana", n=2, priority=5)
    assert [await line.claim() for _ in range(4)] == [*high, normal, low]


@pytest.mark.parametrize(("limit", "others"), [("notebook_limit", 1), ("user_limit", 1), ("queue_limit", 0)])
async def test_a_limit_leaves_others_their_way(line: Line, limit: str, others: int) -> None:
    limited = await line.submit("ana", n=3, **{limit: 2})
    assert [await line.claim() for _ in range(3)] == [*limited[:2], None]
    [other] = await line.submit("bo", notebook="other", **{limit: 2})
    assert await line.claim() == (other if others else None)
    assert await line.end(limited[0])
    assert await line.claim() == (limited[2] if others else other)


async def test_who_is_held_back_in_another_queue_is_told_that_a_place_is_free(line: Line) -> None:
    [runs] = await line.submit(queue="a", user_limit=1)
    [waits] = await line.submit(queue="b", user_limit=1)
    assert await line.claim(["a"]) == runs
    assert await line.claim(["b"]) is None
    async with await psycopg.AsyncConnection.connect(conninfo(line.database.url), autocommit=True) as workers:
        await workers.execute('LISTEN "procrastinate_queue_v1#b"')
        await line.end(runs)
        assert [told.channel async for told in workers.notifies(timeout=10, stop_after=1)]
    assert await line.claim(["b"]) == waits


async def test_who_waits_behind_one_that_a_limit_holds_back_is_told_when_that_one_is_cancelled(line: Line) -> None:
    [runs] = await line.submit()
    assert await line.claim() == runs
    [head] = await line.submit(notebook_limit=1)
    [behind] = await line.submit(notebook_limit=2)
    assert await line.claim() is None
    async with await psycopg.AsyncConnection.connect(conninfo(line.database.url), autocommit=True) as workers:
        await workers.execute('LISTEN "procrastinate_queue_v1#default"')
        async with line.database.transaction() as session:
            await service.cancel(session, line.intake, ANA, head)
        assert [told.channel async for told in workers.notifies(timeout=10, stop_after=1)]
    assert await line.claim() == behind


async def test_a_claim_is_a_sign_of_life(line: Line) -> None:
    await line.submit()
    async with line.database.transaction() as session:
        await session.execute(text("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'"))
    assert await line.claim()
    assert await line.count("procrastinate_workers WHERE last_heartbeat > now() - interval '1 minute'") == 1


async def test_a_limit_holds_when_many_workers_claim_at_once(line: Line) -> None:
    limited = await line.submit(n=30, user_limit=3)
    claimed = await asyncio.gather(*(line.claim() for _ in range(20)))
    assert sorted(found for found in claimed if found) == limited[:3]


async def test_no_two_workers_claim_the_same(line: Line) -> None:
    submitted = await line.submit(n=40)
    claimed = await asyncio.gather(*(line.claim() for _ in range(40)))
    assert sorted(found for found in claimed if found is not None) == submitted


async def test_a_worker_takes_from_its_queues_alone(line: Line) -> None:
    [gpu], [plain] = await line.submit(queue="gpu"), await line.submit()
    assert await line.claim(["gpu", "big"]) == gpu
    assert await line.claim(["gpu", "big"]) is None
    assert await line.claim(["default"]) == plain


async def test_a_commands_own_queue_is_served_by_nobody_else_and_swept_when_the_command_is_gone(line: Line) -> None:
    path = write_notebook(line.home / "n.ipynb", "1")
    own = own_queue()
    async with line.database.transaction() as session:
        order = Order(parameters={}, input_path=str(path), private_queue=own)
        [execution_id] = await service.submit(session, line.intake, ANA, [order])
    assert await line.claim() is None
    await Sweep(line.shop(worker_lost_seconds=0.0)).once()
    async with line.database.transaction() as session:
        row = await service.get(session, execution_id)
        assert (row.status, row.failure) == ("cancelled", {"reason": "worker_lost"})
        again = repeated(row)
        assert (again.private_queue, again.how.queue, again.how.max_attempts) == (None, None, None)
    assert await line.count("procrastinate_jobs") == 0


async def test_what_may_not_start_yet_or_no_more_is_left_out(line: Line) -> None:
    [first] = await line.submit()
    assert await line.claim() == first
    assert await line.end(first, "pending", "1 hour")
    await line.submit(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert await line.claim() is None
    assert await line.count("notebook_executions WHERE status = 'pending'") == 2
    async with line.database.transaction() as session:
        await session.execute(text("UPDATE notebook_executions SET not_before = now() WHERE id = :id"), {"id": first})
    assert await line.claim() == first


async def test_an_attempt_is_ended_once_and_by_its_number(line: Line) -> None:
    [one] = await line.submit()
    await line.claim()
    assert await line.end(one, "pending")
    assert await line.claim() == one
    async with line.database.transaction() as session:
        stale = text("SELECT end_attempt(:id, 1, 'success', NULL, NULL, NULL, 0, '0', NULL, NULL, NULL)")
        assert not await session.scalar(stale, {"id": one})
        attempts = (await session.scalars(select(Attempt).order_by(Attempt.number))).all()
        assert [(a.number, a.worker, a.ended_at is None) for a in attempts] == [(1, "w", False), (2, "w", True)]
    assert await line.end(one)
    assert not await line.end(one, "failed"), "a terminal state never changes"
    assert await line.count("procrastinate_jobs") == 0


async def test_a_row_and_its_job_are_committed_together_or_not_at_all(line: Line) -> None:
    path = write_notebook(line.home / "n.ipynb", "1")
    async with line.database.transaction() as session:
        await service.submit(session, line.intake, ANA, [Order(parameters={}, input_path=str(path))] * 5)
        assert await session.scalar(select(func.count()).select_from(Execution)) == 5
        await session.rollback()
    assert await line.count("notebook_executions") == 0
    assert await line.count("procrastinate_jobs") == 0
    await line.submit(n=3)
    linked = "notebook_executions JOIN procrastinate_jobs AS j ON j.id = job_id"
    linked += r" AND (j.args ->> 'execution_id')\:\:int = notebook_executions.id"
    assert await line.count(linked) == 3


async def test_waiting_does_not_count_as_the_time_that_an_execution_takes(line: Line) -> None:
    [one] = await line.submit(timeout_seconds=60, max_attempts=1)
    async with line.database.transaction() as session:
        await session.execute(text("UPDATE notebook_executions SET submitted_at = now() - interval '1 hour'"))
    async with working(line) as work:
        assert await work.end() == one
    assert await line.count("notebook_executions WHERE status = 'success'") == 1


async def test_a_cancel_and_the_end_of_its_job_are_committed_together_or_not_at_all(line: Line) -> None:
    [one] = await line.submit()
    waits, jobs = "notebook_executions WHERE status = 'pending'", "procrastinate_jobs WHERE task_name = 'execute'"
    async with line.database.transaction() as session:
        await service.cancel(session, line.intake, ANA, one)
        await session.rollback()
    assert (await line.count(waits), await line.count(jobs)) == (1, 1)
    async with line.database.transaction() as session:
        await service.cancel(session, line.intake, ANA, one)
    assert (await line.count(waits), await line.count(jobs)) == (0, 0)


async def test_what_is_cancelled_while_it_waits_is_never_claimed(line: Line) -> None:
    first, second = await line.submit(n=2)
    async with line.database.transaction() as session:
        cancelled, _ = await service.cancel(session, line.intake, ANA, first)
        assert (cancelled.status, cancelled.failure) == ("cancelled", {"reason": "cancelled"})
        claiming = asyncio.create_task(line.claim())
        _, pending = await asyncio.wait({claiming}, timeout=0.2)
        assert pending, "the claim waits for the row that is being cancelled"
    assert await claiming == second
    assert await line.claim() is None
    assert await line.count("procrastinate_jobs") == 1
