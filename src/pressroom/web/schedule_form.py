"""The form of a schedule: when, with which parameters; and what that means, in words and in times, before it is
saved."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import JsonValue, ValidationError

from pressroom.api import ActingRunner, Id, Runner, TheParts
from pressroom.database.models import Schedule
from pressroom.errors import Invalid, ParameterInvalid, PathNotAllowed, PressroomError
from pressroom.identity.audit import facts
from pressroom.identity.rights import Level
from pressroom.parameters.rules import Definition
from pressroom.press.masks import MARK
from pressroom.schedules import cron, service
from pressroom.schedules.answers import answer
from pressroom.schedules.schemas import Missed, Overlap, ScheduleCreate, ScheduleOut, ScheduleUpdate
from pressroom.schedules.upcoming import coming
from pressroom.web.editions import EDITION_FIELD, Overtaken, edition, require_the_same
from pressroom.web.forms import Field, as_sent, fields_of, secret_texts, text_of, texts_in, wrong_fields
from pressroom.web.moments import WANTED, moment, require_zones, with_zone
from pressroom.web.registered import HOW, Seen, out_of_reach, seen
from pressroom.web.rendering import page
from pressroom.web.routes import PageRoute, changing, form_of, see_other, text_fields
from pressroom.wire import id_in

TIMES = 5
FIELDS = ("name", "description", "cron", "timezone", "missed", "missed_limit", "overlap", "jitter_seconds")
MOMENTS = ("starts_at", "ends_at")
PRESETS = {
    "0 6 * * *": "every day at 06:00",
    "0 6 * * 1-5": "every working day at 06:00",
    "0 6 * * 1": "every Monday at 06:00",
    "0 6 1 * *": "on the first of every month at 06:00",
    "0 18 L * *": "on the last of every month at 18:00",
    "0 * * * *": "every hour",
    "*/15 * * * *": "every 15 minutes",
}
_CONTROLS = {"checkboxes": "list", "list": "list"}
"""What lists are typed into; all else that is no JSON is one line, as templates are."""
NEW = {"cron": "0 6 1 * *", "missed": Missed.LAST.value, "overlap": Overlap.QUEUE.value}
EMPTY = {"timezone": "UTC", "jitter_seconds": "0", "missed_limit": "100"}
"""What an empty field means."""
MISSED = {"last": "fire the last one, late", "skip": "leave them out", "all": "fire them all"}
OVERLAP = {
    "queue": "let the new one wait in the queue",
    "skip": "leave the new one out",
    "cancel_running": "cancel the one that runs",
}
router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(slots=True)
class Form:
    """What is in the form, and what is wrong with it. ``schedule``: the one that is changed; ``None`` for a new one."""

    texts: Mapping[str, str]
    others: Mapping[str, str]
    schedule: ScheduleOut | None = None
    parameter_errors: dict[str, str] = field(default_factory=dict[str, str])
    errors: dict[str, str] = field(default_factory=dict[str, str])
    problem: str | None = None
    overtaken: bool = False

    @property
    def says_how(self) -> bool:
        """Whether it is said how it is executed."""
        return any(self.others.get(name) for name in HOW)

    def said(self) -> dict[str, Any]:
        """What the fields beside the parameters say; an empty one is ``None``."""
        found: dict[str, Any] = {name: self.others.get(name, "").strip() or None for name in (*FIELDS, *HOW)}
        for name in MOMENTS:
            text = self.others.get(name, "").strip()
            found[name] = with_zone(text) if text else None
        return found | {name: text for name, text in EMPTY.items() if found[name] is None}

    def given(self) -> dict[str, JsonValue]:
        """The parameters, as texts; an empty one is the notebook's default, whatever it is at the tick."""
        return {name: text for name, text in self.texts.items() if text.strip()}

    def times(self) -> dict[str, datetime | None]:
        """When it begins and ends at the earliest and the latest; what is no time, or one that nobody knows the zone
        of, stands in the errors."""
        found: dict[str, datetime | None] = {}
        for name in MOMENTS:
            text = self.others.get(name, "").strip()
            try:
                found[name] = moment(text) if text else None
            except (ValueError, OverflowError):
                self.errors.setdefault(name, f"{text[:50]!r} {WANTED}.")
        return found

    def explain(self, error: PressroomError) -> None:
        """Put what the service says beside the field that it is about. Raises it where it is about the caller."""
        if isinstance(error, ParameterInvalid):
            for name, detail in error.by_parameter.items():
                self.parameter_errors.setdefault(name, detail)
        elif error.where and error.where[0] in (*FIELDS, *MOMENTS, *HOW):
            self.errors[error.where[0]] = error.detail
        elif error.status in (401, 403, 404):
            raise error
        else:
            self.problem = error.detail


