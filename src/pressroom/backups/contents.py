"""What is in a database: its revision, its tables' rows, and what would have to go before another is restored."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import URL

from pressroom.database.models import Base
from pressroom.database.objects import FUNCTIONS, SEQUENCES, VERSION_TABLE
from pressroom.database.outage import outages
from pressroom.database.url import conninfo
from pressroom.errors import shown

Connection = psycopg.Connection[tuple[Any, ...]]
_TABLES = """
SELECT relname::text FROM pg_class
WHERE relnamespace = to_regnamespace('public') AND relkind IN ('r', 'p') ORDER BY relname
"""
# All that a schema can hold of its own, and the statement that removes it, unless it has gone with another thing.
# What an extension brought is not its own.
_THINGS = """
WITH things (kind, name, object, removal) AS (
    SELECT CASE WHEN relkind IN ('r', 'p') THEN 'table' WHEN relkind = 'S' THEN 'sequence' ELSE 'view' END,
        relname::text, oid,
        CASE WHEN relkind IN ('r', 'p') THEN format('DROP TABLE IF EXISTS public.%I CASCADE', relname)
            WHEN relkind = 'S' THEN format('DROP SEQUENCE IF EXISTS public.%I CASCADE', relname) END
    FROM pg_class AS c WHERE relnamespace = to_regnamespace('public') AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        AND NOT EXISTS (
            SELECT FROM pg_depend WHERE classid = CAST('pg_class' AS regclass) AND objid = c.oid
                AND refobjsubid > 0 AND deptype IN ('a', 'i')
        )
    UNION ALL
    SELECT 'function', proname::text, oid,
        format('DROP ROUTINE IF EXISTS public.%I(%s) CASCADE', proname, pg_get_function_identity_arguments(oid))
    FROM pg_proc WHERE pronamespace = to_regnamespace('public')
    UNION ALL
    SELECT 'type', t.typname::text, t.oid, format('DROP TYPE IF EXISTS public.%I CASCADE', t.typname)
    FROM pg_type AS t LEFT JOIN pg_class AS c ON c.oid = t.typrelid
    WHERE t.typnamespace = to_regnamespace('public') AND (t.typtype IN ('e', 'd') OR c.relkind = 'c')
)
SELECT kind, name, removal FROM things
WHERE NOT EXISTS (SELECT FROM pg_depend WHERE objid = things.object AND deptype = 'e')
ORDER BY kind <> 'table', kind, name
"""
_PROCRASTINATE = "procrastinate_"
_OURS = {
    "table": frozenset({*Base.metadata.tables, VERSION_TABLE}),
    "function": frozenset(FUNCTIONS),
    "sequence": frozenset(SEQUENCES),
}


@dataclass(frozen=True, slots=True)
class Present:
    """What is in the schema of a database. ``in_the_way``: what a restore would have to destroy, in words;
    ``empty``: tables without a row; ``removals``: the statements that take away an empty schema of Pressroom's."""

    in_the_way: tuple[str, ...]
    empty: tuple[str, ...]
    removals: tuple[str, ...]


@contextmanager
def connected(url: URL) -> Iterator[Connection]:
    """A connection, each statement a transaction of its own. Raises ``Unavailable`` where it cannot be had."""
    bounded = url if "connect_timeout" in url.query else url.update_query_dict({"connect_timeout": "10"})
    with outages(url), psycopg.connect(conninfo(bounded), autocommit=True) as connection:
        yield connection


def revision(connection: Connection) -> str | None:
    """The revision of the schema; ``None`` where nothing was ever migrated."""
    there = connection.execute("SELECT to_regclass('public.alembic_version') IS NOT NULL").fetchone()
    if there != (True,):
        return None
    row = connection.execute("SELECT version_num FROM public.alembic_version").fetchone()
    return None if row is None else str(row[0])


def counts(connection: Connection) -> dict[str, int]:
    """The rows of each table."""
    return {str(name): rows(connection, str(name)) for (name,) in connection.execute(_TABLES).fetchall()}


def rows(connection: Connection, table: str) -> int:
    """The rows of a table."""
    counted = connection.execute(sql.SQL("SELECT count(*) FROM public.{}").format(sql.Identifier(table))).fetchone()
    return 0 if counted is None else int(counted[0])


def present(connection: Connection) -> Present:
    """What is there. Tables without a row, and functions, are in nobody's way if they are Pressroom's."""
    in_the_way, empty, removals = list[str](), list[str](), list[str]()
    for kind, name, removal in connection.execute(_THINGS).fetchall():
        if not (name in _OURS.get(kind, ()) or name.startswith(_PROCRASTINATE)):
            in_the_way.append(f"the {kind} {shown(name)}, which is not Pressroom's")
        elif kind == "table" and name != VERSION_TABLE:
            if number := rows(connection, name):
                in_the_way.append(f"{number:,} {'row' if number == 1 else 'rows'} in {name}")
            empty.append(str(name))
        removals.append(str(removal))
    return Present(tuple(in_the_way), tuple(empty), tuple(removals))


def owner_to_act_as(connection: Connection) -> str | None:
    """The role that owns the database, where that is another one than is connected, and it may act as it: what is made
    is to be the owner's, as ``setup_database.sh`` has it."""
    right = "SET" if connection.info.server_version >= 160000 else "MEMBER"
    row = connection.execute(
        "SELECT r.rolname::text FROM pg_database AS d JOIN pg_roles AS r ON r.oid = d.datdba "
        "WHERE d.datname = current_database() AND r.rolname <> current_user AND pg_has_role(r.oid, %s)",
        (right,),
    ).fetchone()
    return None if row is None else str(row[0])
