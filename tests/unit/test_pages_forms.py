"""The form of a notebook's parameters: its fields, and what was typed into them."""

import json
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.types import Message

from pressroom.batches.schemas import Range
from pressroom.errors import Invalid
from pressroom.executions.recent import Mark
from pressroom.executions.states import Status
from pressroom.parameters.rules import Definition
from pressroom.parameters.values import resolve
from pressroom.schedules.schemas import ScheduleCreate
from pressroom.schedules.upcoming import coming
from pressroom.web.calls import calls
from pressroom.web.definition_form import proposed_in
from pressroom.web.forms import Field, fields_of, given_in, texts_in, texts_of_values, wrong_fields
from pressroom.web.rendering import bytes_in_words, moment_of, seconds_in_words
from pressroom.web.routes import form_of
from pressroom.web.schedule_form import schedule_fields
from pressroom.web.strips import strip, trend_in_words
from pressroom.web.sweeps import sweep_fields
from pressroom.wire import MAX_EVENT_ID, id_in


def field(definition: Definition, text: str | None = None) -> Field:
    [made] = fields_of([definition], {} if text is None else {definition.name: text}, {})
    return made


@pytest.mark.parametrize(
    ("definition", "control"),
    [
        (Definition("a", "string"), "text"),
        (Definition("a", "string", default="x\ny"), "textarea"),
        (Definition("a", "string", rules={"options": ["x", "y"]}), "select"),
        (Definition("a", "boolean"), "select"),
        (Definition("a", "integer"), "integer"),
        (Definition("a", "float", rules={"min": 0, "max": 1}), "number"),
        (Definition("a", "date", rules={"min": "2026-01-01"}), "date"),
        (Definition("a", "datetime"), "datetime"),
        (Definition("a", "datetime", default="2026-10-31T08:00:00+02:00"), "datetime"),
        (Definition("a", "datetime", default="2026-10-31T08:00:00.5Z"), "text"),
        (Definition("a", "list"), "list"),
        (Definition("a", "list", rules={"options": ["x", "y"]}), "checkboxes"),
        (Definition("a", "json"), "json"),
        (Definition("a", "string", secret=True), "password"),
    ],
)
def test_each_parameter_has_the_control_of_its_schema(definition: Definition, control: str) -> None:
    assert field(definition).control == control


@pytest.mark.parametrize(
    ("kind", "low", "high", "step"), [("integer", 1, 50, "1"), ("float", 0, 1, "0.01"), ("float", 0, 2500, "10")]
)
def test_a_range_has_a_slider_with_steps(kind: str, low: float, high: float, step: str) -> None:
    made = field(Definition("a", kind, rules={"min": low, "max": high}))
    assert (json.loads(made.minimum), json.loads(made.maximum), made.step) == (low, high, step)
    assert f"{low} to {high}" in made.hint


@pytest.mark.parametrize(("low", "high"), [(-1.7e308, 1.7e308), (0.0, 5e-324), (1.0, 1.0), (0, 10**400)])
def test_a_range_that_has_no_step_has_no_slider(low: float, high: float) -> None:
    made = field(Definition("a", "float", rules={"min": low, "max": high}))
    assert (made.control, made.step) == ("number", "")


def test_the_next_times_of_a_schedule_that_has_begun_long_ago_are_those_from_now_on() -> None:
    now, begin = datetime(2026, 11, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)
    assert coming("0 6 * * *", "UTC", now, 1, starts_at=begin) == [datetime(2026, 11, 1, 6, tzinfo=UTC)]


def test_a_secret_is_never_filled_in_and_its_field_is_marked() -> None:
    made = field(Definition("password", "string", secret=True), "hunter2")
    assert (made.name, made.text) == ("s.password", "")
    assert texts_of_values([Definition("password", "string", secret=True)], {"password": "********"}) == {}


@pytest.mark.parametrize("made_by", [fields_of, sweep_fields, schedule_fields])
def test_a_secret_that_was_typed_is_to_be_typed_again(made_by: Callable[..., list[Field]]) -> None:
    definitions = [Definition("password", "string", secret=True), Definition("note", "string")]
    for typed, again in (("hunter2", True), ("", False)):
        made = made_by(definitions, {"password": typed, "note": "x"}, {})
        assert [(each.text, each.again) for each in made] == [("", again), ("x", False)]


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=30),
    "integer": st.integers(-(2**60), 2**60),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
    "date": st.dates().map(lambda day: day.isoformat()),
    "list": st.lists(
        st.one_of(st.integers(-(2**50), 2**50), st.text(st.characters(codec="ascii", exclude_characters="\0")))
    ),
    "json": st.dictionaries(st.text(st.characters(codec="ascii", exclude_characters="\0")), st.integers(0, 9)),
}


# The first text of a run is slow to make: the table of all characters is made for it.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(VALUES)).flatmap(lambda kind: st.tuples(st.just(kind), VALUES[kind])))
def test_an_earlier_executions_value_goes_through_the_form_unchanged(case: tuple[str, Any]) -> None:
    kind, value = case
    definitions = [Definition("a", kind)]
    texts = texts_of_values(definitions, {"a": value})
    made = field(definitions[0], texts["a"])
    sent = FormData([(made.name, made.text.replace("\n", "\r\n"))])
    typed = given_in(definitions, texts_in(definitions, sent))
    assert resolve(definitions, typed, lenient=True) == {"a": value}


