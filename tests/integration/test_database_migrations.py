"""The migrations: from nothing, from every revision, against the models and against the contract."""

import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import procrastinate.schema
import pytest
from sqlalchemy import URL, Connection, create_engine, inspect, text
from sqlalchemy.pool import NullPool

from pressroom.database import migrate, revisions
from pressroom.database.models import Base
from pressroom.errors import Unavailable

CONTRACT = {
    "notebooks": {
        "id": "INTEGER NOT NULL",
        "name": "VARCHAR(255) NOT NULL",
        "description": "TEXT",
        "file_path": "VARCHAR(512) NOT NULL",
        "username": "VARCHAR(100) NOT NULL",
        "created_at": "TIMESTAMP WITH TIME ZONE NOT NULL",
        "updated_at": "TIMESTAMP WITH TIME ZONE NOT NULL",
        "tags": "JSONB",
        "metadata": "JSONB",
    },
    "notebook_parameters": {
        "id": "INTEGER NOT NULL",
        "notebook_id": "INTEGER NOT NULL",
        "param_name": "VARCHAR(100) NOT NULL",
        "param_type": "VARCHAR(50) NOT NULL",
        "default_value": "JSONB",
        "description": "TEXT",
        "required": "INTEGER NOT NULL",
        "validation_rules": "JSONB",
        "created_at": "TIMESTAMP WITH TIME ZONE NOT NULL",
        "updated_at": "TIMESTAMP WITH TIME ZONE NOT NULL",
    },
    "notebook_executions": {
        "id": "INTEGER NOT NULL",
        "notebook_id": "INTEGER",
        "username": "VARCHAR(100) NOT NULL",
        "input_path": "VARCHAR(512) NOT NULL",
        "output_path": "VARCHAR(512)",
        "parameters_used": "JSONB",
        "status": "VARCHAR(50) NOT NULL",
        "error_message": "TEXT",
        "execution_time_seconds": "INTEGER",
        "started_at": "TIMESTAMP WITH TIME ZONE NOT NULL",
        "completed_at": "TIMESTAMP WITH TIME ZONE",
    },
}
UNIQUE = {
    "notebooks": {("file_path",), ("name", "username")},
    "notebook_parameters": {("notebook_id", "param_name")},
    "notebook_executions": set[tuple[str, ...]](),
}
INDEXED = {
    "notebooks": {"name", "username"},
    "notebook_parameters": {"param_name"},
    "notebook_executions": {"username"},
}
ON_DELETE = {"notebook_parameters": "CASCADE", "notebook_executions": "SET NULL"}
REVISIONS = [f"{number:04}" for number in range(1, 15)]
ROWS = """
INSERT INTO notebooks (name, file_path, username, tags, metadata)
VALUES ('sales', '/home/ann/sales.ipynb', 'ann', '["a"]', '{"k": 1}');
INSERT INTO notebook_parameters (notebook_id, param_name, param_type, default_value, required)
VALUES (1, 'month', 'integer', '7', 1);
INSERT INTO notebook_executions (notebook_id, username, input_path, output_path, parameters_used, status)
SELECT 1, 'ann', '/home/ann/sales.ipynb', '/home/ann/' || n, '{"month": 7}', 'success' FROM generate_series(1, 5) AS n;
INSERT INTO notebook_executions (username, input_path, output_path, status)
VALUES ('bob', '/b.ipynb', '/b-out', 'running');
"""


def connect(url: URL) -> Connection:
    return create_engine(url, poolclass=NullPool).connect()


def everything(connection: Connection) -> dict[str, list[dict[str, object]]]:
    tables = ("notebooks", "notebook_parameters", "notebook_executions")
    return {
        t: [dict(row._mapping) for row in connection.execute(text(f"SELECT * FROM {t} ORDER BY id"))] for t in tables
    }


def functions(url: URL) -> dict[str, str]:
    """The functions of a database, as they are defined."""
    wanted = """
    SELECT oid::regprocedure::text, pg_get_functiondef(oid) FROM pg_proc
    WHERE pronamespace = current_schema()::regnamespace AND prokind = 'f'
    """
    with connect(url) as connection:
        return {str(row[0]): str(row[1]) for row in connection.execute(text(wanted))}


def totals(connection: Connection) -> set[tuple[object, ...]]:
    kept = "SELECT username, status, notebook_id, sum(change) FROM execution_counts GROUP BY 1, 2, 3"
    return {tuple(row) for row in connection.execute(text(kept + " HAVING sum(change) <> 0"))}


