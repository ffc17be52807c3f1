"""Transactions, outages, and opening the database that the settings name."""

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import URL, func, select, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from pressroom.database import migrate, revisions
from pressroom.database.embedded import EmbeddedServer
from pressroom.database.models import Notebook, Parameter
from pressroom.database.postmaster import Postmaster
from pressroom.database.session import Database, open_database, violated
from pressroom.database.url import normalise
from pressroom.errors import Invalid, Unavailable
from pressroom.settings import Settings


def sales() -> Notebook:
    return Notebook(name="sales", file_path="/home/ann/sales.ipynb", username="ann", tags=["a"])


async def number_of_notebooks(database: Database) -> int:
    async with database.transaction() as session:
        return (await session.execute(select(func.count()).select_from(Notebook))).scalar_one()


def as_text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@pytest.fixture
def own_server(open_directory: Path) -> Iterator[tuple[URL, Postmaster]]:
    """A server that the test may stop."""
    with EmbeddedServer(open_directory / "data") as url:
        yield url, Postmaster((open_directory / "data").resolve())


async def test_a_transaction_is_committed_at_its_end_and_its_objects_stay_readable(database: Database) -> None:
    async with database.transaction() as session:
        notebook = sales()
        session.add(notebook)
    assert (notebook.id, notebook.name) == (1, "sales")
    assert await number_of_notebooks(database) == 1


async def test_a_transaction_is_rolled_back_on_an_error(database: Database) -> None:
    async def work() -> None:
        async with database.transaction() as session:
            session.add(sales())
            await session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    assert await number_of_notebooks(database) == 0


async def test_a_transaction_is_rolled_back_when_it_is_cancelled(database: Database) -> None:
    inside = asyncio.Event()

    async def work() -> None:
        async with database.transaction() as session:
            session.add(sales())
            await session.flush()
            inside.set()
            await session.execute(text("SELECT pg_sleep(60)"))

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await number_of_notebooks(database) == 0


async def test_the_constraint_that_a_statement_broke_is_named(database: Database) -> None:
    async with database.transaction() as session:
        session.add(sales())
    for wrong, name in (
        (sales(), "uq_notebooks_file_path"),
        (Notebook(name="sales", file_path="/x", username="ann"), "uq_notebooks_name_username"),
        (
            Parameter(notebook_id=99, param_name="a", param_type="integer"),
            "fk_notebook_parameters_notebook_id_notebooks",
        ),
    ):
        with pytest.raises(IntegrityError) as broken:
            async with database.transaction() as session:
                session.add(wrong)
        assert violated(broken.value) == name


async def test_a_wrong_statement_is_no_outage(database: Database) -> None:
    with pytest.raises(ProgrammingError):
        async with database.transaction() as session:
            await session.execute(text("SELECT nonsense"))


async def test_a_restart_of_the_server_is_not_felt_by_whoever_comes_after(own_server: tuple[URL, Postmaster]) -> None:
    url, postmaster = own_server
    database = Database(url, 3)

    async def ask() -> int:
        async with database.transaction() as session:
            return (await session.execute(text("SELECT pg_backend_pid() FROM pg_sleep(0.05)"))).scalar_one()

    try:
        before = set(await asyncio.gather(*(ask() for _ in range(3))))
        assert len(before) == 3
        await asyncio.to_thread(postmaster.stop)
        with pytest.raises(Unavailable, match="The database cannot be reached: "):
            await ask()
        await asyncio.to_thread(postmaster.start)
        assert before.isdisjoint(await asyncio.gather(*(ask() for _ in range(6))))
    finally:
        await database.dispose()


async def test_a_transaction_under_way_during_a_restart_is_told_of_the_outage(
    own_server: tuple[URL, Postmaster],
) -> None:
    url, postmaster = own_server
    database = Database(url, 1)

    async def work() -> None:
        async with database.transaction() as session:
            await session.execute(text("SELECT 1"))
            await asyncio.to_thread(postmaster.stop)
            await asyncio.to_thread(postmaster.start)
            await session.execute(text("SELECT 1"))

    try:
        with pytest.raises(Unavailable, match="The database cannot be reached: "):
            await work()
        await database.ping(5)
    finally:
        await database.dispose()


