"""What templates may use of a tick: names, what stands behind a point, and filters. There is nothing else in them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from pressroom.errors import Invalid, shown
from pressroom.schedules import ticks

MOST = 10_000
"""Characters of a rendered text, and days, months and so on that may be added."""
_FORMAT = re.compile(r"(?:[^%]|%-?[aAbBdeFGHIjmMpSTuUVwWyYzZ%])*")


@dataclass(frozen=True, slots=True)
class Named:
    """The schedule in a template."""

    id: int | None
    name: str
    cron: str
    timezone: str
    notebook_id: int


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick of a schedule; its other ticks are looked for when a template asks for them."""

    schedule: Named
    at: datetime

    @property
    def zone(self) -> ZoneInfo:
        """The schedule's."""
        return ticks.zone(self.schedule.timezone)

    @property
    def local(self) -> datetime:
        """When it is, in the schedule's zone."""
        return self.at.astimezone(self.zone)

    def other(self, find: Callable[[str, ZoneInfo, datetime], datetime | None]) -> datetime | None:
        """The tick before or after it, in the schedule's zone."""
        found = _found(find, self.schedule.cron, self.schedule.timezone, self.at)
        return None if found is None else found.astimezone(self.zone)


@lru_cache(maxsize=1000)
def _found(
    find: Callable[[str, ZoneInfo, datetime], datetime | None], cron: str, timezone: str, at: datetime
) -> datetime | None:
    """Another tick, looked for once however often templates name it."""
    return find(cron, ticks.zone(timezone), at)


def _months(moment: datetime, by: int) -> datetime:
    """``by`` months later, on the same day, or the last where the month has no such day."""
    number = moment.year * 12 + moment.month - 1 + by
    year, month = divmod(number, 12)
    first = moment.replace(year=year, month=month + 1, day=1)
    last = (first.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    return first.replace(day=min(moment.day, last.day))


NAMES: Mapping[str, Callable[[Tick], Any]] = {
    "scheduled_at": lambda tick: tick.local,
    "previous_tick": lambda tick: tick.other(ticks.before),
    "next_tick": lambda tick: tick.other(ticks.after),
    "date": lambda tick: tick.local.strftime("%Y-%m-%d"),
    "previous_date": lambda tick: (tick.local - timedelta(days=1)).strftime("%Y-%m-%d"),
    "month": lambda tick: tick.local.strftime("%Y-%m"),
    "previous_month": lambda tick: _months(tick.local.replace(day=1), -1).strftime("%Y-%m"),
    "year": lambda tick: tick.local.year,
    "previous_year": lambda tick: tick.local.year - 1,
    "schedule": lambda tick: tick.schedule,
}
"""The names that there are."""
METHODS = ("strftime", "isoformat", "date")
"""The filters that may also be written as a call behind a point, as in Python."""
OF_TIMES = ("year", "month", "day", "hour", "minute", "second")
OF_SCHEDULES = ("id", "name", "cron", "timezone", "notebook_id")


def attribute(value: Any, name: str) -> Any:
    """What stands behind a point. Raises :class:`Invalid`."""
    if isinstance(value, Named) and name in OF_SCHEDULES:
        return getattr(value, name)
    if isinstance(value, datetime) and name in OF_TIMES:
        return getattr(value, name)
    said = ", ".join(OF_SCHEDULES if isinstance(value, Named) else OF_TIMES if isinstance(value, datetime) else ())
    raise Invalid(f"it has no {name!r}{f'; it has {said}' if said else ''}")


def _time(value: Any) -> datetime:
    if not isinstance(value, datetime):
        raise Invalid(f"it is made of a time, not of {shown(text(value))!r}")
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MOST:
        raise Invalid(f"it takes a whole number up to {MOST}, not {shown(text(value))!r}")
    return value


def _formatted(value: Any, pattern: Any = "%Y-%m-%d") -> str:
    if not isinstance(pattern, str) or len(pattern) > 200 or _FORMAT.fullmatch(pattern) is None:
        raise Invalid("its format is made of text and of %Y, %m, %d, %H, %M, %S and the like")
    return _time(value).strftime(pattern)


def _plus(unit: str) -> Callable[[Any, Any], datetime]:
    def later(value: Any, by: Any) -> datetime:
        # On the clock of the schedule's zone: a day later it is as late as today.
        return _time(value) + timedelta(**{unit: _count(by)})

    return later


def _elapsed(unit: str) -> Callable[[Any, Any], datetime]:
    def later(value: Any, by: Any) -> datetime:
        return (_time(value).astimezone(UTC) + timedelta(**{unit: _count(by)})).astimezone(_time(value).tzinfo)

    return later


def _months_later(months: int) -> Callable[[Any, Any], datetime]:
    def later(value: Any, by: Any) -> datetime:
        return _months(_time(value), _count(by) * months)

    return later


def _as(pattern: str) -> Callable[[Any], str]:
    def formatted(value: Any) -> str:
        return _formatted(value, pattern)

    return formatted


def _in_zone(value: Any, name: Any) -> datetime:
    return _time(value).astimezone(ticks.zone(text(name)))


def _utc(value: Any) -> datetime:
    return _time(value).astimezone(UTC)


def _iso(value: Any) -> str:
    return _time(value).isoformat()


def _timestamp(value: Any) -> int:
    return int(_time(value).timestamp())


def _start(value: Any) -> datetime:
    return _time(value).replace(hour=0, minute=0, second=0, microsecond=0)


def _start_of_week(value: Any) -> datetime:
    return _start(value) - timedelta(days=_time(value).weekday())


def _start_of_month(value: Any) -> datetime:
    return _start(value).replace(day=1)


def _end_of_month(value: Any) -> datetime:
    return _months(_start_of_month(value), 1) - timedelta(days=1)


def _start_of_quarter(value: Any) -> datetime:
    return _start_of_month(value).replace(month=(_time(value).month - 1) // 3 * 3 + 1)


def _start_of_year(value: Any) -> datetime:
    return _start_of_month(value).replace(month=1)


def _whole(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,15}", value):
        return int(value)
    if isinstance(value, int | float) and abs(value) < 10**15:
        return int(value)
    raise Invalid(f"it is made of a number, not of {shown(text(value))!r}")


def text(value: Any) -> str:
    """What a value is in a text."""
    if value is None:
        return ""
    if isinstance(value, Named):
        return value.name
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


def _upper(value: Any) -> str:
    return text(value).upper()


def _lower(value: Any) -> str:
    return text(value).lower()


FILTERS: Mapping[str, Callable[..., Any]] = {
    "date": _formatted,
    "format": _formatted,
    "strftime": _formatted,
    "time": _as("%H:%M:%S"),
    "month": _as("%Y-%m"),
    "isoformat": _iso,
    "timestamp": _timestamp,
    "utc": _utc,
    "timezone": _in_zone,
    "add_minutes": _elapsed("minutes"),
    "add_hours": _elapsed("hours"),
    "add_days": _plus("days"),
    "add_weeks": _plus("weeks"),
    "add_months": _months_later(1),
    "add_years": _months_later(12),
    "start_of_day": _start,
    "start_of_week": _start_of_week,
    "start_of_month": _start_of_month,
    "end_of_month": _end_of_month,
    "start_of_quarter": _start_of_quarter,
    "start_of_year": _start_of_year,
    "int": _whole,
    "string": text,
    "upper": _upper,
    "lower": _lower,
}
"""The filters that there are."""
