"""setup_database.sh, against a server that is already there."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL

from pressroom.database import migrate
from pressroom.database.embedded import EmbeddedServer
from pressroom.database.url import normalise

SCRIPT = Path(__file__).parents[2] / "setup_database.sh"


@pytest.fixture
def fresh_server(open_directory: Path) -> Iterator[URL]:
    """A server without the role and the database, which asks for passwords (but of its administrator)."""
    with EmbeddedServer(open_directory / "data") as url:
        admin = url.set(database="postgres")
        rules = open_directory / "data" / "postgres" / "pg_hba.conf"
        rules.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
        with connect(admin) as connection:
            connection.execute("SELECT pg_reload_conf()")
            connection.execute("DROP DATABASE notebook_manager")
        yield admin


def connect(url: URL) -> psycopg.Connection:
    return psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True)


def set_up(*arguments: str, expected: int = 0, **environment: str) -> str:
    clean = {
        key: value for key, value in os.environ.items() if not key.startswith(("PG", "PRESSROOM_", "DATABASE_URL"))
    }
    done = subprocess.run(
        [SCRIPT, *arguments], env=clean | environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == expected, done.stderr
    return done.stdout + done.stderr


def from_environment(url: URL) -> dict[str, str]:
    return {"PGHOST": str(url.query["host"]), "PGPORT": str(url.query["port"]), "PGUSER": str(url.username)}


def printed_url(output: str) -> URL:
    (line,) = [line for line in output.splitlines() if line.startswith("DATABASE_URL=")]
    return normalise(line.removeprefix("DATABASE_URL="))


def owners(admin: URL) -> set[str]:
    with connect(admin.set(database="notebook_manager")) as connection:
        rows = connection.execute(
            "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'public'::regnamespace "
            "UNION SELECT pg_get_userbyid(proowner) FROM pg_proc WHERE pronamespace = 'public'::regnamespace "
            "UNION SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'notebook_manager'"
        )
        return {row[0] for row in rows}


def test_the_printed_url_opens_a_migrated_database_of_the_roles_own(fresh_server: URL) -> None:
    url = printed_url(set_up(**from_environment(fresh_server)))
    assert (url.username, url.database) == ("notebook_manager", "notebook_manager")
    assert url.password is not None
    assert len(url.password) >= 24
    assert migrate.check(url).up_to_date
    assert owners(fresh_server) == {"notebook_manager"}
    with connect(url) as connection:
        connection.execute(
            "INSERT INTO notebook_executions (username, input_path, status) VALUES ('a', '/a', 'success')"
        )


def test_a_second_run_changes_nothing_and_shows_no_password(fresh_server: URL) -> None:
    url = printed_url(set_up(as_text(fresh_server)))
    with connect(url) as connection:
        connection.execute("INSERT INTO notebooks (name, file_path, username) VALUES ('a', '/a', 'ann')")
    again = set_up(as_text(fresh_server))
    assert str(url.password) not in again
    assert printed_url(again).password == "***"
    with connect(url) as connection:  # with the first run's password
        assert connection.execute("SELECT name FROM notebooks").fetchall() == [("a",)]


def test_a_given_password_is_set_for_a_role_that_is_there_too_and_is_not_printed(fresh_server: URL) -> None:
    url = printed_url(set_up(as_text(fresh_server)))
    for password in ('quoted \' "and" \\ \u00fc', "another"):
        output = set_up(as_text(fresh_server), PRESSROOM_DATABASE_PASSWORD=password)
        assert password not in output
        with psycopg.connect(
            host=str(url.query["host"]), user="notebook_manager", dbname="notebook_manager", password=password
        ) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("notebook_manager",)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(url)


def test_what_the_administrator_migrated_is_given_to_the_role(fresh_server: URL) -> None:
    with connect(fresh_server) as connection:
        connection.execute("CREATE ROLE notebook_manager LOGIN")
        connection.execute("CREATE DATABASE notebook_manager OWNER notebook_manager")
    migrate.upgrade(fresh_server.set(database="notebook_manager"))
    assert owners(fresh_server) == {"notebook_manager", "postgres"}
    set_up(as_text(fresh_server))
    assert owners(fresh_server) == {"notebook_manager"}


def test_an_administrator_need_not_be_a_superuser(fresh_server: URL) -> None:
    with connect(fresh_server) as connection:
        connection.execute("CREATE ROLE clerk LOGIN CREATEROLE CREATEDB PASSWORD 'ink'")
    clerk = from_environment(fresh_server.set(username="clerk"))
    url = printed_url(set_up(**clerk, PGPASSWORD="ink"))
    assert migrate.check(url).up_to_date
    assert owners(fresh_server) == {"notebook_manager"}
    set_up(**clerk, PGPASSWORD="ink")
    assert owners(fresh_server) == {"notebook_manager"}


def test_whoever_may_not_is_told_so(fresh_server: URL) -> None:
    with connect(fresh_server) as connection:
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'ink'")
    output = set_up(**from_environment(fresh_server.set(username="guest")), PGPASSWORD="ink", expected=1)
    assert "may not do this: permission denied to create role" in output
    assert "Traceback" not in output


def test_a_database_of_somebody_else_is_left_alone(fresh_server: URL) -> None:
    with connect(fresh_server) as connection:
        connection.execute("CREATE DATABASE notebook_manager")
    assert "belongs to the role postgres" in set_up(as_text(fresh_server), expected=1)
    assert owners(fresh_server) == {"postgres"}


def test_a_server_that_is_not_there_and_a_wrong_address_are_said_in_words() -> None:
    for address, words in (
        ("postgresql://a:s3cret@127.0.0.1:1/x", "cannot be reached"),
        ("mysql://a:s3cret@h/x", "only PostgreSQL"),
    ):
        output = set_up(address, expected=1)
        assert words in output
        assert "s3cret" not in output
        assert "Traceback" not in output


def as_text(url: URL) -> str:
    return url.render_as_string(hide_password=False)
