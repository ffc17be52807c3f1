"""Notebook files over HTTP: listing, uploading, copying, making from a template, downloading."""

import asyncio
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, File, Form, Path, Query, Request, Response, UploadFile

from pressroom.api import ActingReader, ActingWriter, Facts, Parts, TheParts, Transaction, problems, record
from pressroom.callers_first import CallerFirst
from pressroom.database.models import Notebook
from pressroom.errors import AlreadyExists, Invalid, NotAllowed, NotFound, TooLarge
from pressroom.executions.options import ExecutionDefaults
from pressroom.identity.policy import require_acting_for
from pressroom.identity.principal import Principal
from pressroom.notebooks import files, service
from pressroom.notebooks.endpoints import limit_of
from pressroom.notebooks.places import Location
from pressroom.notebooks.schemas import (
    NotebookCopy,
    NotebookCreate,
    NotebookFile,
    NotebookFiles,
    NotebookFromTemplate,
    NotebookOut,
)
from pressroom.parameters import service as parameters
from pressroom.wire import MAX_ID, FilePath, Username

router = APIRouter(tags=["files"], route_class=CallerFirst)
IPYNB = "application/x-ipynb+json"
THE_FILE: dict[int | str, dict[str, Any]] = {200: {"content": {IPYNB: {}}, "description": "The notebook."}}


@router.get("/list-notebooks/{username}", responses=problems(NotAllowed, NotFound, Invalid))
async def list_notebook_files(
    username: Annotated[Username, Path()], parts: TheParts, caller: ActingReader
) -> NotebookFiles:
    """The notebook files in a user's directory, registered or not. Hidden folders, checkpoints among them, are left
    out, and links are not followed."""
    require_acting_for(caller, username)
    home = await asyncio.to_thread(parts.places.directory, username)
    found = await asyncio.to_thread(files.listing, home)
    return NotebookFiles(username=username, user_home=str(home.path), notebook_count=len(found), notebooks=found)


@router.post(
    "/upload-notebook", status_code=201, responses=problems(NotAllowed, NotFound, AlreadyExists, TooLarge, Invalid)
)
async def upload_a_notebook(
    file: Annotated[UploadFile, File(description="The notebook.")],
    parts: TheParts,
    caller: ActingWriter,
    request: Request,
    facts: Facts,
    username: Annotated[Username | None, Form(description="Whose directory; if left out, the caller's.")] = None,
    file_path: Annotated[
        FilePath | None, Form(description="Where to; if left out, the file's own name in the user's directory.")
    ] = None,
) -> NotebookFile:
    """Put a notebook into a user's directory. It must be a valid notebook, and nothing may be there yet."""
    owner = username or caller.username
    require_acting_for(caller, owner)
    limit = limit_of(parts)
    data = await file.read(limit + 1)
    if len(data) > limit:
        raise TooLarge("The notebook", limit)
    wanted = file_path or (file.filename or "").rsplit("/", 1)[-1].rsplit("\\", 1)[-1]
    place = await asyncio.to_thread(parts.places.locate, wanted, owner)
    await asyncio.to_thread(files.parse, data, wanted)
    await asyncio.to_thread(files.create_new, place, data)
    facts["file"] = str(place.path)
    try:
        async with parts.database.transaction() as session:
            entry = await record(request, session)
    except BaseException:
        await asyncio.to_thread(files.remove, place)
        raise
    await parts.audit.tell(entry)
    return await asyncio.to_thread(files.described, place, parts.places.home(owner))


