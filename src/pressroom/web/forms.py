"""The form of a notebook's parameters: a field for each, made from its JSON Schema; and what was typed into them.

What a field holds is a text, which the service reads as it reads a command's (``lenient``), and says in its own words
what is wrong with it. An empty field is a parameter that was not given.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import JsonValue, ValidationError
from starlette.datastructures import FormData, QueryParams

from pressroom.parameters.rules import Definition, ParameterType, schema_of
from pressroom.press.masks import MARK
from pressroom.web.moments import in_utc, known, same, to_the_second, with_zone
from pressroom.web.rendering import value_in_words
from pressroom.web.routes import SECRET_PREFIX
from pressroom.wire import sentence_of

PREFIX = "p."
"""How the names of fields with parameters begin."""
LONG_TEXT = 120
"""From so many characters on, a text has several lines to be typed into."""
SLIDER_STEPS = 100
TINY = 1e-300
"""Numbers that are nearer to each other, or farther apart than its reciprocal, have no slider."""
YES_OR_NO = {"true": "yes", "false": "no"}
"""What the values of a boolean are called."""


@dataclass(frozen=True, slots=True)
class Option:
    """What may be chosen: the text that is sent, and the one that is read."""

    value: str
    label: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Field:
    """One field. ``control`` says which; ``text`` is what is in it, ``error`` what is wrong with that. ``hint`` is what
    may be typed. ``minimum``, ``maximum`` and ``step`` are those of a slider or a date. ``moment``: it is typed by the
    reader's own clock, where a script tells it. ``again``: what was typed is a secret, and is not in it any more."""

    name: str
    label: str
    control: str
    text: str
    description: str = ""
    hint: str = ""
    error: str | None = None
    required: bool = False
    options: tuple[Option, ...] = ()
    minimum: str = ""
    maximum: str = ""
    step: str = ""
    placeholder: str = ""
    moment: bool = False
    again: bool = False


def fields_of(definitions: Sequence[Definition], texts: Mapping[str, str], errors: Mapping[str, str]) -> list[Field]:
    """A field for each parameter, with what was typed (``texts``), else its default."""
    return [_field(each, texts.get(each.name), errors.get(each.name)) for each in definitions]


def secret_texts(definitions: Sequence[Definition], texts: Mapping[str, str]) -> dict[str, str]:
    """Of what was typed, the secrets."""
    return {each.name: texts[each.name] for each in definitions if each.secret and each.name in texts}


def _field(definition: Definition, typed: str | None, error: str | None) -> Field:
    schema = schema_of(definition)
    text = typed if typed is not None else text_of(schema.get("default"))
    if typed is None and definition.type == ParameterType.DATETIME:
        text = in_utc(text)
    control, more = _control(schema, definition, text)
    if control == "datetime":
        text = to_the_second(text) or ""
    prefix = SECRET_PREFIX if definition.secret else PREFIX
    return Field(
        name=prefix + definition.name,
        label=definition.name,
        control=control,
        text="" if definition.secret else text,
        description=definition.description or "",
        hint=_hint(schema, definition),
        error=error,
        required=definition.required and definition.default is None,
        again=definition.secret and bool(typed),
        **more,
    )


def _control(schema: Mapping[str, Any], definition: Definition, text: str) -> tuple[str, dict[str, Any]]:
    """Which control a parameter has, and what belongs to it."""
    kind, options = schema.get("type"), schema.get("enum")
    if definition.secret:
        return "password", {}
    if kind == "array" and isinstance(items := schema.get("items"), dict):
        chosen = set(map(value_in_words, _list_in(text)))
        each = cast("list[JsonValue]", cast("dict[str, Any]", items)["enum"])
        return "checkboxes", {"options": tuple(_option(one, chosen) for one in each)}
    if kind == "boolean" and options is None:
        options = [True, False]
    if isinstance(options, list):
        return "select", {"options": tuple(_option(one, {text}) for one in cast("list[JsonValue]", options))}
    if kind in ("integer", "number"):
        return _number(schema, whole=kind == "integer")
    if schema.get("format") == "date":
        bounds = {"minimum": schema.get("formatMinimum", ""), "maximum": schema.get("formatMaximum", "")}
        return "date", bounds
    if schema.get("format") == "date-time":
        # The browser's own control would show nothing of what is no time, or is finer.
        shown = not text or to_the_second(text)
        return ("datetime" if shown else "text"), {"placeholder": "2026-10-31T08:00:00Z", "moment": True}
    if kind == "string":
        long = "\n" in text or len(text) > LONG_TEXT
        return ("textarea" if long else "text"), {}
    return ("list" if kind == "array" else "json"), {}


def _number(schema: Mapping[str, Any], *, whole: bool) -> tuple[str, dict[str, Any]]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None or high is None or not TINY < high - low < 1 / TINY:
        return ("integer" if whole else "number"), {}
    step = 1.0 if whole else 10.0 ** math.floor(math.log10((high - low) / SLIDER_STEPS))
    said = {"minimum": json.dumps(low), "maximum": json.dumps(high), "step": f"{step:g}"}
    return ("integer" if whole else "number"), said


