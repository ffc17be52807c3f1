"""Restoring a backup into an empty database, in one transaction."""

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, cast

from psycopg import sql
from sqlalchemy import URL, Connection

from pressroom import __version__
from pressroom.backups import archive, contents, programs
from pressroom.backups.archive import Archive
from pressroom.backups.manifest import Manifest
from pressroom.database import migrate, revisions
from pressroom.database.url import safe, without_password
from pressroom.errors import Invalid, Unavailable, ended, shown

_NO_SUCH_SETTING = b"SET transaction_timeout = 0;\n"
"""What the programs of 17 and later write first, and no server before 17 knows."""
LOCK_SECONDS = 30.0
"""How long a table without rows is waited for that another session holds: of a service that was not stopped, say."""
_NEEDS_NOTHING = ("SCHEMA - public", "ACL - SCHEMA public", "COMMENT - SCHEMA public")
"""What stands in the list of a dump for the schema, which each database has."""


def verified(path: Path) -> Archive:
    """A backup that is whole, and that this version can restore. Raises :class:`Invalid`."""
    found = archive.opened(path)
    if found.manifest.revision not in revisions.known():
        raise Invalid(
            f"{shown(str(path))} was made by Pressroom {found.manifest.version}, at revision "
            f"{found.manifest.revision}, which this version ({__version__}) does not know: restore it with that "
            "version, or a later one."
        )
    return found


def restore(url: URL, backup: Archive) -> Manifest:
    """Restore a backup, count its rows, and bring its schema to this version's revision. Blocks.

    Raises :class:`Invalid` where the database is not empty, with what is there, or ``psql`` and ``pg_restore`` are too
    old; ``Unavailable`` where it cannot be reached, or the restore fails: then the database is as it was.
    """
    manifest = backup.manifest
    with contents.connected(url) as connection:
        there = contents.present(connection)
        if there.in_the_way:
            some = "; ".join(there.in_the_way[:5]) + ("; ..." if len(there.in_the_way) > 5 else "")
            raise Invalid(
                f"{safe(url)} is not empty, and a backup is restored into an empty database only. There are: {some}."
            )
        role = contents.owner_to_act_as(connection)
        older = connection.info.server_version < 170000
        before, after = _before(connection, there, role), _after(connection, manifest)
    least = manifest.dump.program
    reading = programs.find(least, f"as the dump was written by pg_dump {least}")
    _run(url, backup, reading, before, after, without_newer=older)

    def act(migrating: Connection) -> None:
        if role is not None:
            migrating.exec_driver_sql(f"SET LOCAL ROLE {migrating.dialect.identifier_preparer.quote(role)}")

    migrate.upgrade(url, before=act)
    return manifest


def _before(connection: contents.Connection, there: contents.Present, role: str | None) -> str:
    """What the transaction begins with: away with the schema that has no rows, and the owner's role."""
    statements = ["BEGIN;", "SET LOCAL client_min_messages = warning;"]
    statements.append(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s';")  # until the dump's own statements say another
    # Each table is locked and looked at again: a row may have come since.
    for table in there.empty:
        name = sql.Identifier(table).as_string(connection)
        statements.append(f"LOCK TABLE public.{name} IN ACCESS EXCLUSIVE MODE;")
        statements.append(_undone_if(f"EXISTS (SELECT FROM public.{name})", f"meanwhile there are rows in {table}"))
    statements += [f"{removal};" for removal in there.removals]
    if role is not None:  # only now: what an administrator has migrated is the administrator's
        statements.append(f"SET LOCAL ROLE {sql.Identifier(role).as_string(connection)};")
    return "\n".join(statements) + "\n"


def _after(connection: contents.Connection, manifest: Manifest) -> str:
    """What the transaction ends with: each table has the rows that the manifest says, or all is undone."""
    checks: list[str] = []
    for table, number in manifest.counts.items():
        name = sql.Identifier(table).as_string(connection)
        says = f"the rows of {table} are not {number} as the manifest says"
        counted = f"(SELECT count(*) FROM public.{name})"  # noqa: S608 - an identifier, quoted
        checks.append(_undone_if(f"{counted} <> {number}", says))
    return "\n".join([*checks, "ANALYZE;", "COMMIT;"]) + "\n"


def _undone_if(condition: str, says: str) -> str:
    """A statement that ends the transaction where ``condition`` holds."""
    return f"DO $$ BEGIN IF {condition} THEN RAISE EXCEPTION USING MESSAGE = {sql.quote(says)}; END IF; END $$;"


def _run(
    url: URL, backup: Archive, reading: programs.Programs, before: str, after: str, *, without_newer: bool
) -> None:
    """``pg_restore`` turns the dump into statements, between ours, for ``psql``. Without the last of them, which comes
    only when all before has been written, nothing of it stays."""
    options = ["--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--output=/dev/null"]
    with programs.told(url) as environment, tempfile.TemporaryFile() as errors:
        command = [reading.path("psql"), *options, programs.CONNECTION]
        psql = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stderr=errors)  # noqa: S603
        into = cast("IO[bytes]", psql.stdin)
        try:
            with suppress(BrokenPipeError):  # it has stopped at an error, which it tells of
                into.write(before.encode())
                with _statements(backup, reading, environment) as statements:
                    for line in statements:
                        if not (without_newer and line == _NO_SUCH_SETTING):
                            into.write(line)
                into.write(after.encode())
        except BaseException:
            psql.kill()
            raise
        finally:
            with suppress(BrokenPipeError):
                into.close()
            psql.wait()
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip()
    if psql.returncode != 0:
        why = shown(without_password(said, url), 500) or f"psql ended with {psql.returncode}"
        raise Unavailable("database", f"nothing was restored; {ended(why)}")


@contextmanager
def _statements(backup: Archive, reading: programs.Programs, environment: dict[str, str]) -> Iterator[IO[bytes]]:
    """The statements of a dump. Raises :class:`Invalid` at the end where it is damaged, or cannot be read."""
    with tempfile.TemporaryDirectory(prefix="pressroom-") as folder:
        wanted = Path(folder, "list")
        wanted.write_bytes(_list(backup, reading, environment))
        options = ["--no-owner", "--no-privileges", f"--use-list={wanted}", "--file=-"]
        with _fed(backup, [reading.path("pg_restore"), *options], environment) as lines:
            yield lines


def _list(backup: Archive, reading: programs.Programs, environment: dict[str, str]) -> bytes:
    """The table of contents of a dump, without what each database has."""
    with _fed(backup, [reading.path("pg_restore"), "--list"], environment) as lines:
        return b"".join(line for line in lines if not any(what.encode() in line for what in _NEEDS_NOTHING))


@contextmanager
def _fed(backup: Archive, command: Sequence[str], environment: dict[str, str]) -> Iterator[IO[bytes]]:
    """What a program says that reads the dump. Raises :class:`Invalid` at the end where it could not."""
    with backup.path.open("rb", buffering=0) as dump, tempfile.TemporaryFile() as errors:
        dump.seek(backup.offset)  # the program goes on from here, and knows where the dump ends
        process = subprocess.Popen(command, env=environment, stdin=dump, stdout=subprocess.PIPE, stderr=errors)  # noqa: S603
        try:
            with cast("IO[bytes]", process.stdout) as said:
                yield said
        except BaseException:
            process.kill()
            raise
        finally:
            process.wait()
        if process.returncode != 0:
            errors.seek(0)
            why = shown(errors.read().decode(errors="replace").strip(), 500)
            raise Invalid(f"{shown(str(backup.path))} cannot be restored: {ended(why)}")
