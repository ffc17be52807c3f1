"""The spellings of a database's address."""

from typing import Any

import pytest
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql.psycopg import dialect

from pressroom.database.url import kept_alive, normalise, safe, without_password
from pressroom.errors import Invalid

HERE: dict[str, Any] = {"host": "db", "user": "ann", "password": "s3cret", "dbname": "notebook_manager"}


def driver_arguments(text: str) -> dict[str, Any]:
    url = normalise(text)
    assert url.drivername == "postgresql+psycopg"
    again = make_url(url.render_as_string(hide_password=False))
    assert dialect().create_connect_args(again) == dialect().create_connect_args(url), "text and URL differ"
    arguments = dialect().create_connect_args(url)[1]
    return {key: value for key, value in arguments.items() if value}


@pytest.mark.parametrize(
    "scheme",
    [
        "postgresql",
        "postgres",
        "postgresql+psycopg",
        "postgresql+psycopg2",
        "postgresql+asyncpg",
        "POSTGRESQL",
        "postgres+psycopg",
    ],
)
def test_every_scheme_of_postgresql_becomes_psycopg(scheme: str) -> None:
    assert driver_arguments(f"{scheme}://ann:s3cret@db/notebook_manager") == HERE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://ann:s3cret@db:6432/notebook_manager", HERE | {"port": 6432}),
        ("postgresql://ann:s3cret@db/notebook_manager?sslmode=require", HERE | {"sslmode": "require"}),
        ("postgresql://ann:p%40ss%2Fw%25@db/x", {"host": "db", "user": "ann", "password": "p@ss/w%", "dbname": "x"}),
        ("postgresql://ann:p/w@db/x", {"host": "db", "user": "ann", "password": "p/w", "dbname": "x"}),
        ("postgresql://ann:100%@db/x", {"host": "db", "user": "ann", "password": "100%", "dbname": "x"}),
        ("postgresql://ann:a?b@db/x", {"host": "db", "user": "ann", "password": "a?b", "dbname": "x"}),
        ("postgresql://[::1]:5433/x", {"host": "::1", "port": 5433, "dbname": "x"}),
        ("postgresql://db/x?application_name=a%40b%20c", {"host": "db", "dbname": "x", "application_name": "a@b c"}),
        (
            "postgresql://db:5432/x?application_name=a@b",
            {"host": "db", "port": 5432, "dbname": "x", "application_name": "a@b"},
        ),
        ("postgresql:///x?host=/tmp/socket", {"host": "/tmp/socket", "dbname": "x"}),
        ("postgresql:///x?host=/tmp/socket&port=6000", {"host": "/tmp/socket", "port": "6000", "dbname": "x"}),
        ("postgresql://%2Ftmp%2Fsocket/x", {"host": "/tmp/socket", "dbname": "x"}),
        ("postgresql://ann@/x?host=/tmp/socket", {"host": "/tmp/socket", "user": "ann", "dbname": "x"}),
        (
            "postgresql://a:1,b:2/x?target_session_attrs=read-write",
            {"host": "a,b", "port": "1,2", "dbname": "x", "target_session_attrs": "read-write"},
        ),
        ("postgresql+psycopg://u@/x?host=a:1&host=b:2", {"host": "a,b", "port": "1,2", "user": "u", "dbname": "x"}),
        (
            "postgresql+asyncpg://db/x?ssl=require&prepared_statement_cache_size=0",
            {"host": "db", "dbname": "x", "sslmode": "require"},
        ),
        ("postgresql+asyncpg://db/x?ssl=true", {"host": "db", "dbname": "x", "sslmode": "require"}),
        ("postgresql:///x", {"dbname": "x"}),
        ("postgresql://", {}),
        (
            "  host=db user=ann password='a b\\'c' dbname=x ",
            {"host": "db", "user": "ann", "password": "a b'c", "dbname": "x"},
        ),
        ("host=/tmp dbname=x user=y password='a b'", {"host": "/tmp", "dbname": "x", "user": "y", "password": "a b"}),
        ("host=a,b port=5432 dbname=x", {"host": "a,b", "port": "5432,5432", "dbname": "x"}),
        ("port=6000 dbname=x", {"port": "6000", "dbname": "x"}),
        ("service=press", {"service": "press"}),
        ("dbname=données user=Ünal", {"dbname": "données", "user": "Ünal"}),
    ],
)
def test_an_address_reaches_the_driver_as_it_was_meant(text: str, expected: dict[str, Any]) -> None:
    assert driver_arguments(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("notebook_manager", "not one that PostgreSQL understands"),
        ("mysql://ann:s3cret@db/x", "mysql://, and only PostgreSQL"),
        ("sqlite:///file.db", "only PostgreSQL"),
        ("postgresql+pg8000://ann:s3cret@db/x", "driver pg8000"),
        ("postgresql://ann:s3cret@db:port/x", "cannot be read"),
        ("postgresql://ann:s3cret@db:99999/x", "cannot be read"),
        ("postgresql://ann:s3cret@a:1,b,c:2/x?port=1,2", "2 ports for 3 host"),
        ("postgresql://ann:s3cret@db/x?nosuch=s3cret", "cannot be read"),
        ("postgresql://ann:s3cret@[::1/x", "cannot be read"),
        ("host=db password='s3cret", "cannot be read"),
        ("host=db password=s3cret nosuch=1", "cannot be read"),
        ("host=db s3cret dbname=x", "cannot be read"),
        ("host=db password=s3cret\0", "cannot be printed"),
        ("host=db password=s3cret\udcff", "cannot be printed"),
    ],
)
def test_a_wrong_address_is_refused_in_words_without_its_password(text: str, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        normalise(text)
    assert words in refused.value.detail
    error: BaseException | None = refused.value
    while error is not None:  # what a traceback would print
        assert "s3cret" not in repr(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_the_password_is_hidden_when_an_address_is_shown() -> None:
    shown = safe(normalise("postgresql://ann:s3cret@db/x?sslpassword=als0&sslmode=require"))
    assert "s3cret" not in shown
    assert "als0" not in shown
    assert "ann" in shown
    assert "sslmode=require" in shown


def test_the_password_is_hidden_in_a_sentence() -> None:
    url = normalise("postgresql://ann:s3cret@db/x")
    assert without_password("no entry for ann with s3cret", url) == "no entry for ann with ***"
    assert without_password("as it was", normalise("dbname=x")) == "as it was"


def test_connections_are_kept_alive_unless_the_address_says_how() -> None:
    assert dict(kept_alive(normalise("postgresql://db/x")).query) == {
        "keepalives": "1",
        "keepalives_idle": "5",
        "keepalives_interval": "2",
        "keepalives_count": "3",
        "tcp_user_timeout": "11000",
    }
    own = kept_alive(normalise("postgresql://db/x?keepalives_idle=60&tcp_user_timeout=0&application_name=a"))
    assert (own.query["keepalives_idle"], own.query["tcp_user_timeout"]) == ("60", "0")
    assert (own.query["keepalives_interval"], own.query["application_name"]) == ("2", "a")
