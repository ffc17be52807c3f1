"""Connections to a server over TCP notice that it has vanished."""

import os
import socket
from typing import Any

from sqlalchemy import URL

from link import open_link
from pressroom.database.session import Database
from pressroom.executions.connector import connector_to

OPTIONS = [(socket.SOL_SOCKET, "SO_KEEPALIVE")]
OPTIONS += [(socket.IPPROTO_TCP, f"TCP_{name}") for name in ("KEEPIDLE", "KEEPINTVL", "KEEPCNT", "USER_TIMEOUT")]


def options(connection: Any) -> list[int]:
    """What the system was told of a connection."""
    with socket.socket(fileno=os.dup(connection.pgconn.socket)) as end:
        return [end.getsockopt(level, getattr(socket, name)) for level, name in OPTIONS]


async def test_every_connection_notices_within_seconds_that_the_server_has_vanished(database_url: URL) -> None:
    async with open_link(database_url) as link:
        database = Database(link.url)
        connector = connector_to(database)
        await connector.open_async()
        async with database.statements() as ours, connector.pool.connection() as jobs:
            assert options(ours) == options(jobs) == [1, 5, 2, 3, 11000]
        await connector.close_async()
        await database.dispose()
