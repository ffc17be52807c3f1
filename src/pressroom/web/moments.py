"""Times that are typed into a form."""

from datetime import UTC, datetime

_DAY = len("2026-10-31")


def with_zone(text: str) -> str:
    """A time as the service wants it: one without a zone is UTC, and a day alone begins at midnight. What is no time
    stays as it is, which the service says."""
    try:
        zoneless = datetime.fromisoformat(text).tzinfo is None
    except ValueError:
        return text
    if not zoneless:
        return text
    return f"{text}T00:00Z" if len(text) == _DAY else f"{text}Z"


def to_the_second(text: str) -> str | None:
    """A time in UTC, as a browser's own control can show it, but for the ``Z``; ``None`` for what it cannot show."""
    try:
        found = datetime.fromisoformat(with_zone(text)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return None if found.microsecond else found.isoformat().replace("+00:00", "Z")


def same(text: str, other: str) -> bool:
    """Whether two texts say the same moment, in whatever zone."""
    try:
        first, second = (datetime.fromisoformat(with_zone(each)) for each in (text, other))
    except ValueError:
        return False
    return first == second
