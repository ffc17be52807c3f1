"""A service that runs notebooks as their users, as a process of its own, with a victim at work and a hostile user."""

import ctypes
import json
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import nbformat
import psutil
import pytest
from sqlalchemy import URL

from accounts import account, client_of, give
from ports import free_port

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
SECRET = "the-victims-secret-7f3a"
"""It is in the memory of the victim's kernel, in its environment and in its files."""
TOKEN = "the-services-secret-91bc"
"""It is in the service's environment."""
PATIENCE = 60
T = TypeVar("T")
VICTIM = f"""
import json, os, tempfile, time
from ipykernel.connect import get_connection_file
secret = os.environ["VICTIM_SECRET"] = "{SECRET}"
temporary = tempfile.NamedTemporaryFile("w")
temporary.write(secret); temporary.flush()
try:
    connection = get_connection_file()
except (OSError, RuntimeError):
    connection = None  # the press's own kernels have none
facts = {{"kernel": os.getpid(), "temporary": temporary.name, "connection": connection}}
with open(name + ".new", "w") as file:
    json.dump(facts, file)
os.rename(name + ".new", name)
while not os.path.exists("go"):
    time.sleep(0.05)
"""


_ADD_KEY = {"x86_64": 248, "aarch64": 217}
"""The number of the system call; that of keyctl is two more."""


def with_a_key() -> dict[str, Any]:
    """Keep a secret in this session's keyring, which what is started from now on has, too."""
    libc, number = ctypes.CDLL(None, use_errno=True), _ADD_KEY[os.uname().machine]
    libc.syscall(number + 2, 1, None)  # a session of its own
    assert libc.syscall(number, b"user", b"pressroom", SECRET.encode(), len(SECRET), -3) > 0, "it cannot keep a key"
    return {"key": "pressroom", "keyctl": number + 2}


def until(found: Callable[[], T | None], what: str) -> T:
    """What is there soon."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if (value := found()) is not None:
            return value
        time.sleep(0.05)
    raise TimeoutError(what)


@dataclass
class Siege:
    """What the tests work with."""

    admin: httpx.Client
    hostile: httpx.Client
    mallory: str
    victim: str
    service: psutil.Process
    target: dict[str, Any]
    executions: list[int]
    """Those of the victim that are at work."""

    def home(self, name: str) -> Path:
        """Where somebody lives."""
        return Path(pwd.getpwnam(name).pw_dir)

    def plant(self, name: str, *sources: str, parameters: str | None = None, kernel: str = "python3") -> Path:
        """A notebook of the hostile user's."""
        path = write_notebook(self.home(self.mallory) / name, *sources, parameters=parameters, kernel=kernel)
        return give(path, self.mallory)

    def execute(self, path: Path, **fields: Any) -> dict[str, Any]:
        """Execute a notebook of the hostile user's, as that user: the row at its end."""
        body = {"input_path": str(path), "parameters": {}, **fields}
        made = self.hostile.post("/execute", json=body, headers={"Prefer": "respond-async"})
        assert made.status_code == 202, made.text
        return self.ended(made.json()["id"])

    def ended(self, execution_id: int) -> dict[str, Any]:
        """An execution at its end."""
        with self.admin.stream("GET", f"/db/executions/{execution_id}/events") as events:
            for _ in events.iter_lines():
                pass
        return self.admin.get(f"/db/executions/{execution_id}").json()

    def printed(self, row: dict[str, Any]) -> str:
        """What the cells of an execution printed."""
        book = nbformat.read(row["output_path"], 4)
        return "".join(o.text for cell in book.cells for o in cell.get("outputs", []) if o.output_type == "stream")

    def row(self, execution_id: int) -> dict[str, Any]:
        """An execution as it is."""
        return self.admin.get(f"/db/executions/{execution_id}").json()