@router.get("/schedules/new")
async def show_a_new_schedule(request: Request, parts: TheParts, caller: Runner, notebook_id: str = "") -> Response:
    """The form of a new schedule of a notebook. ``p.NAME=VALUE`` fills a field in."""
    async with parts.database.snapshot() as session:
        shown = await seen(session, caller, _id(notebook_id), Level.RUNNER)
    given = {name: text for name, text in request.query_params.items() if text}
    form = Form(texts_in(shown.definitions, request.query_params, typed=True), {**NEW, "name": shown.row.name, **given})
    return await _page(request, shown, form)


@router.post("/schedules/new")
async def schedule_from_a_page(request: Request, parts: TheParts, caller: ActingRunner) -> Response:
    """Save a new schedule; or show the form again, with what is wrong with it. With ``look``, it is only shown."""
    sent = await form_of(request)
    fields = text_fields(sent)
    async with parts.database.transaction() as session:
        shown = await seen(session, caller, _id(fields.get("notebook_id", "")))
    form = Form(texts_in(shown.definitions, sent, typed=True), fields)
    form.times()
    if form.errors or "look" in fields:
        return await _page(request, shown, form, status=200 if "look" in fields else 422)
    try:
        said = {name: value for name, value in form.said().items() if value is not None}
        # As over the API, whoever may act for others names them.
        said |= {"username": fields["username"]} if fields.get("username") else {}
        parameters = form.given()
        require_zones(shown.definitions, parameters)
        wanted = ScheduleCreate.model_validate(said | {"notebook_id": shown.row.id, "parameters": parameters})
        async with changing(request) as session:
            facts(request.scope)["notebook_id"] = shown.row.id
            schedule = await service.create(session, parts.intake, caller, wanted, lenient=True)
            facts(request.scope)["schedule_id"] = schedule.id
            schedule_id = schedule.id
    except ValidationError as error:
        form.errors = wrong_fields(error, of_all="cron")
        return await _page(request, shown, form, status=422)
    except PathNotAllowed as error:
        form.problem = await out_of_reach(request, shown, error)
        return await _page(request, shown, form, status=error.status)
    except PressroomError as error:
        form.explain(error)
        return await _page(request, shown, form, status=error.status)
    return see_other(request, f"/schedules/{schedule_id}", notice="scheduled")


@router.get("/schedules/{schedule_id}/edit")
async def show_a_schedule_to_change(
    schedule_id: Id, request: Request, parts: TheParts, caller: ActingRunner
) -> Response:
    """The form of a schedule that is there; what was typed before a sign-in comes back by the address."""
    async with parts.database.transaction() as session:
        row = await service.owned(session, caller, schedule_id)
        schedule = await answer(session, row)
        shown = await seen(session, caller, schedule.notebook_id)
    values = {name: value for name, value in schedule.parameters.items() if value != MARK}
    others = {name: text_of(value) for name, value in schedule.model_dump(mode="json").items()}
    texts = {name: text_of(value) for name, value in values.items()}
    query = request.query_params
    others |= {EDITION_FIELD: _edition(row, schedule), **query}
    form = Form(texts | texts_in(shown.definitions, query, typed=True), others, schedule)
    return await _page(request, shown, form)


