"""The history over HTTP."""

from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Annotated, Any, cast
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from pressroom import __version__
from pressroom.api import Id, Limit, Parts, QueryText, Reader, Skip, TheParts, Transaction, Viewer, address, problems
from pressroom.database.checks import Check
from pressroom.errors import Invalid, NotFound
from pressroom.executions import history as service
from pressroom.executions.history import History, HistoryPage
from pressroom.executions.history_query import LONGEST_VALUE, Order, moment, parameters_of
from pressroom.executions.schemas import ExecutionOut
from pressroom.executions.states import Status
from pressroom.identity.policy import viewer
from pressroom.identity.principal import Principal
from pressroom.identity.rights import Level
from pressroom.notebooks import levels
from pressroom.wire import MAX_ID, checked

router = APIRouter(tags=["executions"])
PAGE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page of the list.",
        "headers": {
            "X-Total-Count": {
                "description": "How many there are in all, exactly. Left out where counting would cost more than the "
                "page: with `after`, and with `queue`, `batch_id`, `schedule_id`, `submitted_after`, "
                "`submitted_before` or `param.NAME` unless the first page holds all there are.",
                "schema": {"type": "integer"},
            },
            "Link": {
                "description": 'The next page, `<...>; rel="next"`: from a cursor (`after`), or with `skip` where that '
                "was asked for.",
                "schema": {"type": "string"},
            },
        },
    }
}
TAGGED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The execution.",
        "headers": {
            "ETag": {"description": "Another one after each change.", "schema": {"type": "string"}},
        },
    },
    304: {"description": "Nothing changed since the `ETag` that `If-None-Match` names."},
}
PARAMETER_FILTER = {
    "parameters": [
        {
            "name": "param.NAME",
            "in": "query",
            "description": "Those executed with this value of the parameter `NAME`; any number of names, each once. A "
            "text matches itself, and the number, boolean or null that it spells: `param.month=7` matches `7` and "
            '`"7"`.',
            "schema": {"type": "string", "maxLength": LONGEST_VALUE},
            "example": "EMEA",
        }
    ]
}


def _parted(value: object) -> object:
    """The texts of a list, parted at their commas."""
    return [part for text in cast("list[object]", value) for part in str(text).split(",")] if value else value


Moment = Annotated[
    datetime, BeforeValidator(moment), WithJsonSchema({"type": "string", "format": "date-time"}, mode="validation")
]
Statuses = Annotated[list[Status], BeforeValidator(_parted)]
IfNoneMatch = Annotated[str | None, Header(description="`ETag`s that the caller knows; 304 where one still holds.")]


async def _history(
    request: Request,
    username: QueryText = None,
    status: Annotated[
        Statuses | None,
        Query(description="Any of these; repeated, or separated by commas.", examples=["success", "failed,cancelled"]),
    ] = None,
    notebook_id: Annotated[int | None, Query(ge=1, le=MAX_ID, description="Those of this registered notebook.")] = None,
    queue: Annotated[
        str | None, Query(max_length=100, description="Those of this queue."), AfterValidator(checked)
    ] = None,
    batch_id: Annotated[int | None, Query(ge=1, le=MAX_ID, description="Those of this batch.")] = None,
    schedule_id: Annotated[int | None, Query(ge=1, le=MAX_ID, description="Those of this schedule.")] = None,
    submitted_after: Annotated[Moment | None, Query(description="Submitted at this time or later.")] = None,
    submitted_before: Annotated[Moment | None, Query(description="Submitted before this time.")] = None,
    order: Annotated[Order, Query(description="By id, the newest first or the oldest.")] = Order.NEWEST,
    after: Annotated[
        int | None,
        Query(ge=1, le=MAX_ID, description="A cursor: only what comes after this id in the order. Not with `skip`."),
    ] = None,
) -> History:
    """What the query of a list asks for. Raises :class:`Invalid`."""
    if after is not None and "skip" in request.query_params:
        raise Invalid("Give either after, a cursor, or skip.")
    return History(
        username=username,
        statuses=tuple(sorted(set(status or ()))),
        notebook_id=notebook_id,
        queue=queue,
        batch_id=batch_id,
        schedule_id=schedule_id,
        submitted_after=submitted_after,
        submitted_before=submitted_before,
        parameters=parameters_of(request.query_params.multi_items()),
        oldest=order is Order.OLDEST,
        after=after,
    )


TheHistory = Annotated[History, Depends(_history)]


