"""What tests share: one embedded PostgreSQL server a run, a fresh database a test, and the service under real HTTP."""

import asyncio
import os
import shutil
import socket
import tempfile
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import nbformat
import psycopg
import pytest
import uvicorn
from psycopg import sql
from sqlalchemy import URL

from keycloak import Realm, shared_server
from pressroom.app import create_app
from pressroom.database import migrate
from pressroom.database.embedded import EmbeddedServer
from pressroom.database.session import Database
from pressroom.http_protocol import bounded_http
from pressroom.settings import Settings

if TYPE_CHECKING:
    from besieged import Siege

TEMPLATE = "pressroom_template"
_AUTHORITIES = httpx.create_ssl_context()
"""Read once: a client that reads them itself takes longer for that than for a request."""


@pytest.fixture(scope="session")
def server() -> Iterator[URL]:
    """The run's PostgreSQL server, shared by all test processes, with a migrated template database."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid.uuid4().hex)
    directory = Path(tempfile.gettempdir(), f"pressroom-tests-{run[:12]}")
    embedded = EmbeddedServer(directory)
    url = embedded.start()
    with psycopg.connect(_conninfo(url), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(1)")
        exists = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (TEMPLATE,)).fetchone()
        if not exists:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute(f"CREATE DATABASE {TEMPLATE}")
            migrate.upgrade(url.set(database=TEMPLATE))
    yield url
    embedded.stop()
    if not (directory / "postgres" / "postmaster.pid").exists():
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def shipped_realm() -> Iterator[Realm]:
    """The realm that we ship, as the run's Keycloak has imported it, shared by all test processes."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid.uuid4().hex)
    with shared_server(run[:12]) as realm:
        yield realm


@pytest.fixture(scope="module")
def realm(shipped_realm: Realm) -> Iterator[Realm]:
    """A realm of the module's own, like the one that we ship, with people: `ana`, an administrator, and `ben`, an
    analyst."""
    made = shipped_realm.copy()
    made.add_password_client()
    made.add_user("ana", roles=("admin",), groups=("finance",))
    made.add_user("ben", roles=("viewer",), groups=("analysts",))
    yield made
    made.delete()


def _conninfo(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _fresh(server: URL, template: str) -> Iterator[URL]:
    name = sql.Identifier(f"t_{uuid.uuid4().hex}")
    with psycopg.connect(_conninfo(server), autocommit=True) as connection:
        # Copying the files takes half as long as writing each page to the log.
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        connection.execute(copy.format(name, sql.Identifier(template)))
        yield server.set(database=name._obj[0])
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture
def database_url(server: URL) -> Iterator[URL]:
    """A migrated database of the test's own."""
    yield from _fresh(server, TEMPLATE)


@pytest.fixture(scope="module")
def module_database_url(server: URL) -> Iterator[URL]:
    """A migrated database of the module's own."""
    yield from _fresh(server, TEMPLATE)


@pytest.fixture(scope="module")
def another_module_database_url(server: URL) -> Iterator[URL]:
    """One more, for a module whose two services share nothing."""
    yield from _fresh(server, TEMPLATE)


@pytest.fixture
def empty_database_url(server: URL) -> Iterator[URL]:
    """A database without tables."""
    yield from _fresh(server, "template0")


def _open_directory() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="pressroom-tests-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A short directory that every account may enter, whatever another run of the tests does to its own."""
    yield from _open_directory()


@pytest.fixture(scope="module")
def open_module_directory() -> Iterator[Path]:
    """The same, of the module's own."""
    yield from _open_directory()


@pytest.fixture(scope="session")
def siege(server: URL) -> Iterator["Siege"]:
    """A service that runs notebooks as their users, with a victim at work and a hostile user; shared by a process."""
    from besieged import besieged

    with contextmanager(_open_directory)() as folder, contextmanager(_fresh)(server, TEMPLATE) as url:
        homes = folder / "home"
        homes.mkdir()
        with besieged(url, homes) as made:
            yield made


@pytest.fixture
async def database(database_url: URL) -> AsyncIterator[Database]:
    """The test's database, open."""
    opened = Database(database_url)
    yield opened
    await opened.dispose()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The directory of the user `ana`."""
    directory = tmp_path / "home" / "ana"
    directory.mkdir(parents=True)
    return directory


@pytest.fixture
def settings(database_url: URL, home: Path, tmp_path: Path) -> Settings:
    """The settings of a service whose users live below the test's own folder; its local user is `ana`."""
    shared = tmp_path / "shared"
    shared.mkdir()
    return Settings(
        database_url=database_url.render_as_string(hide_password=False),
        users_root=home.parent,
        shared_roots=[shared],
        local_user="ana",
        grace_seconds=1,
        worker_grace_seconds=2,  # what a test leaves running ends soon
        max_output_mb=5,
        workers=2,
        preload=[],  # the tests of one process share their fork servers
    )


class PromptServer(uvicorn.Server):
    """Uvicorn, which ends when it is told to and not a sixth of a second later: there are hundreds of them."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ends = asyncio.Event()

    def end(self) -> None:
        """Have it end; called in its event loop."""
        self.should_exit = True
        self._ends.set()

    async def main_loop(self) -> None:
        """Uvicorn's own, which does not sleep over the end."""
        counter = 0
        while not await self.on_tick(counter):
            counter += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ends.wait(), 0.1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Uvicorn's own, which looks more often at whether all connections have ended."""
        for listening in (*self.servers, *(sockets or [])):
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.connections or self.server_state.tasks:
            await asyncio.sleep(0.01)
        for listening in self.servers:
            await listening.wait_closed()
        await self.lifespan.shutdown()


class Service:
    """The product, listening on a real port."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # With the protocol named, asyncio sends at once what is written. Otherwise each answer on a connection that is
        # used again waits 40 ms for the client's acknowledgement of its head.
        self._socket = socket.socket(proto=socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = PromptServer(
            uvicorn.Config(
                create_app(settings),
                log_config=None,
                log_level="warning",
                access_log=False,
                http=bounded_http(settings.max_header_kb),
                ws="none",
                proxy_headers=False,
            )
        )
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
            while not self._server.started and not serving.done():
                await asyncio.sleep(0.01)
            self._started.set()
            await serving

        try:
            asyncio.run(serve())
        finally:
            self._started.set()

    def __enter__(self) -> "Service":
        self._thread.start()
        self._started.wait()
        if not self._server.started:
            self._thread.join()
            self._socket.close()
            raise RuntimeError("the service did not start; its log says why")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._server.end)
        self._thread.join()
        self._socket.close()


@pytest.fixture
def service(settings: Settings) -> Iterator[Service]:
    """The product, running."""
    with Service(settings) as running:
        yield running


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    """A client of the running product."""
    with httpx.Client(base_url=service.url, timeout=60, verify=_AUTHORITIES) as client:
        yield client


def write_notebook(path: Path, *sources: str, parameters: str | None = None, kernel: str = "python3") -> Path:
    """A notebook of code cells; ``parameters`` is the source of its parameters cell."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    if parameters is not None:
        cells.insert(0, nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": kernel, "display_name": kernel, "language": "python"}
    notebook.metadata.language_info = {"name": "python"}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def notebook(home: Path) -> Path:
    """A notebook of `ana` that reports on a region."""
    return write_notebook(
        home / "sales.ipynb", 'print(f"{region}: {months * 2}")', parameters='region = "EMEA"\nmonths = 3'
    )


pytest.Service = Service  # type: ignore[attr-defined]
pytest.write_notebook = write_notebook  # type: ignore[attr-defined]
