"""How many executions a caller may start: what is not used grows with time, up to a minute's worth, for all processes
of a service together."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from pressroom.database.session import Connection
from pressroom.errors import OverLimit, TooMany

SETTING = "PRESSROOM_EXECUTIONS_PER_MINUTE"
_GROWN = """
least(%(most)s, a.unused + greatest(0, extract(epoch FROM clock_timestamp() - a.at)) * %(most)s / 60.0)
"""
_TAKE = f"""
INSERT INTO execution_allowances AS a (username, unused, at)
VALUES (%(caller)s, %(most)s - %(count)s, clock_timestamp())
ON CONFLICT (username) DO UPDATE SET unused = {_GROWN} - %(count)s, at = clock_timestamp()
WHERE {_GROWN} >= %(count)s
RETURNING username
"""  # noqa: S608 - no value of anybody's is in it
# The row is locked by the try before, so this is what the try saw.
_WAIT = f"""
SELECT ceil((%(count)s - {_GROWN}) * 60.0 / %(most)s)::integer FROM execution_allowances AS a
WHERE username = %(caller)s
"""  # noqa: S608


async def require_left(connection: Connection, caller: str, count: int, per_minute: int | None) -> None:
    """Raise as :func:`taken` where there is not so much left as things stand. Takes nothing, and locks nothing: it is
    asked before what costs much."""
    if per_minute is None:
        return
    if count > per_minute:
        raise OverLimit("executions", count, per_minute, SETTING)
    facts = {"caller": caller, "count": count, "most": per_minute}
    row = await (await connection.execute(_WAIT, facts)).fetchone()
    if row is not None and row[0] > 0:
        raise TooMany(f"{caller} has started too many executions", per_minute, SETTING, row[0])


@asynccontextmanager
async def taken(connection: Connection, caller: str, count: int, per_minute: int | None) -> AsyncGenerator[None]:
    """Take ``count`` of what ``caller`` may start, in one transaction with what is done inside; where ``per_minute`` is
    ``None``, nothing.

    Raises :class:`TooMany` where there is not so much left, and :class:`OverLimit` where there never is.
    """
    if per_minute is None:
        yield
        return
    if count > per_minute:
        raise OverLimit("executions", count, per_minute, SETTING)
    facts = {"caller": caller, "count": count, "most": per_minute}
    async with connection.transaction():
        if await (await connection.execute(_TAKE, facts)).fetchone() is None:
            row = await (await connection.execute(_WAIT, facts)).fetchone()
            seconds = max(1, row[0]) if row is not None else 1
            raise TooMany(f"{caller} has started too many executions", per_minute, SETTING, seconds)
        yield
