"""The embedded PostgreSQL server: who uses it, and so how long it lives.

Any number of processes may use the server of one directory. The first starts it, the last one to leave stops it. Two
files are locked for that: ``server.lock`` by whoever decides on a start or a stop, and ``users.lock``, shared, by each
user. The locks go with their process, so a killed one needs no cleaning up after: a server left behind is taken over
by the next user, and stopped when that one leaves.

The locks belong to open files: a process that is *forked* without a new program inherits them, and counts as a user
until it ends. Programs that are started (``subprocess``, ``spawn``) do not inherit them.
"""

import atexit
import fcntl
import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import URL

from pressroom.database.postmaster import PORT, SUPERUSER, Postmaster
from pressroom.database.url import DRIVER
from pressroom.errors import Unavailable, shown

DATABASE = "notebook_manager"


class EmbeddedServer:
    """One user's hold on the server of ``data_dir``; a context manager that gives the URL of its database.

    Its methods block for up to some seconds, and may be called from any thread.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._changing = threading.RLock()
        self._users: int | None = None
        self._url: URL | None = None
        self._process_id = 0

    def __enter__(self) -> URL:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> URL:
        """Start the server, or join those who use it; the URL of the database ``notebook_manager``, made if missing.

        The directory is made, for its owner alone, if it is missing. Raises ``Unavailable`` where it cannot start.
        """
        with self._changing:
            if self._url is not None:
                return self._url
            try:
                self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
                with self._deciding():
                    self._users = self._locked("users.lock", fcntl.LOCK_SH)
                    self._process_id = os.getpid()
                    try:
                        self._url = self._served()
                    except BaseException:
                        self._leave()
                        raise
            except OSError as error:
                why = f"its directory {shown(str(self.data_dir))} cannot be used ({error.strerror or error})"
                raise Unavailable("database", why) from error
            atexit.register(self.stop)
            return self._url

    def stop(self) -> None:
        """Leave the server, and stop it if nobody else uses it. Without effect if it was left already."""
        with self._changing:
            if self._users is None or self._process_id != os.getpid():
                return
            atexit.unregister(self.stop)
            self._url = None
            with self._deciding():
                self._leave()

    def _served(self) -> URL:
        sockets = Postmaster(self.data_dir.resolve()).start()
        host, port = str(sockets), str(PORT)  # said, so that PGHOST and PGPORT of the environment are not asked
        try:
            with psycopg.connect(
                host=host, port=port, user=SUPERUSER, dbname="postgres", autocommit=True
            ) as connection:
                found = connection.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
                if found is None:
                    connection.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg.Error as error:
            raise Unavailable("database", f"the embedded server does not answer ({shown(str(error))})") from error
        return URL.create(DRIVER, SUPERUSER, database=DATABASE, query={"host": host, "port": port})

    def _leave(self) -> None:
        """Give up the users' lock; the server stops if no one else has it. Called by whoever is deciding."""
        users, self._users = self._users, None
        if users is None:
            return
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        else:
            Postmaster(self.data_dir.resolve()).stop()
        finally:
            os.close(users)

    @contextmanager
    def _deciding(self) -> Generator[None]:
        lock = self._locked("server.lock", fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(lock)

    def _locked(self, name: str, kind: int) -> int:
        """A file of ``data_dir``, open and locked; closing it unlocks it."""
        file = os.open(self.data_dir / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if os.geteuid() == 0:  # root may use a directory of somebody who must still be able to
                owner = self.data_dir.stat()
                os.fchown(file, owner.st_uid, owner.st_gid)
            fcntl.flock(file, kind)
        except BaseException:
            os.close(file)
            raise
        return file
