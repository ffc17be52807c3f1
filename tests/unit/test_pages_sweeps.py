"""What is typed into the form of a sweep; and the map of what came of it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.datastructures import FormData

from pressroom.batches.schemas import Range
from pressroom.executions.recent import BatchMark
from pressroom.executions.states import Status
from pressroom.parameters.rules import Definition
from pressroom.settings import Settings
from pressroom.web.copying import lab_address
from pressroom.web.forms import texts_in
from pressroom.web.grids import SECONDS, figures_of, heat_map, swept
from pressroom.web.sweeps import Sweep, read, sweep_fields, sweep_texts


def typed(definition: Definition, text: str) -> Sweep:
    return read([definition], {definition.name: text})


@pytest.mark.parametrize(
    ("kind", "text", "values"),
    [
        ("integer", "1, 2, 5", [1, 2, 5]),
        ("integer", "1..4", [1, 2, 3, 4]),
        ("integer", "-4 .. 4 step 4", [-4, 0, 4]),
        ("integer", "1..10 by 4", [1, 5, 9]),
        ("float", "0..1 step 0.1", [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]),
        ("date", "2026-02-27..2026-03-01", ["2026-02-27", "2026-02-28", "2026-03-01"]),
        ("date", "2026-01-05..2026-01-20 step 7", ["2026-01-05", "2026-01-12", "2026-01-19"]),
        ("string", "EMEA, APAC", ["EMEA", "APAC"]),
        ("string", "a, b\nc", ["a, b", "c"]),
        ("string", "1..3\n4", ["1..3", "4"]),
        ("list", '["a"]\nb,c', [["a"], ["b", "c"]]),
        ("json", '{"a": 1}\n{"a": 2}', [{"a": 1}, {"a": 2}]),
    ],
)
def test_several_values_are_typed_as_people_write_them(kind: str, text: str, values: list[Any]) -> None:
    assert typed(Definition("a", kind), text).swept == {"a": values}


@pytest.mark.parametrize(
    ("kind", "text", "why"),
    [
        ("integer", "4..1", "end lies before its start"),
        ("integer", "1..4 step 0", "step is not above 0"),
        ("integer", "1..4 step x", "no range of numbers"),
        ("float", "0..1e9", "no range of numbers"),
        ("float", "0..1 step 0.00001", "100,001 values"),
        ("date", "2026-01-01..soon", "no range of days"),
        ("date", "2026-01-01..2026-01-05 step 0", "no range of days"),
        ("integer", "1, x", "must be an integer"),
    ],
)
def test_what_is_no_range_is_said_beside_its_field(kind: str, text: str, why: str) -> None:
    sweep = typed(Definition("a", kind), text)
    assert why in sweep.errors["a"]
    assert sweep.combinations == 0


def test_rules_hold_for_each_of_several_values() -> None:
    assert "must be 3 or less" in typed(Definition("a", "integer", rules={"max": 3}), "1..4").errors["a"]


def test_the_number_is_that_of_all_combinations_and_one_value_is_none_of_them() -> None:
    definitions = [Definition("a", "integer"), Definition("b", "string"), Definition("c", "integer")]
    sweep = read(definitions, {"a": "1..10", "b": "x, y", "c": "7"})
    assert (sweep.combinations, sweep.fixed) == (20, {"c": 7})
    assert read(definitions, {"c": "7"}).combinations == 0, "nothing is swept"


def test_each_of_several_times_has_its_zone() -> None:
    sweep = typed(Definition("a", "datetime"), "2026-10-31T08:00, 2026-11-01T08:00+01:00")
    assert sweep.swept == {"a": ["2026-10-31T08:00Z", "2026-11-01T08:00+01:00"]}
    options = ["2026-10-31T08:00:00", "2026-11-01T08:00:00Z"]
    ticked = typed(Definition("a", "datetime", rules={"options": options}), "\n".join(options))
    assert ticked.swept == {"a": options}


def test_a_default_is_one_value_whatever_is_in_it_and_a_secret_too() -> None:
    assert typed(Definition("a", "string", default="one, two"), "one, two").fixed == {"a": "one, two"}
    assert typed(Definition("a", "json", default={"a": 1}), '{"a": 1}').fixed == {"a": {"a": 1}}
    assert typed(Definition("a", "string", secret=True), "x, y").fixed == {"a": "x, y"}


def test_options_are_ticked_and_what_is_ticked_is_taken() -> None:
    definitions = [
        Definition("region", "string", default="EMEA", rules={"options": ["EMEA", "A, B"]}),
        Definition("full", "boolean"),
    ]
    fields = sweep_fields(definitions, {}, {})
    assert [each.control for each in fields] == ["checkboxes", "checkboxes"]
    assert [one.chosen for one in fields[0].options] == [True, False]
    assert [one.label for one in fields[1].options] == ["yes", "no"]
    sent = FormData([("p.region", ""), ("p.region", "EMEA"), ("p.region", "A, B"), ("p.full", ""), ("p.full", "true")])
    sweep = read(definitions, sweep_texts(definitions, sent))
    assert (sweep.swept, sweep.fixed) == ({"region": ["EMEA", "A, B"]}, {"full": True})


def test_a_sample_is_drawn_from_all_between_the_ends_of_a_range_and_else_from_the_values() -> None:
    ranges = read([Definition("a", "float"), Definition("b", "integer")], {"a": "0..1", "b": "1, 5"}).ranges
    assert (ranges["a"].min, ranges["a"].max, ranges["a"].options) == (0, 1, None)
    assert ranges["b"].options == [1, 5]


def test_a_wrong_secret_is_not_in_what_is_said_of_it() -> None:
    wrong = typed(Definition("key", "string", secret=True, rules={"pattern": "^[a-z]+$"}), "H1dden-Value")
    assert "is a secret" in wrong.errors["key"]
    assert "H1dden" not in wrong.errors["key"]


@pytest.mark.parametrize(
    "text", ["." * 100_000 + " x", "1.." * 50_000, "1.." + "9" * 100_000], ids=["dots", "ranges", "digits"]
)
def test_a_long_text_is_no_range(text: str) -> None:
    assert "must be" in typed(Definition("a", "integer"), text).errors["a"]


def test_a_field_has_no_more_values_than_can_be_counted() -> None:
    assert "100,001 values" in typed(Definition("a", "integer"), "1\n" * 100_001).errors["a"]


def test_a_list_whose_options_were_ticked_in_another_form_stays_one_value() -> None:
    definitions = [Definition("columns", "list", rules={"options": ["units", "margin"]})]
    sent = FormData([("p.columns", "units"), ("p.columns", "margin")])
    texts = sweep_texts(definitions, sent)
    assert read(definitions, texts).fixed == {"columns": ["units", "margin"]}
    carried = FormData([("p.columns", texts["columns"])])
    assert texts_in(definitions, carried) == texts, "and back again"
    assert texts_in(definitions, FormData([("p.columns", "")])) == {"columns": "[]"}
    assert texts_in(definitions, FormData([("p.columns", "")]), typed=True) == {"columns": ""}


# The first text of a run is slow to make: the table of all characters is made for it.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(["integer", "float", "date", "string", "list", "json", "boolean", "datetime"]), st.text())
def test_whatever_is_typed_is_read_or_said_to_be_wrong(kind: str, text: str) -> None:
    sweep = typed(Definition("a", kind), text)
    assert len(sweep.errors) + len(sweep.fixed) + len(sweep.swept) <= 1
    assert bool(text.strip(" ,\t\r\n")) is False or sweep.errors or sweep.fixed or sweep.swept or not text.strip()


def test_a_sample_of_a_range_with_a_step_is_drawn_from_its_steps() -> None:
    stepped = typed(Definition("a", "float"), "0..1 step 0.25")
    assert stepped.ranges["a"] == Range(options=[0.0, 0.25, 0.5, 0.75, 1.0])
    assert typed(Definition("a", "float"), "0..1").ranges["a"] == Range(min=0, max=1)


def mark(index: int, status: Status = Status.SUCCESS, **figures: float) -> BatchMark:
    return BatchMark(index + 100, status, datetime(2026, 10, 31, tzinfo=UTC), float(index), index, figures)


def test_a_grid_of_two_parameters_is_a_map_with_each_execution_in_its_place() -> None:
    grid = {"alpha": [1, 2, 3], "fixed": ["x"], "beta": [0.1, 0.2]}
    marks = [mark(n, rmse=10.0 * n) for n in range(5)] + [mark(5, Status.FAILED, rmse=999)]
    heat = heat_map(grid, marks, "rmse")
    assert heat is not None
    assert (heat.down, heat.across, heat.columns) == ("alpha", "beta", ["0.1", "0.2"])
    found = [(label, [cell.mark.index if cell else None for cell in cells]) for label, cells in heat.rows]
    assert found == [("1", [0, 1]), ("2", [2, 3]), ("3", [4, 5])]
    assert (heat.low, heat.high) == ("0", "40"), "what failed has no figure"
    assert [cell.level for _, cells in heat.rows for cell in cells if cell] == [0, 2, 4, 6, 8, None]
    assert heat.rows[2][1][1] is not None
    assert heat.rows[2][1][1].text == "failed"
    assert figures_of(marks) == [SECONDS, "rmse"]


def test_what_is_no_grid_of_two_has_no_map() -> None:
    assert heat_map({"a": [1, 2]}, [], SECONDS) is None
    assert heat_map({"a": [1, 2], "b": [1, 2], "c": [1, 2]}, [], SECONDS) is None
    assert heat_map({"a": list(range(50)), "b": list(range(50))}, [], SECONDS) is None
    assert swept({"grid": {"a": "12345 values"}}, 12345) == {}
    assert swept({"grid": {"a": [1, 2], "b": [3]}}, 2) == {"a": [1, 2], "b": [3]}
    assert swept({"grid": {"a": [1, 2]}}, 5) == {}, "its values are not all of it"
    assert swept({}, 1) == {}


def test_jupyterlab_is_found_under_a_hub_alone() -> None:
    assert lab_address(Settings(), "a.ipynb") is None
    at_hub = Settings.model_construct(auth=["jupyterhub"], jupyterhub_api_url="http://10.0.0.1:8081/base/hub/api")
    assert lab_address(at_hub, "my reports/a.ipynb") == "/base/hub/user-redirect/lab/tree/my%20reports/a.ipynb"
    public = at_hub.model_copy(update={"jupyterhub_public_hub_url": "https://hub.example.com/hub"})
    assert lab_address(public, "a.ipynb") == "https://hub.example.com/hub/user-redirect/lab/tree/a.ipynb"
