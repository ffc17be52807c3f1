"""A sweep of a notebook: its form with several values, and how many executions that makes, before they start."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import JsonValue, ValidationError

from pressroom.api import Id, Parts, Runner, TheParts
from pressroom.batches import service as batches
from pressroom.batches.requests import planned
from pressroom.batches.schemas import BatchCreate, Method
from pressroom.errors import OverLimit, ParameterInvalid, PathNotAllowed, PressroomError
from pressroom.executions import recent
from pressroom.identity.audit import facts
from pressroom.identity.rights import Level
from pressroom.web.registered import HOW, Seen, out_of_reach, seen
from pressroom.web.rendering import page
from pressroom.web.routes import PageRoute, changing, form_of, see_other, text_fields
from pressroom.web.sweeps import Sweep, read, sweep_fields, sweep_texts
from pressroom.wire import sentence_of

GRID = "grid"
"""The way that executes every combination; all others draw a sample."""
WAYS = {
    GRID: "every combination",
    Method.RANDOM.value: "a random sample",
    Method.LATIN_HYPERCUBE.value: "a Latin hypercube sample",
    Method.SOBOL.value: "a Sobol sample",
    Method.HALTON.value: "a Halton sample",
}
BATCH = ("name", "concurrency_limit", "stop_after_failures")
SAMPLE = ("count", "seed")
router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(slots=True)
class Form:
    """What is in the form, and what is wrong with it."""

    texts: Mapping[str, str]
    others: Mapping[str, str]
    """The fields that are no parameters."""
    sweep: Sweep
    errors: dict[str, str] = field(default_factory=dict[str, str])
    """Of the fields that are no parameters."""
    problem: str | None = None

    @property
    def says_how(self) -> bool:
        """Whether it is said how it is executed."""
        return any(self.others.get(name) for name in HOW)

    @property
    def way(self) -> str:
        """How the values are put together."""
        said = self.others.get("way", GRID)
        return said if said in WAYS else GRID

    @property
    def total(self) -> int:
        """How many executions that makes; 0 where nothing has several values."""
        if self.way == GRID or not self.sweep.swept:
            return self.sweep.combinations
        count = self.others.get("count", "").strip()
        return int(count) if count.isascii() and count.isdigit() and len(count) < 10 else 0

    def wanted(self, notebook_id: int) -> BatchCreate:
        """The batch. Raises pydantic's error for a field that is wrong."""
        said: dict[str, Any] = {name: text for name in (*BATCH, *HOW) if (text := self.others.get(name, "").strip())}
        said |= {"notebook_id": notebook_id, "parameters": self.sweep.fixed, "in_order": "in_order" in self.others}
        if self.way == GRID:
            return BatchCreate.model_validate(said | {"grid": self.sweep.swept})
        sample: dict[str, Any] = {name: text for name in SAMPLE if (text := self.others.get(name, "").strip())}
        sample |= {"method": self.way, "ranges": self.sweep.ranges}
        return BatchCreate.model_validate(said | {"sample": sample})


@router.get("/notebooks/{notebook_id}/sweep")
async def show_a_sweep(notebook_id: Id, request: Request, parts: TheParts, caller: Runner) -> Response:
    """The form of a sweep. ``p.NAME=VALUES`` fills a field in."""
    async with parts.database.snapshot() as session:
        shown = await seen(session, caller, notebook_id, Level.RUNNER)
    texts = sweep_texts(shown.definitions, request.query_params)
    return _page(request, parts, shown, await _form(shown, texts, dict(request.query_params)))