@router.post("/copy-notebook", status_code=201, responses=problems(NotAllowed, NotFound, AlreadyExists, Invalid))
async def copy_a_notebook(
    wanted: NotebookCopy, session: Transaction, parts: TheParts, caller: ActingWriter, facts: Facts
) -> NotebookOut:
    """Copy a registered notebook into a user's directory, and register the copy, with its parameters and defaults, as
    theirs."""
    facts["notebook_id"] = wanted.notebook_id
    original, data = await service.source(session, parts.places, limit_of(parts), caller, wanted.notebook_id)
    path = wanted.file_path or original.file_path.rsplit("/", 1)[-1]
    copy = await _new_notebook(session, parts, caller, original, wanted.username, path, wanted.name, data)
    facts["made"] = copy.id
    return NotebookOut.model_validate(copy)


@router.post("/create-from-template", status_code=201, responses=problems(NotAllowed, NotFound, AlreadyExists, Invalid))
async def make_a_notebook_from_a_template(
    wanted: NotebookFromTemplate, session: Transaction, parts: TheParts, caller: ActingWriter, facts: Facts
) -> NotebookOut:
    """Make a notebook from a registered one, with values of its parameters written into it, and register it."""
    facts["notebook_id"] = wanted.notebook_id
    template, data = await service.source(session, parts.places, limit_of(parts), caller, wanted.notebook_id)
    values = await parameters.filled(session, template.id, wanted.parameters)
    filled = await asyncio.to_thread(service.filled_in, data, template.file_path, values)
    owner = wanted.username or caller.username
    name = wanted.name or wanted.file_path.rsplit("/", 1)[-1].removesuffix(".ipynb")
    made = await _new_notebook(session, parts, caller, template, owner, wanted.file_path, name, filled)
    facts["made"] = made.id
    return NotebookOut.model_validate(made)


@router.get(
    "/download-notebook",
    response_class=Response,
    responses=THE_FILE | problems(NotAllowed, NotFound, Invalid),
)
async def download_a_notebook(
    session: Transaction,
    parts: TheParts,
    caller: ActingReader,
    notebook_id: Annotated[int | None, Query(ge=1, le=MAX_ID, description="A registered notebook.")] = None,
    path: Annotated[FilePath | None, Query(description="Or the path of a notebook file.")] = None,
    username: Annotated[
        Username | None, Query(description="Whose file; if left out, whose directory holds it.")
    ] = None,
) -> Response:
    """The file of a registered notebook, or a notebook file by its path."""
    if (notebook_id is None) == (path is None):
        raise Invalid("Send either notebook_id or path.")
    if notebook_id is not None:
        notebook, data = await service.source(session, parts.places, limit_of(parts), caller, notebook_id)
        name = notebook.file_path.rsplit("/", 1)[-1]
    else:
        assert path is not None
        owner = username or await asyncio.to_thread(parts.places.owner_of, path, caller.username) or caller.username
        require_acting_for(caller, owner)
        place: Location = await asyncio.to_thread(parts.places.locate, path, owner)
        data = await asyncio.to_thread(place.read, limit_of(parts))
        name = place.name
    return Response(data, media_type=IPYNB, headers={"Content-Disposition": _attachment(name)})


def _attachment(name: str) -> str:
    return f"attachment; filename*=UTF-8''{quote(name)}"


async def _new_notebook(
    session: Transaction,
    parts: Parts,
    caller: Principal,
    original: Notebook,
    owner: str,
    path: str,
    name: str | None,
    data: bytes,
) -> Notebook:
    """Write a new file and register it with the original's parameters and defaults; the file goes if that fails."""
    require_acting_for(caller, owner)
    place = await asyncio.to_thread(parts.places.locate, path, owner)
    await asyncio.to_thread(files.create_new, place, data)
    try:
        fields = NotebookCreate(
            name=name or original.name,
            description=original.description,
            file_path=str(place.path),
            username=owner,
            tags=original.tags or [],
            metadata=original.metadata_ or {},
            execution_defaults=ExecutionDefaults.model_validate(original.execution_defaults),
        )
        made = await service.register(session, parts.places, limit_of(parts), caller, fields)
        await parameters.copy(session, original.id, made.id)
    except BaseException:
        await asyncio.to_thread(files.remove, place)
        raise
    return made
