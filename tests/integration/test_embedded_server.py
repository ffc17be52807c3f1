"""The embedded server: how long it lives, whoever uses it and however they end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psutil
import psycopg
import pytest
from sqlalchemy import URL

from pressroom.database.embedded import EmbeddedServer
from pressroom.database.postmaster import Postmaster
from pressroom.errors import Unavailable

USER = """
import os, sys
from pathlib import Path
from pressroom.database.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
print(server.start(), flush=True)
if sys.stdin.readline().strip() == "stop":
    server.stop()
    print("stopped", flush=True)
    sys.stdin.readline()
"""


class User:
    """A process that uses the server."""

    def __init__(self, data_dir: Path) -> None:
        command = [sys.executable, "-c", USER, str(data_dir)]
        # A session of its own, as in a terminal: what is sent to its group reaches whatever it left there.
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def started(self) -> str:
        return self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def stop(self) -> None:
        self.say("stop")
        assert self._line() == "stopped"

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.wait(30)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def data_dir(open_directory: Path) -> Path:
    return open_directory / "data"


@pytest.fixture
def users(data_dir: Path) -> Iterator[list[User]]:
    made: list[User] = []
    yield made
    for user in made:
        user.close()
    with EmbeddedServer(data_dir):  # takes over what is left, and stops it
        pass


def postmaster(data_dir: Path) -> psutil.Process | None:
    return Postmaster(data_dir.resolve()).process()


def as_superuser(url: URL) -> psycopg.Connection:
    return psycopg.connect(host=str(url.query["host"]), user="postgres", dbname=url.database)


def ask(url: URL, statement: str = "SELECT current_database()") -> object:
    with as_superuser(url) as connection:
        row = connection.execute(statement).fetchone()
        return row and row[0]


def ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_it_starts_with_its_database_and_stops(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir)
    url = server.start()
    assert server.start() == url
    assert ask(url) == "notebook_manager"
    process = postmaster(data_dir)
    assert process is not None
    server.stop()
    server.stop()
    assert ended(process)
    assert postmaster(data_dir) is None


def test_what_was_written_is_there_the_next_time(data_dir: Path) -> None:
    with (
        EmbeddedServer(data_dir) as url,
        as_superuser(url) as c,
    ):
        c.execute("CREATE TABLE t AS SELECT 42 AS n")
    with EmbeddedServer(data_dir) as url:
        assert ask(url, "SELECT n FROM t") == 42


def test_several_users_in_one_process_share_it_until_the_last_leaves(data_dir: Path) -> None:
    servers = [EmbeddedServer(data_dir) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        urls = list(pool.map(EmbeddedServer.start, servers))
    assert len(set(urls)) == 1
    process = postmaster(data_dir)
    assert process is not None
    for server in servers[:3]:
        server.stop()
        assert ask(urls[0]) == "notebook_manager"
    servers[3].stop()
    assert ended(process)


def test_two_processes_that_start_at_once_share_it_and_the_last_one_leaving_stops_it(
    data_dir: Path, users: list[User]
) -> None:
    users += [User(data_dir), User(data_dir)]
    first, second = (user.started() for user in users)
    assert first == second
    process = postmaster(data_dir)
    assert process is not None
    users[0].stop()
    assert not ended(process)
    users[1].stop()
    assert ended(process)


def test_a_process_that_ends_without_a_word_leaves_too(data_dir: Path, users: list[User]) -> None:
    users.append(User(data_dir))
    users[0].started()
    process = postmaster(data_dir)
    assert process is not None
    users[0].say("end")
    users[0].process.wait(30)
    assert ended(process)


def test_a_killed_user_does_not_count(data_dir: Path, users: list[User]) -> None:
    users += [User(data_dir), User(data_dir)]
    for user in users:
        user.started()
    process = postmaster(data_dir)
    assert process is not None
    users[0].kill()
    assert not ended(process)
    users[1].stop()
    assert ended(process)


def test_a_server_left_behind_is_taken_over_and_stopped(data_dir: Path, users: list[User]) -> None:
    users += [User(data_dir), User(data_dir)]
    for user in users:
        user.started()
    process = postmaster(data_dir)
    assert process is not None
    for user in users:
        user.kill()
    assert not ended(process), "nobody was there to stop it"
    with EmbeddedServer(data_dir) as url:
        assert postmaster(data_dir) == process
        assert ask(url) == "notebook_manager"
    assert ended(process)


def test_ctrl_c_in_the_terminal_does_not_reach_it(data_dir: Path, users: list[User]) -> None:
    with EmbeddedServer(data_dir):
        pass  # its files are there, so that the user below is the one who starts it
    users.append(User(data_dir))
    users[0].started()
    process = postmaster(data_dir)
    assert process is not None
    assert os.getsid(process.pid) != os.getsid(users[0].process.pid)
    with EmbeddedServer(data_dir) as url:
        os.killpg(users[0].process.pid, signal.SIGINT)
        users[0].process.wait(30)
        assert ask(url) == "notebook_manager"
        assert postmaster(data_dir) == process


def test_a_killed_server_is_started_again_with_what_was_committed(data_dir: Path) -> None:
    first = EmbeddedServer(data_dir)
    url = first.start()
    with as_superuser(url) as connection:
        connection.execute("CREATE TABLE t AS SELECT 42 AS n")
    process = postmaster(data_dir)
    assert process is not None
    process.kill()
    second = EmbeddedServer(data_dir)
    assert second.start() == url
    assert postmaster(data_dir) not in (None, process)
    assert ask(url, "SELECT n FROM t") == 42
    first.stop()
    assert ask(url, "SELECT n FROM t") == 42
    second.stop()
    assert postmaster(data_dir) is None


def test_a_killed_server_whose_busy_process_lives_on_is_started_again(data_dir: Path) -> None:
    with EmbeddedServer(data_dir) as url, closing(as_superuser(url)) as busy:
        busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 10000000000)")
        process = postmaster(data_dir)
        assert process is not None
        orphan = psutil.Process(busy.info.backend_pid)
        orphan.suspend()  # it cannot see that its server is gone
        process.kill()
        with EmbeddedServer(data_dir):
            assert ended(orphan)
            assert ask(url) == "notebook_manager"


@pytest.mark.parametrize("reused_by", ["this process", "another program", "a number that is free"])
def test_a_process_number_that_now_belongs_to_another_is_no_server(data_dir: Path, reused_by: str) -> None:
    with EmbeddedServer(data_dir):
        lines = (data_dir / "postgres" / "postmaster.pid").read_text().splitlines()
    account = (data_dir / "postgres").stat()
    # With the server's own account, PostgreSQL itself would take it for a running server.
    with subprocess.Popen(["sleep", "600"], user=account.st_uid if os.geteuid() == 0 else None) as other:
        number = {"this process": os.getpid(), "another program": other.pid, "a number that is free": 2**22 - 1}[
            reused_by
        ]
        for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
            stale = data_dir / "postgres" / name
            stale.write_text("\n".join([str(number), *lines[1:]]) + "\n")
            os.chown(stale, account.st_uid, account.st_gid)
        assert postmaster(data_dir) is None
        with EmbeddedServer(data_dir) as url:
            assert ask(url) == "notebook_manager"
        assert other.poll() is None, "the other program must not be touched"
        other.kill()


def test_a_server_that_was_being_started_by_a_killed_user_is_started_again(data_dir: Path) -> None:
    with EmbeddedServer(data_dir) as first:
        process = postmaster(data_dir)
        assert process is not None
        record = data_dir / "postgres" / "postmaster.pid"
        record.write_text(record.read_text().replace("ready", "starting"))
        with EmbeddedServer(data_dir) as url:
            assert ended(process)
            assert url == first
            assert ask(url) == "notebook_manager"


def test_a_set_up_that_was_killed_is_begun_again(data_dir: Path) -> None:
    half = data_dir / "postgres.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedServer(data_dir) as url:
        assert ask(url) == "notebook_manager"
    assert not half.exists()


def test_why_it_does_not_start_is_said_with_the_end_of_its_log(data_dir: Path) -> None:
    with EmbeddedServer(data_dir):
        pass
    settings = data_dir / "postgres" / "postgresql.conf"
    settings.write_text(settings.read_text() + "\nnonsense = 1\n")
    with pytest.raises(
        Unavailable, match=r'did not start; its log ends: .*unrecognized configuration parameter "nonsense"'
    ):
        EmbeddedServer(data_dir).start()
    settings.write_text(settings.read_text().replace("nonsense = 1", ""))
    with EmbeddedServer(data_dir) as url:
        assert ask(url) == "notebook_manager"


def test_a_place_that_is_no_directory_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "file", tmp_path / "file" / "data"):
        with pytest.raises(Unavailable, match=r"its directory .*file.* cannot be used"):
            EmbeddedServer(wrong).start()
