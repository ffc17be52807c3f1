"""Executions beside each other, over HTTP: the table of a notebook, and the difference of two."""

import asyncio
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import AfterValidator, BeforeValidator

from pressroom.api import Id, Skip, TheParts, Viewer, address, problems
from pressroom.errors import Invalid, NotFound, NotInstalled, TooLarge
from pressroom.executions import access, comparison, conditions, differences, frames
from pressroom.executions.comparison import Compared, Comparison
from pressroom.executions.frames import Format
from pressroom.executions.history_endpoints import Statuses
from pressroom.executions.lane import in_turn
from pressroom.executions.result_endpoints import TheFormat
from pressroom.executions.result_schemas import DifferenceOut
from pressroom.identity.policy import viewer
from pressroom.identity.rights import Level
from pressroom.notebooks import levels
from pressroom.settings import MEBIBYTE
from pressroom.wire import MAX_ID, checked

router = APIRouter(tags=["results"])
MOST = 50_000
MOST_IDS = 5000
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_ROW = {"id": 2, "status": "success", "started_at": "2026-10-31T08:00:00Z", "seconds": 3.2, "parameters.alpha": 0.2,
        "results.rmse": 0.12, "results.roc": {"kind": "image", "href": "/db/executions/2/results/roc"}}  # fmt: skip
A_TABLE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The table; as JSON an object a row.",
        "headers": {
            "X-Total-Count": {"description": "How many rows there are in all.", "schema": {"type": "integer"}},
            "Link": {"description": 'The next page, `<...>; rel="next"`.', "schema": {"type": "string"}},
        },
        "content": {
            "application/json": {"schema": {"type": "array", "items": {"type": "object"}}, "example": [_ROW]},
            "text/csv": {"schema": {"type": "string"}, "example": "id,status,parameters.alpha,results.rmse\r\n"},
            frames.MEDIA_TYPES[Format.PARQUET]: _BINARY,
            frames.MEDIA_TYPES[Format.ARROW]: _BINARY,
        },
    }
}
Texts = Annotated[list[Annotated[str, AfterValidator(checked)]], Query(max_length=50)]


def _ids(value: object) -> object:
    """The ids of a list, parted at their commas."""
    if not isinstance(value, list):
        return value
    found = [part for text in value for part in str(text).split(",")]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if len(found) > MOST_IDS:
        raise ValueError(f"names {len(found)} executions, and {MOST_IDS} can be asked for")
    return found


Ids = Annotated[list[Annotated[int, Query(ge=1, le=MAX_ID)]], BeforeValidator(_ids)]


@router.get(
    "/db/notebooks/{notebook_id}/compare",
    response_class=Response,
    responses=A_TABLE | problems(NotFound, NotInstalled, TooLarge, Invalid),
)
async def compare_executions(
    notebook_id: Id,
    request: Request,
    parts: TheParts,
    caller: Viewer,
    executions: Annotated[Ids | None, Query(description="These, separated by commas.", examples=["1,2,3"])] = None,
    batch: Annotated[int | None, Query(ge=1, le=MAX_ID, description="Those of this batch.")] = None,
    status: Annotated[Statuses | None, Query(description="Any of these, separated by commas.")] = None,
    where: Annotated[
        Texts | None,
        Query(
            description="Conditions, joined by `and`: `id`, `status`, `started_at`, `seconds`, `parameters.NAME` or "
            "`results.NAME`, an operator (`<`, `<=`, `>`, `>=`, `=`, `!=`), and a number, `true`, `false`, `null`, or "
            'a text. A name or a text with spaces stands in quotes: `results."my result"`.',
            examples=["results.rmse<0.2 and status=success"],
        ),
    ] = None,
    sort: Annotated[
        Texts | None,
        Query(
            description="Columns, separated by commas; a minus is for descending. What is missing comes last. If left "
            "out, the newest first.",
            examples=["results.rmse,-parameters.alpha"],
        ),
    ] = None,
    columns: Annotated[
        Texts | None,
        Query(
            description="These columns, separated by commas, after the id; if left out, all.",
            examples=["status,results.rmse"],
        ),
    ] = None,
    form: TheFormat = None,
    skip: Skip = 0,
    limit: Annotated[int, Query(ge=1, le=MOST, description="How many to answer at most.")] = 1000,
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """One table of a notebook's executions, their parameters and their results: of those that are named, of a batch, or
    of all of them. Columns are `id`, `status`, `started_at`, `seconds`, `parameters.NAME` and `results.NAME`; cells are
    numbers, texts and booleans. A list or an object among the parameters is JSON text; a result that is no value is a
    link in JSON, and no column elsewhere. Secret parameters are masked. Executions that are not of the notebook, or not
    the caller's to see, are left out. In CSV a text that a spreadsheet would take for a formula begins with an
    apostrophe."""
    if executions is not None and batch is not None:
        raise Invalid("Give either executions or batch.")
    wanted = frames.chosen(form, accept)
    asked = Comparison(
        notebook_id,
        executions=tuple(dict.fromkeys(executions or ())),
        batch=batch,
        statuses=tuple(dict.fromkeys(status or ())),
        where=conditions.conditions(where or ()),
        sort=conditions.keys(sort or ()),
        columns=conditions.fields(columns or (), "columns"),
        seen_by=viewer(caller),
    )
    async with parts.database.transaction() as session:
        await levels.require(session, caller, notebook_id, Level.VIEWER)
        found = await comparison.compare(session, asked, skip, limit, linked=wanted is Format.JSON)
    prefix = str(request.scope.get("root_path", ""))
    body = await asyncio.to_thread(_spelled, found, asked, wanted, prefix)
    headers = {"X-Total-Count": str(found.total), "X-Content-Type-Options": "nosniff"}
    if skip + found.length < found.total and found.length:
        kept = [(k, v) for k, v in request.query_params.multi_items() if k not in ("skip", "limit")]
        url = address(request, urlencode([*kept, ("skip", skip + limit), ("limit", limit)]))
        headers["Link"] = f'<{url}>; rel="next"'
    if wanted is not Format.JSON:
        headers["Content-Disposition"] = f'attachment; filename="compare-{notebook_id}.{wanted}"'
    return Response(body, media_type=frames.MEDIA_TYPES[wanted], headers=headers)


def _spelled(found: Compared, asked: Comparison, wanted: Format, prefix: str) -> bytes:
    if wanted is Format.JSON:
        return comparison.rendered(found, asked, prefix)
    return frames.spelled(found.columns, wanted)


@router.get(
    "/db/executions/{execution_id}/diff",
    response_model=DifferenceOut,
    responses=problems(NotFound, Invalid),
)
async def compare_two_executions(
    execution_id: Id,
    parts: TheParts,
    caller: Viewer,
    other: Annotated[int, Query(alias="with", ge=1, le=MAX_ID, description="The execution that it becomes.")],
) -> DifferenceOut:
    """What differs between an execution and another: parameters, results, and the code cells of their outputs as a
    unified diff each."""
    async with parts.database.transaction() as session:
        before = await access.seen(session, caller, execution_id)
        after = await access.seen(session, caller, other)
        results = [await differences.recorded(session, each) for each in (before, after)]
    limit = int((parts.settings.max_notebook_mb + 2 * parts.settings.max_output_mb) * MEBIBYTE)
    return await in_turn(lambda: differences.difference(parts.places, (before, after), results, limit))
