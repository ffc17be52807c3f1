"""Executions that are there, over HTTP: cancelling, trying again, attempts; the workers and the queues."""

from fastapi import APIRouter, Request, Response

from pressroom import logs
from pressroom.api import Administrator, Canceller, Id, Reader, Runner, TheParts, Transaction, Viewer, problems
from pressroom.errors import AlreadyEnded, AlreadyExists, Invalid, NotAllowed, NotFound, TooMany
from pressroom.executions import service, staff
from pressroom.executions.endpoints import ACCEPTED, Key, accepted, once_of
from pressroom.executions.kernel_schemas import KernelOut
from pressroom.executions.schemas import AttemptOut, ExecutionOut, QueueOut, WorkerOut
from pressroom.identity.audit import facts
from pressroom.identity.policy import viewer

router = APIRouter(tags=["executions"])
staff_router = APIRouter(tags=["service"])


@router.post("/db/executions/{execution_id}/cancel", responses=problems(NotAllowed, NotFound, AlreadyEnded, Invalid))
async def cancel_an_execution(
    execution_id: Id, session: Transaction, parts: TheParts, caller: Canceller
) -> ExecutionOut:
    """Cancel an execution. One that waits never starts; one that runs is interrupted, and killed some seconds later if
    it goes on; what it put out is kept. The answer shows it as it stands: follow it to see its end."""
    logs.about(execution_id)
    execution, ended = await service.cancel(session, parts.intake, caller, execution_id)
    if ended:
        parts.metrics.execution_ended(execution.status, "cancelled", None)
    return ExecutionOut.model_validate(execution)


@router.post(
    "/db/executions/{execution_id}/retry",
    status_code=202,
    response_model=ExecutionOut,
    responses=ACCEPTED | problems(NotAllowed, NotFound, AlreadyExists, Invalid, TooMany),
)
async def execute_again(
    execution_id: Id, request: Request, session: Transaction, parts: TheParts, caller: Runner, key: Key = None
) -> Response:
    """Execute again what an ended execution did: a new execution with the same input, parameters, queue and limits,
    whatever its notebook says by now, linked to it by `retry_of`. Nothing is waited for."""
    once = once_of(parts, request, key)
    again = await service.retry(session, parts.intake, caller, execution_id, once)
    logs.about(again.id)
    facts(request.scope)["execution_ids"] = [again.id]
    return accepted(request, again)


@router.get("/db/executions/{execution_id}/attempts", responses=problems(NotFound, Invalid))
async def list_attempts(execution_id: Id, session: Transaction, caller: Viewer) -> list[AttemptOut]:
    """The tries at an execution, first to last: by which worker, from when to when, and why each ended."""
    return [AttemptOut.model_validate(row) for row in await service.attempts(session, caller, execution_id)]


@staff_router.get("/db/workers", responses=problems())
async def list_workers(session: Transaction, parts: TheParts, _: Administrator) -> list[WorkerOut]:
    """The workers: where they are, which queues they serve, and what they run."""
    return await staff.workers(session, parts.settings.worker_lost_seconds)


@staff_router.get("/db/queues", responses=problems())
async def list_queues(session: Transaction, caller: Reader) -> list[QueueOut]:
    """The queues in which something waits or runs that the caller may see: how many, and since when the oldest
    waits."""
    return await staff.queues(session, viewer(caller))


@staff_router.get("/kernels", responses=problems())
async def list_kernels(session: Transaction, parts: TheParts, _: Reader) -> list[KernelOut]:
    """The kernels that notebooks can ask for, and how each living worker starts them: forked, with libraries loaded, or
    why not. A worker tells of its own when it begins, and of changes within some seconds."""
    return await staff.kernels(session, parts.settings.worker_lost_seconds)
