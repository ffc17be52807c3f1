"""Notebook files in users' directories: reading, listing and creating them.

Everything here blocks on the file system; the service calls it in a thread.
"""

import json
import os
import stat
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import nbformat
from nbformat.v4.rwbase import rejoin_lines  # pyright: ignore[reportUnknownVariableType]
from nbformat.warnings import MissingIDFieldWarning
from pydantic import JsonValue

from pressroom.errors import AlreadyExists, NotAllowed, NotebookInvalid, NotFound
from pressroom.notebooks.mounts import mount_of
from pressroom.notebooks.places import Location
from pressroom.notebooks.schemas import NotebookFile
from pressroom.press.saving import create

CHECKPOINTS = ".ipynb_checkpoints"


def parse(data: bytes, path: str) -> nbformat.NotebookNode:
    """The notebook in ``data``; it must be valid nbformat 4 as it stands, nothing is mended.

    Raises :class:`NotebookInvalid`, naming ``path`` and what is wrong.
    """
    try:
        content: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NotebookInvalid(path, f"is not a notebook: it is not JSON ({error})") from error
    if not isinstance(content, dict) or "nbformat" not in content:
        raise NotebookInvalid(path, "is not a notebook: it is JSON without 'nbformat'")
    fields = cast("dict[str, Any]", content)
    if fields["nbformat"] != 4:
        raise NotebookInvalid(
            path,
            f"is in version {fields['nbformat']!r:.20} of the notebook format, not 4; "
            "`jupyter nbconvert --to notebook --nbformat 4` converts it",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", MissingIDFieldWarning)
            warnings.simplefilter("error", UserWarning)
            notebook = cast("nbformat.NotebookNode", nbformat.from_dict(fields))  # pyright: ignore[reportUnknownMemberType]
            nbformat.validate(notebook)  # pyright: ignore[reportUnknownMemberType]
    except MissingIDFieldWarning as error:
        raise NotebookInvalid(path, "has cells without an id, which version 4.5 of the format demands") from error
    except Exception as error:  # whatever nbformat stumbles over in a malformed file, it is the file's fault
        first_line = (str(error) or type(error).__name__).splitlines()[0]
        raise NotebookInvalid(path, f"is not a valid notebook: {first_line[:300]}") from error
    return cast("nbformat.NotebookNode", rejoin_lines(notebook))


def read(location: Location, limit_bytes: int) -> nbformat.NotebookNode:
    """The notebook at ``location``. Raises as :meth:`Location.read` and :func:`parse`."""
    return parse(location.read(limit_bytes), str(location.path))


class ValidFiles:
    """Which files were found to be valid notebooks and have not been touched since, so that each is read once; and the
    kernel that each names."""

    def __init__(self, limit_bytes: int, remembered: int = 1000) -> None:
        self._limit_bytes, self._remembered = limit_bytes, remembered
        self._seen: OrderedDict[tuple[int, ...], str | None] = OrderedDict()

    def kernel(self, location: Location) -> str | None:
        """The kernel that a notebook names, if it does. Raises as :func:`read` where that would."""
        with location.open_file() as fd:
            state = os.fstat(fd)
        seen = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        if seen in self._seen:
            return self._seen[seen]
        name = read(location, self._limit_bytes).metadata.get("kernelspec", {}).get("name")
        kernel = self._seen[seen] = name if isinstance(name, str) else None
        if len(self._seen) > self._remembered:
            self._seen.popitem(last=False)
        return kernel


def create_new(location: Location, data: bytes) -> None:
    """Write a file that is not there yet, whole or not at all.

    Raises :class:`AlreadyExists`, and :class:`NotFound`, :class:`NotAllowed` or :class:`NotebookInvalid` where it
    cannot be written.
    """
    account = location.account
    with location.parent.in_directory() as directory:
        try:
            create(directory, location.name, data, None if account is None else 0o666 & ~account.umask)
        except FileExistsError as error:
            raise AlreadyExists("file", "path", location.path) from error
        except PermissionError as error:
            raise NotAllowed(f"{location.path} may not be written by {location.who}: {error.strerror}.") from error
        except OSError as error:
            raise NotebookInvalid(str(location.path), f"cannot be written: {error.strerror}") from error


def remove(location: Location) -> None:
    """Delete a file that was just created."""
    with location.parent.in_directory() as directory:
        os.unlink(location.name, dir_fd=directory)


def described(location: Location, home: Path) -> NotebookFile:
    """A notebook file as the API tells of it; its relative path starts at ``home`` where it lies there."""
    with location.open_file() as fd:
        return _described(location.path, home, os.fstat(fd))


def listing(home: Location) -> list[NotebookFile]:
    """The notebooks below a user's directory, by path; hidden folders, checkpoints among them, are left out.

    Links are not followed, and what is mounted inside is left out; so is what may not be looked at, and a name that is
    no text. Raises :class:`NotFound` where there is no such directory.
    """
    with home.as_account():
        if not home.path.is_dir():
            raise NotFound("directory", home.path)
        return sorted(_walk(home.path), key=lambda file: file.path)


def _walk(home: Path) -> Iterator[NotebookFile]:
    mount: str | None = None
    for folder, folders, names, descriptor in os.fwalk(home, onerror=None, follow_symlinks=False):
        mount = mount or mount_of(descriptor)
        if mount_of(descriptor) != mount:
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".") and _is_text(name)]
        for name in names:
            if not name.endswith(".ipynb") or name.startswith(".") or not _is_text(name):
                continue
            try:
                state = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            except OSError:  # deleted since the folder was read, or in a folder that may be listed but not entered
                continue
            path = Path(folder, name)
            if not stat.S_ISREG(state.st_mode):
                continue
            yield _described(path, home, state)


def _is_text(name: str) -> bool:
    """Whether a file's name can travel: the system allows any bytes."""
    return not any("\ud800" <= c <= "\udfff" for c in name)


def _described(path: Path, home: Path, state: os.stat_result) -> NotebookFile:
    return NotebookFile(
        name=path.name,
        path=str(path),
        relative_path=str(path.relative_to(home)) if path.is_relative_to(home) else str(path),
        size=state.st_size,
        modified=datetime.fromtimestamp(state.st_mtime, UTC),
    )


def kernel_of(notebook: nbformat.NotebookNode) -> str | None:
    """The name of the kernel spec that a notebook asks for."""
    metadata = cast("dict[str, Any]", notebook.metadata)
    name: JsonValue = metadata.get("kernelspec", {}).get("name")
    return name if isinstance(name, str) else None
