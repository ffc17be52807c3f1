"""Executions that are to be runs of MLflow, and how they are known."""

from typing import Any

from pydantic import SecretStr
from sqlalchemy import select, text

from line import Line
from pressroom.database.models import Execution, MlflowRun
from pressroom.executions.tasks import Workshop
from pressroom.tracking import service


async def say(line: Line) -> None:
    async with line.database.transaction() as session:
        await service.say_that_we_track(session)


async def over(line: Line, name: str, status: str = "success", **columns: Any) -> Execution:
    """An execution of a notebook of that name, which has been run and has ended."""
    async with line.database.transaction() as session:
        known = {"username": "ana", "submitted_by": "ana", "input_path": f"/home/ana/{name}.ipynb", "attempt": 1}
        execution = Execution(**known | columns, status="running", started_at=text("now()"))
        session.add(execution)
        await session.flush()
        execution.status, execution.completed_at = status, text("now()")
    async with line.database.transaction() as session:
        return await session.get_one(Execution, execution.id)


async def state(line: Line, execution: Execution) -> MlflowRun | None:
    async with line.database.transaction() as session:
        return await session.scalar(select(MlflowRun).where(MlflowRun.execution_id == execution.id))


def away(line: Line) -> Workshop:
    """A worker whose MLflow server is not there."""
    return line.shop(mlflow_tracking_uri=SecretStr("http://bob:s3cret@127.0.0.1:1"))
