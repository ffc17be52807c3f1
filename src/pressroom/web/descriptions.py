"""What a notebook says of itself: the Markdown before its code, as HTML. Each file is read once until it changes."""

import json
import os
from collections import OrderedDict
from threading import Lock
from typing import Any, cast

from markupsafe import Markup

from pressroom.errors import NotebookInvalid
from pressroom.notebooks.places import Location
from pressroom.web.markdown import LONGEST, to_html, without_title

REMEMBERED = 500


class Descriptions:
    """The first Markdown of files, by their state. Several threads may ask."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[int, ...], Markup | None] = OrderedDict()
        self._lock = Lock()

    def of(self, place: Location, limit_bytes: int) -> Markup | None:
        """The first Markdown cell of a notebook; ``None`` where code comes first. Blocks on the file system.

        Raises as :meth:`Location.read`, and :class:`NotebookInvalid` for what is no notebook.
        """
        with place.open_file() as fd, os.fdopen(fd, "rb", closefd=False) as file:
            state = os.fstat(fd)
            key = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
            with self._lock:
                if key in self._seen:
                    self._seen.move_to_end(key)
                    return self._seen[key]
            data = file.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            raise NotebookInvalid(str(place.path), f"is larger than {limit_bytes / 2**20:g} MiB, the limit")
        text = _first_markdown(data, str(place.path))
        found = to_html(without_title(text[:LONGEST])) if text else None
        with self._lock:
            self._seen[key] = found
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        return found


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
