"""Registering a notebook: what its parameters cell proposes, to be looked through and confirmed."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from pressroom.api import Parts, TheParts, Writer
from pressroom.errors import PressroomError
from pressroom.identity.audit import facts
from pressroom.identity.principal import Principal
from pressroom.notebooks import service
from pressroom.notebooks.schemas import NotebookCreate
from pressroom.parameters import service as parameters
from pressroom.parameters.proposals import propose
from pressroom.parameters.schemas import ParameterFields
from pressroom.settings import MEBIBYTE
from pressroom.web.definition_form import TYPES, Proposed, definitions, proposed_in
from pressroom.web.forms import wrong_fields
from pressroom.web.rendering import page
from pressroom.web.routes import PageRoute, changing, form_of, see_other, text_fields

FIELDS = ("path", "name", "description", "tags")
router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(slots=True)
class Form:
    """What is in the form, and what is wrong with it."""

    path: str
    name: str = ""
    description: str = ""
    tags: str = ""
    proposed: list[Proposed] = field(default_factory=list[Proposed])
    notes: list[str] = field(default_factory=list[str])
    errors: dict[str, str] = field(default_factory=dict[str, str])
    problem: str | None = None

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> "Form":
        """What was typed."""
        path, name, description, tags = (fields.get(each, "").strip() for each in FIELDS)
        return cls(path, name, description, tags, proposed_in(fields))

    @property
    def tag_list(self) -> list[str]:
        """The tags, which are separated by commas."""
        return [tag.strip() for tag in self.tags.split(",") if tag.strip()]


@router.get("/notebooks/new")
async def show_registering(request: Request, parts: TheParts, caller: Writer) -> Response:
    """The form that registers the file at ``path``, filled in with what its parameters cell proposes."""
    form = Form.of(dict(request.query_params.multi_items()))
    if form.path and not form.proposed:
        try:
            await _propose(parts, caller, form)
        except PressroomError as error:
            form.errors["path"] = error.detail
            return _page(request, form, status=error.status if error.status != 401 else 422)
    return _page(request, form)


@router.post("/notebooks/new")
async def register_from_a_page(request: Request, parts: TheParts, caller: Writer) -> Response:
    """Register the notebook with the parameters that were confirmed, all or nothing; or show the form again."""
    form = Form.of(text_fields(await form_of(request)))
    try:
        wanted = NotebookCreate(
            name=form.name,
            description=form.description or None,
            file_path=form.path,
            username=caller.username,
            tags=form.tag_list,
        )
        wanted_parameters = definitions(parts.settings, form.proposed)
        if any(each.error for each in form.proposed):
            return _page(request, form, status=422)
        async with changing(request) as session:
            limit = int(parts.settings.max_notebook_mb * MEBIBYTE)
            notebook = await service.register(session, parts.places, limit, caller, wanted)
            facts(request.scope)["notebook_id"] = notebook.id
            await parameters.add(session, notebook.id, wanted_parameters)
    except ValidationError as error:
        form.errors = {_field_name(name): sentence for name, sentence in wrong_fields(error).items()}
        return _page(request, form, status=422)
    except PressroomError as error:
        if error.status == 409 and error.facts.get("field") in ("name", "file_path"):
            form.errors[_field_name(error.facts["field"])] = error.detail
        elif "path" in error.facts or error.facts.get("what") in ("notebook", "file"):
            form.errors["path"] = error.detail
        else:
            form.problem = error.detail
        return _page(request, form, status=error.status)
    return see_other(request, f"/notebooks/{notebook.id}", notice="registered")


def _field_name(location: int | str) -> str:
    return "path" if location == "file_path" else str(location)


async def _propose(parts: Parts, caller: Principal, form: Form) -> None:
    """Fill the form in from the file."""
    limit = int(parts.settings.max_notebook_mb * MEBIBYTE)

    def read() -> tuple[str, tuple[list[ParameterFields], bool, list[str]]]:
        place = parts.places.locate(form.path, caller.username)
        return str(place.path), propose(place.read(limit), str(place.path))

    form.path, (proposals, _, form.notes) = await asyncio.to_thread(read)
    form.proposed = [Proposed.of(each) for each in proposals]
    if not form.name:
        words = PurePosixPath(form.path).stem.replace("_", " ").replace("-", " ").strip()
        form.name = words[:1].upper() + words[1:]


def _page(request: Request, form: Form, *, status: int = 200) -> Response:
    wrong = len(form.errors) + sum(bool(each.error) for each in form.proposed)
    values: dict[str, Any] = {"form": form, "types": TYPES, "wrong": wrong if request.method == "POST" else 0}
    return page(request, "registering.html", status=status, **values)
