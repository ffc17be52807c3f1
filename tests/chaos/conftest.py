"""An installation for each test, on a PostgreSQL server of these tests' own, which may be stopped and killed."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from sqlalchemy import URL

from chaos.plant import Plant, small_disk
from chaos.work import write_notebooks
from pressroom.database import migrate
from pressroom.database.embedded import EmbeddedServer
from pressroom.database.postmaster import Postmaster


@pytest.fixture(scope="session")
def cluster() -> Iterator[tuple[URL, Postmaster]]:
    """A server with a migrated database to make others from."""
    directory = Path(tempfile.mkdtemp(prefix="pressroom-chaos-", dir="/tmp"))
    directory.chmod(0o755)
    embedded = EmbeddedServer(directory / "data")
    url = embedded.start()
    try:
        with psycopg.connect(_conninfo(url), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        migrate.upgrade(url)
        yield url, Postmaster((directory / "data").resolve())
    finally:
        embedded.stop()
        shutil.rmtree(directory)


def _conninfo(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture
def root() -> Iterator[Path]:
    """A short folder with a small disk of its own for the users."""
    made = Path(tempfile.mkdtemp(prefix="chaos-", dir="/tmp"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def lost_seconds() -> float | None:
    """After how long a worker is lost; ``None`` for the product's own default."""
    return 3.0


@pytest.fixture
def plant(cluster: tuple[URL, Postmaster], root: Path, lost_seconds: float | None) -> Iterator[Plant]:
    """An installation in which nothing runs yet; nothing of it is left after the test, whatever happened."""
    url, postmaster = cluster
    postmaster.start()
    name = f"chaos_{uuid.uuid4().hex}"
    with psycopg.connect(_conninfo(url.set(database="postgres")), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE {name} TEMPLATE "{url.database}"')
    plant = Plant(root, url.set(database=name), postmaster, lost_seconds)
    with small_disk(plant.users, 16):
        for user in ("ana", "ben"):
            (plant.users / user).mkdir()
        try:
            yield plant
        finally:
            plant.kill_all()
            plant.show()
            if kept := os.environ.get("PRESSROOM_CHAOS_KEEP"):
                plant.keep(kept)
            postmaster.start()


@pytest.fixture
def http(plant: Plant) -> Iterator[httpx.Client]:
    """A client of the installation's API. The notebooks of every kind are written."""
    write_notebooks(plant.users)
    with plant.serving() as client:
        yield client
