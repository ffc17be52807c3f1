"""An execution while it goes on, and what it left: its events, its log, its notebook."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Annotated, Any, BinaryIO, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from pressroom.api import Id, Parts, TheParts, Transaction, Viewer, problems
from pressroom.compression import compressed
from pressroom.database.models import Execution
from pressroom.errors import Invalid, NotAllowed, NotebookInvalid, NotFound, TooLarge, Unavailable
from pressroom.executions import access, service
from pressroom.executions.event_schemas import Log
from pressroom.executions.schemas import ExecutionOut
from pressroom.executions.sight import Sight
from pressroom.executions.states import TERMINAL, Status
from pressroom.identity.principal import Principal
from pressroom.notebooks import outputs
from pressroom.notebooks.rendering import HTML, SANDBOX, to_html
from pressroom.settings import MEBIBYTE
from pressroom.wire import MAX_EVENT_ID

router = APIRouter(tags=["executions"])
EVENT_STREAM = "text/event-stream"
IPYNB = "application/x-ipynb+json"


def _text_like(sample: str) -> dict[str, Any]:
    return {"schema": {"type": "string"}, "example": sample}


_FRAME = 'id: 7\nevent: started\ndata: {"cells": 5, "attempt": 1, "at": "2026-10-31T07:59:57Z"}\n\n'
_EMPTY: dict[str, Any] = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}
THE_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "The events, as they come.", "content": {EVENT_STREAM: _text_like(_FRAME)}},
    204: {"description": "It has ended, and there is no event beyond `Last-Event-ID`: do not ask again."},
}
THE_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"description": "The text.", "content": {"text/plain": _text_like("EMEA: 24\n")}}
}
THE_NOTEBOOK: dict[int | str, dict[str, Any]] = {
    200: {"description": "The notebook.", "content": {IPYNB: {"schema": {"type": "object"}, "example": _EMPTY}}}
}
THE_PAGE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The page.", "content": {"text/html": {"schema": {"type": "string"}, "example": "<html>"}}}
}
_AS_SAID = {"X-Content-Type-Options": "nosniff"}
UNBUFFERED = {**_AS_SAID, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""The headers of a stream."""


@router.get(
    "/db/executions/{execution_id}/events",
    response_class=Response,
    responses=THE_STREAM | problems(NotFound, Invalid),
)
async def follow_an_execution(
    execution_id: Id,
    request: Request,
    parts: TheParts,
    caller: Viewer,
    last_event_id: Annotated[
        str | None,
        Header(description="Go on after the event with this id; browsers send it when they reconnect."),
    ] = None,
    begin_after: Annotated[
        int | None,
        Query(alias="after", ge=0, le=MAX_EVENT_ID, description="The same, for the first connection of a browser."),
    ] = None,
) -> Response:
    """Follow an execution as Server-Sent Events, from its beginning or from `Last-Event-ID` on, until it ends.

    `execution`: the execution as it stands, and `expected_end` from the notebook's own history; sent at first and
    after each change of status. `status`: a change, with `reason` and `message`. `started`: the kernel is up, of the
    spec `kernel`, and `cells` will be executed. `cell_started` and `cell_finished`: cell `number` of `of`, its first
    `line`, its `seconds`. `output`: `text` that a cell put out on `stream`. `late`: it has not ended in time. Each has
    `attempt` and `at`.
    The stream ends within half a minute where its caller may not see the execution any more."""
    after = begin_after if last_event_id is None else _event_id(last_event_id)
    async with parts.database.transaction() as session:
        execution = await access.seen(session, caller, execution_id)
    known = after is not None and execution.status in TERMINAL
    if known and not await parts.following.events(execution_id, after or 0):
        return Response(status_code=204)
    frames = _frames(parts, _sight(parts, request, execution_id), execution_id, after)
    return StreamingResponse(frames, media_type=EVENT_STREAM, headers=UNBUFFERED)


@router.get(
    "/db/executions/{execution_id}/log",
    response_class=Response,
    responses=THE_TEXT | problems(NotFound, Invalid),
)
async def read_the_log(
    execution_id: Id,
    request: Request,
    parts: TheParts,
    session: Transaction,
    caller: Viewer,
    follow: Annotated[bool, Query(description="Go on until the execution ends.")] = False,
) -> Response:
    """The text that the cells put out, attempt after attempt."""
    await access.seen(session, caller, execution_id)
    text = _log(parts, _sight(parts, request, execution_id), execution_id, follow=follow)
    return StreamingResponse(text, media_type="text/plain; charset=utf-8", headers=UNBUFFERED)


