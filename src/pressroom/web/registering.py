"""Registering a notebook: what its parameters cell proposes, to be looked through and confirmed."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any, cast

from fastapi import APIRouter, Request, Response
from pydantic import JsonValue, ValidationError

from pressroom.api import Parts, TheParts, Writer
from pressroom.errors import ParameterInvalid, PressroomError, RuleInvalid
from pressroom.identity.audit import facts
from pressroom.identity.principal import Principal
from pressroom.notebooks import service
from pressroom.notebooks.schemas import NotebookCreate
from pressroom.parameters import service as parameters
from pressroom.parameters.proposals import propose
from pressroom.parameters.rules import Definition, ParameterType, canonical
from pressroom.parameters.schemas import ParameterFields
from pressroom.parameters.sealing import SecretKeys
from pressroom.parameters.values import checked
from pressroom.settings import MEBIBYTE
from pressroom.web.forms import text_of
from pressroom.web.rendering import page
from pressroom.web.routes import PageRoute, changing, form_of, see_other, text_fields

FIELDS = ("path", "name", "description", "tags")
MOST_PARAMETERS = 200
router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(slots=True)
class Proposed:
    """A parameter in the form: what is in its fields, as texts, and what is wrong with it."""

    name: str
    type: str = "string"
    default: str = ""
    description: str = ""
    low: str = ""
    high: str = ""
    options: str = ""
    pattern: str = ""
    required: str = ""
    secret: str = ""
    take: str = "yes"
    error: str | None = None

    @classmethod
    def of(cls, fields: ParameterFields) -> "Proposed":
        """What a proposal puts into the fields."""
        rules = canonical(fields.validation_rules or {})
        return cls(
            fields.param_name,
            fields.param_type,
            text_of(fields.default_value),
            fields.description or "",
            text_of(rules.get("min")),
            text_of(rules.get("max")),
            _listed(rules.get("options")),
            text_of(rules.get("pattern")),
            "yes" if fields.required else "",
        )

    def fields(self) -> ParameterFields:
        """The definition that the fields say. Raises :class:`ParameterInvalid` for a text that is no value of the
        type, and :class:`RuleInvalid`."""
        if self.type not in set(ParameterType):
            raise RuleInvalid(self.name, "param_type", f"is {self.type!r}, not one of {', '.join(ParameterType)}")
        bare = Definition(self.name, self.type)
        rules: dict[str, JsonValue] = {}
        for rule, text in (("min", self.low), ("max", self.high)):
            if text.strip():
                rules[rule] = checked(bare, text, lenient=True)
        if self.options.strip():
            rules["options"] = self._options(bare)
        if self.pattern:
            rules["pattern"] = self.pattern
        return ParameterFields(
            param_name=self.name,
            param_type=self.type,
            default_value=checked(bare, self.default, lenient=True) if self.default else None,
            description=self.description or None,
            required=bool(self.required),
            validation_rules=rules or None,
            secret=bool(self.secret),
        )

    def _options(self, bare: Definition) -> list[JsonValue]:
        text = self.options.strip()
        if text.startswith("["):
            listed = checked(Definition(self.name, "json"), text, lenient=True)
            return cast("list[JsonValue]", listed)
        each = [part.strip() for part in text.split(",") if part.strip()]
        if self.type == ParameterType.LIST:
            return list[JsonValue](each)
        return [checked(bare, part, lenient=True) for part in each]


def _listed(options: JsonValue) -> str:
    """Options as they are typed: separated by commas, where none holds one."""
    if not isinstance(options, list):
        return ""
    texts = [one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in options]
    plain = all(text and text == text.strip() and "," not in text and not text.startswith("[") for text in texts)
    return ", ".join(texts) if plain else json.dumps(options, ensure_ascii=False)


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
        """What was typed. The fields of parameters are ``d.NUMBER.FIELD``."""
        path, name, description, tags = (fields.get(each, "").strip() for each in FIELDS)
        form = cls(path, name, description, tags)
        known = [name for name in asdict(Proposed("")) if name not in ("name", "error")]
        for number in range(MOST_PARAMETERS):
            given = fields.get(f"d.{number}.name")
            if given is None:
                break
            said = {name: fields.get(f"d.{number}.{name}", "") for name in known}
            form.proposed.append(Proposed(given, **said))
        return form

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
        definitions = _definitions(parts, form)
        if any(each.error for each in form.proposed):
            return _page(request, form, status=422)
        async with changing(request) as session:
            limit = int(parts.settings.max_notebook_mb * MEBIBYTE)
            notebook = await service.register(session, parts.places, limit, caller, wanted)
            facts(request.scope)["notebook_id"] = notebook.id
            await parameters.add(session, notebook.id, definitions)
    except ValidationError as error:
        form.errors = {_field_name(one["loc"][0]): one["msg"] for one in error.errors()}
        return _page(request, form, status=422)
    except (RuleInvalid, ParameterInvalid) as error:
        for each in form.proposed:
            each.error = error.detail if each.name == error.parameter else None
        return _page(request, form, status=error.status)
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


def _definitions(parts: Parts, form: Form) -> list[ParameterFields]:
    """The definitions that are taken; what is wrong with one stands beside it."""
    found: list[ParameterFields] = []
    for each in form.proposed:
        if not each.take:
            continue
        try:
            if each.secret:
                SecretKeys.of(parts.settings).require_for_definition(each.name)
            found.append(each.fields())
        except (RuleInvalid, ParameterInvalid) as error:
            each.error = error.detail
        except ValidationError as error:
            each.error = "; ".join(one["msg"] for one in error.errors())
    return found


async def _propose(parts: Parts, caller: Principal, form: Form) -> None:
    """Fill the form in from the file."""
    limit = int(parts.settings.max_notebook_mb * MEBIBYTE)

    def read() -> tuple[str, tuple[list[ParameterFields], bool, list[str]]]:
        place = parts.places.locate(form.path, caller.username)
        return str(place.path), propose(place.read(limit), str(place.path))

    form.path, (proposals, _, form.notes) = await asyncio.to_thread(read)
    form.proposed = [Proposed.of(each) for each in proposals[:MOST_PARAMETERS]]
    if not form.name:
        words = PurePosixPath(form.path).stem.replace("_", " ").replace("-", " ").strip()
        form.name = words[:1].upper() + words[1:]


def _page(request: Request, form: Form, *, status: int = 200) -> Response:
    values: dict[str, Any] = {"form": form, "types": [kind.value for kind in ParameterType]}
    return page(request, "registering.html", status=status, **values)
