"""What is told of kernels, and which modules a worker has them import ahead."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import URL, select, text

import pressroom
from pressroom.database.models import Notebook, Worker
from pressroom.database.session import Database
from pressroom.executions import staff
from pressroom.executions.connector import connector_to
from pressroom.executions.kernel_news import KernelNews
from pressroom.executions.kernel_schemas import KernelOut
from pressroom.executions.preloading import Preloading
from pressroom.executions.queue import ExecutionJobs, Registration
from pressroom.executions.tasks import Workshop
from pressroom.metrics import Metrics
from pressroom.notebooks.places import Places
from pressroom.press import Press
from pressroom.press.reports import KernelReport
from pressroom.settings import Settings
from pressroom.worker import Crew, Staffing, open_crew

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
PATIENCE = 30
FORKED = KernelReport("python3", "python", True, None, ("pandas",), {"torch": "it keeps threads"}, 96 * 2**20, 7)
STOCK = KernelReport("bash", "bash", False, "It is no Python kernel.", (), {}, None, 0)


def test_the_kernels_are_told_with_how_each_worker_starts_them(http: httpx.Client, service: Any) -> None:
    async def told() -> list[dict[str, Any]]:
        async with asyncio.timeout(PATIENCE):
            while not (found := http.get("/kernels").json()):
                await asyncio.sleep(0.1)
        return found

    found = {kernel["name"]: kernel for kernel in asyncio.run(told())}
    python, bash = found["python3"], found["bash"]
    assert (python["language"], bash["language"], bash["display_name"]) == ("python", "bash", "Bash")
    assert python["display_name"].startswith("Python 3")
    [worker] = http.get("/db/workers").json()
    for kernel in found.values():
        [at] = kernel["workers"]
        assert (at["worker"], at["host"], at["forks"] >= 0) == (worker["name"], worker["host"], True)
        assert at["forked"] or at["why_not"], "where it is not forked, it is said why"
    assert not bash["workers"][0]["forked"]
    with pressroom.Client(service.url) as client:
        assert [kernel.name for kernel in client.kernels()] == list(found)


class Told(Press):
    """The real press, of which something else is told."""

    said: Sequence[KernelReport]

    async def reports(self) -> list[KernelReport]:
        return list(self.said)


def say(press: Told, *reports: KernelReport) -> None:
    press.said = reports


class Desk:
    """Two workers that tell of their kernels."""

    def __init__(self, database: Database, jobs: list[ExecutionJobs]) -> None:
        self.database, self.jobs = database, jobs
        self.presses = [Told(environment={}, preload=()), Told(environment={}, preload=())]
        self.news = [KernelNews(*pair) for pair in zip(jobs, self.presses, strict=True)]

    async def kernels(self) -> list[KernelOut]:
        async with self.database.transaction() as session:
            return await staff.kernels(session, 20)

    async def version(self) -> int:
        """Of the first worker's row: it changes with each time that it is written."""
        async with self.database.transaction() as session:
            xmin = select(text("xmin::text::bigint")).select_from(Worker).where(Worker.id == self.jobs[0].worker_id)
            return int((await session.scalar(xmin)) or 0)


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    connector = connector_to(database)
    await connector.open_async()
    yield Desk(database, [ExecutionJobs(connector, Registration(n, f"{n}-host", 1, None, 1, "0")) for n in ("a", "b")])
    await connector.close_async()


async def test_what_workers_tell_is_put_together_by_kernel(desk: Desk) -> None:
    say(desk.presses[0], FORKED, STOCK)
    say(desk.presses[1], STOCK)
    assert not await desk.news[0].tell(), "who is not known yet can tell nothing"
    for jobs, news in zip(desk.jobs, desk.news, strict=True):
        await jobs.register_worker()
        assert await news.tell()
    bash, python = await desk.kernels()
    assert [(at.worker, at.host, at.why_not) for at in bash.workers] == [
        (name, f"{name}-host", "It is no Python kernel.") for name in ("a", "b")
    ]
    [at] = python.workers
    assert (at.forked, at.preloaded, at.refused) == (True, ["pandas"], {"torch": "it keeps threads"})
    assert (at.memory_bytes, at.forks) == (96 * 2**20, 7)
    async with desk.database.transaction() as session:
        lost = "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour' WHERE id = :id"
        await session.execute(text(lost), {"id": desk.jobs[0].worker_id})
    [bash] = await desk.kernels()
    assert [at.worker for at in bash.workers] == ["b"], "a lost worker has no kernels"


