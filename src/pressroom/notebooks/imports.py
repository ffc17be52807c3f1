"""Which libraries notebooks import, read from their source. Nothing of a notebook, and no library, is executed.

A cell is not parsed as a whole: magics, shell escapes and code that is broken are usual in notebooks, and say nothing
of the statements beside them. Each import statement is found by its first word, and parsed alone.
"""

import ast
import json
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

LONGEST_STATEMENT = 100
"""Lines of an import statement at most: one whose bracket is never closed ends there."""
_START = re.compile(r"\s*(?:%(?:time|timeit|prun)\s+)?((?:import|from)\s.*)")
_CELL_MAGIC = re.compile(r"\s*%%(\w*)")
_PYTHON_MAGICS = frozenset({"capture", "prun", "python", "python3", "time", "timeit"})
"""Cell magics whose body is Python."""
WELL_KNOWN = frozenset(
    {
        "IPython", "IPython.display", "PIL", "PIL.Image", "altair", "bokeh", "bokeh.plotting", "bs4", "cv2", "dask",
        "dask.dataframe", "dateutil", "duckdb", "geopandas", "httpx", "ipywidgets", "jinja2", "joblib", "lightgbm",
        "lxml", "lxml.etree", "matplotlib", "matplotlib.dates", "matplotlib.pyplot", "matplotlib.ticker", "networkx",
        "numba", "numpy", "numpy.linalg", "numpy.random", "openpyxl", "pandas", "papermill", "plotly",
        "plotly.express", "plotly.graph_objects", "psycopg", "pyarrow", "pyarrow.parquet", "pydantic", "pytz",
        "requests", "rich", "scipy", "scipy.interpolate", "scipy.optimize", "scipy.signal", "scipy.sparse",
        "scipy.stats", "seaborn", "shapely", "skimage", "sklearn", "sklearn.cluster", "sklearn.ensemble",
        "sklearn.linear_model", "sklearn.metrics", "sklearn.model_selection", "sklearn.pipeline",
        "sklearn.preprocessing", "sqlalchemy", "statsmodels", "statsmodels.api", "sympy", "tabulate", "torch", "tqdm",
        "tqdm.auto", "xarray", "xgboost", "yaml",
    }
)  # fmt: skip
"""Modules that do nothing but define things when they are imported, whoever names them: what a notebook's author may
have root import. Of what else lies in a library (its tests, its programs, its servers) not all is of that kind."""
_NOT_PYTHON = (SyntaxError, ValueError, MemoryError, RecursionError)


def imported_by(data: bytes) -> set[str]:
    """The modules that the code cells of a notebook import by absolute names, those of the standard library left out:
    ``matplotlib.pyplot`` as well as ``pandas``; and without programs, which run when they are imported. Empty for what
    is no notebook, or none of Python."""
    try:
        content: Any = json.loads(data)
        metadata = content.get("metadata", {})
        language = metadata.get("language_info", {}).get("name") or metadata.get("kernelspec", {}).get("language")
        if language not in (None, "python", "ipython"):
            return set()
        sources = [cell["source"] for cell in content["cells"] if cell["cell_type"] == "code"]
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return set()
    texts = ("".join(map(str, cast("list[object]", s))) if isinstance(s, list) else str(s) for s in sources)
    names = {name for text in texts for name in _imported(text)}
    return {name for name in names if top(name) not in sys.stdlib_module_names and not _is_program(name)}


def top(module: str) -> str:
    """The package that a module belongs to."""
    return module.partition(".")[0]


def _is_program(module: str) -> bool:
    return "__main__" in module.split(".")


def well_known(modules: Iterable[str]) -> set[str]:
    """Of ``modules`` those that are :data:`WELL_KNOWN`; in place of another one the package it belongs to, if that
    is."""
    return {name if name in WELL_KNOWN else top(name) for name in modules if top(name) in WELL_KNOWN}


def beside(folder: Path, modules: Iterable[str]) -> set[str]:
    """Those of ``modules`` that are a file or a package in a notebook's own folder, so no library. Blocks."""
    tops = {top(name) for name in modules}
    local = {name for name in tops if (folder / f"{name}.py").exists() or (folder / name / "__init__.py").exists()}
    return {name for name in modules if top(name) in local}


def most_imported(notebooks: Iterable[Iterable[str]], most: int) -> list[str]:
    """The ``most`` packages that most notebooks import, with their modules that are imported, in the order of their
    names: whoever asks again for notebooks that import the same gets the same answer."""
    counted: Counter[str] = Counter()
    modules: set[str] = set()
    for notebook in notebooks:
        names = set(notebook)
        modules |= names
        counted.update({top(name) for name in names})
    ranked = sorted(counted, key=lambda package: (-counted[package], package))
    chosen = set(ranked[:most])
    return sorted(name for name in modules | chosen if top(name) in chosen)


def _imported(source: str) -> Iterable[str]:
    lines = source.splitlines()
    first = next((n for n, line in enumerate(lines) if line.strip()), 0)
    if lines and (magic := _CELL_MAGIC.match(lines[first])) and magic[1] not in _PYTHON_MAGICS:
        return
    for number, line in enumerate(lines):
        if not (found := _START.match(line)):
            continue
        statement = [found[1]]
        unclosed = _unclosed(found[1])
        for following in lines[number + 1 : number + LONGEST_STATEMENT]:
            if unclosed <= 0 and not statement[-1].endswith("\\"):
                break
            statement.append(following)
            unclosed += _unclosed(following)
        yield from _named("\n".join(statement))


def _unclosed(line: str) -> int:
    code = line.partition("#")[0]
    return code.count("(") - code.count(")")


def _named(statement: str) -> Iterable[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(statement).body
    except _NOT_PYTHON:
        return
    for node in body:
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
            case _:
                pass
