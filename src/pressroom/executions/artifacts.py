"""The artifact directory of an execution: a folder beside its output, whose files are kept and listed.

Each attempt has one of its own, so that one which was thought dead writes into no other's. No link in it is followed.
All of this blocks on the file system, and is called in a thread.
"""

import logging
import mimetypes
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import BinaryIO

from pressroom.errors import PressroomError
from pressroom.notebooks.places import Location, Places, make_directory

log = logging.getLogger("pressroom.executions")
VARIABLE = "PRESSROOM_ARTIFACTS"
"""What tells a notebook where its artifact directory is."""
LONGEST_PATH = 512
"""Characters of the longest path, inside the directory, that is listed."""
LONGEST_TYPE = 255
ANYTHING = "application/octet-stream"
_STEM_BYTES = 180
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of an artifact directory: its path there, its size in bytes."""

    path: str
    size: int

    @property
    def media_type(self) -> str:
        """What its name says of it."""
        return (mimetypes.guess_type(self.path, strict=False)[0] or ANYTHING)[:LONGEST_TYPE]


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of an artifact directory, and how many entries are left out: over a limit, no files, or misnamed."""

    files: tuple[Artifact, ...] = ()
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many files are listed at most, and how many bytes they may have together."""

    files: int
    bytes: int

    def sentence(self, left_out: int) -> str:
        """What an execution is told of entries that are left out."""
        return (
            f"{left_out} entries of the artifact directory are not listed: those that are listed are files, no links, "
            f"with names that are text, {self.files} at most, of {self.bytes / 2**20:g} MiB together.\n"
        )


def folder_name(output_path: str, execution_id: int, attempt: int) -> str:
    """The name of an attempt's artifact directory, beside the output: that of the output and the execution's id."""
    stem, own = PurePath(output_path).stem, f"-{execution_id}"
    stem = stem.removesuffix(own).encode()[:_STEM_BYTES].decode(errors="ignore")
    return f"{stem}{own}{f'-{attempt}' if attempt > 1 else ''}.artifacts"


def place(places: Places, output_path: str, username: str, execution_id: int, attempt: int) -> Location:
    """An attempt's artifact directory. Raises as :meth:`Places.stored`."""
    return places.stored(output_path, username).beside(folder_name(output_path, execution_id, attempt))


def make(output: Location, folder: int, execution_id: int, attempt: int) -> Location | None:
    """Make an attempt's artifact directory, empty, in the open folder of its output, and take those of earlier ones
    away; ``None`` where it cannot be made."""
    path = str(output.path)
    made = output.beside(folder_name(path, execution_id, attempt))
    try:
        with output.as_account():
            for number in range(1, attempt):
                _remove(folder, folder_name(path, execution_id, number))
            if not make_directory(made.name, folder, output.account):
                _remove(folder, made.name)
                make_directory(made.name, folder, output.account)
            if output.account is not None:
                os.chmod(made.name, 0o777 & ~output.account.umask, dir_fd=folder)
    except (OSError, RecursionError) as error:
        log.warning("execution %s has no artifact directory: %s", execution_id, error)
        return None
    return made


def opened(directory: Location, path: str) -> BinaryIO:
    """A listed file of an artifact directory, open for reading. Raises as :meth:`Location.open_file`, and
    ``OSError``."""
    with directory.beside(directory.name, *path.split("/")).open_file() as fd:
        return os.fdopen(os.dup(fd), "rb")


def listed(directory: Location, folder: int, bounds: Bounds) -> Listing:
    """What is in an artifact directory when its attempt has ended, by the open folder that holds it; one in which no
    file is, is taken away."""
    try:
        with directory.as_account():
            with suppress(OSError):
                os.rmdir(directory.name, dir_fd=folder)  # most are empty
                return Listing()
            top = os.open(directory.name, _FOLDER, dir_fd=folder)
            try:
                found = _listing(top, bounds)
            finally:
                os.close(top)
            if not found.files and not found.left_out:
                _remove(folder, directory.name)
    except (OSError, RecursionError) as error:
        log.warning("the artifacts in %s cannot be listed: %s", directory.path, error)
        return Listing()
    return found


def remove(places: Places, output_path: str, username: str, execution_id: int, attempt: int) -> None:
    """Take an attempt's artifact directory away, if there is one. Raises ``OSError`` or ``RecursionError``, and what
    :func:`place` does."""
    directory = place(places, output_path, username, execution_id, attempt)
    with directory.parent.in_directory() as folder:
        _remove(folder, directory.name)


def discard(places: Places, output_path: str, username: str, execution_id: int, attempt: int) -> None:
    """The same; what cannot be taken away is logged and stays."""
    try:
        remove(places, output_path, username, execution_id, attempt)
    except PressroomError as error:
        log.debug("execution %s has no folder that held its artifacts: %s", execution_id, error)
    except (OSError, RecursionError) as error:
        log.warning("the artifacts of execution %s are left: %s", execution_id, error)


def _remove(folder: int, name: str) -> None:
    """Take away whatever has this name in an open folder. Raises ``OSError`` or ``RecursionError``."""
    try:
        os.rmdir(name, dir_fd=folder)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        os.unlink(name, dir_fd=folder)
    except OSError:
        shutil.rmtree(name, dir_fd=folder)


def _listing(top: int, bounds: Bounds) -> Listing:
    found, size, left_out = list[Artifact](), 0, 0
    waiting = [""]
    while waiting:
        inner = list[str]()
        for path, entry in _entries(top, waiting.pop()):
            if entry.is_dir(follow_symlinks=False) and len(path) < LONGEST_PATH:
                inner.append(path)
                continue
            bytes_of = _size(entry)
            fits = len(found) < bounds.files and bytes_of is not None and size + bytes_of <= bounds.bytes
            if not fits or bytes_of is None or not _is_name(path):
                left_out += 1
                continue
            found.append(Artifact(path, bytes_of))
            size += bytes_of
        waiting += reversed(inner)
    return Listing(tuple(found), left_out)


def _entries(top: int, path: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """What a folder holds, by name, with the path of each; a folder that has become a link meanwhile holds nothing."""
    fd = os.dup(top)
    try:
        for part in path.split("/") if path else ():
            inner = os.open(part, _FOLDER, dir_fd=fd)
            os.close(fd)
            fd = inner
        with os.scandir(fd) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                yield f"{path}/{entry.name}" if path else entry.name, entry
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        log.warning("%s in an artifact directory cannot be looked into: %s", path or ".", error)
    finally:
        os.close(fd)


def _size(entry: os.DirEntry[str]) -> int | None:
    """The size of a regular file that is still there."""
    with suppress(OSError):
        if entry.is_file(follow_symlinks=False):
            return entry.stat(follow_symlinks=False).st_size
    return None


def _is_name(path: str) -> bool:
    """Whether a path can be kept as text, and asked for."""
    with suppress(UnicodeEncodeError):
        path.encode()
        return len(path) <= LONGEST_PATH
    return False
