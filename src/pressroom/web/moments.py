"""Times that are typed into a form."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

from pydantic import JsonValue

from pressroom.errors import ParameterInvalid
from pressroom.parameters.rules import Definition, ParameterType, schema_of

_DAY = len("2026-10-31")
_TYPED = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?", re.ASCII)
"""The times without a zone that the script of the pages takes to be those of the reader's own clock."""
WANTED = "must be written like 2026-10-31 08:00, or with its zone, like 2026-10-31T08:00:00Z"


def with_zone(text: str) -> str:
    """What was typed, as the service wants it: a time without a zone is UTC, and a day alone begins at midnight. All
    else stays as it is: a time that a script would not have read was not meant in UTC, whoever typed it."""
    return in_utc(text) if _TYPED.fullmatch(text) else text


def in_utc(text: str) -> str:
    """A time that is kept: one without a zone is UTC, however it is written. What is no time stays as it is."""
    if not is_zoneless(text):
        return text
    return f"{text}T00:00Z" if len(text) == _DAY else f"{text}Z"


def is_zoneless(text: str) -> bool:
    """Whether a text is a time that does not say its zone."""
    try:
        return datetime.fromisoformat(text).tzinfo is None
    except ValueError:
        return False


def moment(typed: str) -> datetime:
    """A time that was typed, in UTC. Raises :class:`ValueError` for what is none, or says no zone that is known, and
    :class:`OverflowError`."""
    text = with_zone(typed)
    if is_zoneless(text):
        raise ValueError(WANTED)
    return datetime.fromisoformat(text).astimezone(UTC)


def to_the_second(text: str) -> str | None:
    """A time in UTC, as a browser's own control can show it, but for the ``Z``; ``None`` for what it cannot show."""
    try:
        found = moment(text)
    except (ValueError, OverflowError):
        return None
    return None if found.microsecond else found.isoformat().replace("+00:00", "Z")


def same(typed: str, kept: str) -> bool:
    """Whether two texts say the same moment, in whatever zone."""
    try:
        return datetime.fromisoformat(with_zone(typed)) == datetime.fromisoformat(in_utc(kept))
    except ValueError:
        return False


def known(definition: Definition) -> list[str]:
    """The times that a definition names: the default and the options."""
    schema = schema_of(definition)
    named = cast("list[JsonValue]", [schema.get("default"), *schema.get("enum", [])])
    return [one for one in named if isinstance(one, str)]


def require_zone(definition: Definition, text: object) -> None:
    """Raise :class:`ParameterInvalid` for a time that nobody knows the zone of, but for those of the definition."""
    if isinstance(text, str) and is_zoneless(text.strip()) and text not in known(definition):
        raise ParameterInvalid(definition.name, "type", WANTED, text)


def require_zones(definitions: Sequence[Definition], given: Mapping[str, JsonValue]) -> None:
    """Raise :class:`ParameterInvalid` for each parameter whose time nobody knows the zone of."""
    problems: list[ParameterInvalid] = []
    for each in definitions:
        try:
            if each.type == ParameterType.DATETIME and not each.secret:
                require_zone(each, given.get(each.name))
        except ParameterInvalid as error:
            problems.append(error)
    if problems:
        raise ParameterInvalid.of(problems)
