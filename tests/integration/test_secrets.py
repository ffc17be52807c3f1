"""No secret is in a log, however much is logged, nor among the arguments of any process."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from typer.testing import CliRunner

from pressroom.cli.main import app
from pressroom.settings import Settings

PRESSROOM = [sys.executable, "-m", "pressroom.cli"]
SECRETS = {
    name: f"S3CRET-{name}-{os.urandom(6).hex()}"
    for name in ("database", "metrics", "mail", "hook", "wrong-token", "query", "parameter", "cookie")
}

SIGNATURE = "whsec_" + base64.b64encode(os.urandom(32)).decode()


def until(true: Callable[[], Any]) -> Any:
    """Wait until it is so."""
    for _ in range(1200):
        if found := true():
            return found
        time.sleep(0.05)
    raise AssertionError("it has not come to that")


@pytest.fixture
def shell(settings: Settings, tmp_path: Path) -> dict[str, str]:
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value()
    return os.environ | {
        "DATABASE_URL": re.sub(r"//([^:@/]+)(:[^@/]*)?@", rf"//\1:{SECRETS['database']}@", url),
        "PRESSROOM_METRICS_TOKEN": SECRETS["metrics"],
        "PRESSROOM_SMTP_URL": f"smtp://mailer:{SECRETS['mail']}@127.0.0.1:9",
        "PRESSROOM_MAIL_FROM": "reports@example.com",
        "PRESSROOM_USERS_ROOT": str(settings.users_root),
        "PRESSROOM_LOCAL_USER": "ana",
        "PRESSROOM_WEBHOOK_PRIVATE_ADDRESSES": "true",
        "PRESSROOM_LOG_LEVEL": "debug",
        "PRESSROOM_LOG_FORMAT": "json",
        "PRESSROOM_AUDIT_FILE": str(tmp_path / "audit.jsonl"),
    }


@contextmanager
def running(shell: dict[str, str], log: Path, said: str, *words: str) -> Iterator[tuple[psutil.Process, re.Match[str]]]:
    """A command that goes on, and what its log says when it has started."""
    with log.open("w") as file, subprocess.Popen([*PRESSROOM, *words], env=shell, stdout=file, stderr=file) as process:
        try:
            found = until(lambda: re.search(said, log.read_text()) or process.poll() is not None)
            assert isinstance(found, re.Match), log.read_text()
            yield psutil.Process(process.pid), found
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) in (0, -signal.SIGTERM)


def arguments(process: psutil.Process) -> str:
    """The arguments of a process and of all that it has started."""
    texts: list[str] = []
    for one in [process, *process.children(recursive=True)]:
        try:
            texts += one.cmdline()
        except psutil.NoSuchProcess:
            continue
    return " ".join(texts)


def test_no_secret_is_logged_or_among_arguments(
    shell: dict[str, str], tmp_path: Path, home: Path, receiver: Any
) -> None:
    assert SECRETS["database"] in shell["DATABASE_URL"]
    gate = home / "gate"
    held = f"month = 0\nimport pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.05)"
    path = pytest.write_notebook(home / "held.ipynb", held)  # type: ignore[attr-defined]
    log, of_worker = tmp_path / "serve.log", tmp_path / "worker.log"
    with (
        running(shell, of_worker, "Worker ", "worker", "--concurrency", "1") as (other, _),
        running(shell, log, r"(http://127\.0\.0\.1:\d+)", "serve", "--workers", "1", "--port", "0") as (process, found),
        httpx.Client(base_url=found[1], timeout=60) as http,
    ):
        made = http.post("/db/tokens", json={"scopes": ["admin"]}).json()
        good = {"Authorization": f"Bearer {made['token']}", "Cookie": f"session={SECRETS['cookie']}"}
        assert (
            http.get("/db/notebooks", headers={"Authorization": f"Bearer {SECRETS['wrong-token']}"}).status_code == 401
        )
        wanted = {
            "channel": "webhook",
            "target": f"{receiver.url}/{SECRETS['hook']}",
            "events": ["execution.succeeded"],
        }
        assert http.post("/db/notifications", json=wanted, headers=good).status_code == 201
        mail = {"channel": "email", "target": "bo@example.com", "events": ["execution.succeeded"]}
        assert http.post("/db/notifications", json=mail, headers=good).status_code == 201
        sent = {"input_path": str(path), "parameters": {"month": SECRETS["parameter"]}}
        answer = http.post(f"/execute?q={SECRETS['query']}", json=sent, headers=good | {"Prefer": "respond-async"})
        execution = f"/db/executions/{answer.json()['id']}"
        until(lambda: http.get(execution, headers=good).json()["status"] == "running")
        metrics = http.get("/metrics", headers={"Authorization": f"Bearer {SECRETS['metrics']}", "Forwarded": "for=x"})
        assert metrics.status_code == 200
        words = arguments(process) + arguments(other)
        gate.touch()
        with http.stream("GET", f"{execution}/events", headers=good) as events:
            assert '"status": "success"' in events.read().decode()
        until(lambda: receiver.received and "delivery 2" in log.read_text() + of_worker.read_text())
        checked = subprocess.run([*PRESSROOM, "db", "check"], env=shell, capture_output=True, text=True, timeout=60)
        assert checked.returncode == 0
    assert "serve" in words
    assert "ipykernel" in words or "fork_server" in words
    text = log.read_text() + of_worker.read_text() + checked.stdout + checked.stderr + words
    assert '"level": "debug"' in text
    assert len([json.loads(line) for line in log.read_text().splitlines()]) > 5
    text += (tmp_path / "audit.jsonl").read_text()
    assert {name for name, secret in SECRETS.items() if secret in text} == set()
    assert made["token"] not in text
    assert SIGNATURE not in text
    assert "S3CRET" not in text


def test_a_secret_cannot_be_given_as_an_argument() -> None:
    said = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "300"}).output
    assert "--public-url" in said
    for name, field in Settings.model_fields.items():
        if "SecretStr" in str(field.annotation):
            assert f"--{name.replace('_', '-')}" not in said
