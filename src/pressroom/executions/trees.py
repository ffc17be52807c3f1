"""Trees of files that a notebook left, taken away: however deep they are, and though folders in them are read-only.

No link is followed, and each name is looked up in an open folder. All is done with the rights of the thread that calls.
"""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""How a folder is opened that may have become a link."""
_HANDLE = getattr(os, "O_PATH", os.O_RDONLY)
"""Of a folder that may not be read, where the system has that."""
_ALL = 0o700
_ROUNDS = 10


def remove(folder: int, name: str) -> None:
    """Take away whatever has this name in an open folder; another may be at it, too. Raises ``OSError``.

    A folder in the tree is moved to its top before it is emptied, so that depth costs no open folder and no stack.
    """
    try:
        os.rmdir(name, dir_fd=folder)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        os.unlink(name, dir_fd=folder)
    except OSError:  # there is something in it
        _remove_tree(folder, name)


def _remove_tree(folder: int, name: str) -> None:
    with suppress(FileNotFoundError), _opened(folder, name) as top:
        for _ in range(_ROUNDS):  # another that is at it, or still writes, may have moved to the top what was not there
            if not (waiting := _emptied(top)):
                break
            while waiting:
                inner = waiting.pop()
                with suppress(FileNotFoundError):
                    with _opened(top, inner) as fd:
                        for each in _emptied(fd):
                            with suppress(FileNotFoundError):
                                waiting.append(_moved(each, fd, top))
                    _remove_empty(top, inner)
    with suppress(FileNotFoundError):
        os.rmdir(name, dir_fd=folder)


def _remove_empty(top: int, inner: str) -> None:
    try:
        os.rmdir(inner, dir_fd=top)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _emptied(fd: int) -> list[str]:
    """Take the files out of a folder; the names of the folders that are left."""
    with os.scandir(fd) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        if not is_folder:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=fd)
    return [name for name, is_folder in found if is_folder]


def _moved(name: str, fd: int, top: int) -> str:
    """Move a folder to the top of the tree; its name there."""
    there = f".{secrets.token_hex(8)}"
    try:
        os.rename(name, there, src_dir_fd=fd, dst_dir_fd=top)
    except PermissionError:
        with _opened(fd, name):
            os.rename(name, there, src_dir_fd=fd, dst_dir_fd=top)
    return there


@contextmanager
def _opened(folder: int, name: str) -> Iterator[int]:
    """A folder inside an open one, which its owner may read and change from now on."""
    handle = os.open(name, FOLDER | _HANDLE, dir_fd=folder)
    try:
        if os.fstat(handle).st_mode & _ALL != _ALL:
            with suppress(PermissionError):  # it is another's: what then cannot be done in it says so
                Path(f"/proc/self/fd/{handle}").chmod(_ALL)  # this very folder, whatever has its name by now
        fd = os.open(".", FOLDER, dir_fd=handle)
    finally:
        os.close(handle)
    try:
        yield fd
    finally:
        os.close(fd)
