"""Making a backup."""

import os
import select
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, cast

from psycopg import IsolationLevel
from sqlalchemy import URL

from pressroom import __version__
from pressroom.backups import archive, contents, programs
from pressroom.backups.manifest import FORMAT, DumpFacts, Manifest
from pressroom.database import revisions
from pressroom.database.url import safe, without_password
from pressroom.errors import Invalid, Unavailable, shown

_LOOK_SECONDS = 1.0


def back_up(url: URL, path: Path) -> Manifest:
    """Write a copy of a database to a new file: whole, or not at all. Blocks. Whoever is at work goes on.

    Raises :class:`Invalid` where there is no ``pg_dump`` that can read the server, the file cannot be written, or there
    is nothing of Pressroom's in the database; ``Unavailable`` where that cannot be reached, or ``pg_dump`` fails.
    """
    with contents.connected(url) as connection:
        # No limit of the role's ends this session, which is idle while pg_dump works.
        connection.execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
        if connection.info.server_version >= 170_000:
            connection.execute("SET transaction_timeout = 0")
        # The rows are counted in the dump's own snapshot, so both tell of one moment.
        connection.autocommit = False
        connection.isolation_level, connection.read_only = IsolationLevel.REPEATABLE_READ, True
        exported = connection.execute("SELECT pg_export_snapshot()").fetchone()
        revision = contents.revision(connection)
        if revision is None:
            raise Invalid(f"{safe(url)} holds nothing of Pressroom's yet, so there is nothing to back up.")
        if revision not in revisions.known():
            raise Unavailable("database", revisions.unknown_revision(revision))
        server = connection.info.server_version // 10000
        dumping = programs.find(server, f"as the server is of version {server}")
        counted, made_at = contents.counts(connection), datetime.now(UTC)
        with archive.new_file(path) as file:
            facts = _dump(url, dumping, str(exported[0]) if exported else "", file, made_at)
            manifest = Manifest(
                format=FORMAT,
                version=__version__,
                revision=revision,
                made_at=made_at,
                server=server,
                counts=counted,
                dump=facts,
            )
            archive.write_manifest(file, manifest)
    return manifest


def _dump(url: URL, dumping: programs.Programs, snapshot: str, file: BinaryIO, made_at: datetime) -> DumpFacts:
    # Owners and grants are the roles of that server; restored, all belongs to the role that restores.
    options = ["--format=custom", "--schema=public", "--no-owner", "--no-privileges", "--no-password"]
    command = [dumping.path("pg_dump"), *options, f"--snapshot={snapshot}", programs.CONNECTION]
    with programs.told(url) as environment, tempfile.TemporaryFile() as errors:
        with subprocess.Popen(  # noqa: S603 - PostgreSQL's own program, with arguments of ours
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
        ) as process:
            try:
                pipe = cast("BinaryIO", process.stdout)
                facts = archive.write_dump(file, _chunks(pipe), dumping.major, made_at.timestamp())
            except BaseException:
                process.kill()
                raise
        if process.returncode != 0:
            errors.seek(0)
            said = shown(errors.read().decode(errors="replace").strip(), 500) or f"it ended with {process.returncode}"
            raise Unavailable("database", f"pg_dump failed: {without_password(said, url)}")
    return facts


def _chunks(pipe: BinaryIO) -> Iterator[bytes]:
    """What comes through a pipe. A signal that comes just before a read is handled after it: none reads for ever."""
    while True:
        while not select.select([pipe], [], [], _LOOK_SECONDS)[0]:
            pass
        if not (chunk := os.read(pipe.fileno(), archive.CHUNK)):
            return
        yield chunk
