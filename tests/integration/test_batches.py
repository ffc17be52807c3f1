"""Batches: all sets are checked before any runs, and all of a batch is one thing."""

import pytest
from sqlalchemy import select

from line import ANA, Line
from pressroom.batches import service
from pressroom.batches.plans import BatchPlan, Grid
from pressroom.database.models import Execution, Notebook, Parameter
from pressroom.errors import OverLimit, ParameterInvalid

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]


async def registered(line: Line) -> int:
    """A notebook of `ana` with a number of months and a region."""
    path = write_notebook(line.home / "sales.ipynb", "1")
    async with line.database.transaction() as session:
        notebook = Notebook(name="sales", file_path=str(path), username="ana", tags=[], metadata_={})
        session.add(notebook)
        await session.flush()
        for name, kind, rules in (
            ("region", "string", {"options": ["EMEA", "APAC"]}),
            ("months", "integer", {"min": 1, "max": 12}),
        ):
            session.add(
                Parameter(notebook_id=notebook.id, param_name=name, param_type=kind, required=0, validation_rules=rules)
            )
    return notebook.id


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
    assert await line.count("notebook_executions") == 0


async def test_a_grid_beyond_all_limits_is_refused_before_it_is_made(line: Line) -> None:
    grid = Grid({f"p{number}": list(range(1000)) for number in range(10)})
    with pytest.raises(OverLimit, match="PRESSROOM_BATCH_LIMIT"):
        async with line.database.transaction() as session:
            await service.begin(session, line.intake, ANA, BatchPlan(await registered(line), grid, "grid"))