@router.get(
    "/db/executions/{execution_id}/notebook",
    response_class=Response,
    responses=THE_NOTEBOOK | problems(NotAllowed, NotFound, TooLarge, Invalid),
)
async def download_the_output(execution_id: Id, parts: TheParts, caller: Viewer) -> Response:
    """The executed notebook, whatever its size; of one that failed or was stopped, as far as it came. 404 says why
    there is none: it was deleted, say, or a later execution has replaced the file."""
    execution, limit = await _execution(parts, caller, execution_id), _limit_bytes(parts)
    file = await asyncio.to_thread(outputs.opened, parts.places, execution, limit)
    headers = _AS_SAID | {"Content-Length": str(os.fstat(file.fileno()).st_size)}
    return StreamingResponse(_pieces(file), media_type=IPYNB, headers=headers)


@router.get(
    "/db/executions/{execution_id}/html",
    response_class=Response,
    responses=THE_PAGE | problems(NotAllowed, NotFound, TooLarge, Invalid),
)
async def read_the_output(
    execution_id: Id,
    request: Request,
    parts: TheParts,
    caller: Viewer,
    code: Annotated[
        Literal["show", "hide"], Query(alias="input", description="Whether the cells' source is shown.")
    ] = "show",
) -> Response:
    """The executed notebook as a page that stands alone. Its scripts run in a sandbox, without any right here. 413 says
    that it is too large to be made a page of; it can still be downloaded."""
    # No connection is held while the file is read, nor while it is rendered.
    execution = await _execution(parts, caller, execution_id)
    data = await asyncio.to_thread(outputs.read, parts.places, execution, _limit_bytes(parts))
    try:
        page = await asyncio.to_thread(to_html, data, hide_input=code == "hide")
        accepted = request.headers.get("accept-encoding", "")
        body, told = await asyncio.to_thread(compressed, page, accepted)
    except NotebookInvalid as error:  # it is no fault of the request
        raise NotFound("page of execution", execution_id, error.detail) from error
    return Response(body, media_type=HTML, headers={**SANDBOX, **told})


async def _execution(parts: Parts, caller: Principal, execution_id: int) -> Execution:
    async with parts.database.transaction() as session:
        return await access.seen(session, caller, execution_id)


def _limit_bytes(parts: Parts) -> int:
    return int((parts.settings.max_notebook_mb + 2 * parts.settings.max_output_mb) * MEBIBYTE)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    """A file's content. Starlette takes each piece in a thread."""
    with file:
        while piece := file.read(MEBIBYTE):
            yield piece


def _event_id(text: str | None) -> int | None:
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= MAX_EVENT_ID):
        raise Invalid(f"Last-Event-ID must be the id of an event, not {text[:50]!r}.")
    return int(text)


def _sight(parts: Parts, request: Request, execution_id: int) -> Sight:
    return Sight(parts, request, ("execution", execution_id), lambda caller: _execution(parts, caller, execution_id))


async def _frames(parts: Parts, sight: Sight, execution_id: int, after: int | None) -> AsyncIterator[bytes]:
    yield b"retry: 1000\n\n"
    yield await _as_it_stands(parts, execution_id)
    last = after
    async for told in parts.following.follow(execution_id, after or 0):
        if (why := await sight.lost()) is not None:
            # Whoever connects again is refused as usual.
            yield f": {why}\n\n".encode()
            return
        if told is None:
            yield b": \n\n"
            continue
        yield told.frame
        last = told.id
        if told.kind == "status":
            yield await _as_it_stands(parts, execution_id)
    if last is None:
        # There was no event. A browser connects again, and is to say what it knows, or it would do so for ever.
        yield b"id: 0\n\n"


async def _log(parts: Parts, sight: Sight, execution_id: int, *, follow: bool) -> AsyncIterator[bytes]:
    log = Log()
    async for told in parts.following.follow(execution_id, 0, until_end=follow):
        if (why := await sight.lost()) is not None:
            yield f"\n[It goes on, and is not shown any more. {why}]\n".encode()
            return
        if told is not None and (text := log.text(told.kind, told.attempt, told.data)):
            yield text.encode()


async def _as_it_stands(parts: Parts, execution_id: int) -> bytes:
    async def ask() -> bytes:
        async with parts.database.transaction() as session:
            execution = await service.get(session, execution_id)
            body: dict[str, Any] = ExecutionOut.model_validate(execution).model_dump(mode="json")
            usual = await service.usual_seconds(session, execution)
        end = None
        if usual is not None and execution.status == Status.RUNNING:
            end = (execution.started_at + timedelta(seconds=usual)).isoformat().replace("+00:00", "Z")
        text = json.dumps(body | {"expected_end": end}, ensure_ascii=False)
        return f"event: execution\ndata: {text}\n\n".encode()

    try:
        return await parts.reads.get(("as it stands", execution_id), ask)
    except (Unavailable, NotFound):  # the database is away, or it was pruned meanwhile
        return b": \n\n"
