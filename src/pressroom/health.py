"""Whether the service is well, part by part: what ``GET /health`` answers."""

import asyncio
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from pressroom.api import TheParts
from pressroom.errors import Unavailable
from pressroom.executions import staff
from pressroom.wire import Timestamp

router = APIRouter(tags=["service"])
ANSWER_SECONDS = 0.04
"""How long the database may take."""
State = Literal["healthy", "degraded", "unhealthy"]


class PartHealth(BaseModel):
    """The state of one part, and a sentence where it is not well."""

    status: State
    detail: str | None = None


class Health(BaseModel):
    """The state of the service. Without its database it is unhealthy, without a kernel or a worker degraded."""

    status: State
    papermill_available: bool
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
        async with asyncio.timeout(ANSWER_SECONDS), parts.database.transaction() as session:
            waiting, places = await staff.summary(session)
        queue.detail = f"{waiting} executions wait"
        workers.detail = f"{places} executions can run at once"
        if not places:
            workers = PartHealth(status="degraded", detail="no worker runs; `pressroom worker` starts one")
    except (Unavailable, TimeoutError) as error:
        detail = error.detail if isinstance(error, Unavailable) else "it did not answer in time"
        database = PartHealth(status="unhealthy", detail=detail)
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
        timestamp=datetime.now(UTC),
        database=database,
        queue=queue,
        workers=workers,
        kernels=kernels,
    )
