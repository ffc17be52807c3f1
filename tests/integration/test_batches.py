"""Batches: all sets are checked before any runs, and what is kept of them gives no secret away."""

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr
from sqlalchemy import select, text

from batching import begun, registered, stands
from line import ANA, Line
from pressroom.batches import filling, service
from pressroom.batches.plans import BatchPlan, Grid
from pressroom.database.models import Batch, Execution, Parameter
from pressroom.errors import (
    AlreadyExists,
    IdempotencyConflict,
    Invalid,
    NotFound,
    OverLimit,
    ParameterInvalid,
    TooLarge,
    TooMany,
)
from pressroom.executions.service import Once
from pressroom.parameters.sealing import SecretKeys


async def test_a_grid_becomes_executions_in_its_order(line: Line) -> None:
    grid = Grid({"region": ["EMEA", "APAC"], "months": [1, 2]})
    plan = BatchPlan(await registered(line), grid, "grid", batch_limit=2, in_order=True)
    async with line.database.transaction() as session:
        batch = await service.begin(session, line.intake, ANA, plan)
    async with line.database.transaction() as session:
        found = (await session.scalars(select(Execution).order_by(Execution.id))).all()
    assert [each.parameters_used for each in found] == [
        {"region": region, "months": months} for region in ("EMEA", "APAC") for months in (1, 2)
    ]
    assert [each.batch_index for each in found] == [0, 1, 2, 3]
    assert {(each.batch_id, each.batch_limit, each.in_order) for each in found} == {(batch.id, 2, True)}


async def test_each_wrong_set_is_named_and_nothing_is_submitted(line: Line) -> None:
    sets = [{"region": "EMEA", "months": 3 if number % 2 else 13} for number in range(3000)]
    plan = BatchPlan(await registered(line), sets, "sets")
    with pytest.raises(ParameterInvalid, match=r"^sets\[0\].months: .* And 1490 more\.$") as refused:
        async with line.database.transaction() as session:
            await service.begin(session, line.intake, ANA, plan)
    facts = refused.value.facts
    assert facts["wrong"] == 1500
    assert [each["loc"] for each in facts["errors"]] == [["body", "sets", 2 * n, "months"] for n in range(1000)]
    assert await line.count("notebook_executions") == await line.count("batches") == 0


async def test_a_grid_beyond_all_limits_is_refused_before_it_is_made(line: Line) -> None:
    grid = Grid({f"p{number}": list(range(1000)) for number in range(10)})
    with pytest.raises(OverLimit, match="PRESSROOM_BATCH_LIMIT"):
        async with line.database.transaction() as session:
            await service.begin(session, line.intake, ANA, BatchPlan(await registered(line), grid, "grid"))


async def test_a_body_that_becomes_gigabytes_of_rows_is_refused_before_it_does(line: Line) -> None:
    notebook_id, text = await registered(line), "x" * 100_000
    many = [{"months": 1}] * 100_000
    for sets, fixed in ((Grid({"region": [text], "months": list(range(90_000))}), {}), (many, {"region": text})):
        plan = BatchPlan(notebook_id, sets, "grid", fixed=fixed)  # type: ignore[arg-type]
        with pytest.raises(TooLarge, match="is larger than 256 MiB|come to is larger"):
            async with line.database.transaction() as session:
                await service.begin(session, line.intake, ANA, plan)


