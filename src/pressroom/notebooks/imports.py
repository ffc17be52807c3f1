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
_NOT_PYTHON = (SyntaxError, ValueError, MemoryError, RecursionError)


def imported_by(data: bytes) -> set[str]:
    """The modules that the code cells of a notebook import by absolute names, those of the standard library left out:
    ``matplotlib.pyplot`` as well as ``pandas``. Empty for what is no notebook, or none of Python."""
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
    return {name for text in texts for name in _imported(text) if top(name) not in sys.stdlib_module_names}


def top(module: str) -> str:
    """The package that a module belongs to."""
    return module.partition(".")[0]


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
