"""The artifact directory of an execution: a folder beside its output, whose files are kept and listed.

Each attempt has one of its own, so that one which was thought dead writes into no other's. No link in it is followed.
All of this blocks on the file system, and is called in a thread.
"""

import errno
import logging
import mimetypes
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePath, PurePosixPath
from typing import Any, BinaryIO

from pressroom.executions import trees
from pressroom.notebooks.places import Location, Places, make_directory
from pressroom.press.masks import Masks
from pressroom.press.results import CONTROL, MEDIA_TYPE

log = logging.getLogger("pressroom.executions")
VARIABLE = "PRESSROOM_ARTIFACTS"
"""What tells a notebook where its artifact directory is."""
LONGEST_PATH = 512
"""Characters of the longest path, inside the directory, that is listed."""
LOOKED_AT = 10
"""Entries of a directory that are looked at, for each file that may be listed."""
ANYTHING = "application/octet-stream"
_STEM_BYTES = 180
_FEW = 100
"""Files for which entries are looked at, also where fewer may be listed."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of an artifact directory: its path there, its size in bytes."""

    path: str
    size: int

    @property
    def media_type(self) -> str:
        """What the end of its name says of it."""
        suffix = PurePosixPath(self.path).suffix
        guessed, packed = mimetypes.guess_type(f"file{suffix}", strict=False)  # a whole path may be read as an address
        return guessed if guessed and not packed and MEDIA_TYPE.fullmatch(guessed) else ANYTHING


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of an artifact directory, and how many entries are left out: over a limit, no files, or misnamed.
    ``more``: there are others that were not looked at."""

    files: tuple[Artifact, ...] = ()
    left_out: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many files are listed at most, and how many bytes they may have together."""

    files: int
    bytes: int

    def sentence(self, listing: Listing) -> str:
        """What an execution is told of entries that are left out, if there are any."""
        if not listing.left_out and not listing.more:
            return ""
        many = f"{'More than ' if listing.more else ''}{listing.left_out}"
        return (
            f"{many} entries of the artifact directory are not listed: those that are listed are files, no links, with "
            f"names that are text without secrets, {self.files} at most, of {self.bytes / 2**20:g} MiB together.\n"
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
                trees.remove(folder, made.name)
                make_directory(made.name, folder, output.account)
            if output.account is not None:
                os.chmod(made.name, 0o777 & ~output.account.umask, dir_fd=folder)
    except OSError as error:
        log.warning("execution %s has no artifact directory: %s", execution_id, error)
        return None
    return made


def opened(directory: Location, path: str) -> BinaryIO:
    """A listed file of an artifact directory, open for reading. Raises as :meth:`Location.open_file`, and
    ``OSError``."""
    with directory.beside(directory.name, *path.split("/")).open_file() as fd:
        return os.fdopen(os.dup(fd), "rb")


def listed(directory: Location, folder: int, bounds: Bounds, secret: Mapping[str, Any] | None = None) -> Listing:
    """What is in an artifact directory when its attempt has ended, by the open folder that holds it; one in which no
    file is, is taken away. ``secret``: values that no listed name may hold."""
    try:
        with directory.as_account():
            with suppress(OSError):
                os.rmdir(directory.name, dir_fd=folder)  # most are empty
                return Listing()
            top = os.open(directory.name, trees.FOLDER, dir_fd=folder)
            try:
                found = _listing(top, bounds, Masks(secret) if secret else None)
            finally:
                os.close(top)
            if found == Listing():
                _remove(folder, directory.name)
    except FileNotFoundError:
        return Listing()  # the notebook took it away
    except OSError as error:
        log.warning("the artifacts in %s cannot be listed: %s", directory.path, error)
        return Listing(left_out=1)
    return found


def gone_name(execution_id: int, attempt: int) -> str:
    """The name of an artifact directory for which nobody looks any more."""
    return f".pressroom-{execution_id}-{attempt}.gone"


def doom(places: Places, output_path: str, username: str, execution_id: int, attempt: int) -> bool:
    """Give an attempt's artifact directory a name under which nobody looks for it, at once however much is in it;
    whether there is something to take away. Where that name is taken, it keeps its own.

    Raises ``OSError``, and what :func:`place` does.
    """
    directory, gone = place(places, output_path, username, execution_id, attempt), gone_name(execution_id, attempt)
    with directory.parent.in_directory() as folder:
        if _is_there(folder, directory.name):  # what is read-only may have none
            with suppress(FileNotFoundError):  # another takes it away just now
                try:
                    os.rename(directory.name, gone, src_dir_fd=folder, dst_dir_fd=folder)
                except OSError as error:
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                        raise
                return True
        return _is_there(folder, gone)  # whoever gave it this name was killed right after


def _is_there(folder: int, name: str) -> bool:
    with suppress(FileNotFoundError):
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        return True
    return False


def _remove(folder: int, name: str) -> None:
    try:
        trees.remove(folder, name)
    except OSError as error:
        log.warning("%s is left: %s", name, error)


def _listing(top: int, bounds: Bounds, masks: Masks | None) -> Listing:
    found, size, left_out = list[Artifact](), 0, 0
    waiting, looks, more = [""], LOOKED_AT * max(bounds.files, _FEW), False
    while waiting and not more:
        inner, folder = list[str](), waiting.pop()
        try:
            with _opened(top, folder) as fd, os.scandir(fd) as scanned:
                entries = list(islice(scanned, looks + 1))
                more = len(entries) > looks
                del entries[looks:]
                looks -= len(entries)
                for entry in sorted(entries, key=lambda each: each.name):
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.is_dir(follow_symlinks=False) and len(path) < LONGEST_PATH:
                        inner.append(path)
                        continue
                    bytes_of = _size(entry)
                    fits = len(found) < bounds.files and bytes_of is not None and size + bytes_of <= bounds.bytes
                    if not fits or bytes_of is None or not _is_name(path, masks):
                        left_out += 1
                        continue
                    found.append(Artifact(path, bytes_of))
                    size += bytes_of
        except OSError as error:
            log.warning("%s in an artifact directory cannot be looked into: %s", folder or ".", error)
            left_out += 1
        waiting += reversed(inner)
    return Listing(tuple(found), left_out, more)


@contextmanager
def _opened(top: int, path: str) -> Iterator[int]:
    """A folder in a tree; each on its way is no link. Raises ``OSError``."""
    fd = os.dup(top)
    try:
        for part in path.split("/") if path else ():
            inner = os.open(part, trees.FOLDER, dir_fd=fd)
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


def _size(entry: os.DirEntry[str]) -> int | None:
    """The size of a regular file that is still there."""
    with suppress(OSError):
        if entry.is_file(follow_symlinks=False):
            return entry.stat(follow_symlinks=False).st_size
    return None


def _is_name(path: str, masks: Masks | None) -> bool:
    """Whether a path can be kept as text, asked for, and shown."""
    with suppress(UnicodeEncodeError):
        path.encode()
        tells_nothing = masks is None or masks.text(path) == path
        return tells_nothing and len(path) <= LONGEST_PATH and not CONTROL.search(path)
    return False
