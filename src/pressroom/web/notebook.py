"""A notebook: what it is, the form that executes it, the same as a call, and how it has been doing."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request, Response
from markupsafe import Markup
from pydantic import JsonValue, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom import logs
from pressroom.api import Id, Parts, Runner, TheParts, Viewer
from pressroom.database.models import Notebook
from pressroom.errors import ParameterInvalid, PathNotAllowed, PressroomError
from pressroom.executions import access, recent
from pressroom.executions import service as executions
from pressroom.executions.options import HowToExecute
from pressroom.executions.orders import Order
from pressroom.identity.audit import facts
from pressroom.identity.principal import Principal
from pressroom.parameters.rules import Definition
from pressroom.parameters.values import checked
from pressroom.settings import MEBIBYTE
from pressroom.web.calls import Calls, calls
from pressroom.web.descriptions import Descriptions
from pressroom.web.forms import fields_of, given_in, texts_in, texts_of_values, wrong_fields
from pressroom.web.moments import require_zones
from pressroom.web.registered import HOW, Seen, out_of_reach, seen
from pressroom.web.rendering import page
from pressroom.web.routes import PageRoute, changing, form_of, see_other, text_fields
from pressroom.web.strips import strip, trend_in_words
from pressroom.wire import id_in

router = APIRouter(route_class=PageRoute, include_in_schema=False)
_descriptions = Descriptions()


@dataclass(slots=True)
class Typed:
    """What is in the form, and what is wrong with it: of parameters and of other fields, by their names, and of all."""

    texts: Mapping[str, str] = field(default_factory=dict[str, str])
    how: Mapping[str, str] = field(default_factory=dict[str, str])
    errors: Mapping[str, str] = field(default_factory=dict[str, str])
    how_errors: Mapping[str, str] = field(default_factory=dict[str, str])
    problem: str | None = None
    earlier: int | None = None
    """The execution whose values are in it."""
    grant: Mapping[str, str] = field(default_factory=dict[str, str])
    grant_error: str | None = None
    """Of the form that lets others use the notebook: what is in it, and what is wrong with the name."""


@router.get("/notebooks/{notebook_id}")
async def show_a_notebook(notebook_id: Id, request: Request, parts: TheParts, caller: Viewer) -> Response:
    """One notebook. ``from=ID`` fills the form in as an execution was, and ``p.NAME=VALUE`` a field."""
    async with parts.database.snapshot() as session:
        shown = await seen(session, caller, notebook_id)
        texts, earlier = await _earlier(session, caller, request.query_params.get("from", ""), shown.definitions)
    texts |= texts_in(shown.definitions, request.query_params)
    how = {name: request.query_params.get(name, "") for name in HOW}
    return await page_of(request, parts, caller, shown, Typed(texts, how, earlier=earlier))


@router.post("/notebooks/{notebook_id}/execute")
async def execute_from_a_page(notebook_id: Id, request: Request, parts: TheParts, caller: Runner) -> Response:
    """Execute a notebook with what was typed into its form; or show the form again, with what is wrong with it.
    With ``look``, it is only shown."""
    async with parts.database.transaction() as session:
        shown = await seen(session, caller, notebook_id)
    form = await form_of(request)
    typed = Typed(texts_in(shown.definitions, form), {name: text_fields(form).get(name, "") for name in HOW})
    if "look" in form:  # the calls that stand beside it are of what is typed now
        return await page_of(request, parts, caller, shown, typed)
    try:
        how = HowToExecute.model_validate({name: text for name, text in typed.how.items() if text.strip()})
        given = given_in(shown.definitions, typed.texts)
        require_zones(shown.definitions, given)
        order = Order(given, notebook_id=notebook_id, how=how, lenient=True)
        async with changing(request) as session:
            [execution_id] = await executions.submit(session, parts.intake, caller, [order])
            facts(request.scope)["execution_ids"] = [execution_id]
    except ValidationError as error:
        typed.how_errors = wrong_fields(error)
        return await page_of(request, parts, caller, shown, typed, status=422)
    except ParameterInvalid as error:
        typed.errors = error.by_parameter
        return await page_of(request, parts, caller, shown, typed, status=error.status)
    except PathNotAllowed as error:
        typed.problem = await out_of_reach(request, shown, error)
        return await page_of(request, parts, caller, shown, typed, status=error.status)
    except PressroomError as error:
        if error.status in (401, 403, 404):
            raise
        typed.problem = error.detail
        return await page_of(request, parts, caller, shown, typed, status=error.status)
    logs.about(execution_id)
    return see_other(request, f"/executions/{execution_id}")


async def _earlier(
    session: AsyncSession, caller: Principal, given: str, definitions: Sequence[Definition]
) -> tuple[dict[str, str], int | None]:
    """The values of an earlier execution, as texts, and its id; nothing where none is named."""
    if (execution_id := id_in(given)) is None:
        return {}, None
    execution = await access.seen(session, caller, execution_id)
    return texts_of_values(definitions, execution.parameters_used or {}), execution.id


async def page_of(
    request: Request, parts: Parts, caller: Principal, shown: Seen, typed: Typed, *, status: int = 200
) -> Response:
    """The page of a notebook, with what was typed into its forms."""
    row = shown.row
    description, unreadable = await _description(parts, row)
    return page(
        request,
        "notebook.html",
        status=status,
        notebook=row,
        description=description,
        unreadable=unreadable,
        fields=fields_of(shown.definitions, typed.texts, typed.errors),
        typed=typed,
        wrong=len(typed.errors) + len(typed.how_errors),
        defaults=shown.defaults,
        calls=_calls(request, parts, shown, typed),
        strip=strip(shown.marks),
        usual=recent.usual(shown.marks),
        trend=trend_in_words(shown.marks),
        may_execute=shown.may_execute(caller),
        may_edit=shown.may_edit(caller),
        may_grant=shown.may_grant(caller),
        grants=shown.grants,
        level=shown.level.value,
    )


async def _description(parts: Parts, row: Notebook) -> tuple[Markup | None, str | None]:
    """The notebook's first Markdown as HTML, and why its file cannot be read, if so."""
    limit = int(parts.settings.max_notebook_mb * MEBIBYTE)

    def read() -> Markup | None:
        return _descriptions.of(parts.places.stored(row.file_path, row.username), limit)

    try:
        return await asyncio.to_thread(read), None
    except PressroomError as error:
        return None, error.detail


def _calls(request: Request, parts: Parts, shown: Seen, typed: Typed) -> Calls:
    values: dict[str, JsonValue] = {}
    given = given_in(shown.definitions, typed.texts)
    for each in shown.definitions:
        if not each.secret:
            values |= _value(each, typed.texts.get(each.name, ""), given=each.name in given)
    # A secret that is neither asked for nor typed is not sent either.
    secret = [each.name for each in shown.definitions if each.secret and (each.required or each.name in given)]
    said = {name: text for name, text in typed.how.items() if text.strip()}
    try:
        how = HowToExecute.model_validate(said).model_dump(mode="json", include=set(said))
    except ValidationError:
        how = said
    address = (parts.settings.public_url or str(request.base_url)).rstrip("/")
    return calls(address, shown.row.id, shown.row.file_path, values, secret, how)


def _value(definition: Definition, text: str, *, given: bool) -> dict[str, Any]:
    """The value that a field gives, by its name, else the default; a wrong one as it was typed."""
    if not given:
        return {} if definition.default is None else {definition.name: definition.default}
    try:
        return {definition.name: checked(definition, text, lenient=True)}
    except ParameterInvalid:
        return {definition.name: text}
