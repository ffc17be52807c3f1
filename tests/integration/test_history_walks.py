"""Walking through the history by cursor, and asking whether something changed."""

from collections.abc import Iterator

import httpx
import psycopg
import pytest
from sqlalchemy import URL

MANY = (
    "INSERT INTO notebook_executions (username, status, queue, parameters_used, input_path) "
    "SELECT 'u' || g % 3, (ARRAY['success', 'failed', 'cancelled'])[1 + g % 3], 'q' || g % 2, "
    "jsonb_build_object('n', g % 4), '/home/ana/n.ipynb' FROM generate_series(1, {}) g"
)
QUERIES = (
    "",
    "&username=u1",
    "&status=failed,cancelled",
    "&queue=q1",
    "&param.n=2",
    "&username=u1&param.n=2",
    "&submitted_after=2020-01-01T00:00:00Z",
    "&status=failed&queue=q1",
)


@pytest.fixture
def connection(database_url: URL) -> Iterator[psycopg.Connection]:
    text = database_url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(text, autocommit=True) as connection:
        connection.execute(MANY.format(500))
        yield connection


def walk(http: httpx.Client, url: str, between: object = None) -> list[int]:
    """The ids that following ``Link`` gives; ``between`` is called before each page that follows."""
    found: list[int] = []
    while True:
        answer = http.get(url)
        assert answer.status_code == 200, answer.text
        found += [row["id"] for row in answer.json()]
        if "next" not in answer.links:
            return found
        if callable(between):
            between()
        url = answer.links["next"]["url"]


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("query", QUERIES)
def test_a_walk_gives_every_row_exactly_once_while_rows_are_added(
    http: httpx.Client, connection: psycopg.Connection, query: str, order: str
) -> None:
    expected = [row["id"] for row in http.get(f"/db/executions?limit=1000&order={order}{query}").json()]
    assert len(expected) > 40
    added = iter(range(6))

    def add() -> None:
        if next(added, None) is not None:
            connection.execute(MANY.format(20))

    found = walk(http, f"/db/executions?limit=37&order={order}{query}", add)
    assert len(found) == len(set(found))
    assert found == sorted(found, reverse=order == "newest")
    assert [n for n in found if n <= 500] == expected
    if order == "newest":
        assert found == expected
    else:
        assert found == [r["id"] for r in http.get(f"/db/executions?limit=1000&order={order}{query}").json()]


def test_pages_by_skip_and_by_cursor_are_the_same(http: httpx.Client, connection: psycopg.Connection) -> None:
    first = http.get("/db/executions?limit=10&status=failed&status=success")
    assert "after=" in first.links["next"]["url"]
    assert first.links["next"]["url"].count("status=") == 2
    skipped = http.get("/db/executions?limit=10&skip=10&status=failed&status=success")
    assert skipped.json() == http.get(first.links["next"]["url"]).json()
    assert "skip=20" in skipped.links["next"]["url"]
    assert walk(http, "/db/executions?limit=100&skip=0") == walk(http, "/db/executions?limit=99")


def test_the_row_at_the_cursor_need_not_be_there(http: httpx.Client, connection: psycopg.Connection) -> None:
    connection.execute("DELETE FROM notebook_executions WHERE id BETWEEN 200 AND 300")
    assert [row["id"] for row in http.get("/db/executions?after=250&limit=2").json()] == [199, 198]
    assert [row["id"] for row in http.get("/db/executions?after=250&limit=2&order=oldest").json()] == [301, 302]
    assert http.get("/db/executions?after=1").json() == []


def test_the_head_of_a_list_is_that_of_its_page(http: httpx.Client, connection: psycopg.Connection) -> None:
    head, page = (http.request(method, "/db/executions?limit=5&username=u1") for method in ("HEAD", "GET"))
    assert (head.status_code, head.content) == (200, b"")
    for name in ("x-total-count", "link", "content-length", "content-type"):
        assert head.headers[name] == page.headers[name]
    assert http.head("/db/executions?param=1").status_code == 422


def test_an_execution_that_did_not_change_is_not_sent_again(http: httpx.Client, connection: psycopg.Connection) -> None:
    first = http.get("/db/executions/7")
    tag = first.headers["etag"]
    assert first.json()["id"] == 7
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        for method in ("GET", "HEAD"):
            again = http.request(method, "/db/executions/7", headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert http.get("/db/executions/7", headers={"If-None-Match": '"other"'}).content == first.content
    connection.execute("UPDATE notebook_executions SET cells_completed = 3 WHERE id = 8")
    assert http.head("/db/executions/7").headers["etag"] == tag, "another execution's change is none of this one"
    connection.execute("UPDATE notebook_executions SET cells_completed = 3 WHERE id = 7")
    changed = http.get("/db/executions/7", headers={"If-None-Match": tag})
    assert (changed.status_code, changed.json()["cells_completed"]) == (200, 3)
    assert changed.headers["etag"] == http.head("/db/executions/7").headers["etag"] != tag


def test_the_head_of_an_execution_has_no_body_and_no_length_but_its_tag(
    http: httpx.Client, connection: psycopg.Connection
) -> None:
    head = http.head("/db/executions/7")
    assert (head.status_code, head.content, head.headers["content-type"]) == (200, b"", "application/json")
    assert "content-length" not in head.headers
    for method in ("GET", "HEAD"):
        missing = http.request(method, "/db/executions/9999", headers={"If-None-Match": "*"})
        assert missing.status_code == 404
