"""How long a caller wants to wait: the header ``Prefer`` (RFC 7240)."""

from collections.abc import Iterable

from pressroom.errors import Invalid


def patience(headers: Iterable[str]) -> float | None:
    """Seconds that the caller waits for the end: ``None`` for as long as it takes, 0 for ``respond-async``.

    Unknown preferences are ignored. Raises :class:`Invalid` for a ``wait`` that is no number of seconds.
    """
    seconds: float | None = None
    at_once = False
    for header in headers:
        for part in header.split(","):
            name, _, value = part.split(";")[0].strip().partition("=")
            match name.strip().lower():
                case "respond-async":
                    at_once = True
                case "wait":
                    text = value.strip().strip('"')
                    if not (text.isascii() and text.isdigit() and len(text) < 10):
                        raise Invalid(f"Prefer: wait must be a whole number of seconds, not {text[:50]!r}.")
                    seconds = float(text)
                case _:
                    continue
    return 0.0 if seconds is None and at_once else seconds
