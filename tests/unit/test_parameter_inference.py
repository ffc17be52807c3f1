"""What a notebook's parameters cell proposes: names, types, defaults and comments, without executing it."""

from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressroom.parameters.definitions import check_definition
from pressroom.parameters.infer import Inference, infer
from pressroom.parameters.rules import Definition


def proposed(source: str, language: str = "python") -> Inference:
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("other = 1"), cell])
    name = "python3" if language == "python" else language
    notebook.metadata.kernelspec = {"name": name, "display_name": name, "language": language}
    notebook.metadata.language_info = {"name": language}
    found = infer(notebook)
    for definition in found.definitions:
        check_definition(definition)
    return found


def only(source: str) -> Definition:
    [definition] = proposed(source).definitions
    return definition


@pytest.mark.parametrize(
    ("source", "kind", "default"),
    [
        ("p = 'EMEA'", "string", "EMEA"),
        ("p = 3", "integer", 3),
        ("p = -3", "integer", -3),
        ("p = 0.5", "float", 0.5),
        ("p = True", "boolean", True),
        ("p = [1, 'a']", "list", [1, "a"]),
        ("p = (1, 2)", "list", [1, 2]),
        ("p = {'b', 'a'}", "list", ["a", "b"]),
        ("p = {'a': [1, None]}", "json", {"a": [1, None]}),
        ("p = None", "json", None),
        ("p: float = 1", "float", 1.0),
        ("p: 'int' = 1", "integer", 1),
        ("p: list[int] = [1]", "list", [1]),
        ("p: Dict[str, int] = {}", "json", {}),
        ("import datetime\np: datetime.date = '2024-02-29'", "date", "2024-02-29"),
        ("p: Optional[str] = None", "string", None),
        ("p: typing.Optional[int] = 4", "integer", 4),
        ("p: str | None = None", "string", None),
        ("p = [\n    1,  # one\n    2,\n]", "list", [1, 2]),
        ("p = '''two\nlines'''", "string", "two\nlines"),
        ("p = ('a'\n     'b')", "string", "ab"),
        ("p = 1\np = 'later'", "string", "later"),
    ],
)
def test_an_assignment_proposes_a_type_and_a_default(source: str, kind: str, default: Any) -> None:
    definition = only(source)
    assert (definition.name, definition.type, definition.default) == ("p", kind, default)
    assert type(definition.default) is type(default)
    assert not definition.required


def test_a_name_that_is_annotated_without_a_value_is_required() -> None:
    definition = only("p: int")
    assert (definition.type, definition.required, definition.default) == ("integer", True, None)


def test_a_literal_annotation_proposes_options() -> None:
    definition = only("p: Literal['EMEA', 'APAC'] = 'EMEA'")
    assert (definition.type, definition.default, dict(definition.rules)) == (
        "string",
        "EMEA",
        {"options": ["EMEA", "APAC"]},
    )
    assert only("p: typing.Literal[1] = 1").rules == {"options": [1]}
    assert only("p: Literal[1, 'a'] = 'a'").type == "json"


@pytest.mark.parametrize(
    "source", ["p = compute()", "p = 2 * 3", "p = other", "p = f'{x}'", "p = {1: 2}", "p = b'a'", "p = 1j", "p = ..."]
)
def test_a_computed_default_is_left_to_the_notebook_and_said_so(source: str) -> None:
    found = proposed(source)
    [definition] = found.definitions
    assert (definition.type, definition.default, definition.required) == ("json", None, False)
    assert found.notes == ["p is computed by the notebook, whose own value holds where none is given."]


@pytest.mark.parametrize(
    ("source", "comment"),
    [
        ("p = 1  # how many", "how many"),
        ("# how many\np = 1", "how many"),
        ("# above\np = 1  # behind", "behind"),
        ("p = [\n    1,\n]  # at the end", "at the end"),
        ("# far\n\np = 1", None),
        ("p = 1  #", None),
        ("p = '# no comment'", None),
    ],
)
def test_a_comment_becomes_the_description(source: str, comment: str | None) -> None:
    assert only(source).description == comment


def test_magics_and_shell_lines_do_not_hide_the_assignments() -> None:
    source = "%matplotlib inline\n!pip list\np = 3  # kept\n%config A.b = 1\nfiles = !ls"
    found = proposed(source)
    assert [(d.name, d.default, d.description) for d in found.definitions if d.name == "p"] == [("p", 3, "kept")]


def test_what_is_no_parameter_is_passed_over() -> None:
    found = proposed(
        "import os\n_private = 1\na.b = 2\nc[0] = 3\nx, y = 1, 2\ndef f(): pass\nif True:\n    z = 1\np = 1"
    )
    assert [d.name for d in found.definitions] == ["p"]


def test_what_looks_like_a_parameter_and_is_none_is_told() -> None:
    found = proposed(f"x, y = 1, 2\nz = 3\n{'n' * 101} = 4\n_own = 5")
    assert [d.name for d in found.definitions] == ["z"]
    assert found.notes == [
        "(x, y) is left out: a parameter is one name with one value.",
        f"{'n' * 40}… is left out: it is longer than 100 characters.",
    ]


def test_an_annotation_that_is_no_type_of_parameters_is_told() -> None:
    found = proposed("p: DataFrame = 3")
    assert [d.type for d in found.definitions] == ["integer"]
    assert found.notes == ["p: its annotation 'DataFrame' is not a type of parameters."]


@pytest.mark.parametrize(
    "source", ["p: int = 'three'", "p: Literal['a'] = 'b'", "p: bool = 1", "p = 1e999", "p: date = 'today'"]
)
def test_a_default_that_contradicts_its_definition_is_left_out(source: str) -> None:
    found = proposed(source)
    [definition] = found.definitions
    assert definition.default is None
    assert found.notes[0].startswith("p: its default is left out.")


def test_no_cell_and_an_empty_cell_are_told_apart() -> None:
    none = infer(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("p = 1")]))
    assert (none.has_parameters_cell, none.definitions) == (False, [])
    assert none.notes == ["The notebook has no cell tagged 'parameters'."]
    empty = proposed("")
    assert (empty.has_parameters_cell, empty.definitions) == (True, [])
    assert empty.notes == ["The cell tagged 'parameters' assigns nothing."]


def test_a_cell_that_is_no_python_is_read_line_by_line() -> None:
    found = proposed("p = 3\nq = = 4")
    assert ("p", 3) in [(d.name, d.default) for d in found.definitions], found.notes
    assert "not valid Python (line 2" in found.notes[0]


def test_a_language_that_cannot_be_inspected_is_told() -> None:
    found = proposed("p <- 3", "R")
    assert found.definitions == []
    assert len(found.notes) == 1
    assert "Papermill" in found.notes[0]


literals = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=5,
)
annotations = st.sampled_from(
    ["", ": int", ": float", ": str", ": bool", ": list", ": dict", ": date", ": Optional[int]", ": Literal[1, 'a', 1]"]
)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "match", "ß"]), annotations, literals), max_size=4))
def test_every_proposal_can_be_saved(lines: list[tuple[str, str, Any]]) -> None:
    source = "\n".join(f"{name}{annotation} = {value!r}" for name, annotation, value in lines)
    assert len(proposed(source).definitions) == len({name for name, _, _ in lines})


# IPython wonders at line separators that are none to Python.
@pytest.mark.filterwarnings("ignore:`make_tokens_by_line` received:UserWarning")
@given(st.text(max_size=40))
def test_no_text_of_a_cell_breaks_the_inference(source: str) -> None:
    assert proposed(source).has_parameters_cell