def command(database_url: URL, homes: Path, *words: str, workers: int = 4) -> subprocess.Popen[bytes]:
    """``pressroom`` with ``words``, in a process of its own, where notebooks run as their users."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment = kept | {
        "DATABASE_URL": database_url.render_as_string(hide_password=False),
        "PRESSROOM_RUN_AS": "user",
        "PRESSROOM_AUTH": "oidc",
        "PRESSROOM_OIDC_ISSUER": "https://issuer.invalid",
        "PRESSROOM_USERS_ROOT": str(homes),
        "PRESSROOM_METRICS_TOKEN": TOKEN,
        "PRESSROOM_WORKERS": str(workers),
        "PRESSROOM_GRACE_SECONDS": "1",
        "PRESSROOM_WORKER_GRACE_SECONDS": "2",
        "PRESSROOM_MAX_OUTPUT_MB": "1",
        "PRESSROOM_LOG_LEVEL": "warning",
    }
    program = str(Path(sys.executable).with_name("pressroom"))
    return subprocess.Popen([program, *words], env=environment, start_new_session=True)


@contextmanager
def serving(database_url: URL, homes: Path, workers: int = 4) -> Iterator[tuple[psutil.Process, str]]:
    """The service, by its command: its process, and its address."""
    port = free_port()
    process = command(database_url, homes, "serve", "--port", str(port), workers=workers)
    try:
        url = f"http://127.0.0.1:{port}"

        def up() -> bool | None:
            assert process.poll() is None, "the service did not start"
            try:
                return httpx.get(f"{url}/").status_code == 200 or None
            except httpx.TransportError:
                return None

        until(up, "the service")
        yield psutil.Process(process.pid), url
        process.terminate()
        assert process.wait(30) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait()


@contextmanager
def besieged(database_url: URL, homes: Path) -> Iterator[Siege]:
    """A service with a victim whose two kernels are at work, and whose work must be as it should at the end."""
    with ExitStack() as opened:
        mallory, victim = (opened.enter_context(account(homes, role)) for role in ("mallory", "victim"))
        key = with_a_key()
        service, url = opened.enter_context(serving(database_url, homes))
        admin = opened.enter_context(client_of(url, database_url, "boss", admin=True))
        hostile = opened.enter_context(client_of(url, database_url, mallory))
        home = Path(pwd.getpwnam(victim).pw_dir)
        spec = home / ".local" / "share" / "jupyter" / "kernels" / "mine" / "kernel.json"
        spec.parent.mkdir(parents=True)
        argv = ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec.write_text(json.dumps({"argv": argv, "display_name": "mine", "language": "python"}))
        give(spec, victim)
        executions, facts = [], []
        for kernel in ("python3", "mine"):
            path = give(write_notebook(home / f"{kernel}.ipynb", VICTIM, parameters="name = ''", kernel=kernel), victim)
            body = {"username": victim, "input_path": str(path), "parameters": {"name": f"{kernel}.json"}}
            made = admin.post("/execute", json=body, headers={"Prefer": "respond-async"})
            assert made.status_code == 202, made.text
            executions.append(made.json()["id"])
            written = home / f"{kernel}.json"

            def told(written: Path = written, made: int = made.json()["id"]) -> str | None:
                row = admin.get(f"/db/executions/{made}").json()
                assert row["status"] in ("pending", "running"), row
                return written.read_text() if written.exists() else None

            facts.append(json.loads(until(told, "the facts of the victim")))
        siege = Siege(admin, hostile, mallory, victim, service, {}, executions)
        done = siege.ended(_executed(siege, give(write_notebook(home / "done.ipynb", f"print('{SECRET}')"), victim)))
        siege.target |= {
            "notebook": str(home / "python3.ipynb"),
            "output": done["output_path"],
            "home": str(home),
            "uid": pwd.getpwnam(victim).pw_uid,
            "kernel": facts[0]["kernel"],
            "temporary": facts[0]["temporary"],
            "connection": facts[1]["connection"],
            "pgdata": str(Path(str(database_url.query["host"]))),
            "pgsocket": f"{database_url.query['host']}/.s.PGSQL.{database_url.query['port']}",
            "marks": [TOKEN, SECRET],
            **key,
            **_processes(service, pwd.getpwnam(victim).pw_uid),
        }
        yield siege
        (home / "go").touch()
        for execution_id in executions:
            row = siege.ended(execution_id)
            assert row["status"] == "success", row
        # On a busy machine the database may once take longer than health waits.
        until(lambda: admin.get("/health").json()["status"] == "healthy" or None, "a healthy service")


def _executed(siege: Siege, path: Path) -> int:
    body = {"username": siege.victim, "input_path": str(path), "parameters": {}}
    made = siege.admin.post("/execute", json=body)
    assert made.status_code == 200, made.text
    return made.json()["execution_id"]


def _processes(service: psutil.Process, uid: int) -> dict[str, Any]:
    servers = [child for child in service.children() if child.name() == "pressroom-forks"]
    below = [process for server in servers for process in server.children(recursive=True)]
    keepers = [process.pid for process in below if process.name() in ("pressroom-keep", "pressroom-idle")]
    runners = [p.pid for p in below if p.name() == "pressroom-run" and p.uids().real == uid]
    assert servers
    assert keepers
    assert runners
    return {
        "service": service.pid,
        "servers": [server.pid for server in servers],
        "keepers": keepers,
        "runner": runners[0],
    }
