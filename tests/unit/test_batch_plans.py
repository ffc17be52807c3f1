"""What a batch is made of: the order of a grid, and samples that stay in their bounds and can be drawn again."""

import itertools
import math
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pressroom.batches.plans import BatchPlan, Grid
from pressroom.batches.samples import axes_of, drawn
from pressroom.batches.schemas import BatchCreate, Counts, Method, Sample
from pressroom.batches.standing import Ends
from pressroom.errors import Invalid, ParameterInvalid
from pressroom.parameters.rules import Definition

NUMBERS = [
    Definition("n", "integer", rules={"min": 1, "max": 6}),
    Definition("x", "float", rules={"min": -1, "max": 1}),
    Definition("region", "string", rules={"choices": ["EMEA", "APAC", "AMER"]}),
    Definition("flag", "boolean"),
    Definition("text", "string"),
    Definition("tags", "list", rules={"options": ["a", "b"]}),
    Definition("token", "integer", rules={"min": 1, "max": 6}, secret=True),
]


def sample(method: str = "random", count: int = 8, seed: int = 1, **fields: Any) -> Sample:
    return Sample.model_validate({"method": method, "count": count, "seed": seed, **fields})


@given(st.dictionaries(st.text(min_size=1), st.lists(st.integers(), max_size=4), max_size=4))
def test_a_grid_is_the_product_in_the_order_of_its_names(values: dict[str, list[int]]) -> None:
    grid = Grid(values)
    wanted = [dict(zip(values, each, strict=True)) for each in itertools.product(*values.values())]
    assert list(grid) == list(grid[:]) == wanted
    assert [list(each) for each in grid] == [list(values)] * len(grid)
    assert len(grid) == grid.total == len(wanted)
    assert [grid[-1 - n] for n in range(len(grid))] == wanted[::-1]
    with pytest.raises(IndexError):
        grid[len(grid)]


def test_a_grid_larger_than_any_memory_is_counted() -> None:
    grid = Grid({f"p{n}": range(1000) for n in range(10)})
    assert grid.total == 10**30
    assert grid[10**29] == {f"p{n}": 100 if n == 0 else 0 for n in range(10)}


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(list(Method)), st.integers(1, 70), st.integers(0, 2**32))
def test_a_sample_stays_in_its_bounds_and_is_the_same_by_the_same_seed(method: str, count: int, seed: int) -> None:
    found = drawn(NUMBERS, sample(method, count, seed), {})
    assert found == drawn(NUMBERS, sample(method, count, seed), {})
    assert len(found) == count
    for each in found:
        assert each.keys() == {"n", "x", "region", "flag"}
        assert type(each["n"]) is int
        assert 1 <= each["n"] <= 6
        assert -1 <= each["x"] <= 1
        assert each["region"] in ("EMEA", "APAC", "AMER")
        assert each["flag"] in (True, False)


@pytest.mark.parametrize("method", list(Method))
def test_both_ends_of_whole_numbers_are_reached_and_another_seed_gives_another_sample(method: str) -> None:
    found = drawn(NUMBERS, sample(method, 128), {})
    assert {each["n"] for each in found} == {1, 2, 3, 4, 5, 6}
    assert {each["flag"] for each in found} == {True, False}
    assert found != drawn(NUMBERS, sample(method, 128, seed=2), {})


def test_a_latin_hypercube_has_one_value_in_each_part_of_a_range() -> None:
    found = drawn(NUMBERS, sample("latin_hypercube", 40), {"n": 1})
    assert sorted(math.floor((each["x"] + 1) / 2 * 40) for each in found) == list(range(40))


def test_a_sobol_sample_of_any_count_is_the_beginning_of_a_longer_one() -> None:
    assert drawn(NUMBERS, sample("sobol", 13), {}) == drawn(NUMBERS, sample("sobol", 64), {})[:13]


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.floats(0, 1, exclude_max=True))
def test_a_logarithmic_scale_has_as_many_values_in_each_power_of_ten(low: int, more: int, u: float) -> None:
    ranges = {"n": {"min": low, "max": low + more, "log": True}, "x": {"min": 0.001, "max": 1000, "log": True}}
    whole, real = (axis.at for axis in axes_of(NUMBERS, sample(ranges=ranges), {}))
    assert low <= whole(u) <= low + more  # type: ignore[operator]
    assert whole(0) == low
    assert whole(math.nextafter(1, 0)) == low + more
    assert real(u) == pytest.approx(10 ** (6 * u - 3))


