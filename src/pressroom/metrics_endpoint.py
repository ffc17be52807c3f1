"""The metrics of the service: what ``GET /metrics`` answers."""

from typing import Any

from fastapi import APIRouter, Request, Response

from pressroom.api import TheParts, open_problems
from pressroom.errors import NotAllowed
from pressroom.metrics_listener import REFUSED, may_read

router = APIRouter(tags=["service"])
_TEXT = {"schema": {"type": "string"}, "example": "pressroom_workers 1.0\n"}
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The metrics, in Prometheus' text format, or in OpenMetrics where `Accept` asks for it.",
        "content": {"text/plain": _TEXT, "application/openmetrics-text": _TEXT},
    }
}


@router.get("/metrics", response_class=Response, responses=_ANSWER | open_problems(NotAllowed))
async def metrics(request: Request, parts: TheParts) -> Response:
    """Metrics for Prometheus.

    Programs on this machine may read them, and those that send the token of `PRESSROOM_METRICS_TOKEN` as a bearer.
    Where the database is away, `pressroom_database_up` is 0 and what only it knows is left out.
    """
    if not may_read(request, parts.settings.metrics_token):
        raise NotAllowed(REFUSED)
    body, content_type = await parts.metrics.render(parts.database, request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": content_type})
