"""What a notebook says of itself: the Markdown before its code. Each file is read once until it changes."""

import json
import os
from collections import OrderedDict
from typing import Any, cast

from pressroom.errors import NotebookInvalid
from pressroom.notebooks.places import Location

REMEMBERED = 500


class Descriptions:
    """The first Markdown of files, by their state."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[int, ...], str] = OrderedDict()

    def of(self, place: Location, limit_bytes: int) -> str:
        """The first Markdown cell of a notebook; empty where code comes first. Blocks on the file system.

        Raises as :meth:`Location.read`, and :class:`NotebookInvalid` for what is no notebook.
        """
        with place.open_file() as fd:
            state = os.fstat(fd)
        key = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        if key not in self._seen:
            self._seen[key] = _first_markdown(place.read(limit_bytes), str(place.path))
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        return self._seen[key]


def _first_markdown(data: bytes, path: str) -> str:
    try:
        content: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NotebookInvalid(path, f"is not a notebook: it is not JSON ({error})") from error
    cells = cast("dict[str, Any]", content).get("cells") if isinstance(content, dict) else None
    first = cast("list[Any]", cells)[0] if isinstance(cells, list) and cells else None
    if not isinstance(first, dict):
        return ""
    cell = cast("dict[str, Any]", first)
    source = cell.get("source") or ""
    text = "".join(map(str, cast("list[Any]", source))) if isinstance(source, list) else str(source)
    return text if cell.get("cell_type") == "markdown" else ""