def test_an_empty_database_comes_to_exactly_the_tables_of_the_models(empty_database_url: URL) -> None:
    assert migrate.check(empty_database_url) == migrate.State(None, REVISIONS[-1])
    migrate.upgrade(empty_database_url)
    state = migrate.check(empty_database_url)
    assert (state.current, state.head, state.differences) == (REVISIONS[-1], REVISIONS[-1], ())
    assert state.up_to_date
    with connect(empty_database_url) as connection:
        theirs = {"jobs", "workers", "events", "periodic_defers"}
        assert set(inspect(connection).get_table_names()) == {
            *Base.metadata.tables,
            *(f"procrastinate_{name}" for name in theirs),
            "alembic_version",
        }


def test_procrastinates_schema_is_that_of_the_version_in_use() -> None:
    """A newer Procrastinate that changes its schema needs a migration of ours."""
    shipped = procrastinate.schema.SchemaManager.get_schema()
    kept = (Path(migrate.__file__).parent / "migrations" / "sql" / "procrastinate_3_10.sql").read_text()
    assert kept.partition("\n")[2] == shipped


@pytest.mark.parametrize(
    ("name", "digest"),
    [("queue.sql", "4e929821262e9545"), ("queue_0004.sql", "d080367448956a0a"), ("history.sql", "737f433bfe03f683")],
)
def test_what_released_revisions_run_stays_as_it_was(name: str, digest: str) -> None:
    """Databases are there that have run it: a change comes to them by a new revision only."""
    data = (Path(migrate.__file__).parent / "migrations" / "sql" / name).read_bytes()
    assert hashlib.sha256(data).hexdigest().startswith(digest)


def test_a_database_of_the_release_before_gets_the_functions_that_have_changed(empty_database_url: URL) -> None:
    migrate.upgrade(empty_database_url, "0003")
    before = functions(empty_database_url)
    migrate.upgrade(empty_database_url)
    after = functions(empty_database_url)
    batches = {"batch_lock(integer)", "clear_batch(integer)", "tell_batch(integer,character varying)", "settle_batch()"}
    batches |= {"settle_batch(integer,character varying)", "claim_group(character varying,integer,integer,boolean)"}
    assert after.keys() - before.keys() == {"refuse_change()", "note_for_mlflow()", *batches}
    changed = {name.partition("(")[0]: after[name] for name in before if after[name] != before[name]}
    assert changed.keys() == {"tell_status", "claim_execution", "end_attempt"}
    assert "wake_workers(NEW.queue)" in changed["tell_status"]
    assert "SET last_heartbeat = clock_timestamp()" in changed["claim_execution"]
    assert "results = NULL" in changed["claim_execution"]
    assert "status IN ('doing', 'failed')" in changed["end_attempt"]
    kept = before["tell_status()"].partition("AS $function$")[0]
    assert changed["tell_status"].startswith(kept), "it is the same trigger's, and looks for names where it did"


def test_the_revisions_tried_here_are_all_there_are() -> None:
    assert revisions.known() == set(REVISIONS), "a new revision needs its place in REVISIONS"


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_upgrade_from_every_revision_loses_no_row(empty_database_url: URL, revision: str) -> None:
    migrate.upgrade(empty_database_url, revision)
    with connect(empty_database_url) as connection, connection.begin():
        connection.execute(text(ROWS.replace(":", "\\:")))
    with connect(empty_database_url) as connection:
        before = everything(connection)
    migrate.upgrade(empty_database_url)
    with connect(empty_database_url) as connection:
        after = everything(connection)
        status = "running" if revision >= "0003" else "failed"
        if status == "failed":  # what was under way belonged to a service without a queue, which is gone
            left = before["notebook_executions"][-1]
            ended = after["notebook_executions"][-1]
            assert "stopped while" in str(ended["error_message"])
            left |= {
                name: ended[name] for name in ("status", "error_message", "completed_at", "failure") if name in left
            }
        for table, rows in before.items():
            kept = [{key: value for key, value in row.items() if key != "service_id"} for row in rows]
            assert [{key: row[key] for key in old} for old, row in zip(kept, after[table], strict=True)] == kept
        assert totals(connection) == {("ann", "success", 1, 5), ("bob", status, None, 1)}
    assert migrate.check(empty_database_url).up_to_date


def test_an_upgrade_ends_all_but_the_newest_of_executions_under_way_with_one_output(empty_database_url: URL) -> None:
    migrate.upgrade(empty_database_url, "0001")
    with connect(empty_database_url) as connection, connection.begin():
        for output, status in (
            ("/a", "running"),
            ("/a", "pending"),
            ("/a", "success"),
            (None, "running"),
            (None, "running"),
        ):
            connection.execute(
                text(
                    "INSERT INTO notebook_executions (username, input_path, output_path, status) "
                    "VALUES ('u', '/i', :o, :s)"
                ),
                {"o": output, "s": status},
            )
    migrate.upgrade(empty_database_url, "0002")
    with connect(empty_database_url) as connection:
        found = connection.execute(text("SELECT status, error_message FROM notebook_executions ORDER BY id")).all()
        assert [row.status for row in found] == ["failed", "pending", "success", "running", "running"]
        assert "stopped while" in found[0].error_message
        assert totals(connection) == {
            ("u", "failed", None, 1),
            ("u", "pending", None, 1),
            ("u", "success", None, 1),
            ("u", "running", None, 2),
        }