def _option(value: JsonValue, chosen: set[str]) -> Option:
    text = text_of(value)
    label = YES_OR_NO.get(text, text) if isinstance(value, bool) else text
    return Option(text, label, text in chosen)


def _hint(schema: Mapping[str, Any], definition: Definition) -> str:
    """What may be typed, in words."""
    said: list[str] = []
    kind = schema.get("type")
    if kind == "array" and "items" not in schema:
        said.append("a list: JSON, or texts separated by commas")
    elif kind is None and "enum" not in schema:
        said.append("JSON")
    elif kind == "integer":
        said.append("a whole number")
    said += _range(schema)
    for word, unit in (("Length", "characters"), ("Items", "items")):
        if f"min{word}" in schema:
            said.append(f"at least {schema[f'min{word}']} {unit}")
        if f"max{word}" in schema:
            said.append(f"at most {schema[f'max{word}']} {unit}")
    if "pattern" in schema:
        said.append(f"matches {schema['pattern']}")
    if definition.secret:
        said.append("kept encrypted, and shown nowhere")
    return ", ".join(said)


def _range(schema: Mapping[str, Any]) -> list[str]:
    low = schema.get("minimum", schema.get("formatMinimum"))
    high = schema.get("maximum", schema.get("formatMaximum"))
    if schema.get("format") == "date-time":
        low, high = (in_utc(bound) if bound else None for bound in (low, high))
    more, less = ("later", "earlier") if "format" in schema else ("more", "less")
    if low is not None and high is not None:
        return [f"{low} to {high}"]
    if low is not None:
        return [f"{low} or {more}"]
    return [] if high is None else [f"{high} or {less}"]


def text_of(value: JsonValue) -> str:
    """What stands for a value in a field: nothing for none."""
    return "" if value is None else value_in_words(value)


def as_sent(text: str) -> str:
    """What a browser sends of a field that holds a text, and that nobody touched."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _list_in(text: str) -> list[JsonValue]:
    try:
        found: object = json.loads(text) if text else []
    except (ValueError, RecursionError):
        return []
    return cast("list[JsonValue]", found) if isinstance(found, list) else []


def texts_in(definitions: Sequence[Definition], sent: FormData | QueryParams, *, typed: bool = False) -> dict[str, str]:
    """What was typed into the fields of parameters, by the parameters' names; those that were not sent are left out.
    Of a list with options, those that were ticked are one JSON text. A time has its zone. ``typed``: this form has one
    field for a list, and what comes as several was ticked in another."""
    found: dict[str, str] = {}
    for definition in definitions:
        values = sent_of(definition, sent)
        if not values:
            continue
        text = values[-1].replace("\r\n", "\n")
        if definition.type == ParameterType.DATETIME:
            text = _timed(definition, text)
        schema = schema_of(definition)
        if "items" not in schema or (len(values) == 1 and (typed or _list_in(text))):
            found[definition.name] = text
            continue
        each = {text_of(one): one for one in schema["items"]["enum"]}
        found[definition.name] = json.dumps([each.get(one, one) for one in values if one], ensure_ascii=False)
    return found


def _timed(definition: Definition, text: str) -> str:
    """A time with its zone; or the default or one of the options, if it is that moment, as it is written there: a
    control that has no zone has sent it in other words."""
    text = text.strip()
    return next((one for one in known(definition) if text == one or same(text, one)), None) or with_zone(text)


def sent_of(definition: Definition, sent: FormData | QueryParams) -> list[str]:
    """All texts that were sent for a parameter."""
    prefix = SECRET_PREFIX if definition.secret else PREFIX
    return [text for text in sent.getlist(prefix + definition.name) if isinstance(text, str)]


def wrong_fields(error: ValidationError, of_all: str = "") -> dict[str, str]:
    """What is wrong with each field, by its name, in the API's own words; ``of_all`` is the name under which stands
    what is wrong with all of them together."""
    return {str(one["loc"][0]) if one["loc"] else of_all: sentence_of(one) for one in reversed(error.errors())}


def given_in(definitions: Sequence[Definition], texts: Mapping[str, str]) -> dict[str, JsonValue]:
    """The parameters that these texts give. An empty one gives none, but for a text that has a default: it was taken
    away; and a list of which nothing is chosen gives none where there is no default."""
    given: dict[str, JsonValue] = {}
    for definition in definitions:
        text = texts.get(definition.name)
        schema = schema_of(definition)
        if text is None or (text == "[]" and "items" in schema and definition.default is None):
            continue
        if text or (definition.type == "string" and definition.default and "enum" not in schema):
            given[definition.name] = text
    return given


def texts_of_values(definitions: Sequence[Definition], values: Mapping[str, JsonValue]) -> dict[str, str]:
    """The texts of an earlier execution's values; of those that are secret, none."""
    found: dict[str, str] = {}
    for each in definitions:
        if each.name in values and not each.secret and values[each.name] != MARK:
            text = text_of(values[each.name])
            found[each.name] = _timed(each, in_utc(text)) if each.type == ParameterType.DATETIME else text
    return found
