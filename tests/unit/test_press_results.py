"""The results in what a kernel displays: each way to record one, and what is refused."""

import base64
import json
import math
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressroom.press.book import Book, Marks
from pressroom.press.events import Result, from_json, to_json
from pressroom.press.masks import MARK, Masks
from pressroom.press.results import MOST, MOST_BYTES, PARQUET, RESULT, TABLE, Results

PNG = b"\x89PNG\r\n\x1a\n"
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
media_types = st.sampled_from(
    [RESULT, "application/scrapbook.scrap.json+json", "application/scrapbook.scrap.pandas+json",
     "application/scrapbook.scrap.text+json", "application/papermill.record+json", "text/plain", "image/png"]
)  # fmt: skip


def taken(data: dict[str, Any], metadata: dict[str, Any] | None = None, **options: Any) -> list[Result | str]:
    return list(Results(options.pop("max_bytes", 2**20), **options).take({"data": data, "metadata": metadata or {}}))


def ours(**given: Any) -> list[Result | str]:
    return taken({RESULT: given})


def scrap(encoder: str, data: Any) -> list[Result | str]:
    media = f"application/scrapbook.scrap.{encoder}+json"
    payload = {"name": "x", "data": data, "encoder": encoder, "version": 1}
    return taken({media: payload}, {"scrapbook": {"name": "x", "data": True, "display": False}})


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (ours(name="x", value=0.25), Result("x", "number", 0.25)),
        (ours(name="x", value=True), Result("x", "boolean", True)),
        (ours(name="x", value="EMEA"), Result("x", "string", "EMEA")),
        (ours(name="x", value="a\0b"), Result("x", "string", "a\\x00b")),
        (ours(name="x", value=math.nan), Result("x", "number", "NaN")),
        (ours(name="x", value=-math.inf), Result("x", "number", "-Infinity")),
        (ours(name="x", value="Infinity"), Result("x", "number", "Infinity")),
        (ours(name="x", value="inf"), Result("x", "string", "inf")),
        (ours(name="x", value=[1, math.inf]), Result("x", "json", None, "application/json", b"[1,null]")),
        (ours(name="x", value="é" * 1001), Result("x", "string", None, "text/plain", "é".encode() * 1001)),
        (ours(name="x", image=base64.b64encode(PNG).decode()), Result("x", "image", None, "image/png", PNG)),
        (scrap("json", 3), Result("x", "number", 3)),
        (scrap("json", '{"a": 1}'), Result("x", "json", None, "application/json", b'{"a":1}')),
        (scrap("text", "3"), Result("x", "string", "3")),
        (scrap("pandas", base64.b64encode(b"PAR1").decode()), Result("x", "table", None, PARQUET, b"PAR1")),
        (taken({"application/papermill.record+json": {"x": 1.5}}), Result("x", "number", 1.5)),
        (
            taken({"image/png": base64.b64encode(PNG).decode(), "text/plain": "F"}, {"pressroom": {"name": "x"}}),
            Result("x", "image", None, "image/png", PNG),
        ),
        (
            taken({"text/html": "<b>1</b>"}, {"scrapbook": {"name": "x", "data": False, "display": True}}),
            Result("x", "html", None, "text/html", b"<b>1</b>"),
        ),
    ],
)  # fmt: skip
def test_a_result_is_found_in_each_way_that_it_may_be_recorded(found: list[Result | str], expected: Result) -> None:
    assert found == [expected]


@pytest.mark.parametrize(
    ("index", "columns", "data"),
    [
        ([0, 1], ["a"], [[1], [None]]),
        (["EMEA", "APAC"], ["index", "a"], [["EMEA", 1], ["APAC", None]]),
        ([["EMEA", 1], ["EMEA", 2]], ["index_0", "index_1", "a"], [["EMEA", 1, 1], ["EMEA", 2, None]]),
    ],
)
def test_a_table_keeps_an_index_that_says_something(index: Any, columns: list[str], data: list[Any]) -> None:
    table = {"columns": ["a"], "index": index, "data": [[1], [math.nan]]}
    for spelt in (table, json.dumps(table)):
        (result,) = ours(name="t", table=spelt)
        assert isinstance(result, Result)
        assert (result.result_kind, result.media_type) == ("table", TABLE)
        assert json.loads(result.data or b"") == {"columns": columns, "data": data}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"value": 1}, "has no name"),
        ({"name": "", "value": 1}, "has no name"),
        ({"name": "x" * 256, "value": 1}, "has no name"),
        ({"name": "a\0", "value": 1}, "cannot be kept"),
        ({"name": "a\nb", "value": 1}, "cannot be kept"),
        ({"name": "a\x1b[2J", "value": 1}, "cannot be kept"),
        ({"name": "..", "value": 1}, "no address can end in"),
        ({"name": "x"}, "none of value, table and image"),
        ({"name": "x", "image": "?"}, "not the Base64"),
        ({"name": "x", "image": "", "media_type": "text/html"}, "is no image"),
        ({"name": "x", "image": "", "media_type": "image/ŵ"}, "is no image"),
        ({"name": "x", "table": {"columns": ["a"], "data": [[1, 2]]}}, "not as many values"),
        ({"name": "x", "table": [1]}, "is no table"),
        ({"name": "x", "value": ["y" * MOST_BYTES]}, "one may have 5"),
    ],
)
def test_what_is_no_result_is_refused_with_the_reason(given: dict[str, Any], why: str) -> None:
    (sentence,) = taken({RESULT: given}, max_bytes=2**30)
    assert isinstance(sentence, str)
    assert why in sentence


