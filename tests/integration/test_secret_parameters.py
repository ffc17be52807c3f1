"""A secret parameter over every door: its notebook gets it, and nobody else finds it anywhere."""

import hashlib
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr
from sqlalchemy import URL
from typer.testing import CliRunner, Result

from accounts import client_of
from pressroom.cli.main import app
from pressroom.parameters.sealing import new_key
from pressroom.settings import Settings

Service = pytest.Service  # type: ignore[attr-defined]
write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
CANARY = "canary'&\"zebra"
WORDS = ("canary", "zebra")
MARK = "********"
KEYS = [new_key(), new_key()]
LOOK = """
import glob, hashlib
seen = [path for path in glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ")]
def holds(path):
    try:
        return token.encode() in open(path, "rb").read()
    except OSError:
        return False
print("in processes:", sum(map(holds, seen)), len(seen) > 2)
print("digest:", hashlib.sha256(token.encode()).hexdigest())
"""


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """A service that can keep secrets, and tells of all that it does wherever it can."""
    settings.secret_key = SecretStr(KEYS[0])
    settings.audit_file = tmp_path / "audit.jsonl"
    settings.webhook_private_addresses = True
    settings.log_level = "debug"
    return settings


@pytest.fixture
def plain(database_url: URL) -> Iterator[psycopg.Connection]:
    """A connection of somebody's who may read and change everything."""
    url = database_url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def shell(settings: Settings, database_url: URL, home: Path) -> dict[str, str]:
    """The environment of a shell beside the service."""
    return os.environ | {
        "DATABASE_URL": database_url.render_as_string(hide_password=False),
        "PRESSROOM_USERS_ROOT": str(home.parent),
        "PRESSROOM_LOCAL_USER": "ana",
        "PRESSROOM_SECRET_KEY": KEYS[0],
        "NO_COLOR": "1",
    }


def pressroom(shell: dict[str, str], *words: object, given: str = "", code: int = 0) -> Result:
    """A command, in this process."""
    done = CliRunner().invoke(app, list(map(str, words)), input=given, env=shell)
    assert done.exit_code == code, done.output
    return done


def registered(http: httpx.Client, path: Path, **fields: Any) -> int:
    """A notebook of `ana`'s with the parameters ``region`` and ``token``, a secret."""
    made = http.post("/db/notebooks", json={"name": path.stem, "file_path": str(path), "username": "ana"})
    assert made.status_code == 201, made.text
    definitions = [
        {"param_name": "region", "param_type": "string", "default_value": "EMEA"},
        {"param_name": "token", "param_type": "string", "required": True, "secret": True} | fields,
    ]
    defined = http.post(f"/db/parameters/bulk/{made.json()['id']}", json=definitions)
    assert defined.status_code == 201, defined.text
    return made.json()["id"]


def dump(plain: psycopg.Connection) -> str:
    """All that the database holds, as text."""
    tables = plain.execute(
        "SELECT table_schema, table_name FROM information_schema.tables "
        "WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')"
    ).fetchall()
    assert ("public", "notebook_executions") in tables
    found = []
    for name in tables:
        rows = plain.execute(sql.SQL("SELECT t::text FROM {} AS t").format(sql.Identifier(*name))).fetchall()
        found += [f"{name}: {row[0]}" for row in rows]
    return "\n".join(found)


def assert_clean(text: str, where: str) -> None:
    for word in WORDS:
        at = text.find(word)
        assert at < 0, f"{where} shows {word}: {text[max(0, at - 300) : at + 100]}"


def ended(http: httpx.Client, execution_id: int) -> dict[str, Any]:
    with http.stream("GET", f"/db/executions/{execution_id}/events") as events:
        assert list(events.iter_lines())
    return http.get(f"/db/executions/{execution_id}").json()


