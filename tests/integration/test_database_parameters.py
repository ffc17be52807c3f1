"""Which executions have which parameter: every execution is in ``execution_parameters``, whoever writes it and how."""

import json
from collections.abc import Iterator

import httpx
import psycopg
import pytest
from sqlalchemy import URL

INSERT = (
    "INSERT INTO notebook_executions (username, status, input_path, parameters_used) "
    "SELECT 'ana', 'success', '/n.ipynb', jsonb_build_object('n', g % 7, 'name', 'x' || g, 'list', '[1]'::jsonb) "
    "FROM generate_series(1, {}) g"
)
MISSING = """
SELECT e.id FROM notebook_executions AS e CROSS JOIN parameters_of(e.parameters_used) AS p WHERE NOT EXISTS (
    SELECT FROM execution_parameters AS x WHERE x.parameter = p.parameter AND x.execution_id = e.id)
"""
STATEMENTS = (
    INSERT.format(500),
    """UPDATE notebook_executions SET parameters_used = '{"m": true}' WHERE id % 3 = 0""",
    "UPDATE notebook_executions SET id = id + 100000 WHERE id % 3 = 0",
    """COPY notebook_executions (username, status, input_path, parameters_used)
    FROM PROGRAM 'printf "a\\tsuccess\\t/\\t{\\"n\\": 1}\\n"'""",
    """INSERT INTO notebook_executions (id, username, status, input_path, parameters_used)
    VALUES (1, 'x', 'success', '/', '{"n": 1}'), (9999, 'x', 'failed', '/', '{"n": null}')
    ON CONFLICT (id) DO UPDATE SET parameters_used = '{"n": "1"}'""",
    """MERGE INTO notebook_executions e USING generate_series(1, 60) n ON e.id = n
    WHEN MATCHED AND n % 2 = 0 THEN DELETE
    WHEN MATCHED THEN UPDATE SET parameters_used = '{"k": 2.5}'
    WHEN NOT MATCHED THEN INSERT (username, status, input_path, parameters_used)
    VALUES ('m', 'success', '/', '{"n": 3}')""",
)


@pytest.fixture
def connection(database_url: URL) -> Iterator[psycopg.Connection]:
    text = database_url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(text, autocommit=True) as connection:
        connection.execute(INSERT.format(50))
        yield connection


def entries(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT count(*) FROM execution_parameters").fetchone()
    assert row is not None
    return row[0]


def ids(http: httpx.Client, **query: str) -> list[int]:
    answer = http.get("/db/executions", params={f"param.{name}": value for name, value in query.items()})
    return [row["id"] for row in answer.json()]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_every_kind_of_statement_notes_the_parameters_of_its_rows(
    connection: psycopg.Connection, statement: str
) -> None:
    before = entries(connection)
    connection.execute(statement)
    assert entries(connection) != before
    assert connection.execute(MISSING).fetchall() == []


def test_only_values_that_can_be_asked_for_are_noted(connection: psycopg.Connection) -> None:
    assert entries(connection) == 100, "the list is left out"
    for used in ("null", "[1, 2]", "3", '{"a": {"b": 1}, "c": []}', None):
        connection.execute(
            "INSERT INTO notebook_executions (username, status, input_path, parameters_used) "
            "VALUES ('ana', 'success', '/n.ipynb', %s)",
            (used,),
        )
    assert entries(connection) == 100


def test_a_change_of_something_else_notes_nothing(connection: psycopg.Connection) -> None:
    connection.execute("UPDATE notebook_executions SET status = 'failed', parameters_used = parameters_used")
    assert entries(connection) == 100


def test_what_is_deleted_is_forgotten(connection: psycopg.Connection) -> None:
    connection.execute("DELETE FROM notebook_executions WHERE id <= 20")
    assert entries(connection) == 60
    connection.execute("TRUNCATE notebook_executions CASCADE")
    assert entries(connection) == 0


def test_deleting_looks_entries_up_and_scans_none(connection: psycopg.Connection) -> None:
    connection.execute(INSERT.format(20_000))
    connection.execute("VACUUM ANALYZE execution_parameters")
    connection.execute("SELECT pg_stat_force_next_flush()")
    scanned = "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'execution_parameters'"
    before = connection.execute(scanned).fetchone()
    connection.execute("DELETE FROM notebook_executions WHERE id BETWEEN 100 AND 1100")
    connection.execute("SELECT pg_stat_force_next_flush()")
    assert connection.execute(scanned).fetchone() == before


def test_an_entry_too_many_shows_no_execution_that_is_not_asked_for_and_none_twice(
    http: httpx.Client, connection: psycopg.Connection
) -> None:
    expected = ids(http, n="3")
    assert len(expected) == 7
    connection.execute(
        "INSERT INTO execution_parameters SELECT p.parameter, g FROM parameters_of(%s) AS p, generate_series(1, 60) g",
        (json.dumps({"n": 3, "m": "3"}),),
    )
    connection.execute(
        "INSERT INTO execution_parameters SELECT p.parameter, g FROM parameters_of(%s) AS p, generate_series(1, 60) g",
        (json.dumps({"n": "3"}),),
    )
    assert ids(http, n="3") == expected
    assert ids(http, n="3", name=f"x{expected[0]}") == expected[:1]


def test_the_search_path_does_not_matter(connection: psycopg.Connection) -> None:
    connection.execute("SET search_path = ''")
    connection.execute(INSERT.replace("notebook_executions", "public.notebook_executions").format(3))
    connection.execute("DELETE FROM public.notebook_executions WHERE id < 3")
    connection.execute("SET search_path = public")
    assert connection.execute(MISSING).fetchall() == []
    assert entries(connection) == 102
