"""The notebook that an execution left, told by its mark from whatever else came to lie at its path since.

A later execution may write to the same path, and a person may put another file there. So the press writes the
execution's id into the output's metadata, and what lies at the path is read only if it says so.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, BinaryIO, cast

from pressroom.database.models import Execution
from pressroom.errors import NotAllowed, NotebookInvalid, NotFound, PathNotAllowed, TooLarge, Unavailable, shown
from pressroom.executions.states import TERMINAL
from pressroom.notebooks.places import Location, Places

KEY = "pressroom"
"""Where the mark stands in a notebook's metadata."""
_ID = "execution_id"
_TAIL_BYTES = 2**18
"""Where the metadata is looked for at first: it stands behind the cells."""


def marks(execution_id: int) -> dict[str, Any]:
    """The mark of an execution's output."""
    return {_ID: execution_id}


def read(places: Places, execution: Execution, limit_bytes: int) -> bytes:
    """The output of an execution, as it lies in its file. Blocks on the file system: call it in a thread.

    Raises as :func:`opened`, and :class:`TooLarge` over ``limit_bytes``.
    """
    with opened(places, execution, limit_bytes) as file, _readable(execution):
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise _too_large(execution, limit_bytes)
    return data


def opened(places: Places, execution: Execution, limit_bytes: int) -> BinaryIO:
    """The file of an execution's output, of any size, open at its beginning; at most ``limit_bytes`` of it are looked
    at to know whose it is. Blocks on the file system: call it in a thread.

    Raises :class:`NotFound` where there is none or what lies there is not its own, :class:`PathNotAllowed` where the
    path leads outside its user's places, :class:`Unavailable` where the file cannot be read, and :class:`TooLarge`
    where so much of it does not say whose it is.
    """
    if execution.output_path is None:
        raise _missing(execution, "none was written")
    place = places.stored(execution.output_path, execution.username)
    with ExitStack() as closed, _readable(execution):
        file = closed.enter_context(_open(execution, place))
        _require_own(execution, file, limit_bytes)
        file.seek(0)
        closed.pop_all()
    return file


def metadata(places: Places, execution: Execution, limit_bytes: int) -> Mapping[str, Any]:
    """What an output says of itself, its kernel and its language among it, whatever its size. Blocks on the file
    system: call it in a thread. Raises as :func:`opened`."""
    if execution.output_path is None:
        raise _missing(execution, "none was written")
    place = places.stored(execution.output_path, execution.username)
    with _readable(execution), _open(execution, place) as file:
        return _require_own(execution, file, limit_bytes)


def _open(execution: Execution, place: Location) -> BinaryIO:
    try:
        with place.open_file() as fd:
            return os.fdopen(os.dup(fd), "rb")
    except NotFound as error:
        _require_root(place)
        raise _missing(execution, error.detail) from error
    except PathNotAllowed:
        raise
    except NotAllowed as error:
        raise Unavailable("output", error.detail) from error
    except NotebookInvalid as error:
        if isinstance(error.__cause__, OSError):
            raise Unavailable("output", error.detail) from error
        raise _missing(execution, error.detail) from error


@contextmanager
def _readable(execution: Execution) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable("output", f"{execution.output_path} cannot be read: {error.strerror}") from error


def _require_root(place: Location) -> None:
    """Where the user's directory or the shared folder itself is gone, a disk is away, rather than one file."""
    with place.as_account():
        is_there = os.path.isdir(place.root)  # noqa: PTH112 - Path.is_dir raises where it may not look
    if not is_there:
        raise Unavailable("output", f"the folder {place.root} is not there")


def _require_own(execution: Execution, file: BinaryIO, limit_bytes: int) -> Mapping[str, Any]:
    """The notebook's metadata, which say whose it is."""
    try:
        notebook = _outline(file, limit_bytes)
    except (ValueError, RecursionError) as error:
        raise _missing(execution, f"{execution.output_path} is not a notebook") from error
    if notebook is None:
        raise _too_large(execution, limit_bytes)
    said = _inner(notebook, "metadata")
    found = _inner(said, KEY).get(_ID)
    if found == execution.id:
        return said
    path = shown(str(execution.output_path))
    if not isinstance(found, int):
        raise _missing(execution, f"{path} is not what this execution wrote; it was replaced, or its mark removed")
    if execution.status not in TERMINAL:
        raise _missing(execution, f"{path} is that of execution {found}, and this one has not ended")
    if found > execution.id:
        raise _missing(execution, f"{path} was replaced by execution {found}")
    raise _missing(execution, f"{path} is that of execution {found}, and this one wrote none")


def _outline(file: BinaryIO, limit_bytes: int) -> object:
    """A notebook without its cells, where it is written as nbformat does: the keys sorted, each on a line of its own.
    It stands at the end, and a hundred megabytes of outputs take seconds to parse, in which nothing else in this
    process is done. ``None`` for one that is written otherwise and is larger than ``limit_bytes``."""
    size, data = file.seek(0, os.SEEK_END), b""
    for length in (_TAIL_BYTES, limit_bytes):
        file.seek(max(0, size - length))
        data = file.read(length)
        at = data.rfind(b'\n "metadata": {')
        if at >= 0:
            with suppress(ValueError):
                return json.loads(b"{" + data[at:])
    return json.loads(data) if len(data) == size else None


def _inner(value: object, key: str) -> Mapping[str, Any]:
    found = cast("dict[str, Any]", value).get(key) if isinstance(value, dict) else None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _too_large(execution: Execution, limit_bytes: int) -> TooLarge:
    return TooLarge(f"The output of execution {execution.id}, {shown(str(execution.output_path))},", limit_bytes)


def _missing(execution: Execution, why: str) -> NotFound:
    sentence = f"There is no output of execution {execution.id}: {why}"
    return NotFound("output notebook of execution", execution.id, sentence if why.endswith(".") else sentence + ".")
