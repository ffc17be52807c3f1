"""A backup of a database with something of everything, and its restore into an empty server."""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, text

from batching import begun, registered
from line import ANA, Line, open_line, working
from pressroom.backups import archive, contents, making, programs, restoring
from pressroom.database import migrate, revisions
from pressroom.database.embedded import EmbeddedServer
from pressroom.database.objects import FUNCTIONS
from pressroom.database.session import Database
from pressroom.database.setup import set_up
from pressroom.errors import Invalid, Unavailable
from pressroom.parameters.sealing import SecretKeys, new_key
from pressroom.schedules import service as schedules
from pressroom.schedules.schemas import ScheduleCreate
from pressroom.settings import Settings

PRESSROOM = [sys.executable, "-m", "pressroom.cli"]
KEY = new_key()


@pytest.fixture
async def lived_in(line: Line, database: Database) -> dict[str, Any]:
    """A database in which executions are in every state, and there is a batch, a schedule and a sealed secret."""
    notebook = await registered(line)
    ended: list[int] = []
    for status in ("success", "failed", "cancelled"):
        await line.submit(notebook="sales")
        execution = await line.claim()
        assert execution is not None
        await line.end(execution, status)
        ended.append(execution)
    await line.submit(notebook="sales")
    running = await line.claim()
    batch, _ = await begun(line, notebook, 3)
    [sealed] = await line.submit(notebook="sealed", priority=9)
    secret = SecretKeys([KEY]).sealed({"token": "canary"}, (sealed, "ana", "sealed"))
    async with database.transaction() as session:
        wanted = ScheduleCreate(notebook_id=notebook, name="monthly", cron="0 6 1 * *")
        schedule = await schedules.create(session, line.intake, ANA, wanted)
        await session.execute(
            text("UPDATE notebook_executions SET secrets = :s WHERE id = :i"), {"s": secret, "i": sealed}
        )
    return {"running": running, "ended": ended, "sealed": sealed, "batch": batch, "schedule": schedule.id}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pressroom.tar"


@pytest.fixture
def backup(lived_in: dict[str, Any], database_url: URL, file: Path) -> archive.Archive:
    making.back_up(database_url, file)
    return restoring.verified(file)


def rows(url: URL, statement: str) -> list[tuple[Any, ...]]:
    with contents.connected(url) as connection:
        return connection.execute(statement.encode()).fetchall()


def shell(url: URL, **more: str) -> dict[str, str]:
    return os.environ | {"DATABASE_URL": url.render_as_string(hide_password=False), "NO_COLOR": "1"} | more


