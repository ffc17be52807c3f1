"""Times that are typed into a form."""

from datetime import datetime

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
