"""What is typed into the fields of parameters when each may have several values.

A field holds one value, several, or a range: ``1, 2, 5``, ``1..10``, ``0..1 step 0.25``, ``2026-10-01..2026-10-07``.
Several stand in lines of their own where there is a line break, else between commas; of a list or of JSON, which have
commas themselves, in lines alone. What stands in a field at first, the default, is one value whatever is in it.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import cast

from pydantic import JsonValue
from starlette.datastructures import FormData, QueryParams

from pressroom.batches.schemas import Range
from pressroom.errors import ParameterInvalid
from pressroom.parameters.rules import Definition, ParameterType, canonical, schema_of
from pressroom.parameters.values import checked, concealed
from pressroom.web.forms import YES_OR_NO, Field, Option, fields_of, secret_texts, sent_of, text_of, texts_in
from pressroom.web.moments import require_zone, with_zone

MOST_VALUES = 10_000
"""Values that one parameter may have."""
_NUMBER = re.compile(r"[+-]?\d{1,20}(?:\.\d{0,20})?")
_LONGEST_RANGE = 200
"""Characters of a range; what is longer is none, and nobody looks for one in it."""
_NUMBERS = (ParameterType.INTEGER, ParameterType.FLOAT)
_STRUCTURED = (ParameterType.LIST, ParameterType.JSON)


@dataclass(frozen=True, slots=True)
class Sweep:
    """What was typed: the parameters with one value, and those with several; what is wrong, by parameter."""

    fixed: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    swept: dict[str, list[JsonValue]] = field(default_factory=dict[str, list[JsonValue]])
    ranges: dict[str, Range] = field(default_factory=dict[str, Range])
    """Of those with several values, what a sample is drawn from."""
    errors: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def combinations(self) -> int:
        """How many there are."""
        return math.prod(len(values) for values in self.swept.values()) if self.swept else 0


def sweep_texts(definitions: Sequence[Definition], sent: FormData | QueryParams) -> dict[str, str]:
    """What was typed, by parameter: of options, those that were ticked, one a line. What was not sent is left out."""
    found = texts_in(definitions, sent, typed=True)
    for definition in definitions:
        if definition.name in found and _options(definition) is not None:
            found[definition.name] = "\n".join(text for text in sent_of(definition, sent) if text)
    return found


def read(definitions: Sequence[Definition], texts: Mapping[str, str]) -> Sweep:
    """The sweep that these texts say. An empty one gives no value, so that the default holds."""
    sweep = Sweep()
    for definition in definitions:
        text = texts.get(definition.name, "")
        if not text.strip():
            continue
        try:
            values = [text] if definition.secret else _values(definition, text)
            _require_count(definition, len(values))
            read_values = [checked(definition, value, lenient=True) for value in values]
        except ParameterInvalid as error:
            sweep.errors[definition.name] = (concealed(definition, error) if definition.secret else error).detail
            continue
        if not read_values:  # commas alone
            continue
        if len(read_values) > 1:
            sweep.swept[definition.name] = read_values
            sweep.ranges[definition.name] = _range(definition, text, read_values)
        else:
            sweep.fixed[definition.name] = read_values[0]
    return sweep


def _values(definition: Definition, text: str) -> list[JsonValue]:
    kind = ParameterType(definition.type)
    if text.strip() == text_of(definition.default).strip() and _options(definition) is None:
        return [text]
    if (kind in _NUMBERS or kind is ParameterType.DATE) and (bounds := _bounds(text)):
        low, high, step = bounds
        return _days(definition, low, high, step) if kind is ParameterType.DATE else _steps(definition, low, high, step)
    if kind in _STRUCTURED or _options(definition) is not None or "\n" in text.strip():
        parts = [line.strip() for line in text.split("\n") if line.strip()]
    else:
        parts = [part.strip() for part in text.split(",") if part.strip()]
    zoneless = kind is ParameterType.DATETIME and _options(definition) is None
    if not zoneless:
        return list[JsonValue](parts)
    times = [with_zone(part) for part in parts]
    for one in times:
        require_zone(definition, one)
    return list[JsonValue](times)


def _bounds(text: str) -> tuple[str, str, str | None] | None:
    """The ends of a range and its step, as they were typed; ``None`` for what is no range."""
    text = text.strip()
    if len(text) > _LONGEST_RANGE:
        return None
    low, dots, rest = text.partition("..")
    first, words = low.split(), rest.split()
    if not dots or len(first) != 1:
        return None
    match words:
        case [high]:
            return first[0], high, None
        case [high, "step" | "by", step]:
            return first[0], high, step
        case _:
            return None


def _steps(definition: Definition, low: str, high: str, step: str | None) -> list[JsonValue]:
    """Numbers from ``low`` to ``high``, both in it. In decimals, so that ten steps of 0.1 are 1."""
    if not all(_NUMBER.fullmatch(one) for one in (low, high, step or "1")):
        raise _no_range(definition, "is no range of numbers, such as 1..10 or 0..1 step 0.25")
    first, last, by = Decimal(low), Decimal(high), Decimal(step or "1")
    forwards = by > 0 and last >= first
    count = int((last - first) / by) + 1 if forwards else 0
    _require_forwards(definition, forwards=forwards)
    _require_count(definition, count)
    return [f"{first + number * by:f}" for number in range(count)]


def _days(definition: Definition, low: str, high: str, step: str | None) -> list[JsonValue]:
    try:
        first, last, by = date.fromisoformat(low), date.fromisoformat(high), int(step or 1)
        count = (last - first).days // by + 1
    except (ValueError, ZeroDivisionError) as error:
        why = "is no range of days, such as 2026-10-01..2026-10-07 or 2026-01-05..2026-03-30 step 7"
        raise _no_range(definition, why) from error
    _require_forwards(definition, forwards=by > 0 and last >= first)
    _require_count(definition, count)
    return [(first + timedelta(days=by * number)).isoformat() for number in range(count)]


def _require_forwards(definition: Definition, *, forwards: bool) -> None:
    if not forwards:
        raise _no_range(definition, "is a range whose end lies before its start, or whose step is not above 0")


def _require_count(definition: Definition, count: int) -> None:
    if count > MOST_VALUES:
        raise _no_range(definition, f"has {count:,} values, and at most {MOST_VALUES:,} can be typed into a field")


def _no_range(definition: Definition, why: str) -> ParameterInvalid:
    return ParameterInvalid(definition.name, "range", why)


def _range(definition: Definition, text: str, values: list[JsonValue]) -> Range:
    """What a sample is drawn from: all that lies between the ends of a range of numbers without a step, or the
    values."""
    if ParameterType(definition.type) in _NUMBERS and (bounds := _bounds(text)) and bounds[2] is None:
        return Range(min=cast("float", values[0]), max=cast("float", values[-1]))
    return Range(options=values)


def _options(definition: Definition) -> list[JsonValue] | None:
    """The values to choose from; of a list, which is chosen as a whole, none."""
    if definition.secret or ParameterType(definition.type) is ParameterType.LIST:
        return None
    if ParameterType(definition.type) is ParameterType.BOOLEAN:
        return [True, False]
    options = canonical(definition.rules).get("options")
    return options if isinstance(options, list) else None


def sweep_fields(definitions: Sequence[Definition], texts: Mapping[str, str], errors: Mapping[str, str]) -> list[Field]:
    """A field for each parameter that several values can be typed into, or ticked."""
    plain = fields_of(definitions, secret_texts(definitions, texts), errors)
    return [_field(each, made, texts.get(each.name)) for each, made in zip(definitions, plain, strict=True)]


def _field(definition: Definition, made: Field, typed: str | None) -> Field:
    text = typed if typed is not None else text_of(schema_of(definition).get("default"))
    if definition.secret:
        return made
    if (options := _options(definition)) is not None:
        chosen = set(text.split("\n"))
        labels = YES_OR_NO if definition.type == ParameterType.BOOLEAN else {}
        each = [text_of(one) for one in options]
        ticked = tuple(Option(one, labels.get(one, one), one in chosen) for one in each)
        return replace(made, control="checkboxes", text=text, options=ticked)
    lines = ParameterType(definition.type) in _STRUCTURED or "\n" in text
    hint = "Several stand one a line" if ParameterType(definition.type) in _STRUCTURED else made.hint
    return replace(
        made, control="textarea" if lines else "text", text=text, options=(), step="", placeholder="", hint=hint
    )