async def test_a_worker_writes_only_what_is_new(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.jobs[0].register_worker()
    say(desk.presses[0], FORKED)
    await desk.news[0].tell()
    before = await desk.version()
    await desk.news[0].tell()
    assert await desk.version() == before
    say(desk.presses[0], FORKED, STOCK)
    await desk.news[0].tell()
    assert [kernel.name for kernel in await desk.kernels()] == ["bash", "python3"]
    assert (after := await desk.version()) != before
    monkeypatch.setattr("pressroom.executions.kernel_news.AGAIN_SECONDS", 0)
    await desk.news[0].tell()
    assert await desk.version() != after, "now and then it is told again, since the row may have been made anew"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Those of a service that preloads what its notebooks import."""
    return settings.model_copy(update={"preload": "auto"})


class Asked(Press):
    """The real press; it remembers what it is asked to preload."""

    asked: list[list[str]]

    def preload(self, modules: Sequence[str]) -> None:
        self.asked.append(list(modules))
        super().preload(modules)


@pytest.fixture
async def press() -> AsyncIterator[Asked]:
    asked = Asked(environment={"PATH": os.environ["PATH"], "HOME": "/tmp"}, preload=())
    asked.asked = []
    yield asked
    await asked.close()


async def register(database: Database, path: Path, *sources: str, username: str = "ana") -> int:
    write_notebook(path, *sources)
    async with database.transaction() as session:
        notebook = Notebook(name=path.stem, file_path=str(path), username=username, tags=[], metadata_={})
        session.add(notebook)
    return notebook.id


def shop_of(database: Database, settings: Settings, press: Press | None) -> Workshop:
    places = Places(settings.users_root, tuple(settings.shared_roots))
    return Workshop(database, places, settings, Metrics(settings.worker_lost_seconds), press)


async def test_what_registered_notebooks_import_is_preloaded_when_it_changes(
    database: Database, settings: Settings, press: Asked, home: Path
) -> None:
    preloading = Preloading(shop_of(database, settings, press), press)
    await preloading.look()
    assert press.asked == [], "without notebooks there is nothing to say"
    (home / "mine.py").write_text("raise SystemExit('nothing is imported here')")
    first = await register(
        database, home / "a.ipynb", "%matplotlib inline\nimport pandas as pd, mine, os", "import antigravity"
    )
    await preloading.look()
    assert press.asked == [["pandas"]]
    await register(database, home / "b.ipynb", "import matplotlib.pyplot as plt\nimport pandas")
    await preloading.look()
    await preloading.look()
    assert press.asked == [["pandas"], ["matplotlib", "matplotlib.pyplot", "pandas"]]
    await register(database, home / "c.ipynb", "import pandas")
    await preloading.look()
    assert len(press.asked) == 2, "the same modules are not told twice"
    async with database.transaction() as session:
        for notebook in (await session.scalars(select(Notebook).where(Notebook.id != first))).all():
            await session.delete(notebook)
    await preloading.look()
    assert press.asked[2:] == [["pandas"]]
    assert not {"antigravity", "mine"} & set(sys.modules), "nothing was imported to know it"


async def test_where_notebooks_run_as_their_users_only_well_known_libraries_are_preloaded(
    database: Database, settings: Settings, press: Asked, home: Path
) -> None:
    source = "import nbconvert.__main__, pip, pandas.tests.io, matplotlib.pyplot as plt"
    await register(database, home / "a.ipynb", source)
    await Preloading(shop_of(database, settings, press), press).look()
    users = settings.model_copy(update={"run_as": "user"})
    await Preloading(shop_of(database, users, press), press).look()
    assert press.asked[0] == ["matplotlib", "matplotlib.pyplot", "pandas", "pandas.tests.io", "pip"]
    assert press.asked[1:] == [["matplotlib", "matplotlib.pyplot", "pandas"]]


async def test_notebooks_that_cannot_be_read_count_for_nothing(
    database: Database, settings: Settings, press: Asked, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await register(database, home / "good.ipynb", "import good")
    await register(database, home / "gone.ipynb", "import gone")
    (home / "gone.ipynb").unlink()
    await register(database, home / "broken.ipynb", "import broken")
    (home / "broken.ipynb").write_text("{")
    await register(database, home / "large.ipynb", "import large", "#" * 10_000)
    await register(database, tmp_path / "elsewhere" / "n.ipynb", "import elsewhere")
    os.mkfifo(home / "pipe.ipynb")
    async with database.transaction() as session:
        session.add(Notebook(name="p", file_path=str(home / "pipe.ipynb"), username="ana", tags=[], metadata_={}))
    monkeypatch.setattr("pressroom.executions.preloading.MOST_BYTES", 5_000)
    preloading = Preloading(shop_of(database, settings, press), press)
    await preloading.look()
    assert press.asked == [["good"]]


async def test_no_more_is_read_and_told_than_the_bounds_allow(
    database: Database, settings: Settings, press: Asked, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(4):
        await register(database, home / f"{n}.ipynb", f"import lib{n}")
    size = (home / "0.ipynb").stat().st_size
    preloading = Preloading(shop_of(database, settings, press), press)
    monkeypatch.setattr("pressroom.executions.preloading.MOST_NOTEBOOKS", 3)
    monkeypatch.setattr("pressroom.executions.preloading.MOST_BYTES", size + 100)
    monkeypatch.setattr("pressroom.executions.preloading.MOST_BYTES_AT_ONCE", 3 * size + 99)
    await preloading.look()
    assert press.asked == [["lib2", "lib3"]], "those that were registered last"
    monkeypatch.setattr("pressroom.executions.preloading.MOST_PACKAGES", 1)
    await register(database, home / "4.ipynb", "import lib3")
    await preloading.look()
    assert press.asked[1:] == [["lib3"]]


@asynccontextmanager
async def crew(database: Database, settings: Settings, press: Press) -> AsyncIterator[Crew]:
    async with open_crew(shop_of(database, settings, press), Staffing(1, grace_seconds=0)) as opened:
        yield opened


async def asked(press: Asked) -> list[str]:
    async with asyncio.timeout(PATIENCE):
        while not press.asked:
            await asyncio.sleep(0.02)
    return press.asked[0]


async def test_a_worker_preloads_what_notebooks_import_when_it_starts(
    database: Database, settings: Settings, press: Asked, home: Path
) -> None:
    await register(database, home / "a.ipynb", "import json, yaml")
    async with crew(database, settings, press):
        assert await asked(press) == ["yaml"]


async def test_a_worker_preloads_what_the_setting_names(
    database: Database, settings: Settings, press: Asked, home: Path
) -> None:
    await register(database, home / "a.ipynb", "import yaml")
    named = settings.model_copy(update={"preload": ["json", "xml.dom"]})
    async with crew(database, named, press):
        assert await asked(press) == ["json", "xml.dom"]
    nothing = settings.model_copy(update={"preload": []})
    press.asked.clear()
    async with crew(database, nothing, press):
        assert await asked(press) == []
    assert press.asked == [[]]


async def test_a_press_whose_fork_servers_are_shared_is_left_as_it_is(
    database: Database, settings: Settings, press: Asked, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def refuse(_: Press, modules: Sequence[str]) -> None:
        press.asked.append(list(modules))
        raise ValueError("they are not its own")

    monkeypatch.setattr(Asked, "preload", refuse)
    async with crew(database, settings.model_copy(update={"preload": ["json"]}), press):
        assert await asked(press) == ["json"]
    assert "json cannot be preloaded: they are not its own" in caplog.text


class Made(Press):
    """The press that a worker makes for itself; what it was made with, and how often it was closed."""

    made: list["Made"] = []  # noqa: RUF012

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.options, self.closed = options, 0
        self.made.append(self)

    async def close(self) -> None:
        self.closed += 1
        await super().close()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Made]:
    monkeypatch.setattr(Made, "made", [])
    monkeypatch.setattr("pressroom.executions.tasks.Press", Made)
    return Made.made


@pytest.mark.parametrize(("preload", "given"), [("auto", ()), ([], None), (["json", "xml.dom"], ["json", "xml.dom"])])
async def test_a_worker_makes_its_press_of_the_setting_and_closes_it(
    database: Database, settings: Settings, made: list[Made], preload: Any, given: Any
) -> None:
    shop = shop_of(database, settings.model_copy(update={"preload": preload}), None)
    async with open_crew(shop, Staffing(1, grace_seconds=0)):
        [press] = made
        assert (press.options["preload"], press.closed) == (given, 0)
    assert press.closed == 1


async def test_a_worker_that_fails_closes_its_press_too(
    database: Database, settings: Settings, made: list[Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = shop_of(database, settings, None)
    with pytest.raises(ZeroDivisionError):
        async with open_crew(shop, Staffing(1, grace_seconds=0)):
            raise ZeroDivisionError

    def fail(_: Workshop) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("pressroom.worker.open_sweep", fail)
    with pytest.raises(ZeroDivisionError):
        async with open_crew(shop, Staffing(1, grace_seconds=0)):
            pytest.fail("it has not begun")
    assert [press.closed for press in made] == [1, 1]


async def test_a_press_that_a_worker_was_given_stays_open(database: Database, settings: Settings) -> None:
    given = Made(environment={}, preload=())
    async with crew(database, settings, given):
        pass
    assert given.closed == 0
    await given.close()


async def test_an_outage_is_told_and_outlived(
    settings: Settings, press: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    away = Database(URL.create("postgresql+psycopg", host="127.0.0.1", port=1))
    preloading = Preloading(shop_of(away, settings, press), press)
    with caplog.at_level(logging.WARNING, "pressroom.kernels"):
        looking = asyncio.create_task(preloading.run())
        async with asyncio.timeout(PATIENCE):
            while "cannot be seen" not in caplog.text:
                await asyncio.sleep(0.05)
        assert not looking.done()
        looking.cancel()
    await away.dispose()
