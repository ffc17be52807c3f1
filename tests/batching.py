"""Batches of a line: a notebook of `ana` over sets of its parameters."""

from typing import Any

import pytest
from sqlalchemy import select

from line import ANA, Line
from pressroom.batches import service
from pressroom.batches.plans import BatchPlan
from pressroom.batches.schemas import BatchOut
from pressroom.batches.standing import standing_of
from pressroom.database.models import Execution, Notebook, Parameter

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]


async def registered(line: Line, *cells: str) -> int:
    """A notebook with a region and a number of months."""
    path = write_notebook(line.home / "sales.ipynb", *(cells or ("1",)), parameters='region = "EMEA"\nmonths = 3')
    async with line.database.transaction() as session:
        notebook = Notebook(name="sales", file_path=str(path), username="ana", tags=[], metadata_={})
        session.add(notebook)
        await session.flush()
        kinds = {"region": ("string", {"options": ["EMEA", "APAC"]}), "months": ("integer", {"min": 1, "max": 12})}
        for name, (kind, rules) in kinds.items():
            fields = {"param_name": name, "param_type": kind, "validation_rules": rules, "required": 0}
            session.add(Parameter(notebook_id=notebook.id, **fields))
    return notebook.id


async def begun(line: Line, notebook_id: int, count: int = 4, **fields: Any) -> tuple[int, list[int]]:
    """A batch of so many executions, and their ids."""
    sets = [{"months": number % 12 + 1} for number in range(count)]
    async with line.database.transaction() as session:
        batch = await service.begin(session, line.intake, ANA, BatchPlan(notebook_id, sets, "sets", **fields))
        found = await session.scalars(
            select(Execution.id).where(Execution.batch_id == batch.id).order_by(Execution.batch_index)
        )
        return batch.id, list(found)


async def stands(line: Line, batch_id: int) -> BatchOut:
    """A batch as it stands."""
    async with line.database.transaction() as session:
        return await standing_of(session, await service.get(session, batch_id))
