"""What an execution recorded, over HTTP: results and artifacts."""

import asyncio
import json
import os
from collections.abc import Iterator
from typing import Annotated, Any, BinaryIO
from urllib.parse import quote

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from pressroom.api import Id, Parts, TheParts, Transaction, Viewer, problems
from pressroom.database.models import Execution
from pressroom.errors import Invalid, NotAllowed, NotFound, NotInstalled
from pressroom.executions import access, frames, results
from pressroom.executions.artifacts import ANYTHING
from pressroom.executions.frames import Format
from pressroom.executions.lane import in_turn
from pressroom.executions.result_schemas import ArtifactOut, ResultOut
from pressroom.executions.results import JSON, Recorded
from pressroom.identity.principal import Principal
from pressroom.notebooks.rendering import SANDBOX
from pressroom.press.results import MEDIA_TYPE, PARQUET, TABLE
from pressroom.settings import MEBIBYTE

router = APIRouter(tags=["results"])
SHOWN = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "text/plain", "application/json", "text/csv"})
"""Media types that a browser shows without running anything; all others are downloads."""
_AS_IT_IS = frozenset({(PARQUET, Format.PARQUET), (TABLE, Format.JSON)})
"""Of tables, what needs no other form than it was recorded in."""
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
A_RESULT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The thing itself.",
        "content": {
            JSON: {"schema": {}, "example": 0.12},
            "text/csv": {"schema": {"type": "string"}, "example": "region,sum\r\nEMEA,24\r\n"},
            PARQUET: _BINARY,
            frames.MEDIA_TYPES[Format.ARROW]: _BINARY,
            "image/png": _BINARY,
        },
    }
}
A_FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", "content": {"application/octet-stream": _BINARY}}
}
Name = Annotated[str, Path(description="The name of the result.", max_length=255, examples=["rmse"])]
FilePath = Annotated[
    str, Path(description="The path inside the artifact directory.", max_length=512, examples=["charts/sales.png"])
]
TheFormat = Annotated[
    Format | None, Query(alias="format", description="Of a table; if left out, what `Accept` says, else JSON.")
]


@router.get(
    "/db/executions/{execution_id}/results", response_model=list[ResultOut], responses=problems(NotFound, Invalid)
)
async def list_results(execution_id: Id, request: Request, session: Transaction, caller: Viewer) -> list[ResultOut]:
    """What the notebook recorded, by name: of the last attempt, and also of one that failed, as far as it came. While
    it is under way there is nothing yet."""
    execution = await access.seen(session, caller, execution_id)
    return await results.results(session, execution, _prefix(request))


@router.get(
    "/db/executions/{execution_id}/results/{name:path}",
    response_class=Response,
    responses=A_RESULT | problems(NotFound, NotInstalled, Invalid),
)
async def read_a_result(
    execution_id: Id,
    name: Name,
    parts: TheParts,
    caller: Viewer,
    form: TheFormat = None,
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """One result: a value as JSON, an image as it is, a table as JSON (`{"columns": [...], "data": [[...]]}`), CSV,
    Parquet or Arrow. HTML is a download, since its scripts are strangers'."""
    async with parts.database.transaction() as session:
        execution = await access.seen(session, caller, execution_id)
        found = await results.result(session, execution, name)
    if found.data is None:
        return Response(json.dumps(found.value), media_type=JSON, headers=_headers(JSON, name))
    if found.kind == "table":
        wanted = frames.chosen(form, accept)
        body = found.data if (found.media_type, wanted) in _AS_IT_IS else await in_turn(lambda: _table(found, wanted))
        return Response(body, headers=_headers(frames.MEDIA_TYPES[wanted], f"{name}.{wanted}"))
    return Response(found.data, headers=_headers(found.media_type, name))


@router.get(
    "/db/executions/{execution_id}/artifacts", response_model=list[ArtifactOut], responses=problems(NotFound, Invalid)
)
async def list_artifacts(execution_id: Id, request: Request, session: Transaction, caller: Viewer) -> list[ArtifactOut]:
    """The files that the notebook left in its artifact directory, by path, once it has ended."""
    execution = await access.seen(session, caller, execution_id)
    return await results.files(session, execution, _prefix(request))


@router.get(
    "/db/executions/{execution_id}/artifacts/{path:path}",
    response_class=Response,
    responses=A_FILE | problems(NotAllowed, NotFound, Invalid),
)
async def download_an_artifact(execution_id: Id, path: FilePath, parts: TheParts, caller: Viewer) -> Response:
    """One of those files. 404 also where it was deleted since, or a link was put in its place."""
    execution, media_type = await _artifact(parts, caller, execution_id, path)
    headers = _headers(media_type, path.rsplit("/", 1)[-1])
    file = await asyncio.to_thread(results.opened, parts.places, execution, path)
    size = os.fstat(file.fileno()).st_size
    return StreamingResponse(_pieces(file, size), headers=headers | {"Content-Length": str(size)})


async def _artifact(parts: Parts, caller: Principal, execution_id: int, path: str) -> tuple[Execution, str]:
    # No connection is held while the file is read.
    async with parts.database.transaction() as session:
        execution = await access.seen(session, caller, execution_id)
        return execution, (await results.file(session, execution, path)).media_type


def _table(found: Recorded, wanted: Format) -> bytes:
    columns = frames.table(found.data or b"", found.media_type)
    return frames.split(columns) if wanted is Format.JSON else frames.spelled(columns, wanted)


def _prefix(request: Request) -> str:
    return str(request.scope.get("root_path", ""))


def _headers(media_type: str, name: str) -> dict[str, str]:
    """Those of a stranger's file: nothing in it acts as whoever looks at it."""
    media_type = media_type if MEDIA_TYPE.fullmatch(media_type) else ANYTHING
    text = media_type.startswith("text/") or media_type == JSON
    way = "inline" if media_type in SHOWN else "attachment"
    return {
        **SANDBOX,
        "Content-Type": f"{media_type}; charset=utf-8" if text else media_type,
        "Content-Disposition": f"{way}; filename*=UTF-8''{quote(name, safe='')}",
    }


def _pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    """So many bytes of a file, that may grow meanwhile. Starlette takes each piece in a thread."""
    with file:
        while size > 0 and (piece := file.read(min(MEBIBYTE, size))):
            size -= len(piece)
            yield piece
