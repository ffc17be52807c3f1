"""What the press makes of an input: malformed ones are refused in words, the others become what is executed."""

import json
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest

from pressroom.press.document import NotUsable, prepare, read
from pressroom.press.events import Reason

CELL = {"cell_type": "code", "metadata": {}, "source": "1", "outputs": [], "execution_count": None}
NOTEBOOK: dict[str, Any] = {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [CELL]}


def prepared(path: Path, data: bytes, **request: Any) -> Any:
    path.write_bytes(data)
    defaults = {
        "input_path": str(path),
        "output_path": "/reports/out.ipynb",
        "parameters": {},
        "secrets": {},
        "kernel_name": None,
        "max_notebook_bytes": 2**20,
        "fds": [os.open(path, os.O_RDONLY)],
    }
    notebook, kernel_name, launch = read(defaults | request)
    return prepare(notebook, defaults | request, launch)[0], kernel_name


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"not json",
        b"\xff\xfe{}",
        b"null",
        b"3",
        b"[]",
        b"{}",
        b"[" * 100_000,
        json.dumps(NOTEBOOK).encode()[:-5],
        json.dumps(NOTEBOOK | {"nbformat": "four"}).encode(),
        json.dumps(NOTEBOOK | {"nbformat": 99}).encode(),
        json.dumps(NOTEBOOK | {"cells": 3}).encode(),
        json.dumps(NOTEBOOK | {"cells": [3]}).encode(),
        json.dumps(NOTEBOOK | {"cells": [CELL | {"cell_type": "poem"}]}).encode(),
        json.dumps(NOTEBOOK | {"cells": [CELL | {"source": 3}]}).encode(),
        json.dumps(NOTEBOOK | {"cells": [CELL | {"metadata": {"tags": 3}}]}).encode(),
        json.dumps(NOTEBOOK | {"metadata": 3}).encode(),
        json.dumps(NOTEBOOK | {"metadata": {"kernelspec": 3}}).encode(),
        json.dumps(NOTEBOOK | {"metadata": {"kernelspec": {"name": 3, "display_name": ""}}}).encode(),
        json.dumps(NOTEBOOK | {"metadata": {"papermill": 3}}).encode(),
    ],
)
def test_a_malformed_notebook_is_refused_in_one_sentence(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "in.ipynb"
    with pytest.raises(NotUsable) as refused:
        prepared(path, data)
    assert refused.value.reason is Reason.NOTEBOOK_INVALID
    assert str(refused.value).startswith(f"{path} is not a valid notebook: ")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


def test_a_notebook_of_an_older_format_is_refused_with_its_version(tmp_path: Path) -> None:
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"cells": []}]}
    with pytest.raises(NotUsable, match="it is in version 3 of the notebook format, not 4$"):
        prepared(tmp_path / "in.ipynb", json.dumps(old).encode())


def test_a_notebook_over_the_limit_is_refused_with_the_limit(tmp_path: Path) -> None:
    with pytest.raises(NotUsable, match="is larger than 1 MiB, the limit"):
        prepared(tmp_path / "in.ipynb", b" " * (2**20 + 1))


@pytest.mark.filterwarnings("ignore::Warning:nbformat")
@pytest.mark.parametrize(
    "notebook",
    [
        NOTEBOOK,
        NOTEBOOK | {"nbformat_minor": 5},
    ],
    ids=["version 4.4", "version 4.5 without ids"],
)
def test_cells_need_no_id(tmp_path: Path, notebook: dict[str, Any]) -> None:
    made, kernel = prepared(tmp_path / "in.ipynb", json.dumps(notebook).encode())
    assert [cell.source for cell in made.cells] == ["1"]
    assert kernel == "python3"
    nbformat.validate(made)


def test_parameters_make_a_cell_of_their_own_and_none_make_none(tmp_path: Path) -> None:
    tagged = CELL | {"source": "a = 1", "metadata": {"tags": ["parameters"]}}
    marker = {"cell_type": "markdown", "metadata": {"tags": ["papermill-error-cell-tag"]}, "source": "An error"}
    data = json.dumps(NOTEBOOK | {"cells": [marker, tagged, CELL]}).encode()
    plain, _ = prepared(tmp_path / "in.ipynb", data)
    assert [cell.source for cell in plain.cells] == ["a = 1", "1"], "the markers of an earlier failure are gone"
    given, _ = prepared(tmp_path / "in.ipynb", data, parameters={"a": float("nan"), "b": "\ud800 'x'"})
    assert [cell.metadata.tags for cell in given.cells] == [["parameters"], ["injected-parameters"], []]
    scope: dict[str, Any] = {}
    exec(given.cells[1].source, scope)
    # NaN alone differs from itself.
    assert scope["a"] != scope["a"]
    assert scope["b"] == "\ud800 'x'"


def test_braces_in_paths_are_taken_as_they_are(tmp_path: Path) -> None:
    made, _ = prepared(tmp_path / "in{a}.ipynb", json.dumps(NOTEBOOK).encode(), output_path="/reports/{b}.ipynb")
    assert made.metadata.papermill.input_path == str(tmp_path / "in{a}.ipynb")
    assert made.metadata.papermill.output_path == "/reports/{b}.ipynb"
