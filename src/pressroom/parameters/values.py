"""Values of parameters: coerced where nothing is lost, checked against the JSON Schema of their definitions.

Over JSON a value must have its type: a string is not an integer, true is not 1; 3.0 is the integer 3, and 3 the float
3.0. ``lenient`` is for texts, from a command line or a form: ``"3"`` is 3 then, ``"yes"`` is true, JSON text is a list
or an object, and so is ``a,b`` a list of strings. ``null`` is a value for the type ``json`` only.
"""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, cast

import regex
from jsonschema import Draft202012Validator, ValidationError, validators
from pydantic import JsonValue

from pressroom.errors import ParameterInvalid
from pressroom.json_values import MAX_DIGITS, storable
from pressroom.parameters.rules import Definition, ParameterType, canonical, check_name, is_time, moment, schema_of

T = ParameterType
PATTERN_SECONDS = 1.0
"""How long a pattern may search."""
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_RULES = {
    "minimum": "min", "maximum": "max", "formatMinimum": "min", "formatMaximum": "max", "minLength": "min_length",
    "maxLength": "max_length", "minItems": "min_length", "maxItems": "max_length", "enum": "options",
}  # fmt: skip


def resolve(
    definitions: Sequence[Definition], given: Mapping[str, JsonValue], *, lenient: bool = False
) -> dict[str, JsonValue]:
    """The values to execute with: what was given, coerced and checked, and the defaults of what was left out.

    A parameter that has neither is left out, so that the notebook's own value holds. Raises :class:`ParameterInvalid`
    with every problem there is.
    """
    known = {definition.name: definition for definition in definitions}
    # Under a misspelt name there may be a secret.
    shown = not any(definition.secret for definition in definitions)
    problems = [_unknown(name, known, value if shown else None) for name, value in given.items() if name not in known]
    values: dict[str, JsonValue] = {}
    for name, definition in known.items():
        try:
            if name in given:
                values[name] = checked(definition, given[name], lenient=lenient)
            elif definition.default is not None:
                values[name] = checked(definition, definition.default)
            elif definition.required:
                problems.append(ParameterInvalid(name, "required", "is required and was not given"))
        except ParameterInvalid as error:
            problems.append(concealed(definition, error) if definition.secret else error)
    if problems:
        raise ParameterInvalid.of(problems)
    return values


def check_unregistered(given: Mapping[str, JsonValue]) -> None:
    """Check the parameters of a notebook that has no definitions. Raises :class:`ParameterInvalid`."""
    problems: list[ParameterInvalid] = []
    for name, value in given.items():
        if why := check_name(name):
            problems.append(ParameterInvalid(name, "name", why))
        elif why := storable(value):
            problems.append(ParameterInvalid(name, "type", why))
    if problems:
        raise ParameterInvalid.of(problems)


def guessed(text: str) -> JsonValue:
    """The value that a text of the command line stands for where no definition says its type, as Papermill has it."""
    words: dict[str, JsonValue] = {"True": True, "False": False, "None": None}
    if text in words:
        return words[text]
    for read in (int, float):
        try:
            value = read(text)
        except ValueError:
            continue
        # "nan" and "inf" are words here: no number in JSON is meant.
        return text if storable(value) else value
    return text


def checked(definition: Definition, given: JsonValue, *, lenient: bool = False) -> JsonValue:
    """One value, coerced and checked. Raises :class:`ParameterInvalid`."""
    kind = T(definition.type)
    if why := storable(given):
        raise ParameterInvalid(definition.name, "type", why)
    if given is None and kind is not T.JSON:
        raise ParameterInvalid(definition.name, "type", f"must be {_article(kind)}, not null; leave it out instead")
    value = _read(definition.name, kind, given) if lenient and isinstance(given, str) else given
    if why := storable(value):
        raise ParameterInvalid(definition.name, "type", why, given)
    value = _coerced(definition.name, kind, value)
    if canonical(definition.rules):  # without any, the type is all that the schema asks for
        # Options compare as JSON does, in which 1 is 1.0 and true is not 1.
        for error in _validator(json.dumps(schema_of(definition))).iter_errors(value):
            raise _broken(definition, error, value)
    return value


@lru_cache(maxsize=1000)
def _validator(schema: str) -> Any:
    return _Validator(json.loads(schema))


def _coerced(name: str, kind: ParameterType, value: JsonValue) -> JsonValue:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case T.INTEGER if number and (not isinstance(value, float) or value.is_integer()):
            return _whole(name, cast("float", value))
        case T.FLOAT if number:
            try:
                exact = float(cast("float", value))
            except OverflowError:
                exact = float("inf")
            if exact == value:
                return exact
            raise ParameterInvalid(name, "type", "is an integer that no float can hold exactly", value)
        case T.STRING if isinstance(value, str):
            return value
        case T.BOOLEAN if isinstance(value, bool):
            return value
        case T.LIST if isinstance(value, list):
            return value
        case T.DATE | T.DATETIME if isinstance(value, str) and is_time(kind, value):
            return value
        case T.JSON:
            return value
        case _:
            raise ParameterInvalid(name, "type", f"must be {_article(kind)}, not {_said(value)}", value)


def _whole(name: str, value: float) -> int:
    # From 2**53 on a float stands for several integers, and the one that was meant is lost.
    if isinstance(value, float) and abs(value) >= 2**53:
        raise ParameterInvalid(name, "type", "must be written without a point or an exponent", value)
    return int(value)