def test_whole_numbers_beyond_what_floats_hold_are_reached() -> None:
    [axis] = axes_of(NUMBERS, sample(ranges={"n": {"min": 2**60, "max": 2**60 + 1}}), {})
    assert [axis.at(0.0), axis.at(0.49), axis.at(0.5), axis.at(math.nextafter(1, 0))] == [2**60] * 2 + [2**60 + 1] * 2


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"parameters": ["text"]}, "'text' is a string without options"),
        ({"parameters": ["tags"]}, "'tags' is a list without options"),
        ({"parameters": ["m"]}, "'m' is not one of the notebook's parameters"),
        ({"parameters": ["token"]}, "'token' is a secret"),
        ({"ranges": {"y": {"max": 1}}}, "'y' has no min to be drawn from"),
        ({"parameters": ["n", "text", "token"]}, "'text' .* 'token' "),
        ({"ranges": {"x": {"log": True}}}, "logarithmic scale from 0 or less"),
        ({"ranges": {"n": {"min": 1.2, "max": 1.8}}}, "nothing lies there"),
        ({"ranges": {"x": {"min": 0, "max": 10**400}}}, "'x' cannot be drawn from what is larger"),
        ({"ranges": {"n": {"min": 1, "max": 10**400, "log": True}}}, "'n' cannot be drawn from what is larger"),
        ({"parameters": ["flag"], "ranges": {"n": {"min": 9}}}, "nothing lies there"),
    ],
)
def test_what_cannot_be_drawn_is_named(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterInvalid, match=said):
        drawn([*NUMBERS, Definition("y", "float")], sample(**fields), {})


def test_a_range_to_the_largest_float_is_drawn_from() -> None:
    ends = {"min": 1, "max": sys.float_info.max, "log": True}
    for axis in axes_of(NUMBERS, sample(ranges={"n": ends, "x": ends}), {}):
        assert 1e307 < axis.at(math.nextafter(1, 0)) <= sys.float_info.max  # type: ignore[operator]


def test_a_sample_of_more_values_than_memory_is_for_is_refused_before_it_is_drawn() -> None:
    many = [Definition(f"p{number}", "float", rules={"min": 0, "max": 1}) for number in range(1000)]
    with pytest.raises(Invalid, match="100,000 sets of 1,000 parameters"):
        drawn(many, sample(count=100_000), {})


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_what_a_batch_could_not_keep_is_refused_in_grids_and_ranges(text: str) -> None:
    for fields in ({"grid": {"region": [text]}}, {"sample": {"count": 1, "ranges": {"region": {"options": [text]}}}}):
        with pytest.raises(ValidationError, match="the database cannot keep|surrogate"):
            BatchCreate.model_validate({"notebook_id": 1, **fields})


def test_what_is_fixed_is_not_drawn() -> None:
    assert {name for each in drawn(NUMBERS, sample(), {"n": 3, "flag": True}) for name in each} == {"x", "region"}
    with pytest.raises(ParameterInvalid, match="drawn and fixed"):
        drawn(NUMBERS, sample(parameters=["n"]), {"n": 3})
    with pytest.raises(Invalid, match="None of the notebook's parameters has bounds"):
        drawn([Definition("text", "string")], sample(), {})


def test_a_range_with_options_overrides_the_rules() -> None:
    found = drawn(NUMBERS, sample(ranges={"n": {"options": [2, 4]}, "region": {"options": ["EMEA"]}}), {})
    assert {each["n"] for each in found} == {2, 4}
    assert {each["region"] for each in found} == {"EMEA"}
    with pytest.raises(ValueError, match="either options, or min and max"):
        sample(ranges={"n": {"options": [1], "max": 3}})


def test_a_plan_that_is_long_is_kept_by_its_size() -> None:
    grid: dict[str, Any] = {"n": list(range(10_000)), "token": ["canary"], "x": [0.5]}
    plan = BatchPlan(1, Grid(grid), "grid", {"grid": grid, "seed": 7}, fixed={"token": "canary", "flag": True})
    kept = plan.kept(frozenset({"token"}))
    assert kept["grid"]["n"] == "10000 values"
    assert (kept["seed"], kept["parameters"]) == (7, {"token": "********", "flag": True})
    assert "canary" not in str(kept) + repr(plan)


def test_the_end_is_estimated_from_what_ended_lately() -> None:
    now = datetime(2026, 10, 31, 8, tzinfo=UTC)
    began, ended = now - timedelta(seconds=40), now - timedelta(seconds=20)
    # All that have ended are known: four in the 40 seconds since the first began. Of many, three more since the first.
    few = Counts(pending=5, running=1, success=3, failed=1)
    assert Ends(4, began, ended).estimate(few, now) == now + 6 * (now - began) / 4
    assert Ends(4, began, ended).estimate(Counts(pending=6, success=99), now) == now + 6 * (now - ended) / 3
    assert Ends(1, began, ended).estimate(Counts(pending=6, success=2), now) is None
