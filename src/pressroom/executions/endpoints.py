"""Executions over HTTP."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from pressroom import logs
from pressroom.api import ActingRunner, Id, Parts, Runner, TheParts, Transaction, problems, record
from pressroom.callers_first import CallerFirst
from pressroom.database.models import Execution
from pressroom.errors import (
    AlreadyExists,
    ExecutionCancelled,
    ExecutionFailed,
    ExecutionTimedOut,
    Invalid,
    NotAllowed,
    NotFound,
    TooMany,
)
from pressroom.executions import limits, service
from pressroom.executions.options import KEY_PATTERN
from pressroom.executions.orders import Order
from pressroom.executions.prefer import patience
from pressroom.executions.schemas import (
    BulkAnswer,
    BulkRequest,
    ExecuteAnswer,
    ExecuteNotebookAnswer,
    ExecuteRequest,
    ExecutionOut,
    NotebookExecutionRequest,
    RunAnswer,
    RunRequest,
)
from pressroom.executions.service import Once
from pressroom.executions.states import TERMINAL, Status
from pressroom.identity.audit import Entry, facts
from pressroom.identity.principal import Principal

router = APIRouter(tags=["executions"], route_class=CallerFirst)
Prefer = Annotated[
    list[str] | None,
    Header(description="`respond-async`: answer 202 at once; `wait=N`: answer 202 after N seconds at most."),
]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=KEY_PATTERN,
        description="The same key and body give the same execution, however often they come; with another body 409.",
    ),
]
ACCEPTED = {
    202: {
        "description": "It goes on; `Location` says where to ask.",
        "model": ExecutionOut,
        "headers": {"Location": {"description": "The execution.", "schema": {"type": "string"}}},
    }
}
ANSWERS = problems(
    NotAllowed, NotFound, AlreadyExists, ExecutionCancelled, Invalid, TooMany, ExecutionFailed, ExecutionTimedOut
)


async def _execute(
    request: Request, parts: Parts, caller: Principal, order: Order, prefer: list[str] | None, once: Once | None
) -> tuple[Execution, Response | None]:
    """Submit, and wait as long as the caller wants to: the ended execution, or the answer that it goes on."""
    seconds = patience(prefer or [])
    if once is not None:
        async with parts.database.transaction() as session:
            [execution_id] = await service.submit_once(session, parts.intake, caller, [order], once)
            facts(request.scope)["execution_ids"] = [execution_id]
            entry = await record(request, session)
    else:
        entry = Entry.of(request.scope, caller)
        async with parts.database.statements() as connection:
            [execution_id] = await service.submit_on(connection, parts.intake, caller, [order], audit=entry)
    logs.about(execution_id)
    await parts.audit.tell(entry)
    ended = seconds != 0 and await parts.following.wait(execution_id, seconds)
    async with parts.database.transaction() as session:
        execution = await service.get(session, execution_id)
    # Who does not wait gets the row, however soon the execution has ended, or how long ago the one with this key.
    if seconds == 0 or (not ended and Status(execution.status) not in TERMINAL):
        return execution, accepted(request, execution)
    service.raise_for_status(execution)
    return execution, None


def accepted(request: Request, execution: Execution) -> Response:
    """The answer that an execution goes on."""
    body = ExecutionOut.model_validate(execution).model_dump(mode="json")
    location = f"{request.scope.get('root_path', '')}/db/executions/{execution.id}"
    return JSONResponse(body, 202, {"Location": location})


def _order_of(wanted: RunRequest) -> Order:
    return Order(
        input_path=wanted.input_path,
        output_path=wanted.output_path,
        parameters=wanted.params,
        username=wanted.username,
        how=wanted,
    )


@router.post("/run-notebook", response_model=RunAnswer, responses=ACCEPTED | ANSWERS)
async def run_a_notebook(
    wanted: RunRequest, parts: TheParts, caller: ActingRunner, request: Request, prefer: Prefer = None, key: Key = None
) -> RunAnswer | Response:
    """Execute a notebook, write the output where the caller says, and wait for the end."""
    execution, goes_on = await _execute(
        request, parts, caller, _order_of(wanted), prefer, once_of(parts, request, key, wanted)
    )
    return goes_on or RunAnswer(
        status=Status(execution.status),
        output=str(execution.output_path),
        timestamp=datetime.now(UTC),
        execution_id=execution.id,
    )


@router.post("/execute-notebook", response_model=ExecuteNotebookAnswer, responses=ACCEPTED | ANSWERS)
async def execute_a_notebook(
    wanted: RunRequest, parts: TheParts, caller: ActingRunner, request: Request, prefer: Prefer = None, key: Key = None
) -> ExecuteNotebookAnswer | Response:
    """Execute a notebook, write the output where the caller says, and wait for the end."""
    execution, goes_on = await _execute(
        request, parts, caller, _order_of(wanted), prefer, once_of(parts, request, key, wanted)
    )
    return goes_on or ExecuteNotebookAnswer(
        status=Status(execution.status),
        output_notebook=str(execution.output_path),
        timestamp=datetime.now(UTC),
        execution_id=execution.id,
    )


@router.post("/execute", response_model=ExecuteAnswer, responses=ACCEPTED | ANSWERS)
async def execute_as_a_user(
    wanted: ExecuteRequest,
    parts: TheParts,
    caller: ActingRunner,
    request: Request,
    prefer: Prefer = None,
    key: Key = None,
) -> ExecuteAnswer | Response:
    """Execute a notebook as a user and wait for the end. The output goes under `executions/` beside the input, which
    stays untouched, or with `in_place` replaces it."""
    order = Order(
        input_path=wanted.input_path,
        parameters=wanted.parameters,
        username=wanted.username,
        in_place=wanted.in_place,
        how=wanted,
    )
    execution, goes_on = await _execute(request, parts, caller, order, prefer, once_of(parts, request, key, wanted))
    return goes_on or _answer(execution)


@router.post("/db/notebooks/{notebook_id}/executions", response_model=ExecuteAnswer, responses=ACCEPTED | ANSWERS)
async def execute_a_registered_notebook(
    notebook_id: Id,
    wanted: NotebookExecutionRequest,
    parts: TheParts,
    caller: Runner,
    request: Request,
    prefer: Prefer = None,
    key: Key = None,
) -> ExecuteAnswer | Response:
    """Execute a registered notebook and wait for the end; `Prefer: respond-async` does not wait."""
    order = _order_for(wanted, notebook_id, None)
    execution, goes_on = await _execute(request, parts, caller, order, prefer, once_of(parts, request, key, wanted))
    return goes_on or _answer(execution)


@router.post(
    "/db/executions/bulk",
    status_code=202,
    responses=problems(NotAllowed, NotFound, AlreadyExists, Invalid, TooMany),
)
async def submit_many_executions(
    wanted: BulkRequest, session: Transaction, parts: TheParts, caller: ActingRunner, request: Request, key: Key = None
) -> BulkAnswer:
    """Submit up to 10,000 executions, or as many as the service allows, in one transaction: all of them, or none where
    one is wrong. The problem is then that of the first, and `errors` names each wrong one by its place in the body.
    Nothing is waited for. An `Idempotency-Key` holds for all together: the same key and body give the same executions.
    """
    limits.require_bulk(parts.settings, len(wanted.executions))
    told = facts(request.scope)
    orders = [
        _order_for(item, item.notebook_id, item.input_path, ("executions", number))
        for number, item in enumerate(wanted.executions)
    ]
    if (once := once_of(parts, request, key, wanted)) is not None:
        found = await service.submit_once(session, parts.intake, caller, orders, once)
    else:
        found = await service.submit(session, parts.intake, caller, orders)
    told["execution_ids"] = found
    return BulkAnswer(total=len(found), ids=found)


def _order_for(
    wanted: NotebookExecutionRequest, notebook_id: int | None, input_path: str | None, place: tuple[str | int, ...] = ()
) -> Order:
    return Order(
        notebook_id=notebook_id,
        input_path=input_path,
        output_path=wanted.output_path,
        parameters=wanted.parameters,
        username=wanted.username,
        in_place=wanted.in_place,
        how=wanted,
        place=place,
    )


def _answer(execution: Execution) -> ExecuteAnswer:
    return ExecuteAnswer(
        status=Status(execution.status),
        input_notebook=execution.input_path,
        output_notebook=str(execution.output_path),
        parameters=execution.parameters_used or {},
        timestamp=datetime.now(UTC),
        execution_id=execution.id,
    )


def once_of(parts: Parts, request: Request, key: str | None, wanted: BaseModel | None = None) -> Once | None:
    """The idempotency key of a request, and what tells the request from others: its path, and its body if any."""
    if key is None:
        return None
    body = [wanted.model_dump(mode="json", exclude_unset=True)] if wanted is not None else []
    return Once(key, service.digests_of(parts.settings, [request.url.path, *body]))