async def _page(
    request: Request, parts: Parts, caller: Principal, history: History, skip: int, limit: int, *, keep: bool = True
) -> Response:
    async def ask() -> tuple[HistoryPage, Check | None]:
        async with parts.database.snapshot() as session:
            check = None
            if keep and history.plain:
                versions = partial(service.versions_of_page, history, skip, limit)
                check = await parts.kept.check(request, caller, session, versions)
            return await service.page(session, history, skip, limit), check

    page, check = await parts.reads.get(("executions", history, skip, limit, keep), ask)
    headers = {} if page.total is None else {"X-Total-Count": str(page.total)}
    if page.more:
        by_cursor = "skip" not in request.query_params
        place = ("after", page.last) if by_cursor else ("skip", skip + limit)
        kept = [(k, v) for k, v in request.query_params.multi_items() if k not in ("skip", "after", "limit")]
        url = address(request, urlencode([*kept, place, ("limit", limit)]))
        headers["Link"] = f'<{url}>; rel="next"'
    response = Response(page.body, media_type="application/json", headers=headers)
    return parts.kept.keep(request, caller, response, check)


@router.get(
    "/db/executions",
    response_model=list[ExecutionOut],
    responses=PAGE | problems(Invalid),
    openapi_extra=PARAMETER_FILTER,
)
async def list_executions(
    request: Request, parts: TheParts, caller: Reader, history: TheHistory, skip: Skip = 0, limit: Limit = 100
) -> Response:
    """The history, newest first: all of it, or what meets every condition given."""
    return await _page(request, parts, caller, replace(history, seen_by=viewer(caller)), skip, limit)


@router.head("/db/executions", responses=PAGE | problems(Invalid), openapi_extra=PARAMETER_FILTER)
async def head_of_executions(
    request: Request, parts: TheParts, caller: Reader, history: TheHistory, skip: Skip = 0, limit: Limit = 100
) -> Response:
    """The headers of the list: how many there are, and the next page."""
    seen = replace(history, seen_by=viewer(caller))
    return await _page(request, parts, caller, seen, skip, limit, keep=False)


@router.get(
    "/db/executions/notebook/{notebook_id}",
    response_model=list[ExecutionOut],
    responses=PAGE | problems(NotFound, Invalid),
)
async def list_executions_of_a_notebook(
    notebook_id: Id,
    request: Request,
    parts: TheParts,
    caller: Viewer,
    skip: Skip = 0,
    limit: Limit = 100,
    after: Annotated[int | None, Query(ge=1, le=MAX_ID, description="A cursor. Not with `skip`.")] = None,
) -> Response:
    """A notebook's history, newest first."""
    if after is not None and "skip" in request.query_params:
        raise Invalid("Give either after, a cursor, or skip.")
    # In a transaction of its own: whoever holds a connection must not wait for another one.
    async with parts.database.transaction() as session:
        await levels.require(session, caller, notebook_id, Level.VIEWER)
    # Not kept: that the notebook is there is no matter of the page's rows.
    return await _page(request, parts, caller, History(notebook_id=notebook_id, after=after), skip, limit, keep=False)


def _same(known: str | None, tag: str) -> bool:
    """Whether ``If-None-Match`` names this ``ETag``."""
    given = [part.strip().removeprefix("W/") for part in (known or "").split(",")]
    return "*" in given or tag in given


def _tag(version: str) -> str:
    """The ``ETag`` of a version of a row. A later version of the service may show more of it."""
    return f'"{version}-{__version__}"'


@router.get(
    "/db/executions/{execution_id}", response_model=ExecutionOut, responses=TAGGED | problems(NotFound, Invalid)
)
async def read_an_execution(
    execution_id: Id, session: Transaction, caller: Viewer, if_none_match: IfNoneMatch = None
) -> Response:
    """One execution. Who asks again and again sends `If-None-Match` with the `ETag` of the last answer."""
    if if_none_match is not None:
        tag = _tag(await service.version(session, viewer(caller), execution_id))
        if _same(if_none_match, tag):
            return Response(status_code=304, headers={"ETag": tag})
    execution, version = await service.one(session, viewer(caller), execution_id)
    return Response(execution.model_dump_json(), media_type="application/json", headers={"ETag": _tag(version)})


@router.head("/db/executions/{execution_id}", responses=TAGGED | problems(NotFound, Invalid))
async def head_of_an_execution(
    execution_id: Id, session: Transaction, caller: Viewer, if_none_match: IfNoneMatch = None
) -> Response:
    """The `ETag` of an execution, which changes whenever the execution does."""
    tag = _tag(await service.version(session, viewer(caller), execution_id))
    status = 304 if _same(if_none_match, tag) else 200
    response = Response(status_code=status, media_type="application/json", headers={"ETag": tag})
    if "content-length" in response.headers:
        del response.headers["content-length"]  # that of the body, which is not made
    return response
