"""Who did what: written with what was done, never changed, told to administrators."""

import json
import stat
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import URL

from pressroom.database.session import Database
from pressroom.errors import Unavailable
from pressroom.identity import audit
from pressroom.identity.audit import AuditFile, Entry
from pressroom.settings import Settings

ENTRY = Entry("ana", "local", None, "127.0.0.1", "delete_a_notebook", "DELETE", "/db/notebooks/1", {}, True, None)


@pytest.fixture
def audit_file(settings: Settings, tmp_path: Path) -> Path:
    """The file of the service's audit."""
    settings.audit_file = tmp_path / "audit.jsonl"
    return settings.audit_file


@pytest.fixture
def plain(database_url: URL) -> Any:
    url = database_url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def entries(http: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    answer = http.get("/db/audit", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_was_done_is_written_with_who_and_to_what(audit_file: Path, http: httpx.Client, notebook: Path) -> None:
    fields = {"name": "sales", "file_path": str(notebook), "username": "ana"}
    assert http.post("/db/notebooks?secret=query", json=fields).status_code == 201
    assert http.post("/db/notebooks", json=fields).status_code == 409
    region = {"notebook_id": 1, "param_name": "region", "param_type": "string", "default_value": "A SECRET"}
    assert http.post("/db/parameters", json=region).status_code == 201
    sent = {"parameters": {"region": "TOP SECRET"}}
    done = http.post("/db/notebooks/1/executions", json=sent, headers={"Prefer": "respond-async"})
    keyed = http.post(
        "/db/notebooks/1/executions", json={}, headers={"Prefer": "respond-async", "Idempotency-Key": "k"}
    )
    assert (done.status_code, keyed.status_code) == (202, 202)
    assert http.get("/db/notebooks/1").status_code == 200
    last, second, defined, first = entries(http)
    assert defined["facts"] == {"notebook_id": 1}
    assert {name: first[name] for name in ("username", "source", "address", "operation", "path", "allowed")} == {
        "username": "ana",
        "source": "local",
        "address": "127.0.0.1",
        "operation": "register_a_notebook",
        "path": "/db/notebooks",
        "allowed": True,
    }
    assert first["facts"] == {"notebook_id": 1}
    assert second["facts"] == {"execution_ids": [done.json()["id"]]}
    assert last["facts"] == {"execution_ids": [keyed.json()["id"]]}
    text = audit_file.read_text()
    assert "SECRET" not in text + json.dumps([first, defined, second, last])
    assert "query" not in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["operation"] for line in lines] == [
        "register_a_notebook",
        "define_a_parameter",
        "execute_a_registered_notebook",
        "execute_a_registered_notebook",
    ]
    assert stat.S_IMODE(audit_file.stat().st_mode) == 0o600


def test_what_was_refused_is_written_too(audit_file: Path, http: httpx.Client) -> None:
    made = http.post("/db/tokens", json={"scopes": ["read"], "username": "bo"}).json()
    assert http.get("/db/notebooks", headers={"Authorization": "Bearer prs_wrong"}).status_code == 401
    assert http.get("/db/workers", headers={"Authorization": f"Bearer {made['token']}"}).status_code == 403
    forbidden, unknown = entries(http, allowed=False)
    assert (unknown["username"], unknown["status"], unknown["operation"]) == (None, 401, "list_notebooks")
    assert (forbidden["username"], forbidden["status"], forbidden["operation"]) == ("bo", 403, "list_workers")
    assert forbidden["token_id"] == made["id"]
    [told] = entries(http, allowed=True)
    assert told["facts"] == {"token_id": made["id"], "username": "bo", "scopes": ["read"]}
    assert made["token"] not in audit_file.read_text()
    assert len(entries(http, username="bo")) == 1
    assert len(audit_file.read_text().splitlines()) == 3


def test_the_audit_goes_on_page_after_page(http: httpx.Client) -> None:
    for _ in range(5):
        assert http.post("/db/tokens", json={"scopes": ["read"]}).status_code == 201
    found, url = list[int](), "/db/audit?limit=2"
    while url:
        answer = http.get(url)
        found += [entry["id"] for entry in answer.json()]
        url = answer.links.get("next", {}).get("url", "")
    assert found == sorted(found, reverse=True)
    assert len(found) == 5


async def test_an_entry_is_there_only_with_its_change(database: Database, plain: Any) -> None:
    async def failing() -> None:
        async with database.transaction() as session:
            await audit.record(session, ENTRY)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await failing()
    assert plain.execute("SELECT count(*) FROM audit_log").fetchone() == (0,)


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_log SET username = 'bo'", "DELETE FROM audit_log", "TRUNCATE audit_log"]
)
async def test_no_entry_is_changed_or_deleted(database: Database, plain: Any, statement: str) -> None:
    async with database.transaction() as session:
        await audit.record(session, ENTRY)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="audit_log only grows"):
        plain.execute(statement)
    assert plain.execute("SELECT username FROM audit_log").fetchall() == [("ana",)]


def test_a_file_that_cannot_be_written_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="audit file"):
        AuditFile(tmp_path / "missing" / "audit.jsonl")
