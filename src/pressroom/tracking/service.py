"""Which executions are to be runs of MLflow, and which are."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
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

_GIVE_UP = text("""
WITH given_up AS (
    DELETE FROM procrastinate_jobs WHERE queue_name = :queue AND status = 'todo'
        AND EXISTS (SELECT FROM mlflow_tracking WHERE seen_at < now() - interval '7 days')
    RETURNING CAST(args ->> 'execution_id' AS integer) AS execution_id
)
UPDATE mlflow_runs SET status = 'failed', detail = 'No worker has tracked for a week.'
FROM given_up WHERE mlflow_runs.execution_id = given_up.execution_id AND mlflow_runs.status = 'pending'
""")


@dataclass(frozen=True, slots=True)
class Due:
    """An execution that is to be a run: its row, what it recorded beside that, its notebook's name, and which
    installation it is of."""

    execution: Execution
    results: Sequence[ExecutionResult]
    notebook_name: str | None
    installation: str


class Claimed(Exception):
    """Another worker writes the run. Attribute: ``seconds``, how long it may take until that one has given up."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it is claimed for another {seconds:.0f} s")
        self.seconds = seconds


async def say_that_we_track(session: AsyncSession) -> None:
    """From now on, for a day, the executions that end are noted."""
    await session.execute(_SAY)


async def experiment(session: AsyncSession, notebook_id: int | None) -> tuple[str | None, str] | None:
    """The name of a notebook, and which installation this is; ``None`` where nobody has said yet that they track."""
    name = select(Notebook.name).where(Notebook.id == notebook_id).scalar_subquery()
    row = (await session.execute(select(name, MlflowTracking.installation))).one_or_none()
    return None if row is None else (row[0], str(row[1]))


async def claim(session: AsyncSession, execution_id: int, seconds: float) -> Due | None:
    """Take an execution that was noted and is no run yet, for ``seconds``; ``None`` where there is none.

    Raises :class:`Claimed`.
    """
    left = func.extract("epoch", MlflowRun.claimed_until - func.clock_timestamp())
    of = MlflowRun.execution_id == execution_id
    pending = select(func.coalesce(left, 0)).where(of, MlflowRun.status == "pending").with_for_update()
    left_seconds = await session.scalar(pending)
    if left_seconds is None:
        return None
    if left_seconds > 0:
        raise Claimed(float(left_seconds))
    until = func.clock_timestamp() + timedelta(seconds=seconds)
    await session.execute(update(MlflowRun).where(of).values(claimed_until=until))
    execution = await session.get_one(Execution, execution_id)
    recorded = select(ExecutionResult).where(ExecutionResult.execution_id == execution_id)
    results = (await session.scalars(recorded.order_by(ExecutionResult.name))).all()
    belongs = await experiment(session, execution.notebook_id)
    return None if belongs is None else Due(execution, results, *belongs)


async def release(session: AsyncSession, execution_id: int) -> None:
    """Give back what was claimed, without a try."""
    await session.execute(update(MlflowRun).where(MlflowRun.execution_id == execution_id).values(claimed_until=None))


async def record(session: AsyncSession, execution_id: int, run_id: str | None, failure: str | None) -> bool:
    """Write down how a try went, and end the claim; whether it was the last."""
    values: dict[str, Any] = {"attempts": MlflowRun.attempts + 1, "detail": failure, "claimed_until": None}
    if failure is None:
        values |= {"status": "written", "run_id": run_id, "written_at": func.clock_timestamp()}
    of = MlflowRun.execution_id == execution_id
    attempts = await session.scalar(update(MlflowRun).where(of).values(**values).returning(MlflowRun.attempts))
    over = failure is None or (attempts or 0) >= TRIES
    if failure is not None and over:
        await session.execute(update(MlflowRun).where(of).values(status="failed"))
    return over


async def give_up(session: AsyncSession) -> None:
    """Where no worker has tracked for a week, what was to be a run is to be none, and waits no more."""
    await session.execute(_GIVE_UP, {"queue": QUEUE})
