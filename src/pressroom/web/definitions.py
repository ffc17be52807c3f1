"""The editor of a notebook's parameters: all of its definitions in one form, saved all or none."""

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.api import Editor, Id, TheParts
from pressroom.database.models import Notebook, Parameter
from pressroom.errors import AlreadyExists, PressroomError
from pressroom.identity.audit import facts
from pressroom.identity.rights import Level
from pressroom.notebooks import levels
from pressroom.notebooks import service as notebooks
from pressroom.parameters import service
from pressroom.parameters.proposals import propose
from pressroom.parameters.schemas import ParameterFields
from pressroom.settings import MEBIBYTE
from pressroom.web.definition_form import TYPES, Proposed, definitions, proposed_in
from pressroom.web.editions import EDITION_FIELD, Overtaken, edition, require_the_same
from pressroom.web.rendering import page
from pressroom.web.routes import PageRoute, changing, form_of, see_other, text_fields

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/notebooks/{notebook_id}/parameters")
async def show_definitions(notebook_id: Id, request: Request, parts: TheParts, caller: Editor) -> Response:
    """The definitions as they are. With ``infer``, also what the file's parameters cell proposes beside them. What was
    typed before a sign-in comes back by the address."""
    notes: list[str] = []
    async with parts.database.transaction() as session:
        notebook = await levels.require(session, caller, notebook_id, Level.EDITOR)
        there = await _there(session, notebook_id)
        proposed = [Proposed.of(each) for each in there]
        if request.query_params.get("infer"):
            limit = int(parts.settings.max_notebook_mb * MEBIBYTE)
            try:
                _, data = await notebooks.source(session, parts.places, limit, caller, notebook_id)
                inferred, _, notes = await asyncio.to_thread(propose, data, notebook.file_path)
            except PressroomError as error:
                inferred, notes = [], [error.detail]
            known = {each.name for each in proposed}
            proposed += [Proposed.of(each) for each in inferred if each.param_name not in known]
    typed = proposed_in(request.query_params)
    made_from = request.query_params.get(EDITION_FIELD) if typed else None
    return _page(request, notebook, typed or proposed, made_from or _edition(there), notes=notes)


@router.post("/notebooks/{notebook_id}/parameters")
async def save_definitions(notebook_id: Id, request: Request, parts: TheParts, caller: Editor) -> Response:
    """Save what was changed, add what is new, and delete what was left out, once that was confirmed; or show the form
    again, where somebody else has saved since it was made too."""
    fields = text_fields(await form_of(request))
    proposed = proposed_in(fields)
    async with parts.database.transaction() as session:
        notebook = await levels.require(session, caller, notebook_id, Level.EDITOR)
        there = await _there(session, notebook_id)
    names, made_from = {each.param_name for each in there}, fields.get(EDITION_FIELD) or _edition(there)
    wanted = definitions(parts.settings, proposed, there)
    if any(each.error for each in proposed):
        return _page(request, notebook, proposed, made_from, status=422)
    gone = [each.name for each in proposed if not each.take and each.name in names]
    if gone and fields.get("delete") != ", ".join(gone):
        return _page(request, notebook, proposed, made_from, gone=gone)
    try:
        async with changing(request) as session:
            await levels.require(session, caller, notebook_id, Level.EDITOR)
            await service.one_at_a_time(session, notebook_id)
            require_the_same(fields, _edition(await _there(session, notebook_id)))
            left_out = {each.name for each in proposed if not each.take}
            facts(request.scope).update(await _save(session, notebook_id, wanted, left_out))
    except Overtaken as error:
        return _page(request, notebook, proposed, error.edition, overtaken=True, status=409)
    except AlreadyExists as error:
        return _page(request, notebook, proposed, made_from, problem=error.detail, status=error.status)
    return see_other(request, f"/notebooks/{notebook_id}", notice="parameters")


async def _save(
    session: AsyncSession, notebook_id: int, wanted: Sequence[ParameterFields], left_out: set[str]
) -> dict[str, list[str]]:
    """Make the definitions so; what was done to which, for the audit. Those that the form did not show stay."""
    rows = {row.param_name: row for row in await service.of_notebook(session, notebook_id)}
    gone = [name for name in rows if name in left_out]
    for name in gone:
        await service.delete(session, rows[name].id)
    changed = [each for each in wanted if each.param_name in rows and each != _fields_of(rows[each.param_name])]
    for each in changed:
        await service.change(session, rows[each.param_name].id, each.model_dump(exclude={"param_name"}))
    added = [each for each in wanted if each.param_name not in rows]
    await service.add(session, notebook_id, added)
    told = {"changed": [each.param_name for each in changed], "added": [each.param_name for each in added]}
    return {what: names for what, names in {**told, "deleted": gone}.items() if names}


async def _there(session: AsyncSession, notebook_id: int) -> list[ParameterFields]:
    return [_fields_of(row) for row in await service.of_notebook(session, notebook_id)]


def _edition(there: Sequence[ParameterFields]) -> str:
    return edition([each.model_dump(mode="json") for each in there])


def _fields_of(row: Parameter) -> ParameterFields:
    return ParameterFields(
        param_name=row.param_name,
        param_type=row.param_type,
        default_value=row.default_value,
        description=row.description,
        required=bool(row.required),
        validation_rules=row.validation_rules or None,
        secret=row.secret,
    )


def _page(
    request: Request,
    notebook: Notebook,
    proposed: Sequence[Proposed],
    made_from: str,
    *,
    notes: Sequence[str] = (),
    problem: str | None = None,
    gone: Sequence[str] = (),
    overtaken: bool = False,
    status: int = 200,
) -> Response:
    return page(
        request,
        "definitions.html",
        status=status,
        notebook=notebook,
        proposed=proposed,
        edition=made_from,
        overtaken=overtaken,
        blank=Proposed(""),
        types=TYPES,
        notes=notes,
        problem=problem,
        gone=gone,
        inferred="infer=yes" in request.url.query or "infer=yes" in getattr(request.state, "form_page", ""),
        wrong=sum(each.error is not None for each in proposed),
    )
