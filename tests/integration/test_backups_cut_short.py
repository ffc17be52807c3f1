"""A backup or a restore that is cut short: killed, without room, held up by a session."""

import os
import resource
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import URL

from pressroom.backups import contents, making, programs, restoring
from pressroom.errors import Invalid, Unavailable

PRESSROOM = [sys.executable, "-m", "pressroom.cli"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pressroom.tar"


def environment(url: URL, path: str) -> dict[str, str]:
    return os.environ | {"DATABASE_URL": url.render_as_string(hide_password=False), "PATH": path}


def test_a_backup_for_which_there_is_no_room_is_said_and_leaves_nothing(database_url: URL, file: Path) -> None:
    """The limit on the size of a file stands for a full disk: the system refuses to write in the same places."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    told = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(Invalid, match=r"pressroom\.tar cannot be written: File too large"):
            making.back_up(database_url, file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, told)
    assert list(file.parent.iterdir()) == []


def held_up(url: URL, folder: Path, name: str) -> tuple[Path, str]:
    """A ``PATH`` in which the program ``name`` is held up when it has written a part, and the pipe that tells of it."""
    with contents.connected(url) as connection:
        real = programs.find(connection.info.server_version // 10000, "for a test")
    slow, begun = folder / "bin", folder / "begun"
    slow.mkdir()
    os.mkfifo(begun)
    for each in {"pg_dump", "pg_restore", "psql"} - {name}:
        (slow / each).symlink_to(real.path(each))
    (slow / name).write_text(
        f'#!/bin/sh\ncase $1 in --version | --list) exec {real.path(name)} "$@";; esac\n'
        f'{real.path(name)} "$@" | {{ head -c 20000; echo > {begun}; read held < {begun}; }}\n'
    )
    (slow / name).chmod(0o755)
    return begun, f"{slow}:{os.environ['PATH']}"


def test_a_restore_that_is_killed_leaves_the_database_empty_and_can_be_repeated(
    database_url: URL, file: Path, tmp_path: Path, empty_database_url: URL
) -> None:
    """It is killed in the middle: tables have been made, and pg_restore is held up."""
    made = making.back_up(database_url, file)
    begun, path = held_up(empty_database_url, tmp_path, "pg_restore")
    doing = subprocess.Popen([*PRESSROOM, "restore", file], env=environment(empty_database_url, path))
    assert begun.read_text() == "\n"
    doing.kill()
    doing.wait(30)
    begun.write_text("go on\n")
    with contents.connected(empty_database_url) as connection:
        assert contents.present(connection).removals == ()
    restoring.restore(empty_database_url, restoring.verified(file))
    with contents.connected(empty_database_url) as connection:
        assert contents.counts(connection) == made.counts


def test_a_backup_that_is_killed_leaves_no_file_and_the_next_one_is_whole(
    database_url: URL, file: Path, tmp_path: Path
) -> None:
    """It is killed in the middle: pg_dump has written a part, and is held up."""
    begun, path = held_up(database_url, tmp_path, "pg_dump")
    for how, left in ((signal.SIGKILL, True), (signal.SIGTERM, False)):
        making_it = subprocess.Popen([*PRESSROOM, "backup", file], env=environment(database_url, path))
        assert begun.read_text() == "\n"
        making_it.send_signal(how)
        making_it.wait(30)
        begun.write_text("go on\n")
        assert not file.exists()
        assert list(tmp_path.glob(".*.part")) == ([tmp_path / f".{file.name}.part"] if left else [])
    making.back_up(database_url, file)
    assert restoring.verified(file).manifest.made_at <= datetime.now(UTC)
    assert list(tmp_path.glob(".*.part")) == []


def test_a_restore_waits_for_no_session_that_holds_a_table(
    database_url: URL, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was forgotten, in a database that has no row yet."""
    making.back_up(database_url, file)
    monkeypatch.setattr(restoring, "LOCK_SECONDS", 0.1)
    with contents.connected(database_url) as forgotten, forgotten.transaction():
        forgotten.execute("SELECT FROM notebooks")
        with pytest.raises(Unavailable, match=r"nothing was restored; .*lock timeout"):
            restoring.restore(database_url, restoring.verified(file))
