"""The data frame of a comparison: asked for by its columns' names, and the same from JSON as from Arrow."""

import json
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from pressroom.client.results import _compare, _frame
from pressroom.executions.comparison import Compared, Comparison, rendered
from pressroom.executions.conditions import Field, fields
from pressroom.executions.frames import Format, spelled

names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
COLUMNS: dict[str, list[Any]] = {
    "id": [2, 1],
    "started_at": [datetime(2026, 10, 31, 8, tzinfo=UTC), datetime(2026, 10, 31, 7, 0, 0, 5, tzinfo=UTC)],
    "seconds": [1.5, None],
    "results.rmse": ["NaN", 0.5],
    "results.n": [3, None],
    "results.label": ["NaN", "x"],
    "results.ok": [True, False],
}


def sent(columns: list[str]) -> Any:
    return _compare(1, None, None, None, (), (), columns, 10).query.get("columns")


@given(st.lists(st.tuples(st.sampled_from(["parameters", "results"]), names), min_size=1, max_size=80))
def test_columns_of_any_names_and_number_are_one_value_of_the_query(given: list[tuple[str, str]]) -> None:
    wanted = [Field(*each) for each in given if not each[1].startswith('"')]
    assert fields([sent([each.column for each in wanted])] if wanted else [], "columns") == tuple(wanted)


def test_a_column_may_be_named_as_in_a_query() -> None:
    assert sent(["id", 'results."my result"', "results.my result"]) == 'id,results."my result",results."my result"'
    assert sent([]) is None


def test_a_frame_is_the_same_from_json_as_from_arrow() -> None:
    links = [{"roc": "image", "n": "table"}, {"n": "json"}]
    links[0].pop("n")
    body = rendered(Compared(COLUMNS, links, 2), Comparison(1))
    assert "results.roc" in json.loads(body)[0]
    ours, theirs = _frame(body, []), _frame(spelled(COLUMNS, Format.ARROW), [])
    pd.testing.assert_frame_equal(ours, theirs, check_dtype=False)
    assert str(ours["started_at"].dtype).startswith("datetime64")
    assert list(_frame(b"[]", [])) == ["id", "status", "started_at", "seconds"]
    assert ours["results.rmse"].dtype == theirs["results.rmse"].dtype == "float64"
