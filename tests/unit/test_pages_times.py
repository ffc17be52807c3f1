"""Times that are typed into a form: what they mean, and what is refused since nobody knows what they mean."""

from dataclasses import replace
from typing import Any

import pytest
from starlette.datastructures import FormData

from pressroom.errors import ParameterInvalid
from pressroom.parameters.rules import Definition
from pressroom.parameters.values import resolve
from pressroom.web.forms import Field, fields_of, given_in, texts_in, texts_of_values
from pressroom.web.moments import WANTED, require_zones, with_zone
from pressroom.web.schedule_form import Form, schedule_fields
from pressroom.web.sweeps import read

UNREAD = ["2026-07-01 08", "2026-07-01 0800", "20260701T0800", "2026-07-01 08:00:00,5", "2026-W27-3T08:00"]
"""Zoneless times that Python reads and the script of the pages does not."""


def field(definition: Definition, text: str | None = None) -> Field:
    [made] = fields_of([definition], {} if text is None else {definition.name: text}, {})
    return made


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-10-01", "2026-10-01T00:00Z"),
        ("2026-10-01T08:00", "2026-10-01T08:00Z"),
        ("2026-10-01T08:00+02:00", "2026-10-01T08:00+02:00"),
        ("2026-10-01 08:00:05.25", "2026-10-01 08:00:05.25Z"),
        ("soon", "soon"),
    ],
)
def test_a_time_without_a_zone_is_utc(text: str, moment: str) -> None:
    assert with_zone(text) == moment


WHEN = Definition("when", "datetime", rules={"min": "2026-01-01T00:00:00"})


def sent_back(definition: Definition, text: str) -> dict[str, Any]:
    """What is given by a field that nobody touches, of a browser without scripts: its own control knows no zone."""
    made = field(definition, text)
    assert made.control == "datetime"
    sent = FormData([(made.name, made.text.removesuffix("Z").removesuffix(":00"))])
    return given_in([definition], texts_in([definition], sent))


def test_a_time_has_its_zone_in_the_field_in_what_is_given_and_in_the_call() -> None:
    made = field(WHEN, "2026-10-31T08:00:00+02:00")
    assert (made.text, made.moment, made.hint) == ("2026-10-31T06:00:00Z", True, "2026-01-01T00:00:00Z or later")
    assert sent_back(WHEN, "2026-10-31T08:00:00+02:00") == {"when": "2026-10-31T06:00Z"}
    for typed, zoned in (("2026-10-31", "2026-10-31T00:00Z"), (" 2026-10-31 08:00", "2026-10-31 08:00Z")):
        assert texts_in([WHEN], FormData([("p.when", typed)])) == {"when": zoned}
    assert texts_of_values([WHEN], {"when": "2026-10-31T08:00:00"}) == {"when": "2026-10-31T08:00:00Z"}
    [made] = schedule_fields([replace(WHEN, default="2026-10-31T08:00:00")], {"when": "{{ scheduled_at }}"}, {})
    assert (made.text, made.placeholder, made.moment) == ("{{ scheduled_at }}", "2026-10-31T08:00:00Z", True)


@pytest.mark.parametrize("default", ["2026-10-31T08:00:00", "2026-10-31T10:00:00+02:00", "2026-10-31T08:00Z"])
def test_the_moment_of_the_default_is_given_as_the_default_has_it(default: str) -> None:
    assert sent_back(replace(WHEN, default=default), default) == {"when": default}
    assert sent_back(replace(WHEN, default=default), "2026-10-31T08:01Z") == {"when": "2026-10-31T08:01Z"}


def test_a_time_that_was_chosen_stays_as_its_option_has_it() -> None:
    definition = Definition("when", "datetime", rules={"options": ["2026-10-31T08:00:00", "2026-11-30T08:00:00Z"]})
    for option in field(definition).options:
        given = given_in([definition], texts_in([definition], FormData([("p.when", option.value)])))
        assert resolve([definition], given, lenient=True) == {"when": option.value}


@pytest.mark.parametrize("text", ["soon", "2026-02-31T08:00", "2026-10-31T08:00:00.123456Z", "0001-01-01T00:00+01:00"])
def test_what_the_browsers_own_control_cannot_show_is_a_text(text: str) -> None:
    made = field(WHEN, text)
    assert (made.control, made.text, made.moment) == ("text", text, True)


@pytest.mark.parametrize("text", UNREAD)
def test_a_time_that_no_script_takes_by_the_readers_clock_is_refused_and_not_taken_for_utc(text: str) -> None:
    assert with_zone(text) == text
    texts = texts_in([WHEN], FormData([("p.when", text)]))
    assert (field(WHEN, texts["when"]).control, field(WHEN, texts["when"]).text) == ("text", text)
    with pytest.raises(ParameterInvalid, match=WANTED):
        require_zones([WHEN], given_in([WHEN], texts))
    assert WANTED in read([WHEN], {"when": f"2026-07-01 08:00\n{text}"}).errors["when"]
    form = Form({}, {"starts_at": text, "ends_at": "20260801"})
    form.times()
    assert [WANTED in form.errors[name] for name in ("starts_at", "ends_at")] == [True, True]
    assert with_zone(text + "+02:00") == text + "+02:00", "with its zone it is what it says"


@pytest.mark.parametrize("text", UNREAD)
def test_a_time_of_the_definition_is_what_the_service_takes_it_for_however_it_is_written(text: str) -> None:
    definition = replace(WHEN, default=text)
    assert texts_in([definition], FormData([("p.when", text)])) == {"when": text}
    require_zones([definition], {"when": text})
    assert field(definition).text.endswith("Z")
    assert texts_in([definition], FormData([("p.when", field(definition).text)])) == {"when": text}
    assert texts_of_values([WHEN], {"when": text})["when"] == f"{text}Z"


def test_every_time_that_is_refused_is_said() -> None:
    other = replace(WHEN, name="other")
    with pytest.raises(ParameterInvalid) as raised:
        require_zones([WHEN, other], {"when": UNREAD[0], "other": UNREAD[1]})
    assert raised.value.by_parameter.keys() == {"when", "other"}