def test_a_secret_reaches_its_notebook_by_every_door_and_is_found_nowhere_else(  # noqa: PLR0915
    http: httpx.Client,
    home: Path,
    shell: dict[str, str],
    plain: psycopg.Connection,
    receiver: Any,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    source = write_notebook(home / "pull.ipynb", LOOK, "print(token); token", "raise ValueError(region + token)")
    in_place = write_notebook(home / "here.ipynb", LOOK)
    notebook_id, other_id = registered(http, source), registered(http, in_place)
    hook = {"channel": "webhook", "target": receiver.url, "events": ["execution.succeeded", "execution.failed"]}
    assert http.post("/db/notifications", json=hook).status_code == 201
    sent = {"parameters": {"token": CANARY}}

    waited = http.post("/execute", json=sent | {"username": "ana", "input_path": str(source)})
    assert (waited.status_code, waited.json()["evalue"]) == (422, f"EMEA{MARK}")
    keyed = {"Prefer": "respond-async", "Idempotency-Key": "once"}
    accepted = http.post(f"/db/notebooks/{notebook_id}/executions", json=sent, headers=keyed)
    assert accepted.json()["parameters_used"] == {"region": "EMEA", "token": MARK}
    again = http.post(f"/db/notebooks/{notebook_id}/executions", json=sent, headers=keyed)
    assert again.json()["id"] == accepted.json()["id"]
    another = http.post(
        f"/db/notebooks/{notebook_id}/executions", json={"parameters": {"token": CANARY + "2"}}, headers=keyed
    )
    assert another.status_code == 409
    placed = http.post(f"/db/notebooks/{other_id}/executions", json=sent | {"in_place": True})
    assert (placed.status_code, placed.json()["parameters"]["token"]) == (200, MARK)
    bulk = http.post("/db/executions/bulk", json={"executions": [sent | {"notebook_id": other_id}] * 2}).json()["ids"]
    first = ended(http, waited.json()["execution_id"])
    retried = http.post(f"/db/executions/{first['id']}/retry").json()
    asked = pressroom(shell, "submit", source, "--secret", "token", given=CANARY + "\n").stdout
    command = [sys.executable, "-m", "pressroom.cli", "run", in_place, "--secret", "token", "--log"]
    ran = subprocess.run(command, env=shell, input=CANARY + "\n", capture_output=True, text=True, timeout=120)
    assert_clean(ran.stdout + ran.stderr, "the command")

    ids = [first["id"], accepted.json()["id"], placed.json()["execution_id"], *bulk, retried["id"], int(asked)]
    ids += [row["id"] for row in http.get("/db/executions", params={"limit": 1}).json()]
    assert len(set(ids)) == 8
    executions = [ended(http, execution_id) for execution_id in ids]
    digest = hashlib.sha256(CANARY.encode()).hexdigest()
    paths = [path for path, kinds in http.get("/openapi.json").json()["paths"].items() if "get" in kinds]
    for execution in executions:
        assert execution["parameters_used"] == {"region": "EMEA", "token": MARK}
        lines = http.get(f"/db/executions/{execution['id']}/log").text.splitlines()
        assert lines[:2] == ["in processes: 0 True", f"digest: {digest}"], lines
        for path in paths:
            if "{execution_id}" in path:
                answer = http.get(path.replace("{execution_id}", str(execution["id"])))
                assert_clean(answer.text, path)
        assert http.get(f"/db/executions/{execution['id']}/notebook").status_code == 200
    assert retried["retry_of"] == first["id"]
    for path in ("/db/executions", "/db/audit", "/db/notifications", f"/db/notebooks/{notebook_id}", "/metrics"):
        assert_clean(http.get(path).text, path)

    outputs = [path for path in home.rglob("*") if path.is_file()]
    assert len(outputs) >= 8
    for path in outputs:
        assert_clean(path.read_bytes().decode(errors="replace"), str(path))
    written = json.loads(in_place.read_text())
    assert written["metadata"]["papermill"]["parameters"] == {"region": "EMEA", "token": MARK}
    give_up = time.monotonic() + 60
    while len(receiver.received) < len(executions):
        assert time.monotonic() < give_up
        time.sleep(0.02)
    for received in receiver.received:
        assert_clean(received.body.decode(), "a webhook")
    assert settings.audit_file is not None
    assert_clean(settings.audit_file.read_text(), "the audit")
    assert_clean(dump(plain), "the database")
    assert_clean(caplog.text, "the log")
    assert http.get("/db/executions", params={"param.token": CANARY}).json() == []


@pytest.mark.parametrize(
    ("fields", "value", "sentence"),
    [
        ({"param_type": "integer"}, CANARY, "must be an integer; what was given is not shown, since it is a secret."),
        ({"validation_rules": {"pattern": "^sk-"}}, CANARY, "breaks its rule pattern (^sk-); what was given is not"),
        ({"validation_rules": {"max_length": 3}}, CANARY, "breaks its rule max_length (3); what was given is not"),
        ({"param_type": "float", "validation_rules": {"max": 1}}, 987654.25, "breaks its rule max (1); what"),
        ({"param_type": "date"}, CANARY, "must be a date like 2026-10-31; what was given is not shown"),
        ({}, MARK, "is ********, which is shown in place of a secret; give the secret itself."),
        ({}, None, "must be a string; what was given is not shown, since it is a secret."),
    ],
)
def test_a_wrong_secret_is_refused_without_its_value(
    http: httpx.Client, notebook: Path, caplog: pytest.LogCaptureFixture, fields: Any, value: Any, sentence: str
) -> None:
    caplog.set_level(logging.DEBUG)
    notebook_id = registered(http, notebook, **fields)
    one = {"parameters": {"token": value}}
    alone = http.post(f"/db/notebooks/{notebook_id}/executions", json=one)
    many = http.post("/db/executions/bulk", json={"executions": [one | {"notebook_id": notebook_id}]})
    for answer in (alone, many):
        assert answer.status_code == 422
        assert f"Parameter 'token' {sentence}" in answer.json()["detail"]
        assert answer.json()["value"] is None
        assert_clean(answer.text, "the answer")
        assert "987654" not in answer.text
    assert_clean(caplog.text, "the log")
    assert http.get("/db/executions").json() == []


def test_a_misspelt_secret_is_not_repeated(http: httpx.Client, notebook: Path) -> None:
    notebook_id = registered(http, notebook)
    answer = http.post(f"/db/notebooks/{notebook_id}/executions", json={"parameters": {"tokne": CANARY}})
    assert "did you mean 'token'?" in answer.json()["detail"]
    assert_clean(answer.text, "the answer")


def test_a_definition_shows_that_it_is_secret_and_no_value(http: httpx.Client, notebook: Path) -> None:
    notebook_id = registered(http, notebook)
    region, token = http.get(f"/db/parameters/notebook/{notebook_id}").json()
    assert (region["secret"], token["secret"]) == (False, True)
    schema = http.get(f"/db/notebooks/{notebook_id}/schema").json()["properties"]
    assert schema["token"] == {"title": "token", "type": "string", "writeOnly": True}
    for fields in ({"default_value": "x"}, {"validation_rules": {"options": ["x"]}}):
        refused = http.put(f"/db/parameters/{token['id']}", json=fields)
        assert (refused.status_code, refused.json()["type"]) == (422, "/problems/rule-invalid")
    turned = http.put(f"/db/parameters/{region['id']}", json={"secret": True})
    assert "default_value cannot be kept for a secret" in turned.json()["detail"]
    turned = http.put(f"/db/parameters/{region['id']}", json={"secret": True, "default_value": None})
    assert turned.json()["secret"] is True
    template = {"notebook_id": notebook_id, "file_path": "made.ipynb"}
    refused = http.post("/create-from-template", json=template | {"parameters": {"token": CANARY}})
    assert "'token' is a secret, which no notebook may hold" in refused.json()["detail"]
    assert_clean(refused.text, "the answer")
    made = http.post("/create-from-template", json=template)
    copied = http.get(f"/db/parameters/notebook/{made.json()['id']}").json()
    assert [row["secret"] for row in copied] == [True, True]


def test_what_was_given_before_a_parameter_became_secret_is_secret_when_it_is_repeated(
    http: httpx.Client, home: Path, plain: psycopg.Connection
) -> None:
    notebook_id = registered(http, write_notebook(home / "n.ipynb", LOOK), secret=False)
    first = http.post(f"/db/notebooks/{notebook_id}/executions", json={"parameters": {"token": CANARY}}).json()
    [_, token] = http.get(f"/db/parameters/notebook/{notebook_id}").json()
    assert http.put(f"/db/parameters/{token['id']}", json={"secret": True}).status_code == 200
    again = http.post(f"/db/executions/{first['execution_id']}/retry").json()
    assert (again["parameters_used"]["token"], ended(http, again["id"])["status"]) == (MARK, "success")
    kept = plain.execute("SELECT secrets IS NOT NULL FROM notebook_executions ORDER BY id").fetchall()
    assert kept == [(False,), (True,)]


def test_a_secret_is_one_for_a_caller_who_cannot_see_the_registration_too(
    settings: Settings, home: Path, database_url: URL, plain: psycopg.Connection
) -> None:
    (home.parent / "bo").mkdir()
    notebook = write_notebook(settings.shared_roots[0] / "n.ipynb", LOOK, "token", parameters="token = ''")
    sent = {"json": {"input_path": str(notebook), "parameters": {"token": CANARY, "other": 1}}}
    asynchronous = sent | {"headers": {"Prefer": "respond-async"}}
    with Service(settings) as service, httpx.Client(base_url=service.url) as http:
        notebook_id = registered(http, notebook)
        with client_of(service.url, database_url, "bo") as bo:
            assert bo.get(f"/db/notebooks/{notebook_id}").status_code == 404
            first = bo.post("/execute", **asynchronous).json()
            assert (first["parameters_used"], first["notebook_id"]) == ({"token": MARK, "other": 1}, None)
            assert ended(bo, first["id"])["status"] == "success"
            again = bo.post(f"/db/executions/{first['id']}/retry").json()
            assert (again["parameters_used"]["token"], ended(bo, again["id"])["status"]) == (MARK, "success")
            for execution in (first, again):
                log = bo.get(f"/db/executions/{execution['id']}/log").text
                assert f"digest: {hashlib.sha256(CANARY.encode()).hexdigest()}" in log
                output = Path(execution["output_path"]).read_text()
                assert_clean(log + output, "the output")
    settings.secret_key = None
    with Service(settings) as service, client_of(service.url, database_url, "bo") as bo:
        refused = bo.post("/execute", **sent)
        assert (refused.status_code, refused.json()["parameter"]) == (422, "token")
        assert "'token' is a secret, and this service has no key to encrypt it with" in refused.json()["detail"]
        assert_clean(refused.text, "the answer")
        del sent["json"]["parameters"]["token"]
        assert bo.post("/execute", **sent).status_code == 200
    assert_clean(dump(plain), "the database")


def test_without_a_key_nothing_is_secret(settings: Settings, home: Path, plain: psycopg.Connection) -> None:
    notebook = write_notebook(home / "n.ipynb", LOOK)
    settings.workers = 0
    with Service(settings) as service, httpx.Client(base_url=service.url) as http:
        notebook_id = registered(http, notebook)
        waiting = http.post(
            f"/db/notebooks/{notebook_id}/executions",
            json={"parameters": {"token": CANARY}},
            headers={"Prefer": "respond-async"},
        ).json()["id"]
    settings.secret_key, settings.workers = None, 1
    with Service(settings) as service, httpx.Client(base_url=service.url) as http:
        fields = {"notebook_id": notebook_id, "param_name": "key", "param_type": "string", "secret": True}
        for refused in (
            http.post("/db/parameters", json=fields),
            http.post(f"/db/notebooks/{notebook_id}/executions", json={"parameters": {"token": CANARY}}),
        ):
            assert refused.status_code == 422
            assert "PRESSROOM_SECRET_KEY" in refused.json()["detail"]
            assert_clean(refused.text, "the answer")
        failed = ended(http, waiting)
        assert (failed["status"], failed["attempt"]) == ("failed", 1)
        assert failed["failure"]["reason"] == "secret_unreadable"
        assert "there is no key: set PRESSROOM_SECRET_KEY" in failed["error_message"]
        assert http.post(f"/db/executions/{waiting}/retry").json()["type"] == "/problems/secret-unreadable"
    assert_clean(dump(plain), "the database")


def test_keys_can_be_rotated_and_another_key_opens_nothing(settings: Settings, home: Path) -> None:
    notebook = write_notebook(home / "n.ipynb", LOOK)
    settings.workers = 0
    sent = {"json": {"parameters": {"token": CANARY}}, "headers": {"Prefer": "respond-async", "Idempotency-Key": "k"}}
    with Service(settings) as service, httpx.Client(base_url=service.url) as http:
        notebook_id = registered(http, notebook)
        old = http.post(f"/db/notebooks/{notebook_id}/executions", **sent).json()["id"]
    settings.secret_key, settings.workers = SecretStr(", ".join(reversed(KEYS))), 1
    with Service(settings) as service, httpx.Client(base_url=service.url) as http:
        assert http.post(f"/db/notebooks/{notebook_id}/executions", **sent).json()["id"] == old
        assert ended(http, old)["status"] == "success"
        new = http.post(f"/db/executions/{old}/retry").json()["id"]
        assert ended(http, new)["status"] == "success"
    settings.secret_key = SecretStr(KEYS[1])
    with Service(settings) as service, httpx.Client(base_url=service.url) as http:
        assert ended(http, http.post(f"/db/executions/{new}/retry").json()["id"])["status"] == "success"
        refused = http.post(f"/db/executions/{old}/retry")
        assert (refused.status_code, refused.json()["execution_id"]) == (422, old)
        assert "no key of PRESSROOM_SECRET_KEY decrypts them" in refused.json()["detail"]


def test_a_ciphertext_that_was_changed_or_moved_is_not_opened(
    settings: Settings, home: Path, plain: psycopg.Connection
) -> None:
    thief = write_notebook(home / "thief.ipynb", "print(token[::-1])")
    settings.workers = 0
    with Service(settings) as service, httpx.Client(base_url=service.url) as http:
        notebook_id = registered(http, write_notebook(home / "n.ipynb", LOOK))
        body = {"executions": [{"notebook_id": notebook_id, "parameters": {"token": CANARY}}] * 4}
        changed, spoilt, moved, turned = http.post("/db/executions/bulk", json=body).json()["ids"]
    plain.execute("UPDATE notebook_executions SET secrets = left(secrets, -6) || 'AAAA==' WHERE id = %s", (changed,))
    plain.execute("UPDATE notebook_executions SET secrets = left(secrets, -3) || 'é==' WHERE id = %s", (spoilt,))
    plain.execute(
        "UPDATE notebook_executions SET secrets = (SELECT secrets FROM notebook_executions WHERE id = %s) "
        "WHERE id = %s",
        (turned, moved),
    )
    plain.execute("UPDATE notebook_executions SET input_path = %s WHERE id = %s", (str(thief), turned))
    settings.workers = 1
    with Service(settings) as service, httpx.Client(base_url=service.url) as http:
        reasons = {
            changed: "they were changed",
            spoilt: "they were changed",
            moved: "for another",
            turned: "for another",
        }
        for execution_id, why in reasons.items():
            execution = ended(http, execution_id)
            assert (execution["status"], execution["failure"]["reason"]) == ("failed", "secret_unreadable")
            assert why in execution["error_message"]
            assert http.get(f"/db/executions/{execution_id}/log").text == ""
        for execution_id in (changed, spoilt):
            refused = http.post(f"/db/executions/{execution_id}/retry")
            assert (refused.status_code, refused.json()["type"]) == (422, "/problems/secret-unreadable")


def test_commands_take_secrets_where_nobody_sees_them(
    http: httpx.Client, home: Path, shell: dict[str, str], notebook: Path
) -> None:
    registered(http, write_notebook(home / "n.ipynb", LOOK))
    seen = pressroom(shell, "submit", home / "n.ipynb", "-p", "token", CANARY, code=2)
    assert "'token' is a secret; give it with --secret token" in seen.stderr
    assert_clean(seen.stderr, "the command")
    open_ = pressroom(shell, "run", notebook, "--secret", "region", given="EMEA\n", code=2)
    assert "'region' is not marked secret" in open_.stderr
    nothing = pressroom(shell, "submit", home / "n.ipynb", "--secret", "token", code=2)
    assert "The standard input has no line for the secret 'token'." in nothing.stderr
    twice = pressroom(shell, "submit", home / "n.ipynb", "-p", "token", "x", "--secret", "token", code=2)
    assert "more than once" in twice.stderr
    new = pressroom(shell, "secrets", "new-key").stdout.strip()
    wrong = pressroom(shell | {"PRESSROOM_SECRET_KEY": f"{new},canary"}, "parameters", "list", 1, code=2)
    assert "holds what is not a key" in wrong.stderr
    assert "canary" not in wrong.stderr
    added = pressroom(shell | {"PRESSROOM_SECRET_KEY": new}, "parameters", "add", 1, "key", "string", "--secret")
    assert "secret" in added.stdout
    without = pressroom(shell | {"PRESSROOM_SECRET_KEY": ""}, "parameters", "add", 1, "k", "string", "--secret", code=2)
    assert "PRESSROOM_SECRET_KEY" in without.stderr
