"""What tests share: a queue; a receiver of webhooks, executions to tell of, a worker of the chores, a browser."""

import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import procrastinate
import psycopg
import pytest
from sqlalchemy import URL, select, text

from line import Line, Other, open_line
from own_issuer import OwnIssuer
from page_forms import HTML
from pressroom.database.models import Delivery, Execution, Notebook, Notification
from pressroom.database.session import Database
from pressroom.database.url import conninfo
from pressroom.executions.tasks import Workshop
from pressroom.metrics import Metrics
from pressroom.notebooks.places import Places
from pressroom.notifications import service, targets
from pressroom.notifications.schemas import Channel, Event
from pressroom.notifications.tasks import add_tasks
from pressroom.settings import Settings


@dataclass
class Received:
    """One request that a receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """A real HTTP server on loopback: what it got, and what it is to answer (the last answer stays)."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=lambda: [(204, {})])

    def answer(self, *answers: int | tuple[int, dict[str, str]]) -> None:
        self.answers = [answer if isinstance(answer, tuple) else (answer, {}) for answer in answers]

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.received.append(
                Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            )
            status, headers = receiver.answers[0]
            if len(receiver.answers) > 1:
                receiver.answers.pop(0)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of webhooks on 127.0.0.1."""
    receiver = Receiver()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(receiver))
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield receiver
    server.shutdown()
    thread.join()
    server.server_close()


class Teller:
    """The database with executions to tell of, and a worker that does the chores in it."""

    def __init__(self, database: Database, settings: Settings, app: procrastinate.App) -> None:
        self.database, self.settings, self.app = database, settings, app
        self.secret = targets.new_secret()

    async def notebook(self, path: Path | str, name: str = "Sales") -> int:
        async with self.database.transaction() as session:
            notebook = Notebook(name=name, file_path=str(path), username="ana", tags=[], metadata_={})
            session.add(notebook)
        return notebook.id

    async def execution(self, path: Path | str = "/home/ana/sales.ipynb", **fields: Any) -> Execution:
        async with self.database.transaction() as session:
            known = {"username": "ana", "status": "success", "parameters_used": {"region": "EMEA"}}
            execution = Execution(input_path=str(path), **(known | fields))
            session.add(execution)
        return execution

    async def subscribe(self, target: str, *events: Event, channel: Channel = Channel.WEBHOOK, **fields: Any) -> int:
        """A notification, whatever its target: what may be one is not asked here."""
        async with self.database.transaction() as session:
            told = [event.value for event in events or tuple(Event)]
            secret = self.secret if channel is Channel.WEBHOOK else None
            notification = Notification(
                username="ana", channel=channel.value, target=target, events=told, secret=secret, **fields
            )
            session.add(notification)
        return notification.id

    async def announce(self, execution: Execution, event: Event = Event.SUCCEEDED) -> int:
        async with self.database.transaction() as session:
            return await service.announce(session, execution.id, execution.notebook_id, event)

    async def work(self) -> None:
        """Do the chores that are due."""
        await self.app.run_worker_async(
            wait=False, queues=[service.CHORES], install_signal_handlers=False, listen_notify=False
        )

    async def hasten(self) -> list[float]:
        """Make what waits for another try due now; the seconds that each had still to wait."""
        async with self.database.transaction() as session:
            waiting = await session.execute(
                text(
                    "WITH waiting AS (SELECT id, extract(epoch FROM scheduled_at - now()) AS seconds "
                    "FROM procrastinate_jobs WHERE status = 'todo') "
                    "UPDATE procrastinate_jobs SET scheduled_at = NULL FROM waiting "
                    "WHERE procrastinate_jobs.id = waiting.id RETURNING waiting.seconds"
                )
            )
            return [float(seconds) for seconds in waiting.scalars()]

    async def deliveries(self) -> list[Delivery]:
        async with self.database.transaction() as session:
            return list((await session.scalars(select(Delivery).order_by(Delivery.id))).all())

    async def jobs(self) -> dict[str, int]:
        """How many jobs there are in each state."""
        async with self.database.transaction() as session:
            rows = await session.execute(text("SELECT status::text, count(*) FROM procrastinate_jobs GROUP BY 1"))
            return {row[0]: row[1] for row in rows}


@pytest.fixture
def issuer() -> Iterator[OwnIssuer]:
    """An issuer of the test's own."""
    with OwnIssuer() as running:
        yield running


@pytest.fixture
def plain(database_url: URL) -> Iterator[psycopg.Connection[Any]]:
    """The test's database, by the driver alone."""
    url = database_url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def teller(database: Database, settings: Settings, database_url: URL) -> AsyncIterator[Teller]:
    """A service that may send webhooks to loopback, since that is where the tests' receivers are."""
    settings.webhook_private_addresses = True
    conninfo = database_url.set(drivername="postgresql").render_as_string(hide_password=False)
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=conninfo, min_size=1, max_size=4))
    places = Places(settings.users_root, tuple(settings.shared_roots))
    add_tasks(app, Workshop(database, places, settings, Metrics(settings.worker_lost_seconds)))
    async with app.open_async():
        yield Teller(database, settings, app)


@pytest.fixture
async def line(database: Database, settings: Settings, home: Path) -> AsyncIterator[Line]:
    """A queue in which nothing waits, and a worker that claims when it is told to."""
    async with open_line(database, settings, home) as line:
        yield line


@pytest.fixture
async def other(line: Line) -> AsyncIterator[Other]:
    """Somebody else's connection."""
    async with await psycopg.AsyncConnection.connect(conninfo(line.database.url), autocommit=True) as connection:
        yield connection


@pytest.fixture
def browser(service: Any) -> Iterator[httpx.Client]:
    """What asks for pages, as a browser without scripts does."""
    with httpx.Client(base_url=service.url, headers=HTML, timeout=60) as client:
        yield client
