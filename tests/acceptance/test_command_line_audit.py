"""What a person in a shell changes is in the audit, by whom and with which command; what they read is not."""

import json
import os
import pwd
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL
from typer.testing import CliRunner

from pressroom.cli.main import app

EXPECTED = [
    ("pressroom notebooks add", "register_a_notebook", {"notebook_id": 1}),
    ("pressroom notebooks update", "change_a_notebook", {"notebook_id": 1}),
    ("pressroom notebooks grant", "grant_a_notebook", {"notebook_id": 1, "kind": "user", "grantee": "bo"}),
    ("pressroom notebooks revoke", "revoke_a_grant", {"notebook_id": 1, "kind": "user", "grantee": "bo"}),
    ("pressroom parameters add", "define_a_parameter", {"notebook_id": 1}),
    ("pressroom parameters remove", "delete_a_parameter", {"parameter_id": 1}),
    ("pressroom parameters infer", "define_several_parameters", {"notebook_id": 1}),
    ("pressroom notifications add", "add_a_notification", {"notification_id": 1, "notebook_id": None}),
    ("pressroom notifications remove", "delete_a_notification", {"notification_id": 1}),
    ("pressroom tokens create", "make_a_token", {"token_id": 1, "username": "ana", "scopes": ["read"]}),
    ("pressroom tokens revoke", "revoke_a_token", {"token_id": 1}),
    ("pressroom submit", "execute_a_notebook", {"execution_ids": [1]}),
    ("pressroom executions cancel", "cancel_an_execution", {"execution_ids": [1]}),
    ("pressroom executions retry", "execute_again", {"execution_ids": [2], "retry_of": 1}),
    ("pressroom run", "execute_a_notebook", {"execution_ids": [3]}),
    ("pressroom prune", "prune", {"older_than_seconds": 7776000.0, "keep_last": 0}),
    ("pressroom notebooks remove", "delete_a_notebook", {"notebook_id": 1}),
]
READING = [
    "notebooks list",
    "notebooks show 1",
    "notebooks grants 1",
    "parameters list 1",
    "parameters infer 1",
    "tokens list",
    "notifications list",
    "executions list",
    "prune --older-than 90d --dry-run",
    "workers",
]


@pytest.fixture
def shell(database_url: URL, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("DATABASE_URL", database_url.render_as_string(hide_password=False))
    monkeypatch.setenv("PRESSROOM_LOCAL_USER", "ana")
    monkeypatch.setenv("PRESSROOM_USERS_ROOT", str(home.parent))
    monkeypatch.setenv("PRESSROOM_AUDIT_FILE", str(tmp_path / "audit.jsonl"))

    def run(words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, words.split())
        assert done.exit_code == code, (words, done.output, done.exception)
        return done.output

    return run


def test_each_command_that_changes_something_leaves_an_entry(
    shell: Any, notebook: Path, database_url: URL, tmp_path: Path
) -> None:
    secret = ""
    for words in (
        f"notebooks add {notebook} --name sales",
        "notebooks update 1 --description S3CRET",
        "notebooks grant 1 viewer --user bo",
        "notebooks revoke 1 --user bo",
        "parameters add 1 month integer --default 7",
        "parameters remove 1",
        "parameters infer 1 --save",
        "notifications add webhook https://example.com/S3CRET --on execution.failed",
        "notifications remove 1",
        "tokens create --scope read",
        "tokens revoke 1",
        f"submit {notebook} -p region S3CRET",
        "executions cancel 1",
        "executions retry 1",
        f"run {notebook} -p region S3CRET",
        "prune --older-than 90d",
        *READING[:-2],
        "notebooks remove 1",
        *READING[-2:],
    ):
        said = shell(words)
        secret = secret or (re.search(r"prs_\S+", said) or [""])[0]
    shell("notebooks remove 1", code=2)  # what was refused has changed nothing
    with psycopg.connect(database_url.set(drivername="postgresql").render_as_string(hide_password=False)) as known:
        found = known.execute("SELECT row_to_json(a) FROM audit_log a ORDER BY id").fetchall()
    entries = [entry for (entry,) in found]
    account = {"account": pwd.getpwuid(os.getuid()).pw_name}
    assert [(entry["path"], entry["operation"], entry["facts"]) for entry in entries] == [
        (command, operation, account | facts | ({"level": "viewer"} if operation == "grant_a_notebook" else {}))
        for command, operation, facts in EXPECTED
    ]
    assert {(entry["username"], entry["source"], entry["method"]) for entry in entries} == {("ana", "cli", "CLI")}
    assert secret
    lines = (tmp_path / "audit.jsonl").read_text()
    assert len(lines.splitlines()) == len(EXPECTED)
    text = json.dumps(entries) + lines
    assert "S3CRET" not in text
    assert secret not in text


def test_a_file_of_the_audit_that_cannot_be_written_is_said_after_the_change(
    shell: Any, notebook: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PRESSROOM_AUDIT_FILE", str(tmp_path / "missing" / "audit.jsonl"))
    assert "in the audit, but not in its file" in " ".join(shell(f"notebooks add {notebook} --name sales").split())
    assert "sales" in shell("notebooks list")
