"""The database of a command that works on it as a whole, whatever its schema."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL

from pressroom.database.embedded import EmbeddedServer
from pressroom.database.url import normalise
from pressroom.settings import Settings


@contextmanager
def whole_database() -> Iterator[URL]:
    """Where the database of the settings is, running, and as it is: it is not migrated. Raises ``Invalid`` where its
    address is wrong, and ``Unavailable`` where the embedded server does not start."""
    settings = Settings()
    if settings.database_url is not None:
        yield normalise(settings.database_url.get_secret_value())
        return
    server = EmbeddedServer(settings.data_dir)
    try:
        yield server.start()
    finally:
        server.stop()
