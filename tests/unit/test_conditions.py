"""What is asked of executions that are compared, as text."""

import string
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressroom.errors import Invalid
from pressroom.executions.conditions import Condition, Field, Key, conditions, fields, keys
from pressroom.executions.frames import Format, spelled

names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
operators = st.sampled_from(["<", "<=", ">", ">=", "=", "!="])


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.sampled_from(["parameters", "results"]), names, operators, texts | st.decimals(allow_nan=False, places=3))
def test_every_name_and_value_can_be_asked_for(group: str, name: str, operator: str, value: str | Decimal) -> None:
    if isinstance(value, Decimal) and (value.is_infinite() or abs(value) > 10**20):
        return
    spelt = quoted(value) if isinstance(value, str) else format(value, "f")
    for space in ("", " "):
        text = f"{group}.{quoted(name)}{space}{operator}{space}{spelt}"
        wanted = Condition(Field(group, name), operator, value)  # type: ignore[arg-type]
        assert conditions([f"{text} and {text}", text]) == (wanted, wanted, wanted)


@given(st.text(string.printable))
def test_whatever_is_asked_it_is_understood_or_refused(text: str) -> None:
    for read in (lambda: conditions([text]), lambda: keys([text]), lambda: fields([text], "columns")):
        try:
            read()
        except Invalid as error:
            assert error.detail


def test_plain_names_and_words_need_no_quotes() -> None:
    assert conditions(["results.rmse<=-1e-3 AND status=success"]) == (
        Condition(Field("results", "rmse"), "<=", Decimal("-1e-3")),
        Condition(Field("", "status"), "=", "success"),
    )
    assert conditions(["parameters.on == true and results.x != null"]) == (
        Condition(Field("parameters", "on"), "=", value=True),
        Condition(Field("results", "x"), "!=", None),
    )
    assert keys(["-results.a.b-c, id"]) == (Key(Field("results", "a.b-c"), True), Key(Field("", "id"), False))


def test_more_keys_and_columns_than_a_statement_takes_are_refused() -> None:
    assert (len(keys(["id," * 19 + "id"])), len(fields(["id"] * 500, "columns"))) == (20, 500)
    for refused in (lambda: keys(["id," * 20 + "id"]), lambda: fields(["id"] * 501, "columns")):
        with pytest.raises(Invalid, match="more than"):
            refused()


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_a_text_that_a_spreadsheet_would_compute_is_told_as_text(text: str) -> None:
    body = spelled({text: [text, "plain", -1, "NaN", None, True]}, Format.CSV).decode()
    assert body.startswith(("'", "\"'"))
    assert body.count(f"'{text}") == 2
    assert "\r\n-1\r\nNaN\r\n" in body
