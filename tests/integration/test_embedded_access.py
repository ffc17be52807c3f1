"""Who can get at the embedded server, and what is changed so that its own account can."""

import os
import pwd
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL

from pressroom.database.embedded import EmbeddedServer
from pressroom.database.postmaster import ROOTS_ACCOUNT, Postmaster

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs a second account to try")

# Only libpq's own way in: the interpreter's packages may lie where the other account cannot read.
KNOCK = """
import socket, sys
knocking = socket.socket(socket.AF_UNIX)
try:
    knocking.connect(sys.argv[1])
except PermissionError:
    print("refused")
else:
    print("let in")
"""


# In a mount namespace of its own, with a copy of /etc in which nobody has made the account yet.
MAKERS = """
set -e
cp -a /etc "$1/etc"
sed -i "/^$2:/d" "$1"/etc/passwd "$1"/etc/shadow "$1"/etc/group "$1"/etc/gshadow
mount --bind "$1/etc" /etc
exec "$3" -c "$4"
"""
MAKE = """
import os
from pathlib import Path
from pressroom.database.postmaster import Postmaster
for _ in range(4):
    if os.fork() == 0:
        os.write(1, b"%d\\n" % Postmaster(Path("/nowhere"))._account().pw_uid)
        os._exit(0)
for _ in range(4):
    assert os.wait()[1] == 0
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def socket_of(url: URL) -> Path:
    return Path(str(url.query["host"])) / f".s.PGSQL.{url.query['port']}"


def knock(url: URL, account: str) -> str:
    done = subprocess.run(
        ["/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable, "-c", KNOCK, str(socket_of(url))],
        user=account,
        group=pwd.getpwnam(account).pw_gid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def ask(url: URL) -> object:
    with psycopg.connect(host=str(url.query["host"]), user=url.username, dbname=url.database) as connection:
        row = connection.execute("SELECT current_database()").fetchone()
        return row and row[0]


def test_its_directory_is_for_its_owner_alone(open_directory: Path) -> None:
    data_dir = open_directory / "a" / "data"
    before = os.umask(0)
    try:
        with EmbeddedServer(data_dir):
            # The server's own account passes through, where it is another; it lists and reads nothing.
            assert mode(data_dir) & ~stat.S_IXOTH == 0o700
            assert mode(data_dir / "postgres") == 0o700
            assert {mode(data_dir / name) for name in ("server.lock", "users.lock")} == {0o600}
    finally:
        os.umask(before)


def test_it_listens_on_no_network(open_directory: Path) -> None:
    with EmbeddedServer(open_directory / "data") as url:
        process = Postmaster(open_directory / "data").process()
        assert process is not None
        assert [c for c in process.net_connections("inet") if c.status == "LISTEN"] == []
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(
                host="127.0.0.1", port=5432, user="postgres", dbname=url.database, connect_timeout=2
            ).close()


@needs_root
@pytest.mark.parametrize("length", ["short", "long"])
def test_another_account_is_not_let_in(open_directory: Path, length: str) -> None:
    data_dir = open_directory / ("x" * 120 if length == "long" else "data")
    with EmbeddedServer(data_dir) as url:
        data_dir.chmod(0o777)  # even if somebody opens the way to it
        assert knock(url, "nobody") == "refused"
        assert knock(url, ROOTS_ACCOUNT) == "let in", "the server's own account is its owner"


@pytest.mark.parametrize("name", ["y" * 120, "with space", 'it\'s $HOME `x` "quoted" \\ ; & é,a'])
def test_any_name_of_its_directory_will_do(open_directory: Path, name: str) -> None:
    data_dir = open_directory / name / "data"
    for _ in range(2):
        with EmbeddedServer(data_dir) as url:
            assert ask(url) == "notebook_manager"
            assert len(os.fsencode(socket_of(url))) <= 107
            assert mode(socket_of(url).parent) == 0o700
        sockets = socket_of(url).parent
        assert sockets == data_dir / "postgres" or not sockets.exists(), "the socket's directory is left behind"


def test_a_long_name_keeps_its_socket_over_a_kill(open_directory: Path) -> None:
    data_dir = open_directory / ("z" * 120)
    with EmbeddedServer(data_dir) as url:
        process = Postmaster(data_dir).process()
        assert process is not None
        process.kill()
        with EmbeddedServer(data_dir) as again:
            assert again == url, "who used it before must find it"
            assert ask(url) == "notebook_manager"


@needs_root
def test_directories_on_the_way_are_opened_to_pass_and_for_nothing_else(open_directory: Path) -> None:
    closed, group, open_ = (
        open_directory / "closed",
        open_directory / "closed" / "group",
        open_directory / "closed" / "group" / "open",
    )
    for folder, bits in ((closed, 0o700), (group, 0o750), (open_, 0o755)):
        folder.mkdir()
        folder.chmod(bits)
    with EmbeddedServer(open_ / "data") as url:
        assert ask(url) == "notebook_manager"
    assert [oct(mode(folder)) for folder in (closed, group, open_, open_directory)] == [
        "0o701",
        "0o751",
        "0o755",
        "0o755",
    ]


@needs_root
def test_a_directory_of_another_account_is_served_as_that_account(open_directory: Path) -> None:
    account = pwd.getpwnam("nobody")
    data_dir = open_directory / "data"
    data_dir.mkdir(mode=0o700)
    with EmbeddedServer(data_dir):
        pass
    subprocess.run(["chown", "-R", f"{account.pw_uid}:{account.pw_gid}", data_dir], check=True)
    data_dir.chmod(0o700)
    with EmbeddedServer(data_dir) as url:
        process = Postmaster(data_dir).process()
        assert process is not None
        assert process.username() == "nobody"
        assert ask(url) == "notebook_manager"
    assert mode(data_dir) == 0o700
    assert {(data_dir / name).stat().st_uid for name in ("postgres", "server.lock", "users.lock")} == {account.pw_uid}


@needs_root
def test_those_who_are_the_first_to_start_one_get_the_same_account(tmp_path: Path) -> None:
    real = shutil.which("useradd")
    assert real is not None
    (counting := tmp_path / "useradd").write_text(f'#!/bin/sh\necho >> {tmp_path}/made\nexec {real} "$@"\n')
    counting.chmod(0o755)
    words = ("bash", "-c", MAKERS, "makers", str(tmp_path), ROOTS_ACCOUNT, sys.executable, MAKE)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["unshare", "--mount", *words], env=environment, capture_output=True, text=True, check=True)
    assert len(found := done.stdout.split()) == 4
    assert len(set(found)) == 1
    assert (tmp_path / "made").read_text() == "\n", "it was made once"