def test_several_upgrades_at_once_do_not_clash(empty_database_url: URL) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate.upgrade, [empty_database_url] * 4))
    assert migrate.check(empty_database_url).up_to_date


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(empty_database_url: URL) -> None:
    with connect(empty_database_url) as connection, connection.begin():
        connection.execute(text("CREATE TABLE execution_counts (id int)"))  # in the way of the second revision
    with pytest.raises(Exception, match="execution_counts"):
        migrate.upgrade(empty_database_url)
    with connect(empty_database_url) as connection:
        assert inspect(connection).get_table_names() == ["execution_counts"]


def test_a_database_of_a_later_version_is_left_alone(database_url: URL) -> None:
    with connect(database_url) as connection, connection.begin():
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Unavailable, match="revision 9999, which this version does not know.*there is no downgrade"):
        migrate.upgrade(database_url)
    assert not migrate.check(database_url).up_to_date


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ("ALTER TABLE notebooks ADD COLUMN colour text", "colour"),
        ("ALTER TABLE notebooks ALTER COLUMN name TYPE varchar(200)", "VARCHAR"),
        ("ALTER TABLE notebooks ALTER COLUMN name DROP NOT NULL", "name"),
        ("ALTER TABLE notebooks DROP CONSTRAINT uq_notebooks_file_path", "add_constraint"),
        ("DROP INDEX ix_notebooks_tags", "ix_notebooks_tags"),
        ("ALTER TABLE notebook_executions ALTER COLUMN cells_completed DROP DEFAULT", "cells_completed"),
        ("DROP TABLE execution_counts", "execution_counts"),
    ],
)
def test_a_difference_between_database_and_models_is_told(database_url: URL, change: str, seen: str) -> None:
    with connect(database_url) as connection, connection.begin():
        connection.execute(text(change))
    state = migrate.check(database_url)
    assert not state.up_to_date
    assert seen in " ".join(state.differences)


def test_tables_of_others_are_no_difference(database_url: URL) -> None:
    with connect(database_url) as connection, connection.begin():
        connection.execute(text("CREATE TABLE somebody_elses (id int)"))
    assert migrate.check(database_url).up_to_date


@pytest.mark.parametrize("table", CONTRACT)
def test_a_table_is_as_the_contract_says(database_url: URL, table: str) -> None:
    with connect(database_url) as connection:
        seen = inspect(connection)
        columns = {c["name"]: c for c in seen.get_columns(table)}
        dialect = connection.dialect
        found = {
            name: c["type"].compile(dialect=dialect) + ("" if c["nullable"] else " NOT NULL")
            for name, c in columns.items()
        }
        found = {name: kind for name, kind in found.items() if name in CONTRACT[table]}
        assert found == CONTRACT[table]
        assert {tuple(u["column_names"]) for u in seen.get_unique_constraints(table)} == UNIQUE[table]
        assert INDEXED[table] <= {index["column_names"][0] for index in seen.get_indexes(table)}
        assert seen.get_pk_constraint(table)["constrained_columns"] == ["id"]
        keys = [
            (k["constrained_columns"], k["referred_table"], k["options"].get("ondelete"))
            for k in seen.get_foreign_keys(table)
        ]
        to_notebooks = [key for key in keys if key[1] == "notebooks"]
        assert to_notebooks == ([(["notebook_id"], "notebooks", ON_DELETE[table])] if table in ON_DELETE else [])


def test_what_stands_beside_the_contract_can_be_left_out(database_url: URL) -> None:
    with connect(database_url) as connection:
        seen = inspect(connection)
        for table, contract in CONTRACT.items():
            for column in seen.get_columns(table):
                if column["name"] not in contract:
                    assert column["nullable"] or column["default"] is not None, f"{table}.{column['name']}"


def test_migrating_leaves_the_logging_alone(empty_database_url: URL) -> None:
    logger = logging.getLogger("somebody")
    before = (logging.root.level, list(logging.root.handlers), logger.disabled, logging.getLogger("alembic").level)
    migrate.upgrade(empty_database_url)
    after = (logging.root.level, list(logging.root.handlers), logger.disabled, logging.getLogger("alembic").level)
    assert after == before
