"""Templates: what they can say of a tick, and that there is no way out of them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressroom.database.models import Schedule
from pressroom.errors import Invalid, ParameterInvalid
from pressroom.parameters.rules import Definition
from pressroom.parameters.sealing import SecretKeys
from pressroom.schedules.backfill import TickSets
from pressroom.schedules.orders import Orders, rendered_for
from pressroom.schedules.template_values import MOST, Named, Tick
from pressroom.schedules.templates import rendered

TICK = Tick(Named(7, "sales", "0 6 1 * *", "Europe/Berlin", 3), datetime(2026, 11, 1, 5, tzinfo=UTC))


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ scheduled_at | date }}", "2026-11-01"),
        ("{{ scheduled_at }}", "2026-11-01T06:00:00+01:00"),
        ("{{ month }} {{ previous_month }}", "2026-11 2026-10"),
        ("{{ year }}", 2026),
        ("{{ year - 1 }}", 2025),
        ("in {{ year }}", "in 2026"),
        ("{{ scheduled_at.month > 6 }}", True),
        ("{{ 'late' if scheduled_at.month > 6 else 'early' }}", "late"),
        ("{{ scheduled_at | add_months(-1) | end_of_month | date('%d.%m.%Y') }}", "31.10.2026"),
        ("{{ scheduled_at | add_days(-1) | format('%A') }}", "Saturday"),
        ("{{ scheduled_at.strftime('%Y/%m') }}", "2026/11"),
        ("{{ scheduled_at | utc | isoformat }}", "2026-11-01T05:00:00+00:00"),
        ("{{ scheduled_at | timezone('Asia/Tokyo') | time }}", "14:00:00"),
        ("{{ scheduled_at | start_of_quarter | date }}", "2026-10-01"),
        ("{{ scheduled_at | start_of_week | date }}", "2026-10-26"),
        ("{{ scheduled_at | timestamp }}", 1793509200),
        # From clocks that were put back: a day earlier on the clock, and 24 hours earlier, are not the same.
        ("{{ scheduled_at | add_days(-7) }}", "2026-10-25T06:00:00+01:00"),
        ("{{ scheduled_at | add_days(-8) | isoformat }}", "2026-10-24T06:00:00+02:00"),
        ("{{ scheduled_at | add_hours(-192) | isoformat }}", "2026-10-24T07:00:00+02:00"),
        ("{{ previous_tick | date }}..{{ next_tick | date }}", "2026-10-01..2026-12-01"),
        ("{{ schedule.name }}-{{ schedule.id }}", "sales-7"),
        ("{{ schedule.name ~ '-' ~ month | upper }}", "sales-2026-11"),
        ('{{ "{{" }} stays', "{{ stays"),
        ({"a": [{"b": "{{ month }}"}, 1, None]}, {"a": [{"b": "2026-11"}, 1, None]}),
        ("no template } {# at all #}", "no template } {# at all #}"),
        ("", ""),
    ],
)
def test_a_template_says(template: Any, value: Any) -> None:
    assert rendered(template, TICK) == value
    assert type(rendered(template, TICK)) is type(value)


def test_months_end_where_they_end() -> None:
    at = Tick(Named(7, "sales", "0 6 31 * *", "UTC", 3), datetime(2026, 3, 31, 6, tzinfo=UTC))
    assert rendered("{{ scheduled_at | add_months(-1) | date }} {{ previous_month }}", at) == "2026-02-28 2026-02"
    assert rendered("{{ scheduled_at | add_years(-2) | add_months(11) | date }}", at) == "2025-02-28"


ESCAPES = [
    ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "a call cannot be used"),
    ("{{ ''.__class__ }}", "it has no '__class__'"),
    ("{{ scheduled_at.__init__.__globals__ }}", "it has no '__init__'"),
    ("{{ scheduled_at.tzinfo }}", "it has no 'tzinfo'"),
    ("{{ schedule.zone }}", "it has no 'zone'"),
    ("{{ scheduled_at | attr('__class__') }}", "no filter 'attr'"),
    ("{{ [1] | map(attribute='__class__') }}", "no filter 'map'"),
    ("{{ self }}", "no 'self'"),
    ("{{ 1 if year == 1 and year in year else 2 }}", "in cannot be used"),
    ("{{ 1 if year == 1 and year not in year else 2 }}", "not in cannot be used"),
    ("{{ scheduled_at.strftime('%Y', **year) }}", "a call cannot be used"),
    ("{{ self._TemplateReference__context }}", "no 'self'"),
    ("{{ cycler }}", "no 'cycler'"),
    ("{{ cycler.__init__.__globals__.os.popen('id').read() }}", "a call cannot be used"),
    ("{{ lipsum.__globals__['os'] }}", r"\[...\] cannot be used"),
    ("{{ lipsum }}", "no 'lipsum'"),
    ("{{ joiner }}", "no 'joiner'"),
    ("{{ namespace }}", "no 'namespace'"),
    ("{{ namespace(a=1) }}", "a call cannot be used"),
    ("{{ config }}", "no 'config'"),
    ("{{ request }}", "no 'request'"),
    ("{{ range(10**9) }}", "a call cannot be used"),
    ("{{ dict(a=1) }}", "a call cannot be used"),
    ("{{ '{0.__class__}'.format(schedule) }}", "a call cannot be used"),
    ("{{ '{0.__class__}' | format(schedule) }}", "format takes other|it is made of a time|its format"),
    ("{{ '%s' % schedule }}", "only numbers are counted with"),
    ("{{ '%1000000000d' % 1 }}", "only numbers are counted with"),
    ("{{ scheduled_at | format('%1000000000Y') }}", "its format is made of"),
    ("{{ scheduled_at.strftime('%E' ~ 'Y') }}", "its format is made of"),
    ("{{ scheduled_at | format('x' ~ month | string) | format }}", "it is made of a time"),
    ("{{ 'a' * 1000000000 }}", "only numbers are counted with"),
    ("{{ 9 ** 9 ** 9 }}", r"\*\* \(a power\) cannot be used"),
    ("{{ 999999999 * 999999999 }}", "too large"),
    ("{{ 1e400 }}", "too large"),
    ("{{ -scheduled_at }}", "only numbers are counted with"),
    ("{{ 5 // 0 }}", "by zero"),
    ("{{ 5 / 2 }}", "use //"),
    ("{{ scheduled_at | add_days(99999999) }}", "it takes a whole number up to"),
    ("{{ scheduled_at | add_days(true) }}", "it takes a whole number up to"),
    ("{{ scheduled_at | add_days }}", "takes other values"),
    ("{{ scheduled_at | add_days(by=1) }}", "takes plain values"),
    ("{{ scheduled_at | add_days(*month) }}", "takes plain values"),
    ("{{ scheduled_at | add_years(9000) }}", "cannot be used"),
    ("{% for x in range(10**9) %}{% endfor %}", "no statements in it"),
    ("{% for a in 'x' %}{% for b in 'x' %}{% endfor %}{% endfor %}", "no statements in it"),
    ("{% set x = 1 %}", "no statements in it"),
    ("{% if true %}x{% endif %}", "no statements in it"),
    ("{% import 'os' as os %}", "no statements in it"),
    ("{% include '/etc/passwd' %}", "no statements in it"),
    ("{% macro m() %}{{ m() }}{% endmacro %}", "no statements in it"),
    ("{% call x() %}{% endcall %}", "no statements in it"),
    ("{% raw %}{{ x }}{% endraw %}{% block b %}{% endblock %}", "no statements in it"),
    ("{{ month is string }}", r"a test \(is ...\) cannot be used"),
    ("{{ [1, 2] }}", "a list cannot be used"),
    ("{{ {'a': 1} }}", "an object cannot be used"),
    ("{{ month[0] }}", r"\[...\] cannot be used"),
    ("{{ month in 'x' }}", "cannot be used"),
    ("{{ scheduled_at > 5 }}", "not supported between"),
    ("{{ scheduled_at | timezone('../../etc/passwd') }}", "There is no time zone"),
    ("{{ " + "(" * 900 + "1" + ")" * 900 + " }}", "too deep"),
    ("{{ 1" + "+1" * 500 + " }}", "too deep"),
    ("{{ " + "month ~ " * 400 + "'' }}", "at most 2000"),
    ("{{ scheduled_at", "is no template"),
    ("{{ }}", "is no template"),
    ("{{ import os }}", "is no template"),
    ("{{ lambda: 1 }}", "is no template"),
]


@pytest.mark.parametrize(("template", "words"), ESCAPES)
def test_there_is_no_way_out(template: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        rendered(template, TICK)


NAMED = ("month", "scheduled_at", "schedule", "year", "1", "'a'", "previous_tick", "x", "(", ")", "[0]", "{}", "%")
JOINED = (
    " ",
    ".",
    "|",
    "~",
    "*",
    "**",
    "+",
    "//",
    "%",
    " is ",
    " in ",
    " if ",
    " else ",
    "(",
    ",",
    ")",
    ".name",
    "|date",
)


@given(st.lists(st.sampled_from(NAMED + JOINED), max_size=25), st.sampled_from(("{{%s}}", "{%%%s%%}", "x{{%s}}y")))
def test_whatever_is_written_gives_a_value_or_is_refused(parts: list[str], around: str) -> None:
    try:
        value = rendered(around % "".join(parts), TICK)
    except Invalid:
        return
    assert value is None or isinstance(value, str | int | float | bool)
    assert len(str(value)) <= MOST
    assert "object at" not in str(value)


def definition(name: str, kind: str) -> Definition:
    return Definition(name=name, type=kind, required=False, default=None, description=None, rules={})


def test_what_is_one_expression_alone_becomes_what_its_parameter_is() -> None:
    kinds = {"n": "integer", "f": "float", "s": "string", "b": "boolean", "d": "date"}
    definitions = {name: definition(name, kind) for name, kind in kinds.items()}
    given = {
        "n": "{{ scheduled_at | format('%Y') }}",
        "f": "{{ year }}",
        "s": "{{ year }}",
        "b": "{{ 'yes' if scheduled_at.day == 1 else 'no' }}",
        "d": "{{ scheduled_at | date }}",
        "other": "{{ month }}",
    }
    assert rendered_for(given, definitions, TICK) == {
        "n": 2026, "f": 2026, "s": "2026", "b": True, "d": "2026-11-01", "other": "2026-11",
    }  # fmt: skip


def test_every_template_that_cannot_be_used_is_named() -> None:
    with pytest.raises(ParameterInvalid) as caught:
        rendered_for({"a": "{{ x }}", "b": 1, "c": ["{{ 1"]}, {}, TICK)
    assert [each["parameter"] for each in caught.value.errors] == ["a", "c"]
    assert caught.value.rule == "template"


def test_a_schedule_has_a_hundred_templates_at_most_however_they_are_spread() -> None:
    many = {"a": ["{{ year }}"] * 60, "b": {"c": ["{{ year }}", "plain"] * 41}}
    with pytest.raises(ParameterInvalid, match="100 at most"):
        rendered_for(many, {}, TICK)
    many["b"]["c"] = many["b"]["c"][2:]
    assert rendered_for(many, {}, TICK)["b"] == {"c": [2026, "plain"] * 40}


def test_another_tick_is_looked_for_once_however_often_it_is_named() -> None:
    asked: list[datetime] = []

    def find(_cron: str, _zone: ZoneInfo, at: datetime) -> datetime:
        asked.append(at)
        return at

    assert {TICK.other(find) for _ in range(200)} == {TICK.at}
    assert asked == [TICK.at]


def sets_of(parameters: dict[str, Any], number: int) -> TickSets:
    schedule = Schedule(
        id=1, username="ana", notebook_id=3, name="s", cron="@daily", timezone="UTC", parameters=parameters
    )
    return TickSets(Orders(schedule, None, SecretKeys([])), [TICK.at + timedelta(days=n) for n in range(number)])


def test_the_sets_of_a_backfill_share_what_does_not_use_the_tick() -> None:
    sets = sets_of({"large": ["x"] * 1000, "date": "{{ date }}"}, 100_000)
    assert len(sets) == 100_000
    assert [each["date"] for each in sets[1:3]] == ["2026-11-02", "2026-11-03"]
    assert sets[0]["large"] is sets[99_999]["large"]


def test_a_backfill_whose_parameters_are_too_long_in_all_is_refused() -> None:
    sets = sets_of({"large": "x" * 1000, "date": "{{ date }}"}, 100)
    sets.require_small(104_000)
    with pytest.raises(Invalid, match="100 times these parameters"):
        sets.require_small(100_000)
