"""The totals of the history: always what count(*) says, whoever writes at the same time."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import URL

GROUPS = "SELECT username, status, notebook_id, {} FROM {} GROUP BY 1, 2, 3"
INSERT = "INSERT INTO notebook_executions (username, status, notebook_id, input_path) VALUES (%s, %s, %s, '/n.ipynb')"
STATEMENTS = (
    """INSERT INTO notebook_executions (username, status, input_path)
    SELECT 'u' || n % 7, 'success', '/' FROM generate_series(1, 500) n""",
    "UPDATE notebook_executions SET status = 'failed' WHERE id % 2 = 0",
    "UPDATE notebook_executions SET username = 'zoe', notebook_id = NULL WHERE id % 3 = 0",
    "DELETE FROM notebook_executions WHERE id % 2 = 0",
    "DELETE FROM notebook_executions",
    "DELETE FROM notebooks WHERE id = 2",
    "TRUNCATE notebook_executions CASCADE",
    "TRUNCATE notebooks CASCADE",
    """COPY notebook_executions (username, status, input_path)
    FROM PROGRAM 'printf "a\\tsuccess\\t/\\nb\\tfailed\\t/\\n"'""",
    """INSERT INTO notebook_executions (id, username, status, input_path)
    VALUES (1, 'x', 'success', '/'), (9999, 'x', 'failed', '/')
    ON CONFLICT (id) DO UPDATE SET status = 'cancelled'""",
    """MERGE INTO notebook_executions e USING generate_series(1, 60) n ON e.id = n
    WHEN MATCHED AND n % 2 = 0 THEN DELETE
    WHEN MATCHED THEN UPDATE SET status = 'failed'
    WHEN NOT MATCHED THEN INSERT (username, status, input_path) VALUES ('m', 'success', '/')""",
)
UPDATE_SOME = """
UPDATE notebook_executions SET status = %s, input_path = %s WHERE id %% 4 = %s AND random() < 0.2
"""
STATES = ("pending", "success", "failed")


def connect(url: URL) -> psycopg.Connection:
    text = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(text, autocommit=True)


@pytest.fixture
def connection(database_url: URL) -> Iterator[psycopg.Connection]:
    with connect(database_url) as connection:
        connection.execute(
            "INSERT INTO notebooks (name, file_path, username) "
            "SELECT n::text, n::text, 'ann' FROM generate_series(1, 3) AS n"
        )
        yield connection


def counted(connection: psycopg.Connection) -> dict[tuple[object, ...], int]:
    return {row[:3]: row[3] for row in connection.execute(GROUPS.format("count(*)", "notebook_executions"))}


def kept(connection: psycopg.Connection) -> dict[tuple[object, ...], int]:
    rows = connection.execute(GROUPS.format("sum(change)::bigint", "execution_counts") + " HAVING sum(change) <> 0")
    return {row[:3]: row[3] for row in rows}


def appended(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT count(*) FROM execution_counts").fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_totals_follow_every_kind_of_statement_and_its_undoing(connection: psycopg.Connection, statement: str) -> None:
    for n in range(40):
        connection.execute(INSERT, ("ann" if n % 2 else "bob", STATES[n % 3], (None, 1, 2, 3)[n % 4]))
    before = counted(connection)
    assert kept(connection) == before
    with connection.transaction(force_rollback=True):
        connection.execute(statement)
        assert counted(connection) != before
        assert kept(connection) == counted(connection)
    assert kept(connection) == before
    connection.execute(statement)
    assert kept(connection) == counted(connection) != before


def test_an_update_that_moves_nothing_between_groups_appends_nothing(connection: psycopg.Connection) -> None:
    connection.execute(INSERT, ("ann", "running", None))
    before = appended(connection)
    connection.execute("UPDATE notebook_executions SET cells_completed = 3")
    assert appended(connection) == before


def test_folding_keeps_the_sums_and_drops_what_is_nothing(connection: psycopg.Connection) -> None:
    for n in range(30):
        connection.execute(INSERT, ("ann", STATES[n % 3], None))
    connection.execute("DELETE FROM notebook_executions WHERE status = 'failed'")
    connection.execute("SELECT fold_execution_counts()")
    assert appended(connection) == 2
    assert kept(connection) == counted(connection) == {("ann", "pending", None): 10, ("ann", "success", None): 10}


def test_writers_fold_by_themselves_now_and_then(connection: psycopg.Connection) -> None:
    connection.execute("SELECT setseed(0.5)")
    most = 0
    for _ in range(3000):
        connection.execute(INSERT, ("ann", "success", None))
        most = max(most, appended(connection))
    assert most < 2000
    assert kept(connection) == counted(connection) == {("ann", "success", None): 3000}


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_folding_never_fails_a_transaction_that_sees_an_older_state(
    connection: psycopg.Connection, database_url: URL, isolation: str
) -> None:
    connection.execute(INSERT, ("ann", "success", None))
    with connect(database_url) as older, older.transaction():
        older.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
        assert kept(older) == {("ann", "success", None): 1}
        connection.execute("SELECT fold_execution_counts()")
        older.execute(INSERT, ("bob", "success", None))
        older.execute("SELECT fold_execution_counts()")
    assert kept(connection) == counted(connection)


def test_truncating_with_an_older_view_empties_the_totals_too(
    connection: psycopg.Connection, database_url: URL
) -> None:
    with connect(database_url) as older, older.transaction():
        older.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        older.execute("SELECT 1")
        connection.execute(INSERT, ("ann", "success", None))
        older.execute("TRUNCATE notebook_executions CASCADE")
    assert kept(connection) == counted(connection) == {}


def test_totals_do_not_depend_on_the_search_path(connection: psycopg.Connection) -> None:
    connection.execute("SET search_path = ''")
    connection.execute(INSERT.replace("notebook_executions", "public.notebook_executions"), ("ann", "success", None))
    connection.execute("SET search_path = public")
    assert kept(connection) == counted(connection) == {("ann", "success", None): 1}


def test_totals_are_exact_whoever_writes_folds_and_rolls_back_at_the_same_time(
    connection: psycopg.Connection, database_url: URL
) -> None:
    class Undone(Exception):
        pass

    def write(seed: int) -> int:
        chance = random.Random(seed)
        undone = 0
        with connect(database_url) as own:
            for _ in range(150):
                try:
                    with own.transaction():
                        for _ in range(chance.randint(1, 4)):
                            match chance.randint(0, 9):
                                case 0 | 1 | 2 | 3:
                                    own.execute(
                                        INSERT,
                                        (
                                            f"u{chance.randint(0, 3)}",
                                            chance.choice(STATES),
                                            chance.choice((None, 1, 2)),
                                        ),
                                    )
                                case 4 | 5 | 6:  # rows of its own, so that two never wait for each other
                                    own.execute(
                                        UPDATE_SOME,
                                        (chance.choice(STATES), f"/{seed}", seed),
                                    )
                                case 7:
                                    own.execute(
                                        "DELETE FROM notebook_executions WHERE id %% 4 = %s AND random() < 0.1", (seed,)
                                    )
                                case _:
                                    own.execute("SELECT fold_execution_counts()")
                        if chance.random() < 0.3:
                            raise Undone  # noqa: TRY301 - the point is to leave the transaction by it
                except Undone:
                    undone += 1
        return undone

    with ThreadPoolExecutor(4) as pool:
        undone = list(pool.map(write, range(4)))
    assert all(undone)
    assert counted(connection)
    assert kept(connection) == counted(connection)
