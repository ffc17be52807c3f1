"""Making Pressroom's role and database on a server that is already there: ``python -m pressroom.database.setup``.

The administrator's connection is ``PRESSROOM_ADMIN_URL`` or the one argument, in SQLAlchemy's or libpq's spelling;
what they leave out comes from libpq's variables (``PGHOST``, ``PGUSER``, ``PGPASSWORD``, ...). The role's password is
``PRESSROOM_DATABASE_PASSWORD``, or a new role gets one made up, which is printed once. It can be run again: what is
there stays, and the password of a role that is there changes only if one is given.
"""

import os
import secrets
import sys
from collections.abc import Sequence
from typing import LiteralString

import psycopg
from psycopg import sql
from sqlalchemy import URL, Connection, text

from pressroom.database import migrate
from pressroom.database.models import Base
from pressroom.database.url import conninfo, normalise, safe, without_password
from pressroom.errors import Invalid, PressroomError, Unavailable, shown

NAME = "notebook_manager"
"""The name of the role and of the database."""

_FUNCTIONS = (
    "count_executions", "fold_execution_counts", "wake_workers", "tell_status", "claim_execution", "end_attempt",
    "counted_tries", "announce", "note_executions", "note_hour", "parameters_of", "note_parameters",
    "forget_parameters", "refuse_change", "clear_batch", "tell_batch", "settle_batch", "batch_lock", "claim_group",
    "note_for_mlflow",
)  # fmt: skip
# Statements that give the role what is Pressroom's or Procrastinate's and belongs to somebody else. A sequence of a
# column goes with its table, and a table's row type too.
_GIVE = text(r"""
WITH things (statement, named, owned_by) AS (
    SELECT
        format(
            'ALTER %s %s OWNER TO %I',
            CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, CAST(oid AS regclass), CAST(:owner AS text)
        ),
        CASE WHEN relkind = 'r' THEN relname = ANY (:tables) OR relname LIKE 'procrastinate\_%'
            ELSE relname = 'execution_turns_seq' END,
        relowner
    FROM pg_class WHERE relkind IN ('r', 'S') AND relnamespace = to_regnamespace('public')
    UNION ALL
    SELECT format('ALTER FUNCTION %s OWNER TO %I', CAST(oid AS regprocedure), CAST(:owner AS text)),
        proname = ANY (:functions) OR proname LIKE 'procrastinate\_%', proowner
    FROM pg_proc WHERE pronamespace = to_regnamespace('public')
    UNION ALL
    SELECT format('ALTER TYPE %s OWNER TO %I', CAST(t.oid AS regtype), CAST(:owner AS text)),
        t.typname LIKE 'procrastinate\_%', t.typowner
    FROM pg_type AS t LEFT JOIN pg_class AS c ON c.oid = t.typrelid
    WHERE t.typnamespace = to_regnamespace('public') AND (t.typtype = 'e' OR c.relkind = 'c')
)
SELECT statement FROM things WHERE named AND pg_get_userbyid(owned_by) <> CAST(:owner AS text)
""")

Admin = psycopg.Connection[tuple[object, ...]]


def set_up(admin: URL, password: str | None = None) -> tuple[URL, bool]:
    """Make role and database ``notebook_manager`` as ``admin``, if they are missing, and migrate the database.

    Returns the URL for the service, and whether the role was made. The URL has a password if one was given or made up.
    Raises ``Unavailable`` where the server cannot be reached, and ``Invalid`` where ``admin`` may not do this.
    """
    try:
        with psycopg.connect(conninfo(admin), autocommit=True) as connection:
            made = not _exists(connection, "SELECT FROM pg_roles WHERE rolname = %s")
            if made:
                password = password or secrets.token_urlsafe(24)
            _make_role(connection, password, made=made)
            _make_database(connection)
            host, port, user = connection.info.host, connection.info.port, connection.info.user
    except psycopg.OperationalError as error:
        raise Unavailable("database", without_password(shown(str(error), 500).rstrip("."), admin)) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise Invalid(f"The administrator's role may not do this: {error.diag.message_primary}.") from error
    # As the role, so that it owns what is made; its password need not be known for that.
    migrate.upgrade(admin.set(database=NAME), before=_become_role)
    url = admin.set(username=NAME, password=password, database=NAME)
    return (url if url.host or "host" in url.query else _reached(url, host, port)), made and user != NAME


