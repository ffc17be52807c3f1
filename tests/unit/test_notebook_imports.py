"""Which libraries a notebook's source imports."""

import json
from pathlib import Path
from typing import Any

import pytest

from pressroom.notebooks.imports import WELL_KNOWN, beside, imported_by, most_imported, top, well_known


def notebook(*cells: str | list[str], **metadata: Any) -> bytes:
    code = [{"cell_type": "code", "source": source} for source in cells]
    text = {"cell_type": "markdown", "source": "import nothing"}
    return json.dumps({"cells": [*code, text], "metadata": metadata, "nbformat": 4}).encode()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pandas as pd", {"pandas"}),
        ("import pandas, numpy as np  # both", {"pandas", "numpy"}),
        ("import matplotlib.pyplot as plt", {"matplotlib.pyplot"}),
        ("from sklearn.ensemble import (\n    Forest,  # (a forest\n    A)\n1 +", {"sklearn.ensemble"}),
        ("from sklearn.ensemble import (\n    RandomForestClassifier,\n    A,\n)", {"sklearn.ensemble"}),
        ("from scipy import \\\n    stats", {"scipy"}),
        ("import os, sys, json\nfrom __future__ import annotations\nimport xml.etree", set()),
        ("from . import mine\nfrom .mine import it\nfrom .. import it", set()),
        ("try:\n    import polars\nexcept ImportError:\n    polars = None", {"polars"}),
        ("def late():\n    import seaborn\n    return seaborn", {"seaborn"}),
        ("import pandas; import numpy", {"pandas", "numpy"}),
        ("%matplotlib inline\n!pip install x\nimport pandas\npandas?\nx = !ls", {"pandas"}),
        ("%time import pandas", {"pandas"}),
        ("%%time\nimport pandas", {"pandas"}),
        ("\n%%bash\nimport screen.png\nfrom here import there", set()),
        ("%%writefile mine.py\nimport pandas", set()),
        ("this is ( no Python\nimport pandas\n1 +", {"pandas"}),
        ("import nbconvert.__main__, IPython.__main__ as x\nfrom pip.__main__ import y\nimport __main__", set()),
        ("from here on it is prose\nimport", set()),
        ("important = 1\nfrom_here = 2", set()),
        ("import " + "(" * 500, set()),
        ("import pandas\0", set()),
        ("import \ud800", set()),
        ("from x import (" + "\n" * 100_000, set()),
        ("", set()),
    ],
)
def test_what_a_cell_imports(source: str, found: set[str]) -> None:
    assert imported_by(notebook(source)) == found


def test_the_cells_of_a_notebook_and_nothing_else() -> None:
    data = notebook("import pandas", ["import numpy\n", "import scipy"], kernelspec={"language": "python"})
    assert imported_by(data) == {"pandas", "numpy", "scipy"}
    assert imported_by(notebook("import pandas", language_info={"name": "R"})) == set()


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b"null", b"\xff", b'{"cells": 1}', b'{"cells": [1]}', b'{"cells": [{}]}', b"[" * 100_000,
     b'{"metadata": null, "cells": []}', b'{"cells": [{"cell_type": "code", "source": null}]}'],
)  # fmt: skip
def test_what_is_no_notebook_imports_nothing(data: bytes) -> None:
    assert imported_by(data) == set()


def test_a_module_beside_the_notebook_is_no_library(tmp_path: Path) -> None:
    (tmp_path / "mine.py").touch()
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").touch()
    (tmp_path / "pandas").mkdir()
    assert beside(tmp_path, {"mine", "pack.part", "pandas"}) == {"mine", "pack.part"}


def test_the_packages_that_most_notebooks_import_win_and_keep_their_modules() -> None:
    notebooks = [{"pandas", "matplotlib.pyplot"}, {"pandas", "rare"}, {"matplotlib.dates", "matplotlib.pyplot"}]
    assert most_imported(notebooks, 2) == ["matplotlib", "matplotlib.dates", "matplotlib.pyplot", "pandas"]
    assert most_imported(reversed(notebooks), 2) == most_imported(notebooks, 2)
    assert most_imported([{"b"}, {"a"}], 1) == ["a"], "of equals, the first by name"
    assert most_imported([], 20) == []


def test_the_well_known_modules_are_taken_one_by_one() -> None:
    named = {"pandas", "pandas.tests.io", "numpy.distutils", "matplotlib.pyplot", "mine", "mine.numpy", "antigravity"}
    assert well_known(named) == {"pandas", "numpy", "matplotlib.pyplot"}
    assert all(top(name) in WELL_KNOWN for name in WELL_KNOWN)


def test_reading_a_large_notebook_takes_no_time_to_speak_of() -> None:
    data = notebook(*["import pandas\n" + "x = 1\n" * 2000] * 200)
    assert imported_by(data) == {"pandas"}
