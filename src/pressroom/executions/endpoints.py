"""Executions over HTTP."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Header, Response
from fastapi.responses import JSONResponse

from pressroom.api import Caller, Parts, TheParts, problems
from pressroom.database.models import Execution
from pressroom.errors import (
    AlreadyExists,
    ExecutionCancelled,
    ExecutionFailed,
    ExecutionTimedOut,
    Invalid,
    NotAllowed,
    NotFound,
)
from pressroom.executions import service
from pressroom.executions.prefer import patience
from pressroom.executions.schemas import (
    ExecuteAnswer,
    ExecuteNotebookAnswer,
    ExecuteRequest,
    ExecutionOut,
    RunAnswer,
    RunRequest,
    Status,
)
from pressroom.executions.service import Order
from pressroom.identity.principal import Principal

router = APIRouter(tags=["executions"])
Prefer = Annotated[
    list[str] | None,
    Header(description="`respond-async`: answer 202 at once; `wait=N`: answer 202 after N seconds at most."),
]
ACCEPTED = {
    202: {
        "description": "It goes on; `Location` says where to ask.",
        "model": ExecutionOut,
        "headers": {"Location": {"description": "The execution.", "schema": {"type": "string"}}},
    }
}
ANSWERS = problems(NotAllowed, NotFound, AlreadyExists, ExecutionCancelled, Invalid, ExecutionFailed, ExecutionTimedOut)


async def _execute(
    parts: Parts, caller: Principal, order: Order, prefer: list[str] | None
) -> tuple[Execution, Response | None]:
    """Submit, run, and wait as long as the caller wants to: the ended execution, or the answer that it goes on."""
    seconds = patience(prefer or [])
    async with parts.database.transaction() as session:
        execution = await service.submit(session, parts.places, parts.settings, caller, order, parts.runner.service_id)
    parts.runner.start(execution.id)
    ended = await parts.runner.wait(execution.id, seconds)
    async with parts.database.transaction() as session:
        execution = await service.get(session, execution.id)
    if not ended:
        body = ExecutionOut.model_validate(execution).model_dump(mode="json")
        return execution, JSONResponse(body, 202, {"Location": f"/db/executions/{execution.id}"})
    service.raise_for_status(execution)
    return execution, None


def _order_of(wanted: RunRequest) -> Order:
    return Order(
        input_path=wanted.input_path,
        output_path=wanted.output_path,
        parameters=wanted.params,
        username=wanted.username,
        kernel_name=wanted.kernel_name,
        timeout_seconds=wanted.timeout_seconds,
    )


@router.post("/run-notebook", response_model=RunAnswer, responses=ACCEPTED | ANSWERS)
async def run_a_notebook(
    wanted: RunRequest, parts: TheParts, caller: Caller, prefer: Prefer = None
) -> RunAnswer | Response:
    """Execute a notebook, write the output where the caller says, and wait for the end."""
    execution, goes_on = await _execute(parts, caller, _order_of(wanted), prefer)
    return goes_on or RunAnswer(
        status=Status(execution.status),
        output=str(execution.output_path),
        timestamp=datetime.now(UTC),
        execution_id=execution.id,
    )


@router.post("/execute-notebook", response_model=ExecuteNotebookAnswer, responses=ACCEPTED | ANSWERS)
async def execute_a_notebook(
    wanted: RunRequest, parts: TheParts, caller: Caller, prefer: Prefer = None
) -> ExecuteNotebookAnswer | Response:
    """Execute a notebook, write the output where the caller says, and wait for the end."""
    execution, goes_on = await _execute(parts, caller, _order_of(wanted), prefer)
    return goes_on or ExecuteNotebookAnswer(
        status=Status(execution.status),
        output_notebook=str(execution.output_path),
        timestamp=datetime.now(UTC),
        execution_id=execution.id,
    )


@router.post("/execute", response_model=ExecuteAnswer, responses=ACCEPTED | ANSWERS)
async def execute_as_a_user(
    wanted: ExecuteRequest, parts: TheParts, caller: Caller, prefer: Prefer = None
) -> ExecuteAnswer | Response:
    """Execute a notebook as a user and wait for the end. The output goes under `executions/` beside the input, which
    stays untouched, or with `in_place` replaces it."""
    order = Order(
        input_path=wanted.input_path,
        parameters=wanted.parameters,
        username=wanted.username,
        in_place=wanted.in_place,
        kernel_name=wanted.kernel_name,
        timeout_seconds=wanted.timeout_seconds,
    )
    execution, goes_on = await _execute(parts, caller, order, prefer)
    return goes_on or ExecuteAnswer(
        status=Status(execution.status),
        input_notebook=execution.input_path,
        output_notebook=str(execution.output_path),
        parameters=execution.parameters_used or {},
        timestamp=datetime.now(UTC),
        execution_id=execution.id,
    )