def _read(name: str, kind: ParameterType, text: str) -> JsonValue:
    """The value that a text stands for; a text that stands for none is left to the check of its type."""
    try:
        match kind:
            case T.INTEGER:
                return _integer(text.strip())
            case T.FLOAT:
                # Digits alone are an integer, which may have no float.
                return int(text) if text.strip().isdecimal() else float(text)
            case T.BOOLEAN:
                return _WORDS.get(text.strip().lower(), text)
            case T.LIST:
                return json.loads(text) if text.lstrip().startswith("[") else _items(text)
            case T.JSON:
                return json.loads(text)
            case T.DATE | T.DATETIME:
                return text.strip()
            case _:
                return text
    except (ValueError, RecursionError) as error:
        raise ParameterInvalid(name, "type", f"must be {_article(kind)}, not {_said(text)}", text) from error


def _integer(text: str) -> JsonValue:
    """The integer that a text stands for exactly, ``1e3`` and ``3.0`` among them; else the float nearest to it."""
    try:
        exact = Decimal(text)
    except InvalidOperation:
        raise ValueError(text) from None
    if exact.is_finite() and exact.adjusted() < MAX_DIGITS and exact == exact.to_integral_value():
        return int(exact)
    return float(exact)


def from_texts(definitions: Sequence[Definition], given: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """What was typed, as the values that the definitions want; what has none stays as it is.

    Raises :class:`ParameterInvalid`, without the value of a secret.
    """
    known = {definition.name: definition for definition in definitions}
    found = dict(given)
    for name in given.keys() & known.keys():
        try:
            found[name] = checked(known[name], given[name], lenient=True)
        except ParameterInvalid as error:
            raise (concealed(known[name], error) if known[name].secret else error) from None
    return found


def _items(text: str) -> list[JsonValue]:
    return [item.strip() for item in text.split(",")] if text.strip() else []


def _unknown(name: str, known: Mapping[str, Definition], value: JsonValue) -> ParameterInvalid:
    near = get_close_matches(name, known, n=1)
    names = ", ".join(known) or "none"
    hint = f"did you mean {near[0]!r}?" if near else f"it has these: {names}"
    return ParameterInvalid(name, "unknown", f"is not one of the notebook's parameters; {hint.rstrip('.')}", value)


def concealed(definition: Definition, error: ParameterInvalid) -> ParameterInvalid:
    """What is wrong with a secret, without the value that was given."""
    rule = str(error.rule)
    wanted = canonical(definition.rules).get(rule)
    why = f"must be {_article(T(definition.type))}" if wanted is None else f"breaks its rule {rule} ({wanted})"
    return ParameterInvalid(definition.name, rule, f"{why}; what was given is not shown, since it is a secret")


def _broken(definition: Definition, error: ValidationError, value: JsonValue) -> ParameterInvalid:
    keyword, wanted = str(error.validator), error.validator_value
    rule = _RULES.get(keyword, keyword)
    options = canonical(definition.rules).get("options")
    timed = keyword.startswith("format")
    unit = "items" if definition.type == T.LIST else "characters"
    sentence = {
        "min": error.message if timed else f"must be {wanted} or more",
        "max": error.message if timed else f"must be {wanted} or less",
        "min_length": f"must have at least {wanted} {unit}",
        "max_length": f"must have at most {wanted} {unit}",
        "pattern": error.message,
        "options": f"must be one of {json.dumps(options, ensure_ascii=False)[:500]}",
    }.get(rule, f"is not valid: {error.message[:200]}")
    if rule == "options" and definition.type == T.LIST:
        sentence = f"may hold only {json.dumps(options, ensure_ascii=False)[:500]}"
    return ParameterInvalid(definition.name, rule, sentence, value)


def _said(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False)[:100]


def _article(kind: ParameterType) -> str:
    return {
        T.STRING: "a string", T.INTEGER: "an integer", T.FLOAT: "a number", T.BOOLEAN: "true or false",
        T.LIST: "a list", T.DATE: "a date like 2026-10-31", T.DATETIME: "a datetime like 2026-10-31T08:00:00Z",
        T.JSON: "JSON",
    }[kind]  # fmt: skip


def _pattern(_: Any, pattern: str, value: object, __: Any) -> Any:
    if not isinstance(value, str):
        return
    try:
        # The pattern is a user's and may search for ever: the standard library's engine could not be stopped.
        if regex.search(pattern, value, timeout=PATTERN_SECONDS) is None:
            yield ValidationError(f"must match {pattern!r}")
    except TimeoutError:
        yield ValidationError(f"could not be matched against {pattern!r} within {PATTERN_SECONDS:g} s")


def _not_before(_: Any, bound: str, value: object, schema: Mapping[str, Any]) -> Any:
    if isinstance(value, str) and _instant(value, schema) < _instant(bound, schema):
        yield ValidationError(f"must be {bound} or later")


def _not_after(_: Any, bound: str, value: object, schema: Mapping[str, Any]) -> Any:
    if isinstance(value, str) and _instant(value, schema) > _instant(bound, schema):
        yield ValidationError(f"must be {bound} or earlier")


def _instant(text: str, schema: Mapping[str, Any]) -> Any:
    return moment(text) if schema.get("format") == "date-time" else text


_Validator = cast(
    "Any",
    validators.extend(  # pyright: ignore[reportUnknownMemberType]
        Draft202012Validator,
        {"pattern": _pattern, "formatMinimum": _not_before, "formatMaximum": _not_after},
    ),
)