def test_an_empty_field_gives_nothing_but_for_a_text_that_was_taken_away() -> None:
    definitions = [
        Definition("month", "string", default="2026-10"),
        Definition("note", "string"),
        Definition("top", "integer", default=3),
        Definition("columns", "list", rules={"options": ["a", "b"]}),
    ]
    sent = FormData([("p.month", ""), ("p.note", ""), ("p.top", ""), ("p.columns", ""), ("p.other", "x")])
    assert given_in(definitions, texts_in(definitions, sent)) == {"month": ""}


def test_what_is_ticked_is_a_list_of_the_options_own_values() -> None:
    definitions = [Definition("years", "list", rules={"options": [2025, 2026, "all"]})]
    sent = FormData([("p.years", ""), ("p.years", "2026"), ("p.years", "all")])
    texts = texts_in(definitions, sent)
    assert resolve(definitions, given_in(definitions, texts), lenient=True) == {"years": [2026, "all"]}
    assert [option.chosen for option in field(definitions[0], texts["years"]).options] == [False, True, True]


def test_the_call_is_quoted_for_the_shell_and_shows_no_secret() -> None:
    values = {"note": 'it\'s $(rm -rf) "x"', "top": 3}
    made = calls(
        "https://press.example.com",
        7,
        "/home/ana/a b.ipynb",
        values,
        ["password"],
        {"queue": "q 1", "timeout_seconds": 60.0},
    )
    words = shlex.split(made.curl.replace("\\\n", " "))
    assert json.loads(words[-1]) == {
        "parameters": {**values, "password": "..."},
        "queue": "q 1",
        "timeout_seconds": 60.0,
    }
    words = shlex.split(made.command.replace("\\\n", " "))
    assert words == [
        *("pressroom", "submit", "/home/ana/a b.ipynb", "--wait", "-p", "note", values["note"], "-p", "top", "3"),
        *("--secret", "password", "--queue", "q 1", "--timeout", "60.0"),
    ]
    compile(made.python, "call.py", "exec")
    assert "os.environ['PASSWORD']" in made.python
    assert "}, queue='q 1', timeout_seconds=60.0)" in made.python


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (7500, "2 h 5 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_times_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert seconds_in_words(seconds) == words


def test_sizes_are_said_as_people_say_them() -> None:
    assert [bytes_in_words(size) for size in (0, 812, 4100, 23_400_000)] == ["0 B", "812 B", "4.1 KB", "23 MB"]


def marks(*seconds: float) -> list[Mark]:
    moment = moment_of("2026-10-31T08:00:00Z")
    return [Mark(number, Status.SUCCESS, moment, taken) for number, taken in enumerate(seconds, start=1)]


def test_a_strip_is_as_high_as_its_executions_took_long() -> None:
    drawn = strip(marks(1, 4))
    assert [bar.height for bar in drawn.bars] == [14.0, 44.0]
    assert all(bar.y + bar.height == drawn.height for bar in drawn.bars)


def test_the_trend_is_told_of_where_there_is_one() -> None:
    assert trend_in_words(marks(*[10.0] * 5)) == ""
    assert trend_in_words(marks(*[10.0] * 12)) == "About as long as before."
    assert trend_in_words(marks(*[10.0] * 6, *[25.0] * 5)) == "Lately 2.5 times as long as before."
    assert trend_in_words(marks(*[0.2] * 6, *[30.0] * 5)) == "Lately 150.0 times as long as before."
    assert trend_in_words(marks(*[0.0] * 6, *[0.3] * 5)) == "About as long as before."


def test_one_slow_execution_does_not_flatten_the_others() -> None:
    drawn = strip(marks(1.0, 1.0, 80.0, 1.0))
    assert drawn.bars[2].height == drawn.height
    assert drawn.bars[0].height > drawn.height / 4


def test_what_is_wrong_is_said_in_the_words_of_the_api() -> None:
    with pytest.raises(ValidationError) as raised:
        ScheduleCreate.model_validate({"notebook_id": 1, "name": "x", "cron": "@daily", "starts_at": "x"})
    assert wrong_fields(raised.value).keys() == {"starts_at"}
    with pytest.raises(ValidationError) as raised:
        Range.model_validate({"options": [1], "min": 1})
    assert wrong_fields(raised.value, of_all="count") == {"count": "say either options, or min and max"}


@pytest.mark.parametrize(
    "text", ["", "0", "01", "-1", "1.0", "x", "²", str(2**31), "9" * 5000], ids=lambda text: text[:12]
)
def test_what_is_no_id_is_none(text: str) -> None:
    assert id_in(text) is None
    assert id_in("2147483647") == 2**31 - 1
    assert id_in(str(2**63 - 1), MAX_EVENT_ID) == 2**63 - 1


def test_a_text_of_several_lines_has_a_field_of_several_lines_in_a_schedule() -> None:
    [made] = schedule_fields([Definition("note", "string")], {"note": "one\ntwo"}, {})
    assert (made.control, made.text) == ("textarea", "one\ntwo")


async def test_a_form_that_the_browser_gave_up_sending_is_no_failure_of_the_service() -> None:
    async def left() -> Message:
        return {"type": "http.disconnect"}

    headers = [(b"content-type", b"application/x-www-form-urlencoded")]
    with pytest.raises(Invalid, match="did not come whole"):
        await form_of(Request({"type": "http", "method": "POST", "headers": headers}, left))


def test_a_form_has_as_many_parameters_as_are_sent() -> None:
    sent = {f"d.{number}.name": f"p{number}" for number in range(300)}
    assert [each.name for each in proposed_in(sent)] == list(sent.values())
    assert proposed_in({**sent, "d.2.name": " "})[2].name == "p3", "one without a name is none"
