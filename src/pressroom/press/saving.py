"""Writing a file whole or not at all: a reader sees the old one or the whole new one."""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def create(directory: int, name: str, data: bytes, mode: int | None = None) -> None:
    """Write a file that is not there yet into an open directory. Raises ``FileExistsError`` or another ``OSError``.

    With a ``mode``, whoever has this thread's rights on files owns it; else what the process's umask says, and where
    root writes it, the owner of the directory.
    """
    with _written(directory, data, None, mode) as temporary:
        os.link(temporary, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)


def replace(directory: int, name: str, data: bytes) -> None:
    """Write a file into an open directory, in place of an older one, whose mode and owner it keeps. Raises ``OSError``.

    A link of that name is replaced itself, never followed.
    """
    with _written(directory, data, _older(directory, name)) as temporary:
        os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)


def stage(directory: int, staged: str, data: bytes, *, instead_of: str) -> None:
    """Write the file that :func:`publish` will put in the place of ``instead_of``, under the name ``staged``, which
    nobody else uses; in place of what was staged before. Raises ``OSError``; then that is what is left."""
    with _written(directory, data, _older(directory, instead_of)) as temporary:
        os.replace(temporary, staged, src_dir_fd=directory, dst_dir_fd=directory)


def publish(directory: int, staged: str, name: str) -> None:
    """Put a staged file in its place, in one step. Raises ``OSError``."""
    os.replace(staged, name, src_dir_fd=directory, dst_dir_fd=directory)
    os.fsync(directory)


def staged(directory: int, name: str) -> bool:
    """Whether there is a staged file."""
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def unstage(directory: int, staged: str) -> None:
    """Take a staged file away, if it is there."""
    with suppress(FileNotFoundError):
        os.unlink(staged, dir_fd=directory)


def _older(directory: int, name: str) -> os.stat_result | None:
    """The regular file that is to be replaced, if there is one."""
    try:
        older = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(older.st_mode):
        raise IsADirectoryError(f"{name} is a folder")
    return older if stat.S_ISREG(older.st_mode) else None


@contextmanager
def _written(directory: int, data: bytes, like: os.stat_result | None, mode: int | None = None) -> Iterator[str]:
    """A temporary file with ``data``, on disk; it is gone afterwards, whatever was raised.

    It has no name before it is whole, where the file system can do that: a process that is killed leaves no half.
    """
    temporary = f".pressroom-{secrets.token_hex(8)}.tmp"
    try:
        descriptor = os.open(".", os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o666, dir_fd=directory)
        named = False
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
            raise
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o666, dir_fd=directory)
        named = True
    try:
        try:
            _write(descriptor, directory, data, like, mode)
            if not named:
                os.link(f"/proc/self/fd/{descriptor}", temporary, dst_dir_fd=directory, follow_symlinks=True)
        finally:
            os.close(descriptor)
        yield temporary
    finally:
        unstage(directory, temporary)


def _write(descriptor: int, directory: int, data: bytes, like: os.stat_result | None, mode: int | None) -> None:
    owner = like or (os.fstat(directory) if os.geteuid() == 0 and mode is None else None)
    if owner is not None:
        # Only root may give a file away; everybody else keeps what the system gives.
        with suppress(PermissionError):
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    if like is not None:
        os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
    elif mode is not None:
        os.fchmod(descriptor, mode)
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.fsync(descriptor)
