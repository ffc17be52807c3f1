"""Whether the service is well, part by part: what ``GET /health`` answers."""

from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from pressroom.api import TheParts
from pressroom.errors import Unavailable
from pressroom.executions import staff
from pressroom.wire import Timestamp, example

router = APIRouter(tags=["service"])
ANSWER_SECONDS = 0.5
"""How long the database may take before it is called unhealthy: less than a probe waits, more than a busy machine's
database needs. It mostly answers in a few milliseconds."""
State = Literal["healthy", "degraded", "unhealthy"]


class PartHealth(BaseModel):
    """The state of one part, and a sentence where it is not well."""

    status: State
    detail: str | None = None


class Health(BaseModel):
    """The state of the service. Without its database it is unhealthy, without a kernel or a worker degraded."""

    model_config = example(
        status="healthy",
        papermill_available=True,
        run_as="service",
        timestamp="2026-10-31T08:00:00.000000Z",
        database={"status": "healthy", "detail": None},
        queue={"status": "healthy", "detail": "0 executions wait"},
        workers={"status": "healthy", "detail": "2 executions can run at once"},
        kernels={"status": "healthy", "detail": "python3"},
    )
    status: State
    papermill_available: bool
    run_as: Literal["service", "user"] = Field(
        description="As whom notebooks run: the one account of the service, or each as the account of its user."
    )
    timestamp: Timestamp
    database: PartHealth
    queue: PartHealth
    workers: PartHealth
    kernels: PartHealth


@router.get("/health", responses={503: {"description": "The service cannot work.", "model": Health}})
async def health(parts: TheParts, response: Response) -> Health:
    """The state of the service and of each of its parts."""
    database = PartHealth(status="healthy")
    queue, workers = PartHealth(status="healthy"), PartHealth(status="healthy")
    try:
        question = staff.summary(parts.settings.worker_lost_seconds)
        waiting, places = await parts.database.ask(question, ANSWER_SECONDS)
        queue.detail = f"{waiting} executions wait"
        workers.detail = f"{places} executions can run at once"
        if not places:
            workers = PartHealth(status="degraded", detail="no worker runs; `pressroom worker` starts one")
    except Unavailable as error:
        database = PartHealth(status="unhealthy", detail=error.detail)
        queue = workers = PartHealth(status="unhealthy", detail="the database tells of it")
    names = await parts.kernels.names()
    kernels = PartHealth(status="healthy", detail=", ".join(names))
    if not names:
        kernels = PartHealth(status="degraded", detail="no kernel is installed; `pip install ipykernel` brings one")
    papermill = find_spec("papermill") is not None
    status: State = "healthy" if papermill and names and workers.status == "healthy" else "degraded"
    if database.status == "unhealthy":
        status = "unhealthy"
        response.status_code = 503
    return Health(
        status=status,
        papermill_available=papermill,
        run_as=parts.settings.run_as,
        timestamp=datetime.now(UTC),
        database=database,
        queue=queue,
        workers=workers,
        kernels=kernels,
    )
