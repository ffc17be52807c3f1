"""Values of parameters: what is accepted, what becomes of it, and how a refusal is worded."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pressroom.errors import ParameterInvalid
from pressroom.parameters.rules import Definition, ParameterType, schema_of_all
from pressroom.parameters.values import check_unregistered, checked, guessed, resolve

ACCEPTED: list[tuple[str, Any, Any]] = [
    ("string", "", ""),
    ("string", "3", "3"),
    ("integer", 3, 3),
    ("integer", 3.0, 3),
    ("integer", -(2**70), -(2**70)),
    ("float", 3, 3.0),
    ("float", 0.1, 0.1),
    ("boolean", True, True),
    ("list", [], []),
    ("list", [1, "a", None], [1, "a", None]),
    ("json", None, None),
    ("json", {"a": [1, True]}, {"a": [1, True]}),
    ("json", "text", "text"),
    ("date", "2024-02-29", "2024-02-29"),
    ("datetime", "2026-10-31T08:00:00Z", "2026-10-31T08:00:00Z"),
    ("datetime", "2026-10-31T08:00:00+02:00", "2026-10-31T08:00:00+02:00"),
    ("datetime", "2026-10-31 08:00", "2026-10-31 08:00"),
]
REFUSED: list[tuple[str, Any]] = [
    ("string", 3),
    ("string", None),
    ("string", "a\0b"),
    ("string", "\ud800"),
    ("integer", "3"),
    ("integer", 3.5),
    ("integer", True),
    ("integer", None),
    ("integer", math.inf),
    ("integer", 1e23),
    ("integer", 2.0**53),
    ("integer", 10**4301),
    ("float", "3"),
    ("float", False),
    ("float", math.nan),
    ("float", 2**53 + 1),
    ("float", 10**400),
    ("boolean", 1),
    ("boolean", "true"),
    ("list", "a,b"),
    ("list", {"a": 1}),
    ("date", "2023-02-29"),
    ("date", "20240229"),
    ("date", "2026-W01-1"),
    ("date", "2024-02-29T00:00:00"),
    ("datetime", "2024-02-29"),
    ("datetime", "yesterday at noon"),
    ("datetime", 0),
]
TEXTS: list[tuple[str, str, Any]] = [
    ("string", "3", "3"),
    ("integer", " 3 ", 3),
    ("integer", "3.0", 3),
    ("integer", "1e3", 1000),
    ("integer", "1e23", 10**23),
    ("integer", "9007199254740993.0", 2**53 + 1),
    ("float", "3", 3.0),
    ("float", "1e-3", 0.001),
    *(("boolean", word, True) for word in ("true", "Yes", "ON", "1")),
    *(("boolean", word, False) for word in ("false", "No", "OFF", "0")),
    ("list", "a, b", ["a", "b"]),
    ("list", "", []),
    ("list", "[1, 2]", [1, 2]),
    ("json", '{"a": null}', {"a": None}),
    ("json", "null", None),
    ("date", " 2024-02-29 ", "2024-02-29"),
]
NO_TEXTS = [
    ("integer", "three"),
    ("integer", "3.5"),
    ("integer", ""),
    ("integer", "inf"),
    ("float", "nan"),
    ("float", "9007199254740993"),
    ("integer", "1e5000"),
    ("float", "inf"),
    ("boolean", "maybe"),
    ("boolean", "2"),
    ("list", "[1,"),
    ("json", "{"),
    ("json", "NaN"),
    ("json", "[" * 100_000),
    ("date", "tomorrow"),
]
BROKEN: list[tuple[str, dict[str, Any], Any, str, str]] = [
    ("integer", {"min": 1}, 0, "min", "must be 1 or more"),
    ("integer", {"max": 12}, 13, "max", "must be 12 or less"),
    ("float", {"min": 0.5}, 0.25, "min", "must be 0.5 or more"),
    ("string", {"min_length": 2}, "a", "min_length", "must have at least 2 characters"),
    ("string", {"max_length": 2}, "abc", "max_length", "must have at most 2 characters"),
    ("list", {"min_length": 1}, [], "min_length", "must have at least 1 items"),
    ("list", {"max_length": 1}, [1, 2], "max_length", "must have at most 1 items"),
    ("string", {"pattern": "^a+$"}, "ab", "pattern", "must match '^a+$'"),
    ("string", {"regex": "^a+$"}, "ab", "pattern", "must match '^a+$'"),
    ("string", {"options": ["a", "b"]}, "c", "options", 'must be one of ["a", "b"]'),
    ("string", {"choices": ["a"]}, "c", "options", 'must be one of ["a"]'),
    ("list", {"enum": ["a"]}, ["a", "c"], "options", 'may hold only ["a"]'),
    ("date", {"min": "2024-02-29"}, "2024-02-28", "min", "must be 2024-02-29 or later"),
    ("date", {"max": "2024-02-29"}, "2024-03-01", "max", "must be 2024-02-29 or earlier"),
    ("datetime", {"max": "2024-01-01T00:00:00Z"}, "2023-12-31T23:30:00-01:00", "max", "or earlier"),
]
KEPT: list[tuple[str, dict[str, Any], Any]] = [
    ("integer", {"min": 1, "max": 1}, 1),
    ("integer", {"min": None}, -5),
    ("string", {"pattern": "b"}, "abc"),
    ("list", {"options": [1, 2]}, [2, 2]),
    ("float", {"options": [1]}, 1.0),
    ("datetime", {"max": "2024-01-01T00:00:00Z"}, "2024-01-01T00:30:00+01:00"),
]


def str_of(value: Any) -> str:
    return "huge" if isinstance(value, int) and abs(value) > 2**99 else ascii(value)[:30]


@pytest.mark.parametrize(("kind", "given", "kept"), ACCEPTED)
def test_a_value_of_its_type_is_accepted(kind: str, given: Any, kept: Any) -> None:
    value = checked(Definition("p", kind), given)
    assert (value, type(value)) == (kept, type(kept))


@pytest.mark.parametrize(("kind", "given"), REFUSED, ids=str_of)
def test_a_value_of_another_type_is_refused(kind: str, given: Any) -> None:
    with pytest.raises(ParameterInvalid) as raised:
        checked(Definition("p", kind), given)
    assert "p" in raised.value.detail


@pytest.mark.parametrize(("kind", "text", "kept"), TEXTS)
def test_a_text_stands_for_a_value_where_texts_are_given(kind: str, text: str, kept: Any) -> None:
    value = checked(Definition("p", kind), text, lenient=True)
    assert (value, type(value)) == (kept, type(kept))


@pytest.mark.parametrize(("kind", "text"), NO_TEXTS, ids=str_of)
def test_a_text_that_stands_for_no_value_is_refused(kind: str, text: str) -> None:
    with pytest.raises(ParameterInvalid):
        checked(Definition("p", kind), text, lenient=True)


@pytest.mark.parametrize(("kind", "rules", "given", "rule", "words"), BROKEN)
def test_a_broken_rule_is_named(kind: str, rules: dict[str, Any], given: Any, rule: str, words: str) -> None:
    with pytest.raises(ParameterInvalid) as raised:
        resolve([Definition("p", kind, rules=rules)], {"p": given})
    [problem] = problems(raised.value)
    assert (problem["parameter"], problem["rule"]) == ("p", rule)
    assert words in raised.value.detail


@pytest.mark.parametrize(("kind", "rules", "given"), KEPT)
def test_a_value_that_keeps_its_rules_is_accepted(kind: str, rules: dict[str, Any], given: Any) -> None:
    assert resolve([Definition("p", kind, rules=rules)], {"p": given}) == {"p": given}


def test_a_pattern_that_searches_for_ever_is_given_up() -> None:
    slow = Definition("p", "string", rules={"pattern": r"^(a|a|aa)+$"})
    with pytest.raises(ParameterInvalid, match="could not be matched"):
        checked(slow, "a" * 100 + "b")


def problems(error: ParameterInvalid) -> list[dict[str, Any]]:
    return error.facts["errors"]


def test_every_problem_is_told_at_once() -> None:
    definitions = [Definition("region", "string", required=True), Definition("months", "integer", rules={"max": 12})]
    with pytest.raises(ParameterInvalid) as raised:
        resolve(definitions, {"months": 13, "regoin": "EMEA"})
    assert {(p["parameter"], p["rule"]) for p in problems(raised.value)} == {
        ("region", "required"),
        ("months", "max"),
        ("regoin", "unknown"),
    }
    assert "did you mean 'region'?" in str(problems(raised.value))


def test_what_is_left_out_takes_its_default_or_stays_with_the_notebook() -> None:
    definitions = [
        Definition("a", "float", default=3),
        Definition("b", "string"),
        Definition("c", "list", required=True),
    ]
    assert resolve(definitions, {"c": []}) == {"a": 3.0, "c": []}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("3.5", 3.5),
        ("True", True),
        ("None", None),
        ("true", "true"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("", ""),
        ("a b", "a b"),
    ],
)
def test_a_text_without_a_definition_is_read_as_papermill_reads_it(text: str, value: Any) -> None:
    found = guessed(text)
    assert (found, type(found)) == (value, type(value))


def test_parameters_without_definitions_need_names_and_values_that_can_be_kept() -> None:
    check_unregistered({"a": 1, "b": {"c": None}})
    with pytest.raises(ParameterInvalid) as raised:
        check_unregistered({"a b": 1, "class": 2, "c": "\0", "d": math.inf})
    assert [p["parameter"] for p in problems(raised.value)] == ["a b", "class", "c", "d"]


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.dates().map(str) | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    kind = draw(st.sampled_from(list(ParameterType)))
    rules: dict[str, Any] = {}
    if kind in ("integer", "float"):
        rules = draw(st.fixed_dictionaries({}, optional={"min": st.integers(-9, 0), "max": st.integers(0, 9)}))
    elif kind in ("string", "list"):
        rules = draw(
            st.fixed_dictionaries({}, optional={"min_length": st.integers(0, 1), "max_length": st.integers(1, 4)})
        )
    return Definition(draw(st.sampled_from("abc")), kind, draw(st.booleans()), rules=rules)


sets = st.lists(definitions(), max_size=3, unique_by=lambda d: d.name)


@given(sets, st.dictionaries(st.sampled_from("abc"), json_values, max_size=3), st.booleans())
def test_whatever_is_accepted_validates_against_the_schema_and_is_accepted_again(
    wanted: list[Definition], given_values: dict[str, Any], lenient: bool
) -> None:
    try:
        values = resolve(wanted, given_values, lenient=lenient)
    except ParameterInvalid as error:
        assert problems(error)
        return
    schema = schema_of_all(wanted, "n")
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(values)
    assert resolve(wanted, values) == values
    assert json.loads(json.dumps(values, allow_nan=False)) == values


@given(
    st.sampled_from(["integer", "float", "boolean"]).flatmap(
        lambda kind: st.tuples(
            st.just(kind),
            {
                "integer": st.integers(),
                "float": st.floats(allow_nan=False, allow_infinity=False),
                "boolean": st.booleans(),
            }[kind],
        )
    )
)
def test_the_text_of_a_number_or_a_truth_stands_for_itself(pair: tuple[str, Any]) -> None:
    kind, value = pair
    found = checked(Definition("p", kind), str(value), lenient=True)
    assert (found, type(found)) == (value, type(value))


@given(st.lists(json_values.filter(lambda v: "nan" not in repr(v) and "inf" not in repr(v)), max_size=4))
def test_the_json_of_a_list_stands_for_itself(value: list[Any]) -> None:
    assert checked(Definition("p", "list"), json.dumps(value), lenient=True) == value
