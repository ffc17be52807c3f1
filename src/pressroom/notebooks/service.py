"""The registry of notebooks."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from nbformat import NotebookNode
from papermill.exceptions import PapermillException
from papermill.parameterize import parameterize_notebook  # pyright: ignore[reportUnknownVariableType]
from pydantic import JsonValue, TypeAdapter
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from pressroom.database.checks import versions, writer
from pressroom.database.models import Notebook, Parameter
from pressroom.database.session import violated
from pressroom.errors import AlreadyExists, NotebookInvalid, NotFound
from pressroom.executions.options import ExecutionDefaults
from pressroom.identity import visibility
from pressroom.identity.policy import Viewer, require_acting_for
from pressroom.identity.principal import Principal
from pressroom.identity.rights import Level
from pressroom.notebooks import files, levels
from pressroom.notebooks.places import Location, Places
from pressroom.notebooks.schemas import NotebookCreate, NotebookOut, NotebookWithParameters

_OWNERS = {"file_path", "username", "run_as"}
ROWS = TypeAdapter(list[NotebookOut])
_COLUMNS = [getattr(Notebook, "metadata_" if name == "metadata" else name) for name in NotebookOut.model_fields]


async def register(
    session: AsyncSession, places: Places, limit_bytes: int, principal: Principal, wanted: NotebookCreate
) -> Notebook:
    """Add a notebook whose file is there and is a valid notebook.

    Raises :class:`NotAllowed`, :class:`PathNotAllowed`, :class:`NotFound`, :class:`NotebookInvalid`, or
    :class:`AlreadyExists` for a name that the user has already, or a file that is registered.
    """
    require_acting_for(principal, wanted.username)
    place = await _usable(places.locate, limit_bytes, wanted.file_path, wanted.username)
    fields = wanted.model_dump()
    notebook = Notebook(**_columns(fields | {"file_path": str(place.path)}))
    session.add(notebook)
    await _flush(session, notebook)
    return notebook


async def changed_last(session: AsyncSession, count: int) -> list[tuple[str, str, datetime]]:
    """The path, the owner and the time of the last change of the notebooks that were registered or changed last."""
    wanted = select(Notebook.file_path, Notebook.username, Notebook.updated_at)
    found = await session.execute(wanted.order_by(Notebook.updated_at.desc(), Notebook.id).limit(count))
    return [(path, username, at) for path, username, at in found]


async def page(
    session: AsyncSession, seen_by: Viewer | None, username: str | None, tag: str | None, skip: int, limit: int
) -> tuple[bytes, int, int]:
    """A page of the notebooks that ``seen_by`` may see, by id: its JSON, its length, and how many there are in all."""
    conditions = _conditions(seen_by, username, tag)
    wanted = select(*_COLUMNS).where(*conditions).order_by(Notebook.id).offset(skip).limit(limit)
    rows: Sequence[Any] = (await session.execute(wanted)).all()
    if not skip and len(rows) < limit:
        total = len(rows)
    else:
        total = await session.scalar(select(func.count(Notebook.id)).where(*conditions))
    return ROWS.dump_json(ROWS.validate_python(rows)), len(rows), int(total or 0)


def versions_of_page(
    seen_by: Viewer | None, username: str | None, tag: str | None, skip: int, limit: int
) -> Sequence[Select[Any]]:
    """What :func:`page` is made of, for :func:`take`."""
    conditions = _conditions(seen_by, username, tag)
    found = select(Notebook.id, writer("notebooks")).where(*conditions).order_by(Notebook.id).offset(skip).limit(limit)
    return select(versions(found.subquery())), select(func.count(Notebook.id)).where(*conditions)


def _conditions(seen_by: Viewer | None, username: str | None, tag: str | None) -> list[ColumnElement[bool]]:
    found = visibility.sees_notebook(seen_by)
    if username is not None:
        found.append(Notebook.username == username)
    if tag is not None:
        found.append(Notebook.tags.contains([tag]))
    return found


async def with_parameters(session: AsyncSession, seen_by: Viewer | None, notebook_id: int) -> bytes:
    """One notebook and its parameters, as JSON. Raises :class:`NotFound`, also where ``seen_by`` may not see it."""
    seen = visibility.sees_notebook(seen_by)
    wanted = select(Notebook).where(Notebook.id == notebook_id, *seen).options(selectinload(Notebook.parameters))
    notebook = await session.scalar(wanted)
    if notebook is None:
        raise NotFound("notebook", notebook_id)
    return NotebookWithParameters.model_validate(notebook).model_dump_json().encode()


def versions_of_one(seen_by: Viewer | None, notebook_id: int) -> Sequence[Select[Any]]:
    """What :func:`with_parameters` is made of, for :func:`take`."""
    seen = visibility.sees_notebook(seen_by)
    itself = select(Notebook.id, writer("notebooks")).where(Notebook.id == notebook_id, *seen)
    parameters = select(Parameter.id, writer("notebook_parameters")).where(Parameter.notebook_id == notebook_id)
    return select(versions(itself.subquery())), select(versions(parameters.subquery()))


async def change(
    session: AsyncSession,
    places: Places,
    limit_bytes: int,
    principal: Principal,
    notebook_id: int,
    changes: Mapping[str, Any],
) -> Notebook:
    """Change some fields of a notebook; its file, its owner and as whom it is executed are its owner's to change.

    Raises as :func:`register`, and :class:`NotFound` where the caller may not see it.
    """
    level = Level.OWNER if changes.keys() & _OWNERS else Level.EDITOR
    notebook = await levels.require(session, principal, notebook_id, level)
    username = changes.get("username", notebook.username)
    if username != notebook.username:
        require_acting_for(principal, username)
    if "file_path" in changes or "username" in changes:
        located = places.locate if "file_path" in changes else places.stored
        place = await _usable(located, limit_bytes, changes.get("file_path", notebook.file_path), username)
        changes = {**changes, "file_path": str(place.path)}
    for column, value in _columns(changes).items():
        setattr(notebook, column, value)
    # Said by hand: a change to the same value is a change too.
    notebook.updated_at = datetime.now(UTC)
    await _flush(session, notebook)
    return notebook


async def delete(session: AsyncSession, principal: Principal, notebook_id: int) -> None:
    """Take a notebook out of the registry, its parameters with it; its file and its executions stay."""
    notebook = await levels.require(session, principal, notebook_id, Level.OWNER)
    await session.delete(notebook)
    await session.flush()


async def source(
    session: AsyncSession, places: Places, limit_bytes: int, principal: Principal, notebook_id: int
) -> tuple[Notebook, bytes]:
    """A notebook that ``principal`` may see, and the bytes of its file. Raises as :func:`register`."""
    notebook = await levels.require(session, principal, notebook_id, Level.VIEWER)
    place = await asyncio.to_thread(places.stored, notebook.file_path, notebook.username)
    return notebook, await asyncio.to_thread(place.read, limit_bytes)


def filled_in(template: bytes, path: str, values: Mapping[str, JsonValue]) -> bytes:
    """A template with the values of parameters written into it, by Papermill's translators.

    Raises :class:`NotebookInvalid` where the template's language has none.
    """
    notebook = files.parse(template, path)
    if values:
        notebook.metadata.setdefault("papermill", {})
        for cell in notebook.cells:
            cell.metadata.setdefault("tags", [])
        try:
            notebook = cast("NotebookNode", parameterize_notebook(notebook, dict(values)))
        except (PapermillException, ValueError, NotImplementedError) as error:
            raise NotebookInvalid(path, f"cannot be given parameters: {error}") from error
        notebook.metadata.pop("papermill", None)
        for cell in notebook.cells:
            # The values are the new notebook's own: later executions may override them in turn.
            if "injected-parameters" in cell.metadata.get("tags", []):
                cell.metadata["tags"] = ["parameters"]
            elif "parameters" in cell.metadata.get("tags", []):
                cell.metadata["tags"].remove("parameters")
    return json.dumps(notebook, indent=1, ensure_ascii=False).encode() + b"\n"


async def _usable(located: Callable[[str, str], Location], limit_bytes: int, path: str, username: str) -> Location:
    place = await asyncio.to_thread(located, path, username)
    await asyncio.to_thread(files.read, place, limit_bytes)
    return place


def _columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    columns = {("metadata_" if name == "metadata" else name): value for name, value in fields.items()}
    if (defaults := columns.get("execution_defaults")) is not None:
        columns["execution_defaults"] = ExecutionDefaults.model_validate(defaults).model_dump(
            mode="json", exclude_none=True
        )
    return columns


async def _flush(session: AsyncSession, notebook: Notebook) -> None:
    name, username, file_path = notebook.name, notebook.username, notebook.file_path
    try:
        await session.flush()
        await session.refresh(notebook)
    except IntegrityError as error:
        match violated(error):
            case "uq_notebooks_name_username":
                raise AlreadyExists(
                    "notebook", "name", name, f"{username} has a notebook named {name!r} already."
                ) from error
            case "uq_notebooks_file_path":
                raise AlreadyExists("notebook", "file_path", file_path) from error
            case _:
                raise
