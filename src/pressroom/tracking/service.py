"""Which executions are to be runs of MLflow, and which are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import Execution, ExecutionResult, MlflowRun, MlflowTracking, Notebook

QUEUE = "pressroom:tracking"
"""The queue of Procrastinate's jobs, served by workers that track. ``note_for_mlflow()`` names it, and the task."""
TASK = "track"
TRIES = 12
"""How often it is tried to write a run before that has failed."""
# Of several workers at once one makes the row, and the others change it.
_SAY = text("INSERT INTO mlflow_tracking DEFAULT VALUES ON CONFLICT (sole) DO UPDATE SET seen_at = clock_timestamp()")


@dataclass(frozen=True, slots=True)
class Due:
    """An execution that is to be a run: its row, what it recorded beside that, its notebook's name, and which
    installation it is of."""

    execution: Execution
    results: Sequence[ExecutionResult]
    notebook_name: str | None
    installation: str


async def say_that_we_track(session: AsyncSession) -> None:
    """From now on, for a day, the executions that end are noted."""
    await session.execute(_SAY)


async def experiment(session: AsyncSession, notebook_id: int | None) -> tuple[str | None, str] | None:
    """The name of a notebook, and which installation this is; ``None`` where nobody has said yet that they track."""
    name = select(Notebook.name).where(Notebook.id == notebook_id).scalar_subquery()
    row = (await session.execute(select(name, MlflowTracking.installation))).one_or_none()
    return None if row is None else (row[0], str(row[1]))


async def due(session: AsyncSession, execution_id: int) -> Due | None:
    """An execution that was noted and is no run yet, for this transaction alone; ``None`` where there is none, or where
    another worker is at it."""
    wanted = (
        select(MlflowRun.execution_id)
        .where(MlflowRun.execution_id == execution_id, MlflowRun.status == "pending")
        .with_for_update(skip_locked=True)
    )
    if await session.scalar(wanted) is None:
        return None
    execution = await session.get_one(Execution, execution_id)
    recorded = select(ExecutionResult).where(ExecutionResult.execution_id == execution_id)
    results = (await session.scalars(recorded.order_by(ExecutionResult.name))).all()
    belongs = await experiment(session, execution.notebook_id)
    return None if belongs is None else Due(execution, results, *belongs)


async def record(session: AsyncSession, execution_id: int, run_id: str | None, failure: str | None) -> bool:
    """Write down how a try went; whether it was the last."""
    values: dict[str, Any] = {"attempts": MlflowRun.attempts + 1, "detail": failure}
    if failure is None:
        values |= {"status": "written", "run_id": run_id, "written_at": func.clock_timestamp()}
    of = MlflowRun.execution_id == execution_id
    attempts = await session.scalar(update(MlflowRun).where(of).values(**values).returning(MlflowRun.attempts))
    over = failure is None or (attempts or 0) >= TRIES
    if failure is not None and over:
        await session.execute(update(MlflowRun).where(of).values(status="failed"))
    return over