def main(arguments: Sequence[str]) -> int:
    """Set up, and say what the service's ``DATABASE_URL`` is; the exit code."""
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        print(__doc__, file=sys.stderr)
        return 0 if arguments[0] in ("-h", "--help") else 2
    given = arguments[0] if arguments else os.environ.get("PRESSROOM_ADMIN_URL", "")
    password = os.environ.get("PRESSROOM_DATABASE_PASSWORD") or None
    try:
        admin = normalise(given or "postgresql://")
        if admin.database is None:
            admin = admin.set(database=os.environ.get("PGDATABASE") or "postgres")
        url, made = set_up(admin, password)
    except PressroomError as error:
        print(error.detail, file=sys.stderr)
        return 1
    if made and password is None:
        print("The role notebook_manager has a new password. It is shown this once:")
        print(f"DATABASE_URL={url.render_as_string(hide_password=False)}")
    else:
        whose = "PRESSROOM_DATABASE_PASSWORD" if password else "as it was"
        print(f"The database is ready; *** stands for the role's password ({whose}):")
        print(f"DATABASE_URL={safe(url.set(password=password or 'hidden'))}")
    return 0


def _reached(url: URL, host: str, port: int) -> URL:
    """``url`` with the host and port that libpq took from its environment."""
    if host.startswith(("/", "@")):
        return url.update_query_dict({"host": host, "port": str(port)})
    query = {key: value for key, value in url.query.items() if key != "port"}
    return url.set(host=host, port=port, query=query)


def _exists(admin: Admin, query: LiteralString) -> bool:
    return admin.execute(query, (NAME,)).fetchone() is not None


def _make_role(admin: Admin, password: str | None, *, made: bool) -> None:
    if made:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(NAME)))
    if password is not None:
        # Encrypted here, so that no log of the server ever has it.
        encrypted = admin.pgconn.encrypt_password(password.encode(), NAME.encode(), None).decode()
        admin.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(NAME), sql.Literal(encrypted)))
    # Whoever is no superuser must be a member to give the role a database; since 16 a maker is one without that right.
    right = "SET" if admin.info.server_version >= 160000 else "MEMBER"
    member = admin.execute("SELECT pg_has_role(%s, %s)", (NAME, right)).fetchone()
    if member != (True,):
        admin.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(NAME)))


def _make_database(admin: Admin) -> None:
    if not _exists(admin, "SELECT FROM pg_database WHERE datname = %s"):
        name = sql.Identifier(NAME)
        # template0, because only that one can be had in UTF-8 whatever the server's own encoding.
        admin.execute(sql.SQL("CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0").format(name, name))
    owner = admin.execute(
        "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s AND pg_get_userbyid(datdba) <> %s",
        (NAME, NAME),
    ).fetchone()
    if owner is not None:
        raise Invalid(
            f"The database {NAME} belongs to the role {shown(str(owner[0]))}. If it is Pressroom's, give it over with "
            f"ALTER DATABASE {NAME} OWNER TO {NAME}, and run this again."
        )


def _become_role(connection: Connection) -> None:
    """Give the role what another made in its database, and act as the role from here on."""
    ours = {"tables": [*Base.metadata.tables, "alembic_version"], "functions": list(_FUNCTIONS), "owner": NAME}
    for statement in connection.execute(_GIVE, ours).scalars().all():
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql(f"SET LOCAL ROLE {connection.dialect.identifier_preparer.quote(NAME)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
