"""Ticks: right over changes of clocks, and against a library that is not the one beneath."""

import calendar
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import count, islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from pressroom.errors import Invalid
from pressroom.schedules import ticks
from pressroom.schedules.cron import WORDS, parsed

ZONES = (
    "UTC", "Europe/Berlin", "Europe/London", "Europe/Dublin", "Europe/Moscow", "America/New_York", "America/St_Johns",
    "America/Sao_Paulo", "America/Santiago", "America/Havana", "Asia/Kathmandu", "Asia/Kolkata", "Asia/Tehran",
    "Asia/Beirut", "Africa/Casablanca", "Africa/Cairo", "Australia/Lord_Howe", "Pacific/Chatham", "Pacific/Apia",
    "Antarctica/Troll",
)  # fmt: skip
EXPRESSIONS = (
    "30 2 * * *", "0 0 * * *", "15 1 * * 1-5", "0 6 1 * *", "45 23 * * SUN", "0 */6 * * *", "20 * * * SUN,FRI,SAT",
    "20 3 */2 * *", "5,35 0-3 * * *", "@weekly",
)  # fmt: skip
DAY = timedelta(days=1)
BERLIN = ZoneInfo("Europe/Berlin")


def moments(cron: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    return ticks.between(cron, ZoneInfo(zone), start, end, 1_000_000)


def shown(cron: str, zone: str, start: str, number: int) -> list[str]:
    place = ZoneInfo(zone)
    found = islice(ticks.following(cron, place, datetime.fromisoformat(start).replace(tzinfo=place)), number)
    return [each.astimezone(place).strftime("%d %H:%M %z") for each in found]


@lru_cache
def changes(place: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """The moments at which clocks are changed, to the minute."""
    found: list[datetime] = []
    at = start
    while at < end:
        low, high = at, at + DAY
        if low.astimezone(place).utcoffset() != high.astimezone(place).utcoffset():
            while high - low > timedelta(minutes=1):
                middle = low + (high - low) / 2
                same = middle.astimezone(place).utcoffset() == at.astimezone(place).utcoffset()
                low, high = (middle, high) if same else (low, middle)
            found.append(high.replace(second=0, microsecond=0))
        at += DAY
    return found


@lru_cache
def local_times(cron: str) -> list[datetime]:
    """What another library says that an expression means, where no clock is ever changed: the times of a year."""
    calm = croniter(cron, datetime(2025, 12, 30, tzinfo=UTC))
    return list(
        takewhile(
            lambda each: each.date() < date(2027, 1, 3),
            (calm.get_next(datetime).replace(tzinfo=None) for _ in count()),
        )
    )


def moments_of(cron: str, place: ZoneInfo) -> list[datetime]:
    """The moments of those that the clocks of a place show."""
    each = ((local, local.replace(tzinfo=place).astimezone(UTC)) for local in local_times(cron))
    return [moment for local, moment in each if moment.astimezone(place).replace(tzinfo=None) == local]


def brute(cron: str, place: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """The rules word by word, minute after minute: what the clocks show is a tick, the first time that they show it; a
    local time that they jump over is one when they have jumped."""
    means = set(local_times(cron))
    goes_on = WORDS.get(cron, cron).split()[1].startswith("*")
    found: set[datetime] = set()
    seen: set[datetime] = set()
    minute = timedelta(minutes=1)
    at = start - timedelta(hours=3)
    before = at.astimezone(place).replace(tzinfo=None)
    while at < end:
        at += minute
        local = at.astimezone(place).replace(tzinfo=None)
        jumped = {before + minute * n for n in range(1, int((local - before) / minute))}
        if (local in means and (goes_on or local not in seen)) or jumped & means:
            found.add(at)
        seen.add(local)
        before = local
    return sorted(each for each in found if start <= each <= end)


def test_a_year_of_two_hundred_schedules_is_as_another_library_and_the_rules_have_it() -> None:
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    compared = 0
    for zone in ZONES:
        place = ZoneInfo(zone)
        near = changes(place, start, end)
        assert zone != "Europe/Berlin" or [each.isoformat() for each in near] == [
            "2026-03-29T01:00:00+00:00", "2026-10-25T01:00:00+00:00",
        ]  # fmt: skip
        for cron in EXPRESSIONS:
            ours = moments(cron, zone, start, end)
            assert ours == sorted(set(ours)), "none twice"
            ordinary = [each for each in ours if not any(abs(each - change) <= DAY for change in near)]
            theirs = [each for each in moments_of(cron, place) if start <= each <= end]
            assert ordinary == [each for each in theirs if not any(abs(each - change) <= DAY for change in near)]
            for change in near:
                window = change - timedelta(hours=3), change + timedelta(hours=3)
                assert [each for each in ours if window[0] <= each <= window[1]] == brute(cron, place, *window)
            compared += len(ours)
    assert len(ZONES) * len(EXPRESSIONS) == 200
    assert compared > 100_000


def test_clocks_that_are_put_forward_and_back() -> None:
    assert shown("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", 2) == ["29 03:00 +0200", "30 02:30 +0200"]
    assert shown("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", 2) == ["25 02:30 +0200", "26 02:30 +0100"]
    assert shown("*/20 2 * * *", "Europe/Berlin", "2026-03-28T12:00", 2) == ["29 03:00 +0200", "30 02:00 +0200"]
    assert shown("0 * * * *", "Europe/Berlin", "2026-10-25T01:00", 3) == [
        "25 02:00 +0200", "25 02:00 +0100", "25 03:00 +0100",
    ]  # fmt: skip
    assert shown("0 * * * *", "Europe/Berlin", "2026-03-29T00:30", 2) == ["29 01:00 +0100", "29 03:00 +0200"]
    assert shown("15 * * * *", "Australia/Lord_Howe", "2026-10-04T01:00", 3) == [
        "04 01:15 +1030", "04 02:30 +1100", "04 03:15 +1100",
    ]  # fmt: skip
    # The 30th of December 2011 was left out: its tick comes when the 31st begins.
    assert shown("0 6 * * *", "Pacific/Apia", "2011-12-29T00:00", 3) == [
        "29 06:00 -1000", "31 00:00 +1400", "31 06:00 +1400",
    ]  # fmt: skip


@pytest.mark.parametrize("zone", ZONES)
@given(
    hour=st.integers(0, 23),
    minute=st.integers(0, 59),
    year=st.integers(1990, 2036),
    offset=st.integers(0, 366 * 24 * 60),
)
@settings(max_examples=6, deadline=None)
def test_a_daily_tick_comes_once_each_day_and_before_is_the_inverse_of_after(
    zone: str, hour: int, minute: int, year: int, offset: int
) -> None:
    place, cron = ZoneInfo(zone), f"{minute} {hour} * * *"
    at = datetime(year, 1, 1, tzinfo=UTC) + timedelta(minutes=offset)
    found = list(islice(ticks.following(cron, place, at), 20))
    assert found == sorted(set(found))
    assert found[0] > at
    days = [each.astimezone(place).date() for each in found]
    first: date = days[0]
    for number, day in enumerate(days):
        # A day that was left out gives its tick to the next one.
        assert day in (first + DAY * number, first + DAY * (number + 1))
    assert [ticks.before(cron, place, each) for each in found[1:]] == found[:-1]
    assert ticks.newest(cron, place, found[3], found[-1], 5) == found[-5:]


@given(
    zone=st.sampled_from(ZONES),
    cron=st.sampled_from(("* * * * *", "*/7 * * * *", "0 */2 * * *", "59 1,2,3 * * *", "*/25 0-4 * * *")),
    change=st.integers(0, 40),
    minutes=st.integers(-200, 200),
)
@settings(max_examples=60, deadline=None)
def test_ticks_near_a_change_are_strictly_increasing_and_the_same_from_everywhere(
    zone: str, cron: str, change: int, minutes: int
) -> None:
    place = ZoneInfo(zone)
    near = changes(place, datetime(2023, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)) or [
        datetime(2024, 1, 1, tzinfo=UTC)
    ]
    at = near[change % len(near)] + timedelta(minutes=minutes)
    found = list(islice(ticks.following(cron, place, at), 12))
    assert all(one < other for one, other in pairwise(found))
    assert found == [ticks.after(cron, place, each) for each in [at, *found[:-1]]]
    assert ticks.before(cron, place, found[-1]) == found[-2]
    for each in found:
        assert ticks.after(cron, place, each - timedelta(seconds=1)) == each
        assert ticks.before(cron, place, each + timedelta(seconds=1)) == each


def test_last_days_named_days_and_words() -> None:
    assert shown("0 0 L * *", "UTC", "2026-02-01T00:00", 3) == ["28 00:00 +0000", "31 00:00 +0000", "30 00:00 +0000"]
    assert shown("0 9 * * MON#2", "UTC", "2026-11-01T00:00", 1) == ["09 09:00 +0000"]
    assert shown("0 9 * * 5L", "UTC", "2026-11-01T00:00", 1) == ["27 09:00 +0000"]
    assert shown("0 0 1 JAN-MAR,JUL *", "UTC", "2026-03-02T00:00", 1) == ["01 00:00 +0000"]
    for word, plain in WORDS.items():
        at = datetime(2026, 5, 5, tzinfo=UTC)
        assert ticks.after(word, BERLIN, at) == ticks.after(plain, BERLIN, at)
    leap = [each.year for each in moments("0 0 29 2 *", "UTC", datetime(2026, 1, 1, tzinfo=UTC),
                                          datetime(2037, 1, 1, tzinfo=UTC))]  # fmt: skip
    assert leap == [year for year in range(2026, 2037) if calendar.isleap(year)]


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("60 * * * *", "The minute of a cron expression is 0 to 59, not '60'."),
        ("0 24 * * *", "The hour"),
        ("0 0 32 * *", "The day of month"),
        ("0 0 * FOO *", "The month"),
        ("0 0 * * 8", "The day of week"),
        ("0 0 * * 1L/2", "The day of week"),
        ("0 0 0 * * *", "has six fields. Seconds, or years, cannot be said"),
        ("* * * *", "has 4"),
        ("", "has 0"),
        ("@reboot", "@reboot is no time"),
        ("@every 5m", "names no times"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 31 4,6 *", "never comes"),
        ("* * */20 * 1L", "never comes"),
        ("*/0 * * * *", "The minute"),
        ("* * * * " + "1," * 200 + "1", "at most 255 characters"),
    ],
)
def test_an_expression_that_is_none_is_refused_by_the_field_that_is_wrong(cron: str, words: str) -> None:
    with pytest.raises(Invalid, match=words.replace("*", r"\*").replace("(", r"\(")):
        parsed(cron)


def test_a_zone_that_is_none_is_refused_with_those_that_are_near() -> None:
    near_ones = {"Berlin": "Europe/Berlin", "europe/berlin": "Europe/Berlin", "New York": "America/New_York"}
    for name, near in {**near_ones, "Europe/Berln": "Europe/Berlin"}.items():
        with pytest.raises(Invalid, match=f"did you mean {near}"):
            ticks.zone(name)
    for name in ("../../etc/passwd", "", "localtime", "x" * 10_000, "\0"):
        with pytest.raises(Invalid, match="There is no time zone"):
            ticks.zone(name)


def test_what_lies_outside_the_years_of_clocks_has_no_tick() -> None:
    assert ticks.after("0 0 * * *", BERLIN, datetime(9995, 1, 1, tzinfo=UTC)) is None
    assert ticks.before("0 0 * * *", BERLIN, datetime(1960, 1, 1, tzinfo=UTC)) is None
    assert list(ticks.following("0 0 29 2 *", BERLIN, datetime(9984, 1, 1, tzinfo=UTC)))[-1].year == 9988


def test_a_range_of_millions_of_ticks_is_counted_no_further_than_asked() -> None:
    start, end = datetime(1980, 1, 1, tzinfo=UTC), datetime(2080, 1, 1, tzinfo=UTC)
    assert len(ticks.between("* * * * *", BERLIN, start, end, 500)) == 500
    assert len(ticks.newest("* * * * *", BERLIN, start, end, 500)) == 500


@pytest.mark.parametrize("end", ["2026-07-25T05:00Z", "2026-10-25T01:30Z", "2026-10-25T05:00Z"])
def test_each_minute_near_a_change_of_clocks_costs_about_a_look(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    def counted(local: datetime, place: ZoneInfo) -> datetime:
        nonlocal looks
        looks += 1
        return first(local, place)

    first = ticks._first
    monkeypatch.setattr(ticks, "_first", counted)
    last = datetime.fromisoformat(end)
    found = ticks.newest("* * * * *", BERLIN, last - DAY, last, 1062)
    assert found == [last - timedelta(minutes=n) for n in range(1061, -1, -1)]
    assert looks <= 3 * len(found)
    ahead = ticks.between("* * * * *", BERLIN, found[0], last, 2000)
    assert ahead == found
    assert looks <= 6 * len(found)
