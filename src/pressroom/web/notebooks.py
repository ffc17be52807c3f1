"""The list of notebooks, and the files that are not registered yet."""

import asyncio

from fastapi import APIRouter, Request, Response

from pressroom.api import Reader, TheParts
from pressroom.errors import NotAllowed, NotFound
from pressroom.executions import recent
from pressroom.identity.policy import viewer
from pressroom.identity.principal import Scope
from pressroom.notebooks import files, finding
from pressroom.web.listing import skipped
from pressroom.web.rendering import page
from pressroom.web.routes import PageRoute
from pressroom.web.strips import strip

ON_A_PAGE = 50
MARKS = 12
MOST_FILES = 200
LONGEST = 255
router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/notebooks")
async def show_notebooks(request: Request, parts: TheParts, caller: Reader) -> Response:
    """The notebooks that somebody may see: all, or what they look for."""
    query, seen_by = request.query_params, viewer(caller)
    words = query.get("q", "")[:LONGEST].replace("\0", "")
    tag, owner = ((query.get(name, "")[:LONGEST].replace("\0", "") or None) for name in ("tag", "owner"))
    skip = skipped(request)
    async with parts.database.snapshot() as session:
        tags = await finding.tags(session, seen_by)
        owners = await finding.owners(session, seen_by)
        found, total = await finding.find(
            session, seen_by, words=words, username=owner, tag=tag, skip=skip, limit=ON_A_PAGE
        )
        marks = await recent.marks(session, [notebook.id for notebook in found], MARKS)
    return page(
        request,
        "notebooks.html",
        notebooks=found,
        strips={number: strip(seen) for number, seen in marks.items()},
        total=total,
        skip=skip,
        on_a_page=ON_A_PAGE,
        words=words,
        tag=tag,
        owner=owner,
        tags=tags,
        owners=owners,
        may_register=Scope.WRITE in caller.scopes,
    )


@router.get("/notebooks/files")
async def show_files(request: Request, parts: TheParts, caller: Reader) -> Response:
    """The notebook files in one's own directory that are not registered."""
    found, why = list[files.NotebookFile](), None
    try:
        home = await asyncio.to_thread(parts.places.directory, caller.username)
        found = await asyncio.to_thread(files.listing, home)
    except (NotFound, NotAllowed) as error:
        why = error.detail
    async with parts.database.transaction() as session:
        known = await finding.registered(session, [file.path for file in found])
    free = [file for file in found if file.path not in known]
    return page(
        request,
        "files.html",
        files=sorted(free, key=lambda file: file.modified, reverse=True)[:MOST_FILES],
        total=len(free),
        registered=len(found) - len(free),
        why=why,
        may_register=Scope.WRITE in caller.scopes,
    )
