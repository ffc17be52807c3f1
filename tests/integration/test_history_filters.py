"""The filters of GET /db/executions, each and together, and what is refused."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import URL

ROW = (
    "INSERT INTO notebook_executions (username, status, notebook_id, queue, parameters_used, submitted_at, input_path) "
    "VALUES (%s, %s, %s, %s, %s, %s, '/home/ana/n.ipynb')"
)


@pytest.fixture
def connection(database_url: URL) -> Iterator[psycopg.Connection]:
    text = database_url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(text, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO notebooks (name, file_path, username) "
            "VALUES ('a', '/a.ipynb', 'ana'), ('b', '/b.ipynb', 'ana')"
        )
        yield connection


def add(
    connection: psycopg.Connection,
    *,
    username: str = "ana",
    status: str = "success",
    notebook_id: int | None = None,
    queue: str = "default",
    parameters: Any = None,
    at: str = "2026-10-01T12:00:00Z",
) -> None:
    used = None if parameters is None else json.dumps(parameters)
    connection.execute(ROW, (username, status, notebook_id, queue, used, at))


def ids(http: httpx.Client, **query: Any) -> list[int]:
    answer = http.get("/db/executions", params={key.replace("__", "."): value for key, value in query.items()})
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()]


def test_each_filter_and_any_of_them_together_leave_what_meets_all(
    http: httpx.Client, connection: psycopg.Connection
) -> None:
    add(connection, status="failed", notebook_id=1, parameters={"region": "EMEA"}, at="2026-10-01T00:00:00Z")
    add(connection, username="bo", notebook_id=1, queue="gpu", parameters={"region": "EMEA"}, at="2026-10-02T00:00:00Z")
    add(connection, status="cancelled", notebook_id=2, parameters={"region": "APAC"}, at="2026-10-03T00:00:00Z")
    add(connection, status="running", queue="gpu", at="2026-10-04T00:00:00Z")
    assert ids(http) == [4, 3, 2, 1]
    assert ids(http, username="ana") == [4, 3, 1]
    assert ids(http, status="failed") == [1]
    assert ids(http, status=["failed", "running"]) == ids(http, status="running,failed") == [4, 1]
    assert ids(http, status="failed,running,success,cancelled,pending") == [4, 3, 2, 1]
    assert ids(http, notebook_id=1) == [2, 1]
    assert ids(http, queue="gpu") == [4, 2]
    assert ids(http, submitted_after="2026-10-02T00:00:00Z") == [4, 3, 2]
    assert ids(http, submitted_before="2026-10-02T00:00:00Z") == [1]
    assert ids(http, submitted_after="2026-10-01T23:30:00-02:00", submitted_before="2026-10-03T02:00:00+01:00") == [3]
    assert ids(http, param__region="EMEA") == [2, 1]
    assert ids(http, order="oldest") == [1, 2, 3, 4]
    assert ids(http, username="ana", status="failed,cancelled") == [3, 1]
    assert ids(http, username="ana", status="failed,cancelled", order="oldest") == [1, 3]
    assert ids(http, status="failed,cancelled,success", order="oldest", limit=2) == [1, 2]
    assert ids(http, param__region="EMEA", username="bo", queue="gpu", notebook_id=1, status="success") == [2]
    assert ids(http, param__region="EMEA", submitted_after="2026-10-02T00:00:00Z", order="oldest") == [2]
    assert ids(http, param__region="EMEA", submitted_before="2020-01-01T00:00:00Z") == []
    assert ids(http, username="nobody") == ids(http, username="bo", status="failed") == []


@pytest.mark.parametrize(
    ("value", "matched"),
    [
        ("7", [1, 2, 3]),
        ("7.0", [1, 2]),
        ("0.7e1", [1, 2]),
        ("7 ", []),
        ("true", [4, 5]),
        ("null", [6, 7]),
        ("True", []),
        ("", [8]),
        ('he said "no"\\', [9]),
        ("NaN", []),
        ("1e999", []),
        ("%", []),
        ("caf\u00e9", [10]),
    ],
)
def test_a_text_matches_itself_and_what_it_spells_in_json(
    http: httpx.Client, connection: psycopg.Connection, value: str, matched: list[int]
) -> None:
    for given in (7, 7.0, "7", True, "true", None, "null", "", 'he said "no"\\', "caf\u00e9", [7], {"v": 7}):
        add(connection, parameters={"v": given})
    add(connection, parameters={"w": value})
    add(connection)
    assert ids(http, param__v=value, order="oldest") == matched


def test_a_parameters_name_may_hold_dots_and_quotes(http: httpx.Client, connection: psycopg.Connection) -> None:
    add(connection, parameters={'a."b': 1, "c": 2})
    add(connection, parameters={"a": {"b": 1}, "c": 2})
    answer = http.get("/db/executions", params={'param.a."b': "1", "param.c": "2"})
    assert [row["id"] for row in answer.json()] == [1]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("submitted_after=2026-10-01T08:00:00", "must say its time zone"),
        ("submitted_before=2026-10-01", "must say its time zone"),
        ("submitted_before=yesterday", "ISO 8601"),
        ("submitted_before=0001-01-01T00:00:00%2B10:00", "outside the years"),
        ("status=failed,done", "status"),
        ("status=", "status"),
        ("order=random", "order"),
        ("notebook_id=0", "notebook_id"),
        ("after=0", "after"),
        ("after=5&skip=0", "either after, a cursor, or skip"),
        ("param=EMEA", "'param' is no filter"),
        ("param.=EMEA", "'param.' is no filter"),
        ("parameter.region=EMEA", "'parameter.region' is no filter"),
        ("params.region=EMEA", "'params.region' is no filter"),
        ("param.region=a&param.region=b", "given twice"),
        ("param.region=%00", "NUL"),
        (f"param.{'n' * 101}=1", "is no filter"),
        (f"param.n={'x' * 1001}", "1000 characters"),
        ("queue=%00", "NUL"),
    ],
)
def test_what_is_no_filter_is_refused_in_words(http: httpx.Client, query: str, said: str) -> None:
    answer = http.get(f"/db/executions?{query}")
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_a_plus_sign_that_was_not_escaped_is_understood(http: httpx.Client, connection: psycopg.Connection) -> None:
    add(connection, at="2026-10-01T06:30:00Z")
    answer = http.get("/db/executions?submitted_after=2026-10-01T08:00:00+02:00")
    assert [row["id"] for row in answer.json()] == [1]


def test_the_total_is_exact_or_not_told(http: httpx.Client, connection: psycopg.Connection) -> None:
    for n in range(6):
        add(connection, status=("success", "failed")[n % 2], notebook_id=1, parameters={"n": n % 3})

    def total(**query: Any) -> str | None:
        answer = http.get("/db/executions", params={key.replace("__", "."): v for key, v in query.items()})
        assert answer.status_code == 200
        return answer.headers.get("x-total-count")

    assert total(limit=1) == total(limit=1, notebook_id=1, username="ana") == "6"
    assert total(limit=1, status="failed") == "3"
    assert total(limit=1, status="failed,success", skip=4) == "6"
    assert total(limit=1, after=3) is None
    assert total(limit=1, param__n=0) is None
    assert total(limit=2, param__n=0) == total(limit=100, param__n=0) == "2", "the page holds all there are"
    assert total(limit=2, param__n=0, skip=1) is None
    assert total(queue="gpu") == "0"
    assert total(limit=1, queue="default") is None


def test_a_notebooks_list_is_a_filter_that_knows_whether_the_notebook_is_there(
    http: httpx.Client, connection: psycopg.Connection
) -> None:
    add(connection, notebook_id=1)
    add(connection, notebook_id=2)
    add(connection, notebook_id=1)
    answer = http.get("/db/executions/notebook/1", params={"limit": 1})
    assert (answer.json()[0]["id"], answer.headers["x-total-count"]) == (3, "2")
    assert [row["id"] for row in http.get(answer.links["next"]["url"]).json()] == [1]
    assert http.get("/db/executions/notebook/99").status_code == 404
    assert ids(http, notebook_id=99) == []


def test_times_out_of_the_order_of_ids_are_found_too(http: httpx.Client, connection: psycopg.Connection) -> None:
    connection.execute(
        "INSERT INTO notebook_executions (username, status, input_path, submitted_at) "
        "SELECT 'ana', 'success', '/n.ipynb', timestamptz '2026-01-01T00:00:00Z' + g * interval '1 min' "
        "FROM generate_series(1, 5000) g"
    )
    add(connection, at="2025-06-01T00:00:00Z")
    connection.execute("UPDATE notebook_executions SET submitted_at = '2025-06-01T00:10:00Z' WHERE id = 17")
    june = {"submitted_after": "2025-06-01T00:00:00Z", "submitted_before": "2025-07-01T00:00:00Z"}
    assert ids(http, **june) == [5001, 17]
    assert ids(http, **june, order="oldest") == [17, 5001]
    assert ids(http, submitted_after="2026-01-01T01:00:00Z", limit=2) == [5000, 4999]
    early = ids(http, submitted_after="2026-01-01T00:00:00Z", submitted_before="2026-01-01T01:00:00Z", limit=1000)
    assert early == [n for n in range(59, 0, -1) if n != 17]
