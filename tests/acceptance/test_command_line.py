"""The command line, as a person uses it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from sqlalchemy import URL
from typer.testing import CliRunner

from ports import free_port
from pressroom.cli.main import app
from pressroom.settings import Settings

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
PRESSROOM = [sys.executable, "-m", "pressroom.cli"]


@pytest.fixture
def shell(database_url: URL, tmp_path: Path) -> dict[str, str]:
    """The environment of a shell whose database is the test's."""
    url = database_url.render_as_string(hide_password=False)
    return {**os.environ, "DATABASE_URL": url, "PRESSROOM_LOCAL_USER": "ana", "PRESSROOM_SECRET": "x", "NO_COLOR": "1"}


def pressroom(shell: dict[str, str], *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PRESSROOM, *words], env=shell, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_a_notebook_is_registered_executed_and_found_in_the_history(shell: dict[str, str], notebook: Path) -> None:
    added = pressroom(shell, "notebooks", "add", "sales.ipynb", "--infer", "--json", cwd=notebook.parent)
    assert added.returncode == 0, added.stderr
    made = json.loads(added.stdout)
    assert [p["param_name"] for p in made["parameters"]] == ["region", "months"]
    run = pressroom(
        shell, "run", "sales.ipynb", "-p", "months", "12", "-p", "region", "APAC", "--log", cwd=notebook.parent
    )
    assert run.returncode == 0, run.stderr
    assert "APAC: 24" in run.stdout
    [row] = json.loads(pressroom(shell, "executions", "list", "--json").stdout)
    assert row["parameters_used"] == {"region": "APAC", "months": 12}
    assert row["notebook_id"] == made["id"]
    narrow = {**shell, "COLUMNS": "40"}
    for words in (("show", str(row["id"])), ("list",)):
        assert str(notebook) in pressroom(narrow, "executions", *words).stdout, "a pipe gets every cell whole"


def test_a_wrong_parameter_is_refused_and_nothing_runs(shell: dict[str, str], notebook: Path) -> None:
    assert pressroom(shell, "notebooks", "add", str(notebook), "--infer").returncode == 0
    wrong = pressroom(shell, "run", str(notebook), "-p", "months", "three")
    assert wrong.returncode == 2
    assert "Parameter 'months' must be an integer" in wrong.stderr
    assert json.loads(pressroom(shell, "executions", "list", "--json").stdout) == []


def test_a_failing_cell_is_shown_with_its_error(shell: dict[str, str], home: Path) -> None:
    path = write_notebook(home / "bad.ipynb", "1", 'raise ValueError("no such month")')
    failed = pressroom(shell, "run", str(path))
    assert failed.returncode == 1
    assert 'raise ValueError("no such month")' in failed.stderr
    assert "Cell 2 raised ValueError: no such month" in failed.stderr


def test_ctrl_c_keeps_the_partial_output_and_records_cancelled(shell: dict[str, str], home: Path) -> None:
    path = write_notebook(home / "slow.ipynb", 'print("be" "gan", flush=True)', "import time; time.sleep(600)")
    output = home / "out.ipynb"
    command = [*PRESSROOM, "run", str(path), "-o", str(output), "--log"]
    with subprocess.Popen(command, env=shell, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "began\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert "began" in output.read_text()
    [row] = json.loads(pressroom(shell, "executions", "list", "--json").stdout)
    assert row["status"] == "cancelled"


def test_every_setting_is_a_flag_of_serve_but_for_secrets(shell: dict[str, str]) -> None:
    text = CliRunner().invoke(app, ["serve", "--help"], env={**shell, "COLUMNS": "200"}).stdout
    flags = set(re.findall(r"--([a-z-]+)", text))
    secret = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    assert "database_url" in secret
    assert {name.replace("_", "-") for name in Settings.model_fields.keys() - secret} <= flags
    assert not {name.replace("_", "-") for name in secret} & flags


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "127.example.com", "192.0.2.1"])
def test_serve_refuses_an_address_that_others_reach(shell: dict[str, str], host: str) -> None:
    refused = CliRunner().invoke(app, ["serve", "--host", host], env=shell)
    assert refused.exit_code == 2
    assert "loopback" in refused.stderr


def test_serve_says_that_its_port_is_taken_before_it_starts_anything(shell: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = CliRunner().invoke(app, ["serve", "--port", str(port)], env=shell)
    assert refused.exit_code == 1
    assert f"cannot listen at 127.0.0.1, port {port}: Address already in use" in refused.stderr


def test_who_waits_when_the_service_ends_is_told_that_the_execution_goes_on(shell: dict[str, str], home: Path) -> None:
    path = write_notebook(home / "slow.ipynb", "import time; time.sleep(600)")
    url = f"http://127.0.0.1:{free_port()}"
    words = ["serve", "--port", url.rpartition(":")[2], "--users-root", str(home.parent), "--grace-seconds", "1"]
    words += ["--worker-grace-seconds", "0"]
    with (
        subprocess.Popen([*PRESSROOM, *words], env=shell, stderr=subprocess.PIPE, text=True) as process,
        httpx.Client(base_url=url, timeout=60) as http,
        ThreadPoolExecutor(1) as pool,
    ):
        assert process.stderr is not None
        assert any("Uvicorn running" in line for line in process.stderr)
        waiting = pool.submit(http.post, "/execute", json={"input_path": str(path)})
        while not httpx.get(f"{url}/db/executions?status=running").json():
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        answer = waiting.result(30)
        process.stderr.read()
        process.wait(30)
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert answer.json()["type"].endswith("/unavailable")
    execution_id = answer.json()["execution_id"]
    row = json.loads(pressroom(shell, "executions", "show", str(execution_id), "--json").stdout)
    assert (row["status"], row["failure"]["reason"]) == ("pending", "interrupted"), "it is back in the queue"


def test_the_schema_is_checked_and_upgraded(shell: dict[str, str], empty_database_url: URL) -> None:
    shell["DATABASE_URL"] = empty_database_url.render_as_string(hide_password=False)
    before = pressroom(shell, "db", "check")
    assert before.returncode == 1
    assert "pressroom db upgrade" in before.stderr
    assert pressroom(shell, "db", "upgrade").returncode == 0
    assert pressroom(shell, "db", "upgrade").returncode == 0
    assert pressroom(shell, "db", "check").returncode == 0