def test_over_a_bound_the_rest_is_refused_and_what_was_there_stays_until_it_fits() -> None:
    results = Results(30)
    said = [next(results.take({"data": {RESULT: {"name": name, "value": value}}})) for name, value in
            (("a", "x" * 10), ("b", "y" * 10), ("c", "z" * 10), ("a", 1), ("c", "z" * 10))]  # fmt: skip
    assert [type(each) for each in said] == [Result, Result, str, Result, Result]


def test_a_loop_that_records_without_end_is_told_of_a_few_times() -> None:
    results, kept, told = Results(2**20), 0, 0
    for number in range(2 * MOST):
        for found in results.take({"data": {RESULT: {"name": f"r{number}", "value": number}}}):
            kept, told = kept + isinstance(found, Result), told + isinstance(found, str)
    assert (kept, told) == (MOST, 21)


def test_one_name_in_a_loop_is_told_up_to_a_bound_and_its_last_value_at_the_end() -> None:
    results, told = Results(MOST_BYTES), list[Result | str]()
    for number in range(20):
        value = [number, "x" * (MOST_BYTES // 2)]
        told += results.take({"data": {RESULT: {"name": "x", "value": value}}})
    assert 0 < sum(len(each.data or b"") for each in told if isinstance(each, Result)) <= 3 * MOST_BYTES
    (last,) = results.rest()
    assert json.loads(last.data or b"")[0] == 19
    assert list(results.rest()) == []


def test_what_scrapbook_shows_under_a_name_does_not_take_the_place_of_what_it_recorded() -> None:
    results = Results(2**20)
    shown = {"data": {"text/plain": "1"}, "metadata": {"scrapbook": {"name": "x", "data": False, "display": True}}}
    assert list(results.take(shown)) == [Result("x", "string", "1")]
    (first,) = results.take({"data": {"application/scrapbook.scrap.json+json": {"name": "x", "data": 1}}})
    assert first == Result("x", "number", 1)
    assert list(results.take(shown)) == []


def test_secrets_in_base64_are_masked() -> None:
    (found,) = taken(
        {RESULT: {"name": "x", "image": base64.b64encode(b"PNG canary-1").decode()}}, masks=Masks({"token": "canary-1"})
    )
    assert isinstance(found, Result)
    assert found.data == b"PNG ********"


def test_secrets_are_masked_in_names_and_in_what_is_said_of_them() -> None:
    masks = Masks({"token": "canary-1"})
    assert taken({"application/papermill.record+json": {"canary-1": 1}}, masks=masks) == [Result(MARK, "number", 1)]
    (refused,) = taken({"application/papermill.record+json": {"a\ncanary-1": 1}}, masks=masks)
    assert MARK in str(refused)
    assert "canary-1" not in str(refused)
    (nameless,) = taken({RESULT: {"name": {"canary-1": 1}, "value": 1}}, masks=masks)
    assert "canary-1" not in str(nameless)


def test_the_end_tells_of_the_last_value_that_was_held_back() -> None:
    cell = nbformat.v4.new_code_cell("loop()")
    book = Book(Marks(nbformat.v4.new_notebook(cells=[cell])), 2**20, None, MOST_BYTES)
    told: list[Result] = []
    book.on_result = told.append
    for number in range(5):
        content = {"data": {RESULT: {"name": "x", "value": [number, "x" * (MOST_BYTES - 100)]}}, "metadata": {}}
        message = {"msg_type": "display_data", "content": content, "parent_header": {"msg_id": "1"}}
        book.take(message, cell, 0)
    assert len(told) < 5
    book.complete()
    assert json.loads(told[-1].data or b"")[0] == 4


@given(
    media_types,
    json_values,
    st.dictionaries(
        st.sampled_from(["pressroom", "scrapbook"]), json_values | st.fixed_dictionaries({"name": json_values})
    ),
)
def test_whatever_is_displayed_each_result_travels_as_json_and_can_be_kept(
    media: str, content: Any, marks: dict[str, Any]
) -> None:
    for found in taken({media: content}, marks):
        if isinstance(found, Result):
            assert 0 < len(found.name) <= 255
            said = json.dumps(to_json(found), allow_nan=False)
            assert from_json(json.loads(said)) == found
            assert "\\u0000" not in said
