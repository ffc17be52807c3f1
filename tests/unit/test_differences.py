"""How the cells and the values of two executions differ."""

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressroom.executions.alignment import TooDifferent
from pressroom.executions.differences import MOST_CELLS, Code, cells, code, values
from pressroom.executions.result_schemas import CellDifference

sources = st.lists(st.sampled_from(["a = 1", "b = 2\nc", "print(a)", ""]), max_size=6)


def coded(texts: list[str]) -> list[Code]:
    return [Code(number, None, text) for number, text in enumerate(texts, 1)]


def test_cells_of_one_id_belong_together_and_else_those_of_one_source() -> None:
    before = [Code(1, "one", "import os"), Code(2, "two", "x = 1\nprint(x)"), Code(3, "three", "end()")]
    after = [Code(1, "new", "begin()"), Code(2, "one", "import os"), Code(3, "two", "x = 2\nprint(x)")]
    found = [(each.change, each.cell, each.before, each.after) for each in cells(before, after)]
    assert found == [("added", "new", None, 1), ("changed", "two", 2, 3), ("removed", "three", 3, None)]
    assert cells(before, after)[1].diff == "@@ -1,2 +1,2 @@\n-x = 1\n+x = 2\n print(x)\n"


@given(sources, sources)
def test_what_is_told_of_cells_makes_one_notebook_the_other(old: list[str], new: list[str]) -> None:
    before, after = coded(old), coded(new)
    found = cells(before, after)
    gone = {each.before for each in found if each.after is None}
    came = {each.after for each in found if each.before is None}
    changed = {each.before: each.after for each in found if each.change == "changed"}
    kept = [cell for cell in before if cell.number not in gone]
    rest = [cell for cell in after if cell.number not in came]
    assert len(kept) == len(rest)
    for one, other in zip(kept, rest, strict=True):
        assert (changed.get(one.number) == other.number) == (one.source != other.source)


def test_cells_and_lines_without_end_are_given_up_within_bounds() -> None:
    same = coded([""] * MOST_CELLS)
    assert cells(same, same[:-1]) == [
        CellDifference(change="removed", cell=None, before=MOST_CELLS, after=None, diff="")
    ]
    with pytest.raises(TooDifferent):
        cells(coded(["a", "b"] * 1000), coded(["a", "c"] * 1000))
    lines = [f"{number % 150}" for number in range(20_000)]
    [cell] = cells([Code(1, "x", "\n".join(lines))], [Code(1, "x", "\n".join(lines[::-1]))])
    assert cell.diff == "The sources are too different to be compared line by line.\n"


def patched(lines: list[str], diff: str) -> list[str]:
    """What a unified diff makes of lines."""
    found, at = list[str](), 0
    for line in diff.splitlines():
        if line.startswith("@@"):
            start, _, length = line.split()[1][1:].partition(",")
            begin = int(start) - (length != "0")
            found += lines[at:begin]
            at = begin
            continue
        if line[0] in " -":
            assert lines[at] == line[1:]
            at += 1
        found += [line[1:]] if line[0] in " +" else []
    return found + lines[at:]


@given(st.lists(st.sampled_from("abc"), max_size=16), st.lists(st.sampled_from("abc"), max_size=16))
def test_a_diff_of_lines_makes_one_source_the_other(old: list[str], new: list[str]) -> None:
    diff = "".join(each.diff for each in cells([Code(1, "x", "\n".join(old))], [Code(1, "x", "\n".join(new))]))
    assert patched(old, diff) == new


def test_injected_parameters_are_no_cell_of_the_notebook() -> None:
    made = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("alpha = 1", metadata={"tags": ["injected-parameters"]}),
            nbformat.v4.new_markdown_cell("text"),
            nbformat.v4.new_code_cell("print(alpha)", id="b"),
        ]
    )
    assert code(nbformat.writes(made).encode()) == [Code(2, "b", "print(alpha)")]


def test_values_differ_as_json_has_them() -> None:
    before = {"same": [1], "kind": 1, "number": 1, "gone": None, "nan": "NaN"}
    after = {"same": [1], "kind": True, "number": 2.5, "new": "x", "nan": 1}
    found = {each.name: (each.change, each.difference) for each in values(before, after)}
    assert found == {
        "gone": ("removed", None), "kind": ("changed", None), "nan": ("changed", None), "new": ("added", None),
        "number": ("changed", 1.5),
    }  # fmt: skip
    assert values(None, None) == []
    [large] = values({"n": 10**400}, {"n": 0})
    assert large.difference is None
