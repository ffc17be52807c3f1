"""Batches over HTTP."""

import hashlib
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, Request, Response, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter, ValidationError

from pressroom.api import (
    PAGE,
    Canceller,
    Facts,
    Id,
    Limit,
    Page,
    Parts,
    QueryText,
    Reader,
    Runner,
    Skip,
    TheParts,
    Transaction,
    Viewer,
    page_response,
    problems,
)
from pressroom.batches import service
from pressroom.batches.requests import planned, planned_of_file
from pressroom.batches.schemas import EXAMPLE, BatchCreate, BatchFields, BatchOut, BatchRetry
from pressroom.batches.standing import standing_of
from pressroom.batches.watching import watch
from pressroom.callers_first import CallerFirst
from pressroom.database.models import Batch
from pressroom.errors import BatchEnded, IdempotencyConflict, Invalid, NotAllowed, NotFound, TooLarge, TooMany
from pressroom.executions.endpoints import Key, once_of
from pressroom.executions.live_endpoints import EVENT_STREAM, UNBUFFERED
from pressroom.executions.refusals import not_valid
from pressroom.executions.service import Once, digests_of
from pressroom.executions.sight import Sight
from pressroom.identity.policy import viewer
from pressroom.identity.principal import Principal
from pressroom.settings import MEBIBYTE
from pressroom.wire import MAX_ID, Name, Username

router = APIRouter(tags=["batches"], route_class=CallerFirst)
ROWS = TypeAdapter(list[BatchOut])
MADE: dict[int | str, dict[str, Any]] = {
    201: {
        "description": "The batch.",
        "headers": {"Location": {"description": "The batch.", "schema": {"type": "string"}}},
    }
}
THE_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The batch as it stands, again and again.",
        "content": {
            EVENT_STREAM: {
                "schema": {"type": "string"},
                "example": f"event: batch\ndata: {json.dumps(EXAMPLE)}\n\n",
            }
        },
    }
}
MAY_FAIL = problems(NotAllowed, NotFound, IdempotencyConflict, TooLarge, Invalid, TooMany)
JSON_OBJECT = "as a JSON object"


@router.post("/db/batches", status_code=201, responses=MADE | MAY_FAIL)
async def begin_a_batch(
    wanted: BatchCreate,
    request: Request,
    response: Response,
    session: Transaction,
    parts: TheParts,
    caller: Runner,
    facts: Facts,
    key: Key = None,
) -> BatchOut:
    """Execute a notebook over many sets of parameters: those of `sets`, all combinations of a `grid`, or a `sample`.

    All sets are checked before anything is submitted. Where some are wrong, nothing is, and `errors` names up to 1,000
    of them, each by its place, `["body", "sets", 17, "region"]`, counted from 0 in the order of the executions whatever
    they came from; `wrong` is how many there are. An `Idempotency-Key` gives the batch that it began before."""
    plan = await planned(session, parts.settings, caller, wanted)
    batch = await service.begin(session, parts.intake, caller, plan, once_of(parts, request, key, wanted))
    return await _made(request, response, session, facts, batch)


@router.post("/db/batches/upload", status_code=201, responses=MADE | MAY_FAIL)
async def begin_a_batch_of_a_file(
    file: Annotated[UploadFile, File(description="A table, of CSV in UTF-8 or of Parquet.")],
    notebook_id: Annotated[int, Form(ge=1, le=MAX_ID)],
    request: Request,
    response: Response,
    session: Transaction,
    parts: TheParts,
    caller: Runner,
    facts: Facts,
    key: Key = None,
    name: Annotated[Name | None, Form()] = None,
    username: Annotated[Username | None, Form(description="Whom to act as; if left out, the notebook's owner.")] = None,
    parameters: Annotated[str, Form(description=f"The parameters that all sets share, {JSON_OBJECT}.")] = "{}",
    concurrency_limit: Annotated[int | None, Form(description="So many run at once at most.")] = None,
    in_order: Annotated[bool, Form(description="Each starts when all before it have ended.")] = False,
    stop_after_failures: Annotated[int | None, Form(description="How many may fail.")] = None,
    how: Annotated[
        str, Form(description=f"How they are queued, limited and retried, as in `POST /db/batches`, {JSON_OBJECT}.")
    ] = "{}",
) -> BatchOut:
    """Execute a notebook over the rows of a file, whose columns are parameters. A text of CSV is read as its
    parameter's type; an empty cell of CSV, and a null of Parquet, is left out. For the rest as `POST /db/batches`; the
    first row below the header is set 0."""
    fields = _fields(
        _object("how", how),
        notebook_id=notebook_id,
        name=name,
        username=username,
        parameters=_object("parameters", parameters),
        concurrency_limit=concurrency_limit,
        in_order=in_order,
        stop_after_failures=stop_after_failures,
    )
    limit = int(parts.settings.max_notebook_mb * MEBIBYTE)
    data = await file.read(limit + 1)
    if len(data) > limit:
        raise TooLarge("The file", limit)
    plan = await planned_of_file(session, parts.settings, caller, fields, data, limit)
    once = None
    if key is not None:
        said = [request.url.path, fields.model_dump(mode="json", exclude_unset=True), hashlib.sha256(data).hexdigest()]
        once = Once(key, digests_of(parts.settings, said))
    batch = await service.begin(session, parts.intake, caller, plan, once)
    return await _made(request, response, session, facts, batch)


