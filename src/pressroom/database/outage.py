"""Which errors of the driver mean that the database cannot be reached, and not that a statement was wrong."""

from collections.abc import Generator
from contextlib import contextmanager

import psycopg
from procrastinate.exceptions import ConnectorException
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pressroom.database.url import without_password
from pressroom.errors import Unavailable, shown

# Classes of SQLSTATE: connection failed, no right to connect, no such database, out of resources, shutting down.
_STATES = ("08", "28", "3D", "53", "57P")


@contextmanager
def outages(url: URL) -> Generator[None]:
    """Raise ``Unavailable`` for the errors inside which tell that the database of ``url`` cannot be reached."""
    try:
        yield
    except (DBAPIError, PoolTimeoutError, ConnectorException, psycopg.Error) as error:
        if (outage := unavailable(error, url)) is not None:
            raise outage from error
        raise


def unavailable(
    error: DBAPIError | PoolTimeoutError | ConnectorException | psycopg.Error, url: URL
) -> Unavailable | None:
    """The outage that ``error`` tells of, in words without the password of ``url``; ``None`` where it tells of none."""
    if isinstance(error, PoolTimeoutError):
        return Unavailable("database", "all of this service's connections to it have been busy for too long")
    # Procrastinate writes jobs in our transactions, and wraps what the driver raises in an error of its own.
    ours = isinstance(error, DBAPIError)
    cause = error if isinstance(error, psycopg.Error) else error.orig if ours else error.__cause__
    if not isinstance(cause, psycopg.Error):
        return None
    state = cause.sqlstate
    broken = (ours and error.connection_invalidated) or (state is None and isinstance(cause, psycopg.OperationalError))
    if not broken and not (state or "").startswith(_STATES):
        return None
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    why = shown("; ".join(lines[:3]), 500).rstrip(".") or "the connection was lost"
    return Unavailable("database", without_password(why, url))
