"""Definitions of parameters: which can be saved, and the JSON Schema they compile to."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pressroom.errors import ParameterInvalid, RuleInvalid
from pressroom.parameters.definitions import FITS, check_definition
from pressroom.parameters.rules import Definition, ParameterType, check_name, schema_of, schema_of_all
from pressroom.parameters.values import checked, resolve

SAVED: list[tuple[str, dict[str, Any], Any]] = [
    ("string", {"min_length": 1, "max_length": 1, "pattern": "^."}, "a"),
    ("string", {"regex": r"\p{L}+"}, "ä"),
    ("integer", {"min": 1, "max": 12, "options": [1, 2]}, 2),
    ("float", {"min": 0.5, "max": 2}, 1),
    ("boolean", {"options": [True]}, True),
    ("json", {"choices": [None, {"a": 1}, 1, True]}, {"a": 1}),
    ("list", {"enum": ["a"], "min_length": 0}, ["a", "a"]),
    ("date", {"min": "2024-01-01", "max": "2024-12-31"}, "2024-02-29"),
    ("datetime", {"min": "2024-01-01T01:00:00+01:00", "max": "2024-01-01T00:00:00Z"}, None),
    ("integer", {"min": None, "pattern": None}, None),
]
REFUSED: list[tuple[str, dict[str, Any], Any, str]] = [
    ("text", {}, None, "param_type is 'text', not one of string, integer"),
    ("string", {"max_lenght": 3}, None, "max_lenght is not a rule; did you mean 'max_length'"),
    ("string", {"min": 3}, None, "min does not fit the type string"),
    ("integer", {"min_length": 3}, None, "min_length does not fit the type integer"),
    ("boolean", {"pattern": "a"}, None, "pattern does not fit the type boolean"),
    ("string", {"pattern": "a", "regex": "a"}, None, "regex says the same as 'pattern'"),
    ("string", {"options": ["a"], "enum": ["b"]}, None, "enum says the same as 'options'"),
    ("string", {"pattern": "("}, None, "pattern is not a regular expression"),
    ("string", {"pattern": 3}, None, "pattern must be a text"),
    ("string", {"min_length": -1}, None, "min_length must be a whole number"),
    ("string", {"min_length": True}, None, "min_length must be a whole number"),
    ("string", {"min_length": 3, "max_length": 2}, None, "min_length is 3, more than max_length, 2"),
    ("integer", {"min": 3, "max": 2}, None, "min is 3, more than max, 2"),
    ("integer", {"min": "3"}, None, "min must be a number"),
    ("date", {"min": "2024-02-30"}, None, "min must be a date in ISO 8601"),
    ("datetime", {"min": 0}, None, "min must be a datetime in ISO 8601"),
    ("datetime", {"min": "2024-01-01T00:00:00Z", "max": "2024-01-01T00:30:00+01:00"}, None, "more than max"),
    ("string", {"options": []}, None, "options must be a list of at least one value"),
    ("string", {"options": "a"}, None, "options must be a list of at least one value"),
    ("string", {"options": ["a", "a"]}, None, "options has a value twice"),
    ("string", {"options": ["a", 1]}, None, "options has a value that is not allowed"),
    ("integer", {"options": [1, 13], "max": 12}, None, "options has a value that is not allowed"),
    ("integer", {}, "3", "default_value breaks its own rules"),
    ("integer", {"max": 12}, 13, "default_value breaks its own rules"),
    ("list", {"options": ["a"]}, ["b"], "default_value breaks its own rules"),
]


@pytest.mark.parametrize(("kind", "rules", "default"), SAVED)
def test_a_definition_that_is_right_can_be_saved(kind: str, rules: dict[str, Any], default: Any) -> None:
    definition = Definition("p", kind, default=default, rules=rules)
    check_definition(definition)
    # JSON Schema's regular expressions are not those of Python's `re`, which the format checker asks.
    Draft202012Validator.check_schema(schema_of(definition), format_checker=None)


@pytest.mark.parametrize(("kind", "rules", "default", "words"), REFUSED)
def test_a_definition_that_is_wrong_is_refused_in_words(
    kind: str, rules: dict[str, Any], default: Any, words: str
) -> None:
    with pytest.raises(RuleInvalid) as raised:
        check_definition(Definition("p", kind, default=default, rules=rules))
    assert raised.value.detail.startswith("In the definition of parameter 'p', ")
    assert words in raised.value.detail


@pytest.mark.parametrize("name", ["", "a b", "1a", "a-b", "class", "None", "a" * 101, "a\n"])
def test_a_name_that_no_variable_has_is_refused(name: str) -> None:
    assert check_name(name)
    with pytest.raises(RuleInvalid):
        check_definition(Definition(name, "string"))


@pytest.mark.parametrize("name", ["a", "_a1", "größe", "match", "a" * 100])
def test_a_name_that_a_variable_can_have_is_accepted(name: str) -> None:
    assert check_name(name) is None


def test_definitions_compile_to_a_json_schema() -> None:
    definitions = [
        Definition("region", "string", True, None, "Which.", {"choices": ["EMEA"], "regex": "^E", "max_length": 9}),
        Definition("months", "integer", True, 3, rules={"min": 1, "max": 12}),
        Definition("tags", "list", True, rules={"enum": ["a"], "min_length": 1}),
        Definition("day", "date", rules={"min": "2024-01-01"}),
        Definition("anything", "json"),
    ]
    assert schema_of_all(definitions, "Sales", "Monthly.") == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Sales",
        "description": "Monthly.",
        "type": "object",
        "properties": {
            "region": {
                "title": "region",
                "description": "Which.",
                "type": "string",
                "enum": ["EMEA"],
                "pattern": "^E",
                "maxLength": 9,
            },
            "months": {"title": "months", "type": "integer", "minimum": 1, "maximum": 12, "default": 3},
            "tags": {"title": "tags", "type": "array", "items": {"enum": ["a"]}, "minItems": 1},
            "day": {"title": "day", "type": "string", "format": "date", "formatMinimum": "2024-01-01"},
            "anything": {"title": "anything"},
        },
        "required": ["region", "tags"],
        "additionalProperties": False,
    }


rule_values = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats()
    | st.sampled_from(["a", "(", "^a$", "2024-02-29", "2024-02-29T00:00:00Z"])
    | st.lists(st.integers(-2, 2) | st.sampled_from(["a", "b"]), max_size=3)
)


@given(
    st.sampled_from([*ParameterType, "text"]),
    st.dictionaries(st.sampled_from([*FITS, "regex", "choices", "enum", "minimum"]), rule_values, max_size=3),
    rule_values,
)
def test_whatever_can_be_saved_compiles_and_its_default_and_options_keep_its_rules(
    kind: str, rules: dict[str, Any], default: Any
) -> None:
    definition = Definition("p", kind, default=default, rules=rules)
    try:
        check_definition(definition)
    except RuleInvalid as error:
        assert error.detail.startswith("In the definition of parameter 'p', ")
        return
    Draft202012Validator.check_schema(schema_of_all([definition], "n"))
    assert resolve([definition], {}) == ({} if default is None else {"p": checked(definition, default)})
    options = next((rules[n] for n in ("options", "choices", "enum") if rules.get(n)), [])
    for option in options:
        try:
            checked(
                definition,
                [option] * rules.get("min_length", 1)
                if kind == "list" and rules.get("min_length")
                else [option]
                if kind == "list"
                else option,
            )
        except ParameterInvalid as error:
            assert kind == "list"
            assert error.rule in ("min_length", "max_length")
