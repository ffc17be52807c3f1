"""A copy of what was executed, with the same parameters in it, in one's own directory: to be opened and debugged."""

import asyncio
from pathlib import PurePosixPath
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Request, Response

from pressroom.api import Copier, Id, Parts, TheParts
from pressroom.errors import AlreadyExists
from pressroom.executions import access
from pressroom.executions.lane import in_turn
from pressroom.identity.audit import facts
from pressroom.notebooks import files, outputs
from pressroom.notebooks.debugging import to_debug
from pressroom.notebooks.places import Location
from pressroom.settings import JUPYTERHUB, MEBIBYTE, Settings
from pressroom.web.rendering import page
from pressroom.web.routes import PageRoute, changing

MOST_COPIES = 50
"""How many copies of one execution a directory holds."""
router = APIRouter(route_class=PageRoute, include_in_schema=False)


def lab_address(settings: Settings, path: str) -> str | None:
    """Where JupyterLab opens a file of its user's directory; ``None`` where there is no Hub."""
    if JUPYTERHUB not in settings.auth:
        return None
    hub = settings.jupyterhub_public_hub_url
    if hub is None:
        # As the sign-in does: under the host at which people reach this service, where the Hub says that it is.
        hub = urlsplit(settings.jupyterhub_api_url or "/hub/api").path.removesuffix("/api")
    return f"{hub.rstrip('/')}/user-redirect/lab/tree/{quote(path)}"


@router.post("/executions/{execution_id}/copy")
async def copy_to_debug(execution_id: Id, request: Request, parts: TheParts, caller: Copier) -> Response:
    """Put a copy of the notebook into the caller's directory, and say where; under a Hub, with the way into
    JupyterLab."""
    limit = int((parts.settings.max_notebook_mb + 2 * parts.settings.max_output_mb) * MEBIBYTE)
    async with parts.database.transaction() as session:
        execution = await access.seen(session, caller, execution_id)

    def read() -> bytes:
        return to_debug(outputs.read(parts.places, execution, limit), str(execution.output_path))

    data = await in_turn(read)
    stem = f"{PurePosixPath(execution.input_path).stem}-{execution_id}"
    place = await asyncio.to_thread(_write, parts, caller.username, stem, data)
    try:
        async with changing(request):
            facts(request.scope)["file"] = str(place.path)
    except BaseException:
        await asyncio.to_thread(files.remove, place)
        raise
    home = await asyncio.to_thread(parts.places.home, caller.username)
    path = place.path.relative_to(home).as_posix()
    return page(request, "copied.html", execution=execution, path=path, address=lab_address(parts.settings, path))


def _write(parts: Parts, username: str, stem: str, data: bytes) -> Location:
    """Write a new file with the first free name. Raises as :func:`files.create_new`."""
    for number in range(1, MOST_COPIES):
        place = parts.places.locate(f"{stem}{f'-{number}' if number > 1 else ''}.ipynb", username)
        try:
            files.create_new(place, data)
        except AlreadyExists:
            continue
        return place
    raise AlreadyExists("file", "path", f"{stem}-{MOST_COPIES - 1}.ipynb")
