"""Accounts of the Hub's users, in two files that every container of the stack reads (libnss-extrausers).

The Hub makes one when somebody signs in; the workers, which see the same files, run notebooks as it. An account stays:
its number is that of the files in its home, and nobody else is ever given it.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FIRST = 2000
"""The first number, well above those of the images' own accounts."""
LAST = 59_999
_NAME = re.compile(r"[a-z][a-z0-9._-]{0,31}")


class Refused(Exception):
    """A name that no account can have here; says why."""


class Accounts:
    """The accounts in a folder's ``passwd`` and ``group``, with their homes in another. For root."""

    def __init__(self, folder: Path = Path("/var/lib/extrausers"), homes: Path = Path("/home")) -> None:
        self._folder, self._homes = folder, homes

    def ensure(self, name: str) -> int:
        """Make the account of a user, and its home, which nobody else may enter, unless they are there; its number.

        A home without an account, whose file was lost, is given back to the number that it belongs to. Raises
        :class:`Refused`.
        """
        if not _NAME.fullmatch(name):
            raise Refused(
                f"{name!r} cannot be the name of an account: small letters, digits, '.', '_' and '-', 32 at most"
            )
        if name in _numbers(Path("/etc/passwd")) or name in _numbers(Path("/etc/group")):
            raise Refused(f"{name!r} is an account of the system")
        with self._locked():
            known = _numbers(self._folder / "passwd")
            number = known[name] if name in known else self._add(name)
            if not (self._homes / name).exists():
                self._make_home(name, number)
        return number

    def _make_home(self, name: str, number: int) -> None:
        # Under a name that no user has until it is the user's: a home that was root's would be so for ever.
        made = self._homes / f"_{name}"
        made.mkdir(mode=0o700, exist_ok=True)
        os.chown(made, number, number)
        made.rename(self._homes / name)

    def _add(self, name: str) -> int:
        # A group without an account is what one that was killed here has left: its line gives way to the new one.
        groups = _numbers(self._folder / "group")
        groups.pop(name, None)
        taken = {*_numbers(self._folder / "passwd").values(), *groups.values()}
        owners = {entry.stat().st_uid for entry in self._homes.iterdir()}
        home = self._homes / name
        number = home.stat().st_uid if home.exists() else max({FIRST - 1, *taken, *owners} & set(range(LAST + 1))) + 1
        if not FIRST <= number <= LAST or number in taken:
            raise Refused(f"{name!r} has a home that belongs to number {number}, which is none of a user's of its own")
        # The group first: whoever finds the account finds its group as well.
        _put(self._folder / "group", name, f"x:{number}:")
        _put(self._folder / "passwd", name, f"x:{number}:{number}::{home}:/bin/bash")
        return number

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _numbers(file: Path) -> dict[str, int]:
    """The numbers of what stands in a file of accounts or groups, by name."""
    fields = (line.split(":") for line in file.read_text().splitlines()) if file.exists() else ()
    return {words[0]: int(words[2]) for words in fields if len(words) > 2}


def _put(file: Path, name: str, words: str) -> None:
    """Put the line of a name at the end of a file, in place of another one of it; who reads the file meanwhile sees the
    whole of it before, or after."""
    lines = file.read_text().splitlines() if file.exists() else []
    kept = [line for line in lines if line.split(":")[0] != name]
    new = file.with_name(f"{file.name}.new")
    with new.open("w") as writing:
        writing.write("".join(f"{line}\n" for line in (*kept, f"{name}:{words}")))
        writing.flush()
        os.fchmod(writing.fileno(), 0o644)
        os.fsync(writing.fileno())
    new.replace(file)