async def test_a_connection_that_was_killed_is_replaced_unseen(database: Database, server: URL) -> None:
    async with database.transaction() as session:
        pid = (await session.execute(text("SELECT pg_backend_pid()"))).scalar_one()
    other = Database(server)
    async with other.transaction() as session:
        # Returns when the backend is gone.
        assert (await session.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})).scalar_one()
    await other.dispose()
    assert await number_of_notebooks(database) == 0


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ann:s3cret@127.0.0.1:1/x",
        "host=/nowhere user=ann password=s3cret",
        "postgresql://ann:s3cret@nowhere.invalid/x",
    ],
)
async def test_a_server_that_is_not_there_is_said_in_words_without_the_password(address: str) -> None:
    settings = Settings(database_url=address)
    with pytest.raises(Unavailable, match="The database cannot be reached: ") as outage:
        async with open_database(settings):
            pass
    assert "s3cret" not in outage.value.detail
    with pytest.raises(Unavailable) as outage:
        await asyncio.to_thread(migrate.check, normalise(address))
    assert "s3cret" not in outage.value.detail


async def test_a_wrong_address_is_refused_when_it_is_opened() -> None:
    with pytest.raises(Invalid, match="only PostgreSQL"):
        async with open_database(Settings(database_url="mysql://ann@db/x")):
            pass


async def test_a_missing_database_is_said_by_name(server: URL) -> None:
    with pytest.raises(Unavailable, match='"nosuch" does not exist'):
        async with open_database(Settings(database_url=as_text(server.set(database="nosuch")))):
            pass


async def test_a_ping_of_a_silent_server_ends_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never says anything
        database = Database(normalise(f"postgresql://ann@127.0.0.1:{silent.getsockname()[1]}/x"))
        with pytest.raises(Unavailable, match=r"did not answer within 0\.2 seconds"):
            await database.ping(0.2)
        await database.dispose()


async def test_a_ping_of_a_server_that_falls_silent_is_not_held_up(own_server: tuple[URL, Postmaster]) -> None:
    url, postmaster = own_server
    database = Database(url)
    await database.ping(5)
    running = postmaster.process()
    assert running is not None
    stopped = [running, *running.children()]
    for process in stopped:
        process.suspend()
    try:
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(Unavailable, match=r"did not answer within 0\.04 seconds"):
                await database.ping(0.04)
            assert time.monotonic() - began < 1
    finally:
        for process in stopped:
            process.resume()
    await asyncio.sleep(0.5)
    await database.ping(5)
    await database.dispose()


async def test_a_database_at_another_revision_is_not_opened(empty_database_url: URL) -> None:
    settings = Settings(database_url=as_text(empty_database_url))
    with pytest.raises(
        Unavailable, match=f"at no revision and this version needs {revisions.head()}; run `pressroom db upgrade`"
    ):
        async with open_database(settings):
            pass
    migrate.upgrade(empty_database_url, "0001")
    with pytest.raises(
        Unavailable, match=f"at revision 0001 and this version needs {revisions.head()}; run `pressroom db upgrade`"
    ):
        async with open_database(settings):
            pass
    migrate.upgrade(empty_database_url)
    async with open_database(settings) as database:
        await database.ping(5)
        async with database.transaction() as session:
            await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Unavailable, match="9999, which this version does not know"):
        async with open_database(settings):
            pass


async def test_without_an_address_the_embedded_server_is_started_migrated_and_stopped(open_directory: Path) -> None:
    settings = Settings(database_url=None, data_dir=open_directory / "data")
    for number in (0, 1):  # what was written is there the next time
        async with open_database(settings) as database:
            process = Postmaster((open_directory / "data").resolve()).process()
            assert process is not None
            assert await number_of_notebooks(database) == number
            async with database.transaction() as session:
                session.add(Notebook(name=f"n{number}", file_path=f"/{number}", username="ann"))
        assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


async def test_a_start_that_is_cancelled_leaves_no_server(open_directory: Path) -> None:
    settings = Settings(database_url=None, data_dir=open_directory / "data")

    async def work() -> None:
        async with open_database(settings):
            pass

    task = asyncio.create_task(work())
    await asyncio.sleep(0)  # the thread that starts the server is on its way
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert Postmaster((open_directory / "data").resolve()).process() is None
    with EmbeddedServer(open_directory / "data"):  # and nothing is in the way of the next
        pass
