"""Spans and moments as people type them."""

import re
from datetime import UTC, datetime, timedelta

import typer

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST = timedelta(days=36_500)


def span(text: str) -> timedelta:
    """A length of time: ``90d``, ``12h``, ``2w``, ``30m``, ``45s``. Raises ``typer.BadParameter``."""
    found = re.fullmatch(r"([0-9]{1,8})([smhdw])", text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a length of time such as 90d, 12h or 2w")
    length = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if length > _LONGEST:
        raise typer.BadParameter(f"{text} is more than 100 years")
    return length


def moment(text: str) -> datetime:
    """A point in time: as ISO 8601 writes it, in this machine's zone where it names none; or a span, that long ago.

    Raises ``typer.BadParameter``.
    """
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except OverflowError as error:
        raise typer.BadParameter(f"{text} lies outside the years 1 to 9999") from error
    except ValueError:
        pass
    try:
        return datetime.now(UTC) - span(text)
    except typer.BadParameter as error:
        raise typer.BadParameter(
            f"{text!r} is neither a time such as 2026-10-01 or 2026-10-01T08:00:00Z, nor one such as 7d, that long ago"
        ) from error
