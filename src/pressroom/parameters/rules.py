"""Definitions of parameters, and the JSON Schema they compile to.

A rule has one meaning whatever its spelling (``regex`` is ``pattern``; ``choices`` and ``enum`` are ``options``).
``pattern`` is searched for anywhere in the text, as in JSON Schema; anchor it to match the whole. ``options`` of a list
say what its items may be. A rule whose value is ``null`` is no rule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from difflib import get_close_matches
from enum import StrEnum
from keyword import iskeyword
from typing import Any

from pydantic import JsonValue


class ParameterType(StrEnum):
    """The types of parameters. A date or a datetime travels, and reaches the notebook, as an ISO 8601 text."""

    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    JSON = "json"
    LIST = "list"
    DATE = "date"
    DATETIME = "datetime"


T = ParameterType
SPELLINGS = {"regex": "pattern", "choices": "options", "enum": "options"}
FITS: dict[str, frozenset[ParameterType]] = {
    "min": frozenset({T.INTEGER, T.FLOAT, T.DATE, T.DATETIME}),
    "max": frozenset({T.INTEGER, T.FLOAT, T.DATE, T.DATETIME}),
    "min_length": frozenset({T.STRING, T.LIST}),
    "max_length": frozenset({T.STRING, T.LIST}),
    "pattern": frozenset({T.STRING}),
    "options": frozenset(T),
}
"""Each rule and the types that it fits."""
JSON_TYPES = {
    T.STRING: "string",
    T.INTEGER: "integer",
    T.FLOAT: "number",
    T.BOOLEAN: "boolean",
    T.LIST: "array",
    T.DATE: "string",
    T.DATETIME: "string",
}


@dataclass(frozen=True, slots=True)
class Definition:
    """The definition of one parameter. ``default`` is ``None`` where there is none."""

    name: str
    type: str
    required: bool = False
    default: JsonValue = None
    description: str | None = None
    rules: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    secret: bool = False
    """Its values are encrypted where they are kept, and shown nowhere."""


def canonical(rules: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The rules under their one name each, those that are null left out."""
    return {SPELLINGS.get(name, name): value for name, value in rules.items() if value is not None}


def check_name(name: str) -> str | None:
    """Why a text cannot name a parameter, completing a sentence; ``None`` where it can."""
    if not name.isidentifier():
        return "is not a name that a variable can have"
    if iskeyword(name):
        return "is a reserved word of Python"
    if len(name) > 100:
        return "is longer than 100 characters"
    return None


def canonical_name(rule: str) -> str:
    """The one name of a rule, whatever its spelling."""
    return SPELLINGS.get(rule, rule)


def closest_rule(name: str) -> str:
    """What whoever wrote an unknown rule may have meant, as a clause."""
    near = get_close_matches(name, [*FITS, *SPELLINGS], n=1)
    return f"did you mean {near[0]!r}?" if near else f"the rules are {', '.join(FITS)}"


def is_time(kind: ParameterType, text: str) -> bool:
    """Whether a text is a date (``YYYY-MM-DD``) or a datetime in ISO 8601."""
    try:
        if kind is T.DATE:
            # Weeks (2026-W01-1) are ISO 8601 too, but do not sort as texts do.
            return len(text) == 10 and date.fromisoformat(text).isoformat() == text
        return len(text) > 10 and bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def moment(text: JsonValue) -> float:
    """A datetime as seconds since the epoch; one without an offset is taken as UTC."""
    when = datetime.fromisoformat(str(text))
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def schema_of(definition: Definition) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one parameter's values."""
    kind, rules = T(definition.type), canonical(definition.rules)
    schema: dict[str, Any] = {"title": definition.name}
    if definition.description:
        schema["description"] = definition.description
    if kind in JSON_TYPES:
        schema["type"] = JSON_TYPES[kind]
    if kind in (T.DATE, T.DATETIME):
        schema["format"] = "date" if kind is T.DATE else "date-time"
    length = "Items" if kind is T.LIST else "Length"
    timed = "format" if kind in (T.DATE, T.DATETIME) else ""
    keywords = {
        "min": f"{timed}Minimum" if timed else "minimum",
        "max": f"{timed}Maximum" if timed else "maximum",
        "min_length": f"min{length}",
        "max_length": f"max{length}",
        "pattern": "pattern",
        "options": "enum",
    }
    for rule, value in rules.items():
        if rule == "options" and kind is T.LIST:
            schema["items"] = {"enum": value}
        else:
            schema[keywords[rule]] = value
    if definition.default is not None:
        schema["default"] = definition.default
    if definition.secret:
        schema["writeOnly"] = True
    return schema


def schema_of_all(definitions: Sequence[Definition], title: str, description: str | None = None) -> dict[str, Any]:
    """The JSON Schema of a notebook's parameters: an object with a property each and no others."""
    schema: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    if description:
        schema["description"] = description
    schema |= {
        "type": "object",
        "properties": {d.name: schema_of(d) for d in definitions},
        "required": [d.name for d in definitions if d.required and d.default is None],
        "additionalProperties": False,
    }
    return schema