@router.get("/db/batches", response_model=list[BatchOut], responses=PAGE | problems(Invalid))
async def list_batches(
    request: Request,
    session: Transaction,
    caller: Reader,
    username: QueryText = None,
    notebook_id: Annotated[int | None, Query(ge=1, le=MAX_ID, description="Those of this notebook.")] = None,
    skip: Skip = 0,
    limit: Limit = 100,
) -> Response:
    """The batches that the caller may see, newest first: their own, and those of notebooks that they may see."""
    found, total = await service.page(session, viewer(caller), username, notebook_id, skip, limit)
    return page_response(request, Page(ROWS.dump_json(found), len(found), total), skip, limit)


@router.get("/db/batches/{batch_id}", responses=problems(NotFound, Invalid))
async def read_a_batch(batch_id: Id, session: Transaction, caller: Viewer) -> BatchOut:
    """A batch: its executions by status, and when they will have ended if they end as fast as lately."""
    return await standing_of(session, await service.seen(session, caller, batch_id))


@router.get(
    "/db/batches/{batch_id}/events", response_class=Response, responses=THE_STREAM | problems(NotFound, Invalid)
)
async def follow_a_batch(batch_id: Id, request: Request, parts: TheParts, caller: Viewer) -> Response:
    """Follow a batch as Server-Sent Events: `batch` is the batch as it stands, at first and after changes, twice a
    second at most, until all of its executions have ended, or the caller may not see it any more."""
    await _seen(parts, batch_id, caller)
    sight = Sight(parts, request, ("batch", batch_id), partial(_seen, parts, batch_id))
    return StreamingResponse(_frames(parts, sight, batch_id), media_type=EVENT_STREAM, headers=UNBUFFERED)


@router.post("/db/batches/{batch_id}/cancel", responses=problems(NotAllowed, NotFound, BatchEnded, Invalid))
async def cancel_a_batch(batch_id: Id, session: Transaction, caller: Canceller) -> BatchOut:
    """Cancel a batch. From the answer on nothing of it starts any more; what waits becomes cancelled, and what runs is
    stopped, in the background: follow it to see its end."""
    return await standing_of(session, await service.cancel(session, caller, batch_id))


@router.post("/db/batches/{batch_id}/retry", status_code=201, responses=MADE | MAY_FAIL)
async def repeat_a_batch(
    batch_id: Id,
    request: Request,
    response: Response,
    session: Transaction,
    parts: TheParts,
    caller: Runner,
    facts: Facts,
    wanted: BatchRetry | None = None,
    key: Key = None,
) -> BatchOut:
    """Execute again, as a new batch, what has failed of a batch so far: with the same parameters, queue and limits,
    linked to it by `retry_of`. With `cancelled` what was cancelled too."""
    asked = wanted or BatchRetry()
    once = once_of(parts, request, key, asked)
    batch = await service.retry(session, parts.intake, caller, batch_id, cancelled=asked.cancelled, once=once)
    return await _made(request, response, session, facts, batch)


async def _made(
    request: Request, response: Response, session: Transaction, facts: dict[str, Any], batch: Batch
) -> BatchOut:
    facts |= {"batch_id": batch.id, "executions": batch.total}
    if batch.notebook_id is not None:
        facts["notebook_id"] = batch.notebook_id
    response.headers["Location"] = f"{request.scope.get('root_path', '')}/db/batches/{batch.id}"
    return await standing_of(session, batch)


async def _seen(parts: Parts, batch_id: int, caller: Principal) -> Batch:
    async with parts.database.transaction() as session:
        return await service.seen(session, caller, batch_id)


async def _frames(parts: Parts, sight: Sight, batch_id: int) -> AsyncIterator[bytes]:
    async def look() -> BatchOut:
        async with parts.database.transaction() as session:
            return await standing_of(session, await service.get(session, batch_id))

    yield b"retry: 1000\n\n"
    async for batch in watch(parts.following, batch_id, lambda: parts.reads.get(("batch stands", batch_id), look)):
        if (why := await sight.lost()) is not None:
            yield f": {why}\n\n".encode()
            return
        yield b": \n\n" if batch is None else f"event: batch\ndata: {batch.model_dump_json()}\n\n".encode()


def _object(field: str, text: str) -> dict[str, Any]:
    """The object in a field of a form. Raises :class:`Invalid`."""
    try:
        return TypeAdapter(dict[str, Any]).validate_json(text)
    except ValidationError as error:
        raise Invalid(f"{field}: must be a JSON object.") from error


def _fields(how: dict[str, Any], **fields: Any) -> BatchFields:
    """What a form says beside its file. Raises :class:`Invalid`."""
    try:
        return BatchFields.model_validate(how | {name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        errors = error.errors(include_input=False, include_url=False)
        told = "; ".join(f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in errors[:10])
        raise not_valid([{**one, "loc": ("body", *one["loc"])} for one in errors], f"{told}.") from error
