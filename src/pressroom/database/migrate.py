"""Bringing a database to the schema that this version needs, and saying how far it is from it."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import URL, Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from pressroom.database.models import Base
from pressroom.database.outage import unavailable
from pressroom.database.revisions import SCRIPTS, current, head, known, unknown_revision
from pressroom.errors import Unavailable

_LOCK = 4_851_201_701
"""The key of the advisory lock that lets one process migrate at a time."""


@dataclass(frozen=True, slots=True)
class State:
    """How a database's schema stands to this version."""

    current: str | None
    """The revision that the database is at; ``None`` where nothing was ever migrated."""
    head: str
    """The revision that this version needs."""
    differences: tuple[str, ...] = ()
    """What differs from the models, a line each, where the revisions are the same."""

    @property
    def up_to_date(self) -> bool:
        """Whether this version can work on the database."""
        return self.current == self.head and not self.differences


def upgrade(url: URL, revision: str = "head", *, before: Callable[[Connection], None] | None = None) -> None:
    """Bring a database to ``revision``, in one transaction; of several who do so at once, one works and the rest wait.

    ``before`` is called with the connection first, in that transaction. Raises ``Unavailable`` where the database
    cannot be reached, or is at a revision of a later version.
    """
    with _connected(url) as connection:
        if before is not None:
            before(connection)
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        found = current(connection)
        if found is not None and found not in known():
            raise Unavailable("database", unknown_revision(found))
        settings = _settings()
        settings.attributes["connection"] = connection
        command.upgrade(settings, revision)


def check(url: URL) -> State:
    """How a database's schema stands to this version. Raises ``Unavailable`` where it cannot be reached."""
    with _connected(url) as connection:
        found, needed = current(connection), head()
        return State(found, needed, tuple(differences(connection)) if found == needed else ())


def differences(connection: Connection) -> list[str]:
    """What a database has otherwise than the models, a line each; other tables in it are not looked at."""

    def ours(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "table" or name in Base.metadata.tables

    options = {"include_name": ours, "compare_server_default": True}
    return [
        repr(change) for change in compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)
    ]


def _settings() -> Config:
    settings = Config(stdout=StringIO())
    settings.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    return settings


@contextmanager
def _connected(url: URL) -> Generator[Connection]:
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.begin() as connection:
            yield connection
    except DBAPIError as error:
        if (outage := unavailable(error, url)) is not None:
            raise outage from error
        raise
    finally:
        engine.dispose()