def pressroom(url: URL, *words: str | Path, code: int = 0, **more: str) -> str:
    command = [*PRESSROOM, *(str(word) for word in words)]
    done = subprocess.run(command, env=shell(url, **more), capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@contextmanager
def new_server(directory: Path) -> Iterator[URL]:
    """A new embedded server, which waits for no disk: with a disk that others write to, its end takes half a minute."""
    with EmbeddedServer(directory) as url:
        with contents.connected(url) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield url


async def test_all_comes_back_and_what_waited_is_executed(
    lived_in: dict[str, Any], backup: archive.Archive, open_directory: Path, settings: Settings, home: Path
) -> None:
    """On a new embedded server, as after the loss of the machine."""
    with new_server(open_directory / "data") as url:
        restoring.restore(url, backup)
        with contents.connected(url) as connection:
            assert contents.counts(connection) == backup.manifest.counts
        assert migrate.check(url).up_to_date
        states = rows(url, "SELECT status, count(*)::int FROM notebook_executions GROUP BY 1 ORDER BY 1")
        assert states == [("cancelled", 1), ("failed", 1), ("pending", 4), ("running", 1), ("success", 1)]
        assert rows(url, "SELECT id, name FROM schedules") == [(lived_in["schedule"], "monthly")]
        [(sealed,)] = rows(url, "SELECT secrets FROM notebook_executions WHERE secrets IS NOT NULL")
        assert SecretKeys([KEY]).opened(sealed, (lived_in["sealed"], "ana", "sealed")) == {"token": "canary"}
        again = Database(url)
        try:
            async with open_line(again, settings, home) as line:
                # The sealed one would be opened by a key that this worker has not.
                async with again.transaction() as session:
                    await session.execute(text("UPDATE notebook_executions SET secrets = NULL"))
                # What ran would be put back, once its worker was silent for so long.
                async with working(line, grace=30, worker_lost_seconds=3600) as work:
                    done = {await work.end(60) for _ in range(4)}
                assert lived_in["sealed"] in done
                assert await line.count("notebook_executions WHERE status = 'success'") == 5
                # A sequence goes on where it was.
                assert (await line.submit(notebook="sales"))[0] > lived_in["sealed"]
        finally:
            await again.dispose()


def test_a_backup_is_for_its_owner_alone_and_says_what_is_not_in_it(
    lived_in: dict[str, Any], database_url: URL, file: Path
) -> None:
    said = pressroom(database_url, "backup", file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert "PRESSROOM_SECRET_KEY" in said
    assert [path.name for path in file.parent.iterdir() if path.name.startswith(".pressroom")] == []
    with tarfile.open(file) as tar:
        assert tar.getnames() == ["database.dump", "manifest.json"]
    told = json.loads(pressroom(database_url, "restore", "--verify", "--json", file))
    assert told["revision"] == revisions.head()
    assert told["counts"]["notebook_executions"] == 8
    assert "is there already" in pressroom(database_url, "backup", file, code=2)


def test_a_database_with_something_in_it_is_refused_and_is_left_as_it_is(
    backup: archive.Archive, database_url: URL, empty_database_url: URL
) -> None:
    with pytest.raises(Invalid, match=r"not empty.*There are: 1 row in batches; 4 rows in execution_attempts"):
        restoring.restore(database_url, backup)
    with contents.connected(empty_database_url) as connection:
        connection.execute("CREATE TABLE theirs (id int)")
    with pytest.raises(Invalid, match="the table theirs, which is not Pressroom's"):
        restoring.restore(empty_database_url, backup)
    assert rows(empty_database_url, "SELECT count(*)::int FROM theirs") == [(0,)]


def test_what_a_migration_makes_is_known(database_url: URL) -> None:
    """A schema of Pressroom's without a row is in nobody's way, and none of it is taken for somebody else's."""
    with contents.connected(database_url) as connection:
        there = contents.present(connection)
    assert there.in_the_way == ()
    statement = "SELECT DISTINCT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    names = {name for (name,) in rows(database_url, statement) if not name.startswith("procrastinate_")}
    assert names == set(FUNCTIONS)


@pytest.mark.parametrize("revision", ["0011", "head"])
def test_a_server_that_was_set_up_gets_tables_of_its_role(
    backup: archive.Archive, open_directory: Path, revision: str
) -> None:
    """Whoever restores: the administrator here, into tables that are there without a row, of this version or before."""
    with new_server(open_directory / "data") as embedded:
        admin = embedded.set(database="postgres")
        with contents.connected(admin) as connection:
            connection.execute("DROP DATABASE notebook_manager")
        set_up(admin, "ink")
        url = admin.set(database="notebook_manager")
        if revision != "head":
            with contents.connected(url) as connection:
                for removal in contents.present(connection).removals:
                    connection.execute(removal.encode())
            migrate.upgrade(url, revision)
        restoring.restore(url, backup)
        owners = rows(
            url,
            "SELECT DISTINCT pg_get_userbyid(relowner)::text FROM pg_class WHERE relnamespace = 'public'::regnamespace "
            "UNION SELECT pg_get_userbyid(proowner)::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
        )
        assert owners == [("notebook_manager",)]
        with contents.connected(url) as connection:
            assert contents.counts(connection) == backup.manifest.counts


def test_a_backup_of_before_is_upgraded_and_one_of_a_later_version_refused(
    server: URL, empty_database_url: URL, database_url: URL, file: Path, tmp_path: Path
) -> None:
    migrate.upgrade(empty_database_url, "0009")
    with contents.connected(empty_database_url) as connection:
        connection.execute("INSERT INTO notebooks (name, file_path, username) VALUES ('a', '/a', 'ana')")
    making.back_up(empty_database_url, file)
    restoring.restore(database_url, restoring.verified(file))
    assert migrate.check(database_url).up_to_date
    assert rows(database_url, "SELECT name FROM notebooks") == [("a",)]
    with contents.connected(empty_database_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Unavailable, match="a later version has upgraded it"):
        making.back_up(empty_database_url, tmp_path / "later.tar")
    with contents.connected(empty_database_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0009'")
    later = tmp_path / "later.tar"
    rewritten(file, later, lambda manifest: manifest | {"revision": "9999", "version": "7.0"})
    with pytest.raises(Invalid, match=r"made by Pressroom 7\.0, at revision 9999"):
        restoring.verified(later)


def rewritten(file: Path, to: Path, change: Any, dump: bytes | None = None) -> None:
    """A backup like another, with another manifest."""
    with tarfile.open(file) as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    manifest = archive.Manifest.model_validate(change(json.loads(members["manifest.json"])))
    with to.open("w+b") as out:
        archive.write_dump(out, BytesIO(members["database.dump"] if dump is None else dump), 1, 0)
        archive.write_manifest(out, manifest)


def test_a_restore_that_fails_leaves_the_database_as_it_was(
    backup: archive.Archive, file: Path, tmp_path: Path, empty_database_url: URL
) -> None:
    """The rows are not those of the manifest: all but the last statement has been done by then."""
    other = tmp_path / "other.tar"
    rewritten(file, other, lambda manifest: manifest | {"counts": manifest["counts"] | {"notebooks": 2}})
    with pytest.raises(Unavailable, match="the rows of notebooks are not 2"):
        restoring.restore(empty_database_url, restoring.verified(other))
    with contents.connected(empty_database_url) as connection:
        assert contents.counts(connection) == {}


def test_files_that_are_no_whole_backups_are_said_to_be_none(
    backup: archive.Archive, file: Path, tmp_path: Path
) -> None:
    data = file.read_bytes()
    for name, content in {
        "truncated": data[: len(data) // 2],
        "without its end": data[:-2048],
        "empty": b"",
        "a text": b"dear diary" * 100,
        "changed": data[:4000] + bytes(byte ^ 255 for byte in data[4000:4004]) + data[4004:],
    }.items():
        wrong = tmp_path / name
        wrong.write_bytes(content)
        with pytest.raises(Invalid, match="not a backup, or not a whole one|is damaged"):
            restoring.verified(wrong)
    with pytest.raises(Invalid, match="cannot be read: No such file"):
        restoring.verified(tmp_path / "nowhere")
    with tarfile.open(tmp_path / "another.tar", "w") as tar:
        tar.add(__file__, "notes.txt")
    with pytest.raises(Invalid, match=r"it holds notes\.txt"):
        restoring.verified(tmp_path / "another.tar")


def test_programs_that_are_missing_or_too_old_are_named(
    database_url: URL, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(programs, "installations", dict)
    with pytest.raises(Invalid, match=r"pg_dump, pg_restore and psql of PostgreSQL \d+ or newer.*here are: none"):
        making.back_up(database_url, file)
    assert not file.exists()
    monkeypatch.undo()
    with pytest.raises(Invalid, match="PostgreSQL 999 or newer"):
        programs.find(999, "as the server is of version 999")


def test_what_another_account_has_put_in_the_way_is_not_written_to(tmp_path: Path) -> None:
    """In a folder that many may write to: the owner of the file could read the backup."""
    part = tmp_path / ".room.tar.part"
    part.touch(mode=0o666)
    os.chown(part, 54321, 54321)
    with pytest.raises(Invalid, match="another account's"), archive.new_file(tmp_path / "room.tar"):
        pass
    assert (part.stat().st_uid, part.read_bytes()) == (54321, b"")


def test_the_embedded_server_is_backed_up_and_restored_by_the_commands(
    lived_in: dict[str, Any], database_url: URL, file: Path, open_directory: Path
) -> None:
    """From a server of one's own into the embedded one; the restore is in the audit."""
    pressroom(database_url, "backup", file)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "PRESSROOM_", "DATABASE_URL"))}
    clean |= {"PRESSROOM_DATA_DIR": str(open_directory / "data"), "NO_COLOR": "1"}
    with new_server(open_directory / "data") as url:
        for code in 0, 2:
            done = subprocess.run([*PRESSROOM, "restore", file], env=clean, capture_output=True, text=True, timeout=120)
            assert done.returncode == code, done.stderr
        assert "is not empty" in done.stderr
        assert rows(url, "SELECT count(*)::int FROM notebook_executions") == [(8,)]
        assert rows(url, "SELECT count(*)::int FROM audit_log WHERE operation = 'restore'") == [(1,)]
