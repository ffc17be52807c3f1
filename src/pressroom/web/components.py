"""The page that shows the parts that pages are made of."""

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request, Response

from pressroom.api import Reader
from pressroom.batches.schemas import BatchStatus
from pressroom.executions.recent import BatchMark, Mark
from pressroom.executions.states import Status
from pressroom.parameters.rules import Definition
from pressroom.web.forms import fields_of
from pressroom.web.grids import heat_map
from pressroom.web.rendering import page
from pressroom.web.routes import PageRoute
from pressroom.web.strips import strip

router = APIRouter(route_class=PageRoute, include_in_schema=False)
_MOMENT = datetime(2026, 10, 31, 8, 0, tzinfo=UTC)
_SECONDS = (4.1, 4.4, 3.9, 4.2, 4.0, 9.5, 4.3, 4.6, 5.0, 5.4, 5.8)
_STATUSES = (Status.SUCCESS, Status.SUCCESS, Status.FAILED, *Status)
_DEFINITIONS = [
    Definition("region", "string", default="EMEA", description="Which region.", rules={"options": ["EMEA", "APAC"]}),
    Definition("month", "string", default="2026-10", rules={"pattern": "^[0-9]{4}-[0-9]{2}$"}),
    Definition("top_n", "integer", default=8, description="How many are shown.", rules={"min": 1, "max": 50}),
    Definition("share", "float", required=True, rules={"min": 0, "max": 1}),
    Definition("since", "date", default="2026-10-01"),
    Definition("not_before", "datetime", default="2026-10-31T08:00:00Z"),
    Definition("detailed", "boolean", default=True),
    Definition("columns", "list", default=["units"], rules={"options": ["units", "revenue", "margin"]}),
    Definition("settings", "json", default={"currency": "EUR"}),
    Definition("password", "string", secret=True),
]


@router.get("/ui")
async def show_components(request: Request, _: Reader) -> Response:
    """Each component in each of its states."""
    marks = [
        Mark(number, Status.FAILED if number == 6 else Status.SUCCESS, _MOMENT + timedelta(days=number), seconds)
        for number, seconds in enumerate(_SECONDS, start=1)
    ]
    marks.append(Mark(12, Status.RUNNING, _MOMENT + timedelta(days=12), None))
    errors = {"month": "must match '^[0-9]{4}-[0-9]{2}$', not \"October\""}
    fields = fields_of(_DEFINITIONS, {"month": "October", "password": "typed"}, errors)
    batch = [
        BatchMark(number + 1, _STATUSES[number % 7], _MOMENT, number / 2, number, {"rmse": number / 10})
        for number in range(12)
    ]
    return page(
        request,
        "ui.html",
        statuses=list(Status),
        fields=fields,
        strip=strip(marks),
        moment=_MOMENT.isoformat(),
        batch=batch,
        batch_statuses=list(BatchStatus),
        counts={"success": 7, "failed": 2, "cancelled": 1, "running": 2, "pending": 4},
        heat=heat_map({"alpha": [0.1, 0.2, 0.3, 0.4], "depth": [1, 2, 3]}, batch, "rmse"),
    )
