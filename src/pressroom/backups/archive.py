"""The file of a backup: a tar archive with a dump and, after it, the manifest.

It is written under another name beside its own, and gets its name when it is whole and on the disk. So a backup that is
killed leaves none, and the next one of that name takes the place of what it had written.
"""

import errno
import fcntl
import hashlib
import os
import tarfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, cast

from pydantic import ValidationError

from pressroom.backups.manifest import FORMAT, DumpFacts, Manifest
from pressroom.errors import Invalid, shown

DUMP, MANIFEST = "database.dump", "manifest.json"
CHUNK = 2**20
_BLOCK = tarfile.BLOCKSIZE
_LARGEST_MANIFEST = 2**20
_MODE = 0o600
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


@dataclass(frozen=True, slots=True)
class Archive:
    """A backup that is whole: its manifest, and where its dump lies in the file."""

    path: Path
    manifest: Manifest
    offset: int


@contextmanager
def new_file(path: Path) -> Generator[BinaryIO]:
    """A file that gets the name ``path`` at the end, unless an error is raised; for its owner alone to read.

    Raises :class:`Invalid` where there is such a file already, or none can be made, or the disk is full.
    """
    try:
        with _part_of(path) as file:
            yield file
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise Invalid(f"{shown(str(path))} cannot be written: {error.strerror}. Nothing of it is left.") from error


@contextmanager
def _part_of(path: Path) -> Generator[BinaryIO]:
    part = path.with_name(f".{path.name}.part")
    try:
        # Not O_EXCL: what a killed one has left is written over, and whoever writes holds the lock.
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
    except OSError as error:
        raise Invalid(f"{shown(str(path))} cannot be written: {error.strerror}.") from error
    with os.fdopen(descriptor, "r+b") as file:
        if os.fstat(descriptor).st_uid != os.geteuid():  # who had made it could read the backup, and change it
            raise Invalid(f"{shown(str(path))} cannot be written: {shown(part.name)} beside it is another account's.")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Invalid(f"{shown(str(path))} is being written by another backup.") from error
        if path.exists():  # looked at with the lock: what was opened may be another backup's, which has its name by now
            part.unlink(missing_ok=True)
            raise Invalid(f"{shown(str(path))} is there already; name another file.")
        try:
            os.fchmod(file.fileno(), _MODE)
            file.truncate(0)
            yield file
            file.flush()
            os.fsync(file.fileno())
            part.rename(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_dump(file: BinaryIO, dump: Iterable[bytes], program: int, made_at: float) -> DumpFacts:
    """Write the pieces of ``dump`` as the first member. Its header is written last, as it holds the length."""
    digest, size = hashlib.sha256(), 0
    file.seek(_BLOCK)
    for chunk in dump:
        digest.update(chunk)
        size += len(chunk)
        file.write(chunk)
    file.write(b"\0" * (-size % _BLOCK))
    file.seek(0)
    file.write(_header(DUMP, size, made_at))
    file.seek(0, os.SEEK_END)
    return DumpFacts(bytes=size, sha256=digest.hexdigest(), program=program)


def write_manifest(file: BinaryIO, manifest: Manifest) -> None:
    """Write the manifest as the last member, and the end of the archive."""
    text = manifest.model_dump_json(indent=2).encode() + b"\n"
    file.write(_header(MANIFEST, len(text), manifest.made_at.timestamp()) + text + b"\0" * (-len(text) % _BLOCK))
    file.write(b"\0" * 2 * _BLOCK)


def opened(path: Path) -> Archive:
    """A backup, looked through from beginning to end. Raises :class:`Invalid` where it is none, or not whole."""
    name = shown(str(path))
    try:
        with tarfile.open(path, "r:") as tar:
            members = {member.name: member for member in tar}
            if set(members) != {DUMP, MANIFEST} or members[MANIFEST].size > _LARGEST_MANIFEST:
                raise Invalid(f"{name} is not a backup, or not a whole one: it holds {_named(members)}.")
            manifest = _manifest(_reader(tar, members[MANIFEST]).read(), name)
            digest = hashlib.file_digest(_reader(tar, members[DUMP]), "sha256").hexdigest()
    except tarfile.TarError as error:
        raise Invalid(f"{name} is not a backup, or not a whole one: {error}.") from error
    except OSError as error:
        raise Invalid(f"{name} cannot be read: {error.strerror or error}.") from error
    if (members[DUMP].size, digest) != (manifest.dump.bytes, manifest.dump.sha256):
        raise Invalid(f"{name} is damaged: its dump is not the one that its manifest tells of.")
    return Archive(path, manifest, members[DUMP].offset_data)


def _reader(tar: tarfile.TarFile, member: tarfile.TarInfo) -> BufferedReader:
    reader = tar.extractfile(member)
    if reader is None:
        raise tarfile.ReadError(f"{member.name} is no file")
    return cast("BufferedReader", reader)


def _manifest(text: bytes, name: str) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        raise Invalid(f"{name} is damaged, or not a backup of Pressroom: its manifest cannot be read.") from error
    if manifest.format != FORMAT:
        raise Invalid(f"{name} was made by Pressroom {manifest.version}, in a form that this version does not know.")
    return manifest


def _header(name: str, size: int, made_at: float) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, _MODE, int(made_at)
    return info.tobuf(tarfile.GNU_FORMAT)


def _named(members: dict[str, tarfile.TarInfo]) -> str:
    return ", ".join(shown(name) for name in sorted(members)[:3]) or "nothing"
