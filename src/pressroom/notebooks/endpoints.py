"""The registry over HTTP."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from pressroom.api import (
    PAGE,
    ActingWriter,
    Editor,
    Facts,
    Id,
    Limit,
    Owner,
    Page,
    Parts,
    QueryText,
    Reader,
    Skip,
    TheParts,
    Transaction,
    Viewer,
    page_response,
    problems,
)
from pressroom.callers_first import CallerFirst
from pressroom.database.checks import Check
from pressroom.errors import AlreadyExists, Invalid, NotAllowed, NotFound
from pressroom.executions.kernels import require_defaults
from pressroom.identity.policy import viewer
from pressroom.identity.principal import Principal
from pressroom.identity.rights import Level
from pressroom.notebooks import levels, service
from pressroom.notebooks.schemas import NotebookCreate, NotebookOut, NotebookUpdate, NotebookWithParameters
from pressroom.notifications import service as notifications
from pressroom.settings import MEBIBYTE
from pressroom.wire import Username

router = APIRouter(prefix="/db/notebooks", tags=["notebooks"], route_class=CallerFirst)


def limit_of(parts: Parts) -> int:
    """The largest notebook, in bytes."""
    return int(parts.settings.max_notebook_mb * MEBIBYTE)


@router.post("", status_code=201, responses=problems(NotAllowed, NotFound, AlreadyExists, Invalid))
async def register_a_notebook(
    wanted: NotebookCreate, session: Transaction, parts: TheParts, caller: ActingWriter, facts: Facts
) -> NotebookOut:
    """Add a notebook to the registry. Its file must be there and be a valid notebook; it stays where it is."""
    await require_defaults(session, parts.settings, wanted.execution_defaults)
    notebook = await service.register(session, parts.places, limit_of(parts), caller, wanted)
    facts["notebook_id"] = notebook.id
    return NotebookOut.model_validate(notebook)


async def _page(
    request: Request, parts: Parts, caller: Principal, username: str | None, tag: str | None, skip: int, limit: int
) -> Response:
    seen_by = viewer(caller)

    async def ask() -> tuple[Page, Check | None]:
        async with parts.database.snapshot() as session:
            versions = partial(service.versions_of_page, seen_by, username, tag, skip, limit)
            check = await parts.kept.check(request, caller, session, versions)
            return Page(*await service.page(session, seen_by, username, tag, skip, limit)), check

    page, check = await parts.reads.get(("notebooks", seen_by, username, tag, skip, limit), ask)
    return parts.kept.keep(request, caller, page_response(request, page, skip, limit), check)


@router.get("", response_model=list[NotebookOut], responses=PAGE | problems(Invalid))
async def list_notebooks(
    request: Request,
    parts: TheParts,
    caller: Reader,
    skip: Skip = 0,
    limit: Limit = 100,
    username: QueryText = None,
    tag: QueryText = None,
) -> Response:
    """The registered notebooks, by id: all, or those of a user, or those that carry a tag."""
    return await _page(request, parts, caller, username, tag, skip, limit)


@router.get("/user/{username}", response_model=list[NotebookOut], responses=PAGE | problems(Invalid))
async def list_notebooks_of_a_user(
    request: Request,
    parts: TheParts,
    caller: Reader,
    username: Annotated[Username, Path()],
    skip: Skip = 0,
    limit: Limit = 100,
) -> Response:
    """The notebooks that a user owns, by id."""
    return await _page(request, parts, caller, username, None, skip, limit)


@router.get("/{notebook_id}", response_model=NotebookWithParameters, responses=problems(NotFound, Invalid))
async def read_a_notebook(request: Request, notebook_id: Id, parts: TheParts, caller: Viewer) -> Response:
    """One notebook, with the definitions of its parameters."""
    seen_by = viewer(caller)

    async def ask() -> tuple[bytes, Check | None]:
        async with parts.database.snapshot() as session:
            check = await parts.kept.check(
                request, caller, session, partial(service.versions_of_one, seen_by, notebook_id)
            )
            return await service.with_parameters(session, seen_by, notebook_id), check

    body, check = await parts.reads.get(("notebook", seen_by, notebook_id), ask)
    return parts.kept.keep(request, caller, Response(body, media_type="application/json"), check)


@router.put("/{notebook_id}", responses=problems(NotAllowed, NotFound, AlreadyExists, Invalid))
async def change_a_notebook(
    notebook_id: Id, wanted: NotebookUpdate, session: Transaction, parts: TheParts, caller: Editor, facts: Facts
) -> NotebookOut:
    """Change the fields that are sent; the others stay as they are. Another `username` makes it another user's: its
    former owner's notifications of it end."""
    await require_defaults(session, parts.settings, wanted.execution_defaults)
    owner = (await levels.require(session, caller, notebook_id, Level.EDITOR)).username
    notebook = await service.change(session, parts.places, limit_of(parts), caller, notebook_id, wanted.changes())
    if notebook.username != owner:
        await notifications.owner_left(session, notebook_id, owner)
        facts |= {"former_owner": owner, "username": notebook.username}
    return NotebookOut.model_validate(notebook)


@router.delete("/{notebook_id}", status_code=204, responses=problems(NotAllowed, NotFound, Invalid))
async def delete_a_notebook(notebook_id: Id, session: Transaction, caller: Owner) -> None:
    """Take a notebook out of the registry, with its parameters. Its file stays, and so do its executions."""
    await service.delete(session, caller, notebook_id)
