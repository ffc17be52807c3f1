"""Definitions of parameters over HTTP."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response

from pressroom.api import (
    PAGE,
    Editor,
    Facts,
    Id,
    Limit,
    Page,
    Parts,
    Skip,
    TheParts,
    Transaction,
    Viewer,
    page_response,
    problems,
)
from pressroom.callers_first import CallerFirst
from pressroom.database.models import Parameter
from pressroom.errors import AlreadyExists, Invalid, NotAllowed, NotFound
from pressroom.identity.principal import Principal
from pressroom.identity.rights import Level
from pressroom.notebooks import levels
from pressroom.notebooks import service as notebooks
from pressroom.parameters import service
from pressroom.parameters.proposals import propose
from pressroom.parameters.rules import schema_of_all
from pressroom.parameters.schemas import (
    InferenceOut,
    ParameterCreate,
    ParameterFields,
    ParameterInList,
    ParameterOut,
    ParameterUpdate,
    Proposal,
)
from pressroom.parameters.sealing import SecretKeys
from pressroom.settings import MEBIBYTE

router = APIRouter(prefix="/db/parameters", tags=["parameters"], route_class=CallerFirst)
schema_router = APIRouter(prefix="/db/notebooks", tags=["parameters"], route_class=CallerFirst)


def _require_key(parts: Parts, wanted: Sequence[ParameterFields]) -> None:
    """Raise :class:`RuleInvalid` for a secret that the service has no key for."""
    for fields in wanted:
        if fields.secret:
            SecretKeys.of(parts.settings).require_for_definition(fields.param_name)


async def _required(session: Transaction, caller: Principal, parameter_id: int, level: Level) -> Parameter:
    """A parameter of a notebook on which the caller has ``level``."""
    parameter = await service.get(session, parameter_id)
    try:
        await levels.require(session, caller, parameter.notebook_id, level)
    except NotFound as error:
        raise NotFound("parameter", parameter_id) from error
    return parameter


@router.post("", status_code=201, responses=problems(NotAllowed, NotFound, AlreadyExists, Invalid))
async def define_a_parameter(
    wanted: ParameterCreate, session: Transaction, parts: TheParts, caller: Editor, facts: Facts
) -> ParameterOut:
    """Give a notebook a parameter. Its rules must fit its type, and its default its rules."""
    facts["notebook_id"] = wanted.notebook_id
    await levels.require(session, caller, wanted.notebook_id, Level.EDITOR)
    _require_key(parts, [wanted])
    [parameter] = await service.add(session, wanted.notebook_id, [wanted])
    return ParameterOut.model_validate(parameter)


@router.post("/bulk/{notebook_id}", status_code=201, responses=problems(NotAllowed, NotFound, AlreadyExists, Invalid))
async def define_several_parameters(
    notebook_id: Id,
    wanted: Annotated[list[ParameterInList], Body(max_length=1000)],
    session: Transaction,
    parts: TheParts,
    caller: Editor,
) -> list[ParameterOut]:
    """Give a notebook several parameters: all of them, or none where one is wrong."""
    if any(fields.notebook_id not in (None, notebook_id) for fields in wanted):
        raise Invalid("A parameter of the list names another notebook than the path.")
    await levels.require(session, caller, notebook_id, Level.EDITOR)
    _require_key(parts, wanted)
    return [ParameterOut.model_validate(row) for row in await service.add(session, notebook_id, wanted)]


@router.post("/infer/{notebook_id}", responses=problems(NotAllowed, NotFound, Invalid))
async def propose_parameters(notebook_id: Id, session: Transaction, parts: TheParts, caller: Editor) -> InferenceOut:
    """Propose definitions from the notebook's cell tagged `parameters`: names, types, defaults and comments. Nothing is
    saved; post what is right to `/db/parameters/bulk/{notebook_id}`."""
    await levels.require(session, caller, notebook_id, Level.EDITOR)
    limit = int(parts.settings.max_notebook_mb * MEBIBYTE)
    notebook, data = await notebooks.source(session, parts.places, limit, caller, notebook_id)
    proposed, has_cell, notes = await asyncio.to_thread(propose, data, notebook.file_path)
    return InferenceOut(
        notebook_id=notebook_id,
        has_parameters_cell=has_cell,
        parameters=[Proposal.model_validate(fields) for fields in proposed],
        notes=notes,
    )


@router.get("/notebook/{notebook_id}", response_model=list[ParameterOut], responses=PAGE | problems(NotFound, Invalid))
async def list_parameters(
    notebook_id: Id, request: Request, session: Transaction, caller: Viewer, skip: Skip = 0, limit: Limit = 100
) -> Response:
    """A notebook's parameters, in the order in which they were defined."""
    await levels.require(session, caller, notebook_id, Level.VIEWER)
    page = Page(*await service.page(session, notebook_id, skip, limit))
    return page_response(request, page, skip, limit)


@router.get("/{parameter_id}", responses=problems(NotFound, Invalid))
async def read_a_parameter(parameter_id: Id, session: Transaction, caller: Viewer) -> ParameterOut:
    """One definition."""
    return ParameterOut.model_validate(await _required(session, caller, parameter_id, Level.VIEWER))


@router.put("/{parameter_id}", responses=problems(NotAllowed, NotFound, AlreadyExists, Invalid))
async def change_a_parameter(
    parameter_id: Id, wanted: ParameterUpdate, session: Transaction, parts: TheParts, caller: Editor
) -> ParameterOut:
    """Change the fields that are sent; the whole definition must be right afterwards. What executions have kept of a
    parameter that becomes a secret stays as it is."""
    parameter = await _required(session, caller, parameter_id, Level.EDITOR)
    if wanted.secret:
        SecretKeys.of(parts.settings).require_for_definition(parameter.param_name)
    return ParameterOut.model_validate(await service.change(session, parameter_id, wanted.changes()))


@router.delete("/{parameter_id}", status_code=204, responses=problems(NotAllowed, NotFound, Invalid))
async def delete_a_parameter(parameter_id: Id, session: Transaction, caller: Editor) -> None:
    """Delete a definition."""
    await _required(session, caller, parameter_id, Level.EDITOR)
    await service.delete(session, parameter_id)


@schema_router.get("/{notebook_id}/schema", responses=problems(NotFound, Invalid))
async def read_the_schema(notebook_id: Id, request: Request, session: Transaction, caller: Viewer) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a notebook's parameters, for forms and programs."""
    notebook = await levels.require(session, caller, notebook_id, Level.VIEWER)
    definitions = [service.definition_of(row) for row in await service.of_notebook(session, notebook_id)]
    schema = schema_of_all(definitions, notebook.name, notebook.description)
    return {"$schema": schema["$schema"], "$id": str(request.url)} | schema
