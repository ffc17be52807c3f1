"""Which ids were submitted in which hour: every execution is in ``execution_hours``, whoever writes it and how."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import URL

INSERT = (
    "INSERT INTO notebook_executions (username, status, input_path, submitted_at) "
    "SELECT 'ana', 'success', '/n.ipynb', timestamptz '2026-01-01T00:00:00Z' + g * interval '{}' "
    "FROM generate_series(1, {}) g"
)
MISSING = """
SELECT id, submitted_at FROM notebook_executions AS e WHERE NOT EXISTS (
    SELECT FROM execution_hours WHERE hour = date_trunc('hour', e.submitted_at, 'UTC') AND block = e.id >> 10)
"""
STATEMENTS = (
    INSERT.format("7 min", 3000),
    "UPDATE notebook_executions SET submitted_at = submitted_at - interval '1 year' WHERE id % 3 = 0",
    "UPDATE notebook_executions SET id = id + 100000 WHERE id % 3 = 0",
    """COPY notebook_executions (username, status, input_path, submitted_at)
    FROM PROGRAM 'printf "a\\tsuccess\\t/\\t2019-05-05T01:02:03Z\\n"'""",
    """INSERT INTO notebook_executions (id, username, status, input_path, submitted_at)
    VALUES (1, 'x', 'success', '/', '2001-01-01'), (9999, 'x', 'failed', '/', '2001-01-01')
    ON CONFLICT (id) DO UPDATE SET submitted_at = '2002-02-02'""",
    """MERGE INTO notebook_executions e USING generate_series(1, 60) n ON e.id = n
    WHEN MATCHED AND n % 2 = 0 THEN DELETE
    WHEN MATCHED THEN UPDATE SET submitted_at = '2003-03-03'
    WHEN NOT MATCHED THEN INSERT (username, status, input_path) VALUES ('m', 'success', '/')""",
)


def connect(url: URL) -> psycopg.Connection:
    return psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True)


@pytest.fixture
def connection(database_url: URL) -> Iterator[psycopg.Connection]:
    with connect(database_url) as connection:
        connection.execute(INSERT.format("1 min", 50))
        yield connection


def entries(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT count(*) FROM execution_hours").fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
@pytest.mark.parametrize("statement", STATEMENTS)
def test_every_kind_of_statement_notes_the_hours_of_its_rows(
    connection: psycopg.Connection, statement: str, zone: str
) -> None:
    connection.execute(f"SET timezone = '{zone}'")
    before = entries(connection)
    connection.execute(statement)
    assert entries(connection) > before
    assert connection.execute(MISSING).fetchall() == []


def test_what_is_noted_is_not_noted_again(connection: psycopg.Connection) -> None:
    assert entries(connection) == 1
    for _ in range(5):
        connection.execute(INSERT.format("1 min", 50))
    connection.execute("UPDATE notebook_executions SET status = 'failed', submitted_at = submitted_at")
    assert entries(connection) == 1
    connection.execute(INSERT.format("1 min", 60))
    assert entries(connection) == 2


def test_the_search_path_does_not_matter(connection: psycopg.Connection) -> None:
    connection.execute("SET search_path = ''")
    connection.execute(INSERT.replace("notebook_executions", "public.notebook_executions").format("1 day", 3))
    connection.execute("SET search_path = public")
    assert connection.execute(MISSING).fetchall() == []


def test_writers_at_the_same_time_miss_none_and_do_not_wait(connection: psycopg.Connection, database_url: URL) -> None:
    with connect(database_url) as first, first.transaction():
        first.execute(INSERT.format("1 day", 5))
        with connect(database_url) as second:
            second.execute("SET lock_timeout = '5s'")
            second.execute(INSERT.format("1 day", 5))
    with connect(database_url) as undone, undone.transaction(force_rollback=True):
        undone.execute(INSERT.format("1 month", 5))
        connection.execute(INSERT.format("1 month", 5))
    assert connection.execute(MISSING).fetchall() == []

    def write(days: int) -> None:
        with connect(database_url) as own:
            for _ in range(20):
                own.execute(INSERT.format(f"{days} days", 40))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(1, 5)))
    assert connection.execute(MISSING).fetchall() == []
