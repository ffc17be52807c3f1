"""The database: whether it can be reached, its schema, its clock. All of it blocks."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from sqlalchemy import URL

from pressroom.database import migrate, revisions
from pressroom.database.outage import unavailable
from pressroom.database.url import conninfo, safe, without_password
from pressroom.doctor.case import Case
from pressroom.doctor.findings import Finding, ok, warning, wrong
from pressroom.errors import PressroomError, shown

OLDEST_MAJOR = 14
"""PostgreSQL's makers mend older versions no more."""
START = 'pg_isready --dbname "$DATABASE_URL"; systemctl start postgresql, where the server runs'
"""Says whether a server listens there, and starts one that does not."""
Connection = psycopg.Connection[tuple[Any, ...]]
_FACTS = "SELECT current_setting('server_version_num')::int, pg_encoding_to_char(encoding), current_setting('TimeZone')"


@contextmanager
def connected(case: Case) -> Iterator[Connection]:
    """A connection on which nothing takes longer than the case allows."""
    assert case.url is not None
    with psycopg.connect(conninfo(bounded(case.url, case.answer_seconds)), autocommit=True) as connection:
        connection.execute("SELECT set_config('statement_timeout', %s, false)", (f"{case.answer_seconds:g}s",))
        yield connection


def bounded(url: URL, seconds: float) -> URL:
    """``url``, with an end to waiting for a connection where it says none. libpq counts whole seconds from 2 on."""
    return (
        url if "connect_timeout" in url.query else url.update_query_dict({"connect_timeout": str(max(2, int(seconds)))})
    )


def told(error: Exception, url: URL) -> str:
    """What went wrong, without the password of ``url``."""
    if isinstance(error, PressroomError):
        return error.detail
    outage = unavailable(error, url) if isinstance(error, psycopg.Error) else None
    return outage.detail if outage is not None else without_password(shown(str(error), 500), url)


def reached(case: Case) -> list[Finding]:
    """Whether the database answers, and is one that Pressroom works on."""
    assert case.url is not None
    part, name = "database", safe(case.url)
    try:
        with connected(case) as connection:
            row = connection.execute(f"{_FACTS} FROM pg_database WHERE datname = current_database()").fetchone()
    except psycopg.Error as error:
        return [wrong(part, f"{name}: {told(error, case.url)}", _mend(error))]
    assert row is not None
    number, encoding, zone = row
    says = f"{name} answers: PostgreSQL {number // 10000}.{number % 10000}, {encoding}, time zone {zone}"
    if encoding != "UTF8":
        mend = "pressroom backup; a database with ENCODING 'UTF8' TEMPLATE template0; pressroom restore"
        return [wrong(part, f"{says}; names in other languages need UTF8", mend)]
    if number // 10000 < OLDEST_MAJOR:
        return [warning(part, f"{says}; a version that is mended no more", "upgrade the server")]
    return [ok(part, says)]


def migrations(case: Case) -> list[Finding]:
    """Whether the schema is the one that this version needs."""
    assert case.url is not None
    part = "migrations"
    try:
        state = migrate.check(bounded(case.url, case.answer_seconds))
    except PressroomError as error:
        return [wrong(part, error.detail, "pressroom db check")]
    if state.current is not None and state.current not in revisions.known():
        return [wrong(part, revisions.unknown_revision(state.current), "pip install --upgrade pressroom")]
    if state.current != state.head:
        at = f"revision {state.current}" if state.current else "no revision"
        return [wrong(part, f"the schema is at {at}, and this version needs {state.head}", "pressroom db upgrade")]
    if state.differences:
        says = f"the schema is at revision {state.head}, but was changed by hand: {shown(str(state.differences[0]))}"
        return [warning(part, says, "pressroom db check")]
    return [ok(part, f"the schema is at revision {state.head}, as this version needs it")]


def clock(case: Case) -> list[Finding]:
    """Whether this machine and the database agree on the time: what is late, lost or due is the database's to say."""
    part = "clock"
    with connected(case) as connection:
        before = datetime.now(UTC)
        row = connection.execute("SELECT clock_timestamp()").fetchone()
        after = datetime.now(UTC)
    assert row is not None
    # Known no better than the answer took.
    doubt = (after - before).total_seconds() / 2
    apart = (row[0] - (before + (after - before) / 2)).total_seconds()
    if abs(apart) - doubt <= case.clock_seconds:
        return [ok(part, f"this machine and the database are {abs(apart):.1f} s apart")]
    which = "behind" if apart > 0 else "ahead of"
    says = f"this machine is {abs(apart):.1f} s {which} the database, and {case.clock_seconds:g} s are allowed"
    return [wrong(part, says, "timedatectl set-ntp true, on the one that is wrong")]


def _mend(error: psycopg.Error) -> str:
    state = error.sqlstate or ""
    if state.startswith(("28", "3D")):
        return "./setup_database.sh, and the DATABASE_URL that it prints"
    return START
