"""A whole installation of real processes: a database, a disk, an API and workers, and the ways in which they break."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx
import psutil
import psycopg
from sqlalchemy import URL

from ports import free_port
from pressroom.database.postmaster import Postmaster

PRESSROOM = str(Path(sys.executable).with_name("pressroom"))
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
OFF_BY = "+420s"
LOST_SECONDS = 3.0
MARK = "PRESSROOM_CHAOS"
PATIENCE = 120.0
"""Seconds that anything may take which is no claim about time: a machine may stand still for half a minute."""


def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait for a condition of the world outside that nothing tells of."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds:g} s: {what}"
        time.sleep(0.02)


@dataclass
class Started:
    """A process of the product and what it wrote."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    off_time: bool = False
    sent: list[int] = field(default_factory=list)

    def send(self, number: int) -> None:
        self.sent.append(number)
        self.process.send_signal(number)

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def at_work(self) -> bool:
        """Whether it has said that it takes executions."""
        return f"Worker {self.name}:" in self.text()


class Plant:
    """The installation below ``root``, on one database. Everything that it starts carries ``mark``."""

    def __init__(self, root: Path, url: URL, postmaster: Postmaster, lost_seconds: float | None = LOST_SECONDS) -> None:
        self.root, self.postmaster = root, postmaster
        self.mark = secrets.token_hex(8)
        self.users, self.tmp, self.logs = root / "home", root / "tmp", root / "logs"
        self.ledger = root / "ledger"
        self.conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self.lost_seconds = lost_seconds
        self.workers: list[Started] = []
        self.api: Started | None = None
        self.complaints: list[str] = []
        self._count = 0
        for made in (self.users, self.tmp, self.logs, root / "state"):
            made.mkdir()
        self.ledger.touch()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def environment(self, *, off_time: bool = False) -> dict[str, str]:
        lost = {} if self.lost_seconds is None else {"PRESSROOM_WORKER_LOST_SECONDS": str(self.lost_seconds)}
        fake = {}
        if off_time:
            assert FAKETIME is not None, "Debian's package faketime is needed: make faketime"
            # The worker's alone: a kernel hangs under libfaketime, so runners and kernels are not given it.
            fake = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": OFF_BY, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root / "state"),
            "TMPDIR": str(self.tmp),
            "DATABASE_URL": self.conninfo,
            "PRESSROOM_USERS_ROOT": str(self.users),
            "PRESSROOM_LOCAL_USER": "ana",
            "PRESSROOM_GRACE_SECONDS": "0.5",
            "PRESSROOM_KERNEL_ENVIRONMENT": f"{MARK}*",
            MARK: self.mark,
            f"{MARK}_LEDGER": str(self.ledger),
            **lost,
            **fake,
        }

    def _start(self, name: str, *words: str, off_time: bool = False) -> Started:
        self._count += 1
        log = self.logs / f"{self._count:03}-{name}.log"
        output: IO[bytes]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [PRESSROOM, *words],
                env=self.environment(off_time=off_time),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        return Started(name, process, log, off_time)

    def start_api(self) -> None:
        self.api = self._start("api", "serve", "--workers", "0", "--port", str(self.port))

    def start_worker(self, *, concurrency: int = 2, grace: float = 1.0, off_time: bool = False) -> Started:
        name = f"w{self._count}"
        words = ("worker", "--concurrency", str(concurrency), "--grace", str(grace), "--name", name)
        worker = self._start(name, *words, off_time=off_time)
        self.workers.append(worker)
        return worker

    def working(self, **options: float) -> Started:
        """A worker that has begun to take executions."""
        worker = self.start_worker(**options)  # type: ignore[arg-type]
        until(lambda: worker.at_work, PATIENCE, f"{worker.name} does not work: {worker.text()}")
        return worker

    def serving(self) -> httpx.Client:
        """A client of the API, which answers."""
        if self.api is None:
            self.start_api()
        until(self.answers, PATIENCE, "the API does not answer")
        return httpx.Client(base_url=self.url, timeout=60)

    def answers(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/health", timeout=5).is_success
        return False

    def supervise(self, *, replace: bool = True, api: bool = True) -> None:
        """Start again what has ended, as a service manager does; note what ended by itself."""
        for worker in [worker for worker in self.workers if worker.process.poll() is not None]:
            self.workers.remove(worker)
            code = worker.process.returncode
            asked = signal.SIGKILL in worker.sent or signal.SIGTERM in worker.sent
            if not asked and code != -signal.SIGKILL and worker.at_work:
                self.complaints.append(f"{worker.name} ended by itself with {code}:\n{worker.text()[-3000:]}")
            if signal.SIGTERM in worker.sent and code not in {0, -signal.SIGKILL} and worker.at_work:
                self.complaints.append(f"{worker.name} stopped with {code}:\n{worker.text()[-3000:]}")
            if replace:
                self.start_worker(off_time=worker.off_time)
        if self.api is not None and self.api.process.poll() is not None and replace and api:
            self.start_api()

    def kill_api(self) -> None:
        assert self.api is not None
        self.api.send(signal.SIGKILL)
        self.api.process.wait()

    def stop_database(self, how: str) -> None:
        """``how``: fast or immediate, as ``pg_ctl`` has it, or kill."""
        if how == "kill":
            running = self.postmaster.process()
            assert running is not None
            running.kill()
            psutil.wait_procs([running], timeout=10)
            return
        words = ("-w", "-t", "30", "-m", how, "-D", self.postmaster.pgdata.name, "stop")
        code, output = self.postmaster._run("pg_ctl", *words, account=self.postmaster._account())
        assert code == 0, output

    def start_database(self) -> None:
        self.postmaster.start()

    @property
    def _filling(self) -> Path:
        return self.users / ".filling"

    def fill_disk(self) -> None:
        """Leave no byte on the disk that holds the users' folders."""
        with self._filling.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"\0" * 65536)
        with self._filling.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"\0")

    def empty_disk(self) -> None:
        self._filling.unlink(missing_ok=True)

    def connection(self) -> psycopg.Connection:
        return psycopg.connect(self.conninfo, autocommit=True)

    def rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        with self.connection() as connection:
            return connection.execute(query, values).fetchall()  # type: ignore[arg-type]

    def run(self, script: str) -> None:
        """Run a script on the database."""
        with self.connection() as connection:
            connection.execute(script)  # type: ignore[arg-type]

    def alive(self) -> list[psutil.Process]:
        """Every process of this installation, kernels and runners among them."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def stop_all(self) -> None:
        """Ask everything to stop, and wait until it has."""
        for worker in self.workers:
            worker.send(signal.SIGCONT)
            worker.send(signal.SIGTERM)
        if self.api is not None:
            self.api.send(signal.SIGTERM)
        for started in [*self.workers, *([self.api] if self.api else [])]:
            started.process.wait(30)

    @property
    def started(self) -> int:
        """How many processes of the product were started."""
        return self._count

    def show(self) -> None:
        """Print the end of what each process wrote, for the report of a test that failed."""
        for log in sorted(self.logs.iterdir()):
            print(f"--- {log.name}", log.read_text(errors="replace")[-3000:], sep="\n")

    def keep(self, folder: str) -> None:
        """Copy what was written, for a person to read."""
        shutil.copytree(self.logs, Path(folder, self.mark))

    def kill_all(self) -> None:
        for process in self.alive():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for started in [*self.workers, *([self.api] if self.api else [])]:
            started.process.kill()
            started.process.wait()


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """A disk of its own at ``folder`` while the context lasts. The tests run as root."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