@router.post("/schedules/{schedule_id}/edit")
async def change_a_schedule_from_a_page(
    schedule_id: Id, request: Request, parts: TheParts, caller: ActingRunner
) -> Response:
    """Save what was changed; a secret of which nothing was typed stays as it is."""
    sent = await form_of(request)
    fields = text_fields(sent)
    async with parts.database.transaction() as session:
        row = await service.owned(session, caller, schedule_id)
        schedule = await answer(session, row)
        shown = await seen(session, caller, schedule.notebook_id)
    fields.setdefault(EDITION_FIELD, _edition(row, schedule))
    form = Form(texts_in(shown.definitions, sent, typed=True), fields, schedule)
    form.times()
    if form.errors or "look" in fields:
        return await _page(request, shown, form, status=200 if "look" in fields else 422)
    try:
        unchanged = untouched(schedule, form.texts)
        given = {name: text for name, text in form.given().items() if name not in unchanged}
        require_zones(shown.definitions, given)
        kept: dict[str, JsonValue] = {
            each.name: MARK for each in shown.definitions if each.secret and schedule.parameters.get(each.name) == MARK
        }
        said = {name: value for name, value in form.said().items() if value is not None or name in (*MOMENTS, *HOW)}
        said |= {"parameters": kept | unchanged | given, "description": fields.get("description") or None}
        if fields.get("description") == as_sent(schedule.description or ""):
            said["description"] = schedule.description
        wanted = ScheduleUpdate.model_validate(said)
        async with changing(request) as session:
            locked = await service.owned(session, caller, schedule_id, lock=True)
            require_the_same(fields, _edition(locked, await answer(session, locked)))
            changes = wanted.changes()
            await service.change(session, parts.intake, caller, schedule_id, changes, typed=frozenset(given))
    except ValidationError as error:
        form.errors = wrong_fields(error, of_all="cron")
        return await _page(request, shown, form, status=422)
    except Overtaken as error:
        form.others, form.overtaken = {**fields, EDITION_FIELD: error.edition}, True
        return await _page(request, shown, form, status=409)
    except PathNotAllowed as error:
        form.problem = await out_of_reach(request, shown, error)
        return await _page(request, shown, form, status=error.status)
    except PressroomError as error:
        form.explain(error)
        return await _page(request, shown, form, status=error.status)
    return see_other(request, f"/schedules/{schedule_id}", notice="scheduled")


def _edition(row: Schedule, shown: ScheduleOut) -> str:
    """The edition of what the form has fields for: that a schedule is paused, say, makes no other one of it."""
    fields = {*FIELDS, *MOMENTS, *HOW, "parameters", "notebook_id"}
    return edition([shown.model_dump(mode="json", include=fields), row.secrets])


def untouched(schedule: ScheduleOut, texts: Mapping[str, str]) -> dict[str, JsonValue]:
    """The values of a schedule whose fields hold what they held at first, an empty text among them."""
    return {
        name: value
        for name, value in schedule.parameters.items()
        if value != MARK and texts.get(name) == as_sent(text_of(value))
    }


def _id(text: str) -> int:
    if (found := id_in(text)) is None:
        raise Invalid("notebook_id must be the number of a notebook.")
    return found


def schedule_fields(
    definitions: Sequence[Definition], texts: Mapping[str, str], errors: Mapping[str, str]
) -> list[Field]:
    """A field for each parameter, into which a template can be typed. What is left empty is the notebook's default,
    whatever it is then, which stands there as what could be."""
    plain = fields_of(definitions, secret_texts(definitions, texts), errors)
    return [_field(each, made, texts) for each, made in zip(definitions, plain, strict=True)]


def _field(definition: Definition, made: Field, texts: Mapping[str, str]) -> Field:
    text = texts.get(definition.name, "")
    if made.control in ("password", "select"):
        chosen = tuple(replace(one, chosen=one.value == text) for one in made.options)
        return replace(made, text="" if definition.secret else text, options=chosen)
    control = made.control if made.control in ("json", "textarea") else _CONTROLS.get(made.control, "text")
    if control == "text" and "\n" in text:  # which a browser takes out of a field of one line
        control = "textarea"
    return replace(made, control=control, text=text, step="", placeholder=made.text or made.placeholder, options=())


async def meaning(form: Form) -> tuple[str, list[datetime]]:
    """What the expression says in words, and its next times; what is wrong with it stands in the form's errors."""
    said = form.said()
    try:
        words = cron.parsed(str(said["cron"] or "")).words
    except Invalid as error:
        form.errors.setdefault("cron", error.detail)
        return "", []
    bounds = form.times()
    try:
        ask = (said["cron"], said["timezone"], datetime.now(UTC), TIMES)
        return words, await asyncio.to_thread(lambda: coming(*ask, **bounds))
    except Invalid as error:
        form.errors.setdefault("timezone", error.detail)
        return words, []


async def _page(request: Request, shown: Seen, form: Form, *, status: int = 200) -> Response:
    words, times = await meaning(form)
    return page(
        request,
        "schedule_form.html",
        status=status,
        notebook=shown.row,
        form=form,
        fields=schedule_fields(shown.definitions, form.texts, form.parameter_errors),
        words=words,
        times=times,
        presets=PRESETS,
        missed=MISSED,
        overlap=OVERLAP,
        defaults=shown.defaults,
        wrong=len(form.parameter_errors) + len(form.errors) if status != 200 else 0,
        kept=[
            each.name
            for each in shown.definitions
            if each.secret and form.schedule and form.schedule.parameters.get(each.name) == MARK
        ],
    )