async def test_defaults_count_as_what_was_sent_does(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook_id = await registered(line)
    async with line.database.transaction() as session:
        fields = {"param_name": "free", "param_type": "string", "validation_rules": {}, "required": 0}
        session.add(Parameter(notebook_id=notebook_id, default_value="x" * 1000, **fields))
    monkeypatch.setattr(filling, "MOST_BYTES", 4000)
    monkeypatch.setattr(filling, "BYTES_AT_ONCE", 1)
    await begun(line, notebook_id, 3)
    with pytest.raises(TooLarge):
        await begun(line, notebook_id, 4)


async def test_a_caller_over_their_rate_is_told_before_anything_is_checked(line: Line) -> None:
    notebook_id = await registered(line)
    object.__setattr__(line.intake, "per_minute", 5)
    await begun(line, notebook_id, 4)
    wrong = BatchPlan(notebook_id, [{"months": 13}] * 4, "sets")
    with pytest.raises(TooMany):
        async with line.database.transaction() as session:
            await service.begin(session, line.intake, ANA, wrong)


async def test_what_a_caller_may_start_in_a_minute_holds_for_batches(line: Line) -> None:
    notebook_id = await registered(line)
    object.__setattr__(line.intake, "per_minute", 5)
    await begun(line, notebook_id, 4)
    with pytest.raises(TooMany):
        await begun(line, notebook_id, 4)
    with pytest.raises(OverLimit, match="PRESSROOM_EXECUTIONS_PER_MINUTE"):
        await begun(line, notebook_id, 6)
    assert await line.count("notebook_executions") == 4


async def test_a_key_gives_the_batch_that_it_began(line: Line) -> None:
    plan = BatchPlan(await registered(line), [{"months": 1}], "sets")

    async def asked(once: Once) -> int:
        async with line.database.transaction() as session:
            return (await service.begin(session, line.intake, ANA, plan, once)).id

    first = await asked(Once("k", ("a",)))
    assert await asked(Once("k", ("b", "a"))) == first
    with pytest.raises(IdempotencyConflict) as refused:
        await asked(Once("k", ("c",)))
    assert refused.value.facts["batch_id"] == first
    assert await line.count("notebook_executions") == 1


async def test_secrets_are_in_no_plan_and_no_error_and_a_repetition_has_them(line: Line) -> None:
    notebook_id = await registered(line)
    line.intake.settings.secret_key = SecretStr(Fernet.generate_key().decode())
    async with line.database.transaction() as session:
        fields = {"param_name": "token", "param_type": "string", "validation_rules": {"max_length": 8}, "required": 1}
        session.add(Parameter(notebook_id=notebook_id, secret=True, **fields))
    grid = {"token": ["canary-1", "canary-2"], "months": [1]}
    plan = BatchPlan(notebook_id, Grid(grid), "grid", {"grid": grid})  # type: ignore[dict-item]
    async with line.database.transaction() as session:
        batch_id = (await service.begin(session, line.intake, ANA, plan)).id
    wrong = BatchPlan(notebook_id, [{"token": "canary-1 is too long"}], "sets")
    with pytest.raises(ParameterInvalid) as refused:
        async with line.database.transaction() as session:
            await service.begin(session, line.intake, ANA, wrong)
    assert "canary" not in str(refused.value.problem())
    for _ in range(2):
        assert await line.end(await line.claim() or 0, "failed")
    async with line.database.transaction() as session:
        again = await service.retry(session, line.intake, ANA, batch_id)
    async with line.database.transaction() as session:
        rows = (await session.scalars(select(Execution).order_by(Execution.id))).all()
        batches = (await session.scalars(select(Batch).order_by(Batch.id))).all()
    assert batches[0].plan == {"grid": {"token": "********", "months": [1]}}
    assert (batches[1].retry_of, batches[1].total, batches[1].id) == (batch_id, 2, again.id)
    assert [each.batch_index for each in rows[2:]] == [0, 1]
    keys = SecretKeys.of(line.intake.settings)
    for row, number in zip(rows, (1, 2, 1, 2), strict=True):
        assert row.parameters_used == {"months": 1, "token": "********"}
        opened = keys.opened(str(row.secrets), (row.id, row.username, row.input_path))
        assert opened == {"token": f"canary-{number}"}


async def test_only_what_failed_is_repeated_unless_more_is_asked_for(line: Line) -> None:
    batch_id, ids = await begun(line, await registered(line), 3)
    for status in ("success", "failed", "cancelled"):
        await line.end(await line.claim() or 0, status)
    async with line.database.transaction() as session:
        one = await service.retry(session, line.intake, ANA, batch_id)
        two = await service.retry(session, line.intake, ANA, batch_id, cancelled=True)
        with pytest.raises(Invalid, match="nothing to repeat"):
            await service.retry(session, line.intake, ANA, one.id)
    async with line.database.transaction() as session:
        found = await session.execute(select(Execution.batch_id, Execution.retry_of).where(Execution.retry_of > 0))
        assert sorted(tuple(row) for row in found) == [(one.id, ids[1]), (two.id, ids[1]), (two.id, ids[2])]


async def test_how_a_batch_stands_is_counted_until_it_has_ended_and_then_kept(line: Line) -> None:
    batch_id, ids = await begun(line, await registered(line), 4)
    before = await stands(line, batch_id)
    assert (before.status, before.done, before.estimated_end, before.ended) == ("running", 0, None, False)
    for _ in range(2):
        await line.end(await line.claim() or 0)
    half = await stands(line, batch_id)
    assert half.counts.model_dump() == {"pending": 2, "running": 0, "success": 2, "failed": 0, "cancelled": 0}
    assert half.estimated_end is not None
    assert half.created_at < half.estimated_end
    claimed = [await line.claim(), await line.claim()]
    assert claimed == ids[2:]
    for execution_id, status in zip(claimed, ("failed", "success"), strict=True):
        assert not (await stands(line, batch_id)).ended
        await line.end(execution_id or 0, status)
    async with line.database.transaction() as session:
        await session.execute(text("DELETE FROM notebook_executions WHERE id = :id"), {"id": ids[0]})
    over = await stands(line, batch_id)
    assert (over.status, over.done, over.counts.success, over.estimated_end) == ("finished", 4, 3, None)
    assert over.elapsed_seconds == (await stands(line, batch_id)).elapsed_seconds


async def test_a_notebook_that_is_not_there_is_said_once(line: Line) -> None:
    with pytest.raises(NotFound, match="There is no notebook 77"):
        await begun(line, 77, 3)


async def test_a_repetition_whose_output_is_written_to_is_refused(line: Line) -> None:
    batch_id, ids = await begun(line, await registered(line), 1)
    await line.end(await line.claim() or 0, "failed")
    async with line.database.transaction() as session:  # as where executions/ is a link to another folder
        moved = text("UPDATE notebook_executions SET output_path = :path WHERE id = :id")
        await session.execute(moved, {"path": str(line.home / "chosen.ipynb"), "id": ids[0]})
    async with line.database.transaction() as session:
        await service.retry(session, line.intake, ANA, batch_id)
    with pytest.raises(AlreadyExists, match=r"writes to .*chosen\.ipynb"):
        async with line.database.transaction() as session:
            await service.retry(session, line.intake, ANA, batch_id)
