"""What an execution left as a notebook to go on with by hand: its code and its parameters, without its outputs."""

import json
from typing import Any

from pressroom.notebooks import files
from pressroom.notebooks.outputs import KEY

_OTHERS = ("papermill", KEY)
"""What executing left in the metadata."""
_INJECTED = "injected-parameters"


def to_debug(output: bytes, path: str) -> bytes:
    """The notebook of an output: the parameters that were given stand in a cell of their own, as they did. Where one is
    secret, a mark stands in its place. Raises :class:`NotebookInvalid`."""
    notebook = files.parse(output, path)
    for cell in notebook.cells:
        _forget(cell.metadata)
        tags = cell.metadata.get("tags", [])
        if _INJECTED in tags:
            tags.remove(_INJECTED)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    _forget(notebook.metadata)
    return json.dumps(notebook, indent=1, ensure_ascii=False).encode() + b"\n"


def _forget(metadata: dict[str, Any]) -> None:
    for name in _OTHERS:
        metadata.pop(name, None)
