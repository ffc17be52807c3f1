"""The times at which a schedule fires: functions of its expression, its zone, and a moment. Nothing else is asked.

Local times become moments like this, where clocks are put forward or back:

- One that does not exist fires when the clock has jumped, at the first moment after the gap. Several in one gap, or one
  in the gap and one at its end, are one tick.
- One that exists twice fires the first time; both times where the expression says every hour, or every so many
  (``*`` or ``*/2`` as hour), since it is to go on then.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice
from zoneinfo import ZoneInfo, available_timezones

from pressroom.errors import Invalid, shown
from pressroom.schedules.cron import Cron, parsed

_LONGEST_FOLD = timedelta(hours=4)
"""More than any clock has been put back by in the last fifty years."""
_MOMENT = timedelta(microseconds=1)
_FIRST, _LAST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9990, 1, 1, tzinfo=UTC)
_NO_PLACES = ("Factory", "localtime", "posixrules")


def zone(name: str) -> ZoneInfo:
    """A zone of the IANA database. Raises :class:`Invalid` for a name that is none, with those that are near."""
    if name in _names():
        return ZoneInfo(name)
    near = _near(name)
    hint = f"did you mean {' or '.join(near)}?" if near else "names are like Europe/Berlin, or UTC."
    raise Invalid(f"There is no time zone {shown(name)!r}; {hint}")


def after(cron: str, place: ZoneInfo, moment: datetime) -> datetime | None:
    """The first tick after ``moment``, in UTC; ``None`` where there is none in fifty years.

    Raises :class:`Invalid` for an expression that is none.
    """
    expression = parsed(cron)
    if not _FIRST <= moment < _LAST:
        return None
    fold = _fold_near(moment, place)
    found = None
    for local in _locals(expression, _local(moment, place) if fold is None else fold.first_after(moment, place)):
        instant = _first(local, place)
        if instant > moment:
            found = instant
            break
    if expression.goes_on and fold is not None and (again := fold.second_after(expression, moment)) is not None:
        found = again if found is None else min(found, again)
    return found if found is not None and found < _LAST else None


def before(cron: str, place: ZoneInfo, moment: datetime) -> datetime | None:
    """The last tick before ``moment``, in UTC; ``None`` where there is none in fifty years."""
    expression = parsed(cron)
    if not _FIRST <= moment < _LAST:
        return None
    fold = _fold_near(moment, place)
    found = None
    start = _local(moment, place) if fold is None else fold.first_before(moment, place)
    for local in _locals(expression, start, backwards=True):
        instant = _first(local, place)
        if instant < moment:
            found = instant
            break
    if expression.goes_on and fold is not None and (again := fold.second_before(expression, moment)) is not None:
        found = again if found is None else max(found, again)
    return found if found is not None and found >= _FIRST else None


def following(cron: str, place: ZoneInfo, moment: datetime) -> Iterator[datetime]:
    """The ticks after ``moment``, one after the other."""
    tick = after(cron, place, moment)
    while tick is not None:
        yield tick
        tick = after(cron, place, tick)


def between(cron: str, place: ZoneInfo, start: datetime, end: datetime, most: int) -> list[datetime]:
    """The ticks from ``start`` to ``end``, both of them in it, ``most`` at most."""
    found: list[datetime] = []
    for tick in islice(following(cron, place, start - _MOMENT), most):
        if tick > end:
            break
        found.append(tick)
    return found


def newest(cron: str, place: ZoneInfo, start: datetime, end: datetime, most: int) -> list[datetime]:
    """The last ticks from ``start`` to ``end``, both of them in it, ``most`` at most, the oldest first. How many there
    are before those costs nothing."""
    found: list[datetime] = []
    tick = before(cron, place, end + _MOMENT)
    while tick is not None and tick >= start and len(found) < most:
        found.append(tick)
        tick = before(cron, place, tick)
    return found[::-1]


def _locals(expression: Cron, start: datetime, *, backwards: bool = False) -> Iterator[datetime]:
    try:
        yield from expression.from_(start, backwards=backwards)
    except (OverflowError, ValueError):  # the year 10000, or 0
        return


def _local(moment: datetime, place: ZoneInfo) -> datetime:
    return moment.astimezone(place).replace(tzinfo=None, fold=0)


def _first(local: datetime, place: ZoneInfo) -> datetime:
    """The first moment at which the clocks of a place show ``local``; where they never do, the one after the gap."""
    instant = local.replace(tzinfo=place).astimezone(UTC)
    if _local(instant, place) == local:
        return instant
    # In a gap. Read with the offset after it, it lies before the gap; with the one before it, behind: between them the
    # clock jumps, and transitions are at whole seconds.
    low, high = local.replace(tzinfo=place, fold=1).astimezone(UTC), instant
    offset = low.astimezone(place).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if middle.astimezone(place).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return high


@dataclass(frozen=True, slots=True)
class _Fold:
    """The local times that exist twice, since the clock is put back at ``at``: from ``start`` to before ``end``."""

    at: datetime
    start: datetime
    end: datetime

    def _second(self, local: datetime) -> datetime:
        return self.at + (local - self.start)

    def first_after(self, moment: datetime, place: ZoneInfo) -> datetime:
        """The local time after which all have their first moment after ``moment``, or those that have it."""
        local = _local(moment, place)
        return self.end - _MOMENT if moment >= self.at and local < self.end else local

    def first_before(self, moment: datetime, place: ZoneInfo) -> datetime:
        """The local time before which those lie that have their first moment before ``moment``."""
        local = _local(moment, place)
        return self.end if moment >= self.at and local < self.end else local

    def second_after(self, expression: Cron, moment: datetime) -> datetime | None:
        """The first of the second moments that lies after ``moment``."""
        start = self.start - _MOMENT if moment < self.at else self.start + (moment - self.at)
        local = next(_locals(expression, start), None)
        return self._second(local) if local is not None and local < self.end else None

    def second_before(self, expression: Cron, moment: datetime) -> datetime | None:
        """The last of the second moments that lies before ``moment``."""
        start = min(self.end, self.start + (moment - self.at))
        local = next(_locals(expression, start, backwards=True), None)
        return self._second(local) if local is not None and local >= self.start else None


def _fold_near(moment: datetime, place: ZoneInfo) -> _Fold | None:
    """The fold within a few hours of ``moment``, where there is one."""
    return _fold_of(moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0), place)


@lru_cache(maxsize=1000)
def _fold_of(hour: datetime, place: ZoneInfo) -> _Fold | None:
    low, high = hour - _LONGEST_FOLD, hour + timedelta(hours=1) + _LONGEST_FOLD
    earlier, later = (each.astimezone(place).utcoffset() or timedelta() for each in (low, high))
    if earlier <= later:
        return None
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if middle.astimezone(place).utcoffset() == earlier:
            low = middle
        else:
            high = middle
    start = _local(high, place)
    return _Fold(high, start, start + (earlier - later))


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(name for name in available_timezones() if name not in _NO_PLACES)


def _near(name: str) -> list[str]:
    """The names that somebody may have meant, up to three: the same in other letters, a city's, or ones like it."""
    wanted = name.strip().replace(" ", "_").lower()
    if not wanted or len(wanted) > 100:
        return []
    known = {each.lower(): each for each in sorted(_names())}
    cities = [each for lower, each in known.items() if lower.rsplit("/", 1)[-1] == wanted]
    if wanted in known:
        return [known[wanted]]
    return cities[:3] or [known[each] for each in get_close_matches(wanted, known, n=3, cutoff=0.75)]
