"""What an address asks of the history, read the same way by the API and by the pages."""

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum

from pressroom.errors import Invalid
from pressroom.wire import checked

PARAM = "param."
"""How the name of a parameter is spelled in a query."""
LONGEST_VALUE = 1000


class Order(StrEnum):
    """By id."""

    NEWEST = "newest"
    OLDEST = "oldest"


def moment(value: object) -> object:
    """A time of a query, in UTC. A plus sign that was not escaped comes as a space."""
    if not isinstance(value, str):
        return value
    text = value.replace(" ", "+") if "T" in value else value
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError("must be a time as ISO 8601 writes it, such as 2026-10-01T08:00:00Z") from error
    if found.tzinfo is None:
        raise ValueError("must say its time zone, as 2026-10-01T08:00:00Z or 2026-10-01T08:00:00+02:00 do")
    try:
        return found.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("lies outside the years 1 to 9999") from error


def parameters_of(query: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The conditions ``param.NAME=VALUE`` of a query, by name. Raises :class:`Invalid`."""
    found: dict[str, str] = {}
    for key, value in query:
        if not key.startswith("param"):
            continue
        name = key.removeprefix(PARAM)
        if not key.startswith(PARAM) or not 0 < len(name) <= 100:
            raise Invalid(f"{key!r} is no filter; the value of a parameter is asked for as param.NAME=VALUE.")
        if name in found:
            raise Invalid(f"{key} is given twice, and a parameter has one value.")
        if len(value) > LONGEST_VALUE:
            raise Invalid(f"{key}: a value that is asked for has at most {LONGEST_VALUE} characters.")
        try:
            found[checked(name)] = checked(value)
        except ValueError as error:
            raise Invalid(f"{key!r}: {error}.") from error
    return tuple(sorted(found.items()))
