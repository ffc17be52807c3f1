"""Cron expressions: read, and refused in words that name what is wrong.

Five fields (minute, hour, day of month, month, day of week), with names (``MON``, ``JAN``), ranges, steps, lists, ``L``
and ``LW`` as a day of month, ``5L`` and ``MON#2`` as a day of week; or a word such as ``@daily``. As in Debian's cron,
a day must match one of the two day fields where neither begins with a star, and both otherwise.
"""

from copy import copy
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from cronsim import CronSim, CronSimError

from pressroom.errors import Invalid, shown

WORDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
LONGEST = 255
"""Characters of an expression."""
_FIELDS = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day of month": "1 to 31, L or LW",
    "month": "1 to 12 or JAN to DEC",
    "day of week": "0 to 7 (0 and 7 are Sunday) or SUN to SAT, 5L, MON#2",
}
_START = datetime(2000, 1, 1)  # noqa: DTZ001 - local times of no zone


@dataclass(frozen=True, slots=True)
class Cron:
    """An expression, and which local times it means. ``goes_on``: it names every hour, or every so many, so that it
    goes on where the clock is put back; one that names hours fires once then."""

    text: str
    goes_on: bool
    _parsed: CronSim = field(repr=False, compare=False)

    @property
    def words(self) -> str:
        """What it means, as a sentence without its full stop."""
        return self._parsed.explain()

    def from_(self, local: datetime, *, backwards: bool = False) -> CronSim:
        """The local times after ``local``, which has no zone; or those before it, the latest first."""
        found = copy(self._parsed)
        found.dt = local.replace(microsecond=0)
        found.skip_initial_tick = backwards and local.microsecond > 0
        found.tick_direction = -1 if backwards else 1
        return found


@lru_cache(maxsize=1000)
def parsed(text: str) -> Cron:
    """The expression that a text is. Raises :class:`Invalid`."""
    given = " ".join(text.split())
    if len(given) > LONGEST:
        raise Invalid(f"A cron expression has at most {LONGEST} characters.")
    plain = _spelled(given)
    parts = plain.split(" ")
    if len(parts) != len(_FIELDS):
        raise Invalid(_miscounted(given, len(parts) if plain else 0))
    for number, (name, means) in enumerate(_FIELDS.items()):
        # Each field alone, so that the one which is wrong can be named.
        alone = ["*"] * len(_FIELDS)
        alone[number] = parts[number]
        if not _readable(" ".join(alone)):
            raise Invalid(f"The {name} of a cron expression is {means}, not {shown(parts[number])!r}.")
    try:
        found = CronSim(plain, _START)
        next(copy(found))
    except (CronSimError, StopIteration) as error:
        raise Invalid(f"{shown(given)!r} never comes: no date is like that.") from error
    return Cron(given, parts[1].startswith("*") or found.hours == set(range(24)), found)


def _spelled(given: str) -> str:
    """The five fields of a word, or what was given."""
    if not given.startswith("@"):
        return given
    plain = WORDS.get(given.lower())
    if plain is None:
        said = f"{shown(given)!r} names no times; there are {', '.join(WORDS)}, or five fields."
        if given.lower() == "@reboot":
            said = f"@reboot is no time; there are {', '.join(WORDS)}, or five fields."
        raise Invalid(said)
    return plain


def _miscounted(given: str, count: int) -> str:
    names = ", ".join(_FIELDS)
    if count == 6:
        return f"{shown(given)!r} has six fields. Seconds, or years, cannot be said; the five are {names}."
    return f"A cron expression has five fields ({names}), or is a word such as @daily; {shown(given)!r} has {count}."


def _readable(text: str) -> bool:
    try:
        CronSim(text, _START)
    except (CronSimError, AssertionError, ValueError):  # the library asserts what it did not expect, 1L/2 say
        return False
    return True
