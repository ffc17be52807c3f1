"""PostgreSQL's own programs, which write and read the dump in a backup: found, and told the database."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL

from pressroom.database.postmaster import installations
from pressroom.database.url import conninfo
from pressroom.errors import Invalid, Unavailable

_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_KEPT = ("PATH", "HOME", "USER", "LANG", "TZ", "TZDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")
_SERVICE = "pressroom"
CONNECTION = f"--dbname=service={_SERVICE}"
"""The argument by which a program finds what :func:`told` wrote."""


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of one installation, of one major version."""

    major: int
    folder: Path

    def path(self, name: str) -> str:
        """Where ``pg_dump``, ``pg_restore`` or ``psql`` is."""
        return str(self.folder / name)


def find(least: int, why: str) -> Programs:
    """The programs of the lowest version that is ``least`` or newer: those of the PATH, else the embedded server's.

    Raises :class:`Invalid` where there are none; ``why`` completes its sentence.
    """
    found = _installed()
    fitting = [programs for programs in found if programs.major >= least]
    if fitting:
        return min(fitting, key=lambda programs: programs.major)
    there = ", ".join(f"{programs.major} in {programs.folder}" for programs in found) or "none"
    raise Invalid(
        f"pg_dump, pg_restore and psql of PostgreSQL {least} or newer are needed, {why}; here are: {there}. "
        f"Install them (postgresql-client-{least}, from apt.postgresql.org where the system's packages are older), "
        "or put their folder into PATH."
    )


def _installed() -> list[Programs]:
    names = ("pg_dump", "pg_restore", "psql")
    folders = [Path(folder) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if folder]
    folders = [folder for folder in folders if all(shutil.which(name, path=str(folder)) for name in names)][:1]
    with suppress(Unavailable):  # the wheel is not installed: who has a server of their own need not have it
        folders += [folder for folder in installations().values() if (folder / "pg_dump").exists()]
    versions = ((_major(folder / "pg_dump"), folder) for folder in folders)
    return [Programs(major, folder) for major, folder in versions if major is not None]


def _major(program: Path) -> int | None:
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=30)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.search(said.stdout)
    return int(found[1]) if found else None


@contextmanager
def told(url: URL) -> Iterator[dict[str, str]]:
    """The environment in which a program finds the database, by a file that its owner alone may read: everybody sees
    the arguments of a process."""
    parameters = conninfo_to_dict(conninfo(url))
    environment = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("PG")}
    password = parameters.pop("password", None)
    if password is not None:  # a file of services takes away the spaces at its end
        environment["PGPASSWORD"] = str(password)
    with tempfile.TemporaryDirectory(prefix="pressroom-") as folder:
        file = Path(folder, "service.conf")
        lines = [f"[{_SERVICE}]", *(f"{name}={value}" for name, value in parameters.items() if value is not None)]
        file.touch(mode=0o600)
        file.write_text("\n".join(lines) + "\n")
        yield environment | {"PGSERVICEFILE": str(file), "LC_ALL": "C", "PGCONNECT_TIMEOUT": "10"}