@router.post("/notebooks/{notebook_id}/sweep")
async def sweep_from_a_page(notebook_id: Id, request: Request, parts: TheParts, caller: Runner) -> Response:
    """Begin a batch of what was typed, if it is as many executions as its sender was shown; else show the form again,
    with the number. With ``look``, it is only shown."""
    async with parts.database.transaction() as session:
        shown = await seen(session, caller, notebook_id, Level.RUNNER)
    sent = await form_of(request)
    form = await _form(shown, sweep_texts(shown.definitions, sent), text_fields(sent))
    counted = form.others.get("counted")
    if form.way != GRID and form.others.get("count", "").strip():
        try:  # a wrong number leaves nothing to count, and is said as what is wrong with the other fields
            form.wanted(notebook_id)
        except ValidationError as error:
            _tell(form, error)
    looks, wrong = "look" in form.others, bool(form.sweep.errors or form.errors or not form.total)
    if looks or wrong or counted != str(form.total):
        return _page(request, parts, shown, form, status=422 if wrong and not looks else 200)
    try:
        wanted = form.wanted(notebook_id)
        async with changing(request) as session:
            plan = await planned(session, parts.settings, caller, wanted)
            batch = await batches.begin(session, parts.intake, caller, plan)
            facts(request.scope).update(batch_id=batch.id, executions=batch.total, notebook_id=notebook_id)
            batch_id = batch.id
    except ValidationError as error:
        _tell(form, error)
        return _page(request, parts, shown, form, status=422)
    except ParameterInvalid as error:
        _explain(form, error)
        return _page(request, parts, shown, form, status=error.status)
    except PathNotAllowed as error:
        form.problem = await out_of_reach(request, shown, error)
        return _page(request, parts, shown, form, status=error.status)
    except PressroomError as error:
        if error.status in (401, 403, 404):
            raise
        form.problem = error.detail
        return _page(request, parts, shown, form, status=error.status)
    return see_other(request, f"/batches/{batch_id}", notice="batch")


async def _form(shown: Seen, texts: Mapping[str, str], others: Mapping[str, str]) -> Form:
    """The form with what was typed; what was not sent has its default."""
    plain = sweep_fields(shown.definitions, {}, {})
    given = {each.label: texts.get(each.label, each.text) for each in plain}
    # What is typed may be megabytes.
    return Form(given, others, await asyncio.to_thread(read, shown.definitions, given))


def _explain(form: Form, error: ParameterInvalid) -> None:
    """Put what the service says of parameters beside their fields: of each, of the first set in which it is wrong."""
    for name, detail in error.by_parameter.items():
        form.sweep.errors.setdefault(name, detail)


def _tell(form: Form, error: ValidationError) -> None:
    """Put what is wrong with the batch beside the field that it is about: ``sample.count`` is typed as ``count``, and
    ``grid.alpha.3`` as the parameter."""
    for one in error.errors():
        names = [str(part) for part in one["loc"]]
        sentence = sentence_of(one)
        if field_name := next((name for name in names if name in (*BATCH, *SAMPLE, *HOW)), None):
            form.errors.setdefault(field_name, sentence)
        elif parameter := next((name for name in names if name in form.texts), None):
            form.sweep.errors.setdefault(parameter, sentence)
        else:
            form.problem = f"{'.'.join(names)}: {sentence}" if names else sentence


def _drawn(form: Form, name: str, values: list[JsonValue]) -> tuple[int, list[JsonValue], bool]:
    """How many values a parameter has, the first of them, and whether they are the ends of what a sample is drawn
    from."""
    ends = form.way != GRID and form.sweep.ranges[name].options is None
    return len(values), [values[0], values[-1]] if ends else values[:6], ends


def _page(request: Request, parts: Parts, shown: Seen, form: Form, *, status: int = 200) -> Response:
    total, limit = form.total, parts.settings.batch_limit
    over = OverLimit("executions", total, limit, "PRESSROOM_BATCH_LIMIT").detail if total > limit else None
    usual = recent.usual(shown.marks)
    missing = "Say how many a sample has." if form.sweep.swept else "No parameter has several values yet."
    return page(
        request,
        "sweep.html",
        status=status,
        notebook=shown.row,
        fields=sweep_fields(shown.definitions, form.texts, form.sweep.errors),
        form=form,
        ways=WAYS,
        swept=[(name, *_drawn(form, name, values)) for name, values in form.sweep.swept.items()],
        total=total,
        missing=None if total else missing,
        over=over,
        usual=usual,
        wrong=len(form.sweep.errors) + len(form.errors),
        defaults=shown.defaults,
        refused=status != 200,
        changed=form.others.get("counted") not in (None, "", str(total)) and "look" not in form.others,
    )
