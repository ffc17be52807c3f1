"""Whether a definition of a parameter may be saved."""

from collections.abc import Mapping

import regex
from pydantic import JsonValue

from pressroom.errors import ParameterInvalid, RuleInvalid
from pressroom.json_values import storable
from pressroom.parameters.rules import (
    FITS,
    Definition,
    ParameterType,
    canonical,
    canonical_name,
    check_name,
    closest_rule,
    is_time,
    moment,
)
from pressroom.parameters.values import checked

T = ParameterType


def check_definition(definition: Definition) -> None:
    """Raise :class:`RuleInvalid`, naming what is wrong, for a definition that cannot be saved."""
    name = definition.name
    if why := check_name(name):
        raise RuleInvalid(name, "param_name", why)
    if definition.type not in set(T):
        raise RuleInvalid(name, "param_type", f"is {definition.type!r}, not one of {', '.join(T)}")
    _check_rules(definition, T(definition.type))
    rules = canonical(definition.rules)
    for low, high in (("min", "max"), ("min_length", "max_length")):
        if low in rules and high in rules and _position(definition, rules[low]) > _position(definition, rules[high]):
            raise RuleInvalid(name, low, f"is {rules[low]!r}, more than {high}, {rules[high]!r}")
    _check_options(definition, rules)
    if definition.secret:
        _check_secret(definition, rules)
    _check_default(definition)


def _check_secret(definition: Definition, rules: Mapping[str, JsonValue]) -> None:
    """A definition is shown to whoever sees the notebook, so none of a secret's values may stand in it."""
    if definition.default is not None:
        raise RuleInvalid(
            definition.name, "default_value", "cannot be kept for a secret, since everybody would see it; leave it out"
        )
    if "options" in rules:
        raise RuleInvalid(definition.name, "options", "would show the values that a secret may have; leave them out")


def _check_rules(definition: Definition, kind: ParameterType) -> None:
    """Each rule must be known, fit the type, be said once, and have a value that makes sense."""
    seen: dict[str, str] = {}
    for spelling, value in definition.rules.items():
        rule = canonical_name(spelling)
        if rule not in FITS:
            raise RuleInvalid(definition.name, spelling, f"is not a rule; {closest_rule(spelling)}")
        if value is None:
            continue
        if kind not in FITS[rule]:
            fits = ", ".join(sorted(FITS[rule]))
            raise RuleInvalid(definition.name, spelling, f"does not fit the type {kind}; it fits {fits}")
        if rule in seen:
            raise RuleInvalid(definition.name, spelling, f"says the same as {seen[rule]!r}; send one of them")
        seen[rule] = spelling
        if why := storable(value) or _wrong_value(rule, kind, value):
            raise RuleInvalid(definition.name, spelling, why)


def _check_options(definition: Definition, rules: Mapping[str, JsonValue]) -> None:
    """Each option must itself be a value of the parameter."""
    options = rules.get("options")
    if not isinstance(options, list) or definition.type == T.LIST:
        return
    bare = Definition(definition.name, definition.type, rules={k: v for k, v in rules.items() if k != "options"})
    for option in options:
        try:
            checked(bare, option)
        except ParameterInvalid as error:
            raise RuleInvalid(definition.name, "options", f"has a value that is not allowed: {error.detail}") from error


def _check_default(definition: Definition) -> None:
    if definition.default is None:
        return
    try:
        checked(definition, definition.default)
    except ParameterInvalid as error:
        raise RuleInvalid(definition.name, "default_value", f"breaks its own rules: {error.detail}") from error


def _wrong_value(rule: str, kind: ParameterType, value: JsonValue) -> str | None:
    """Why a value is none that a rule can have."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    wrong: str | None = None
    match rule:
        case "min" | "max" if kind in (T.DATE, T.DATETIME):
            if not (isinstance(value, str) and is_time(kind, value)):
                wrong = f"must be a {kind} in ISO 8601"
        case "min" | "max":
            if not number:
                wrong = f"must be a number, not {value!r:.100}"
        case "min_length" | "max_length":
            if not (number and isinstance(value, int) and value >= 0):
                wrong = f"must be a whole number, 0 or more, not {value!r:.100}"
        case "pattern":
            wrong = _wrong_pattern(value)
        case _:
            if not isinstance(value, list) or not value:
                wrong = "must be a list of at least one value"
            elif any(a == b and type(a) is type(b) for i, a in enumerate(value) for b in value[:i]):
                wrong = "has a value twice"
    return wrong


def _wrong_pattern(value: JsonValue) -> str | None:
    if not isinstance(value, str):
        return "must be a text"
    try:
        regex.compile(value)
    except regex.error as error:
        return f"is not a regular expression: {error}"
    return None


def _position(definition: Definition, bound: JsonValue) -> float:
    """Where a bound stands among others of its kind."""
    if definition.type in (T.DATE, T.DATETIME):
        return moment(bound)
    return bound  # type: ignore[return-value]  # checked to be a number, and compared as it is: it may be huge
