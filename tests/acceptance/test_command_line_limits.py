"""Limits of memory, processor time and processes on the command line and from the Python client."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

import pressroom
from pressroom.errors import Invalid

PRESSROOM = [sys.executable, "-m", "pressroom.cli"]
SAID = {"memory_mb": 4096, "cpu_seconds": 90.0, "max_processes": 4000}
OPTIONS = ["--memory-mb", "4096", "--cpu-seconds", "90", "--max-processes", "4000"]


@pytest.fixture
def shell(database_url: URL, home: Path) -> dict[str, str]:
    """The environment of a shell whose database is the test's, and whose users live in the test's folder."""
    url = database_url.render_as_string(hide_password=False)
    ours = {"PRESSROOM_USERS_ROOT": str(home.parent), "PRESSROOM_LOCAL_USER": "ana", "DATABASE_URL": url}
    return os.environ | ours | {"NO_COLOR": "1", "TERM": "dumb"}


def command(shell: dict[str, str], *words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    words = (*PRESSROOM, *(str(word) for word in words))
    done = subprocess.run(words, env=shell, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def limits(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in SAID}


def test_run_and_submit_take_limits(shell: dict[str, str], notebook: Path) -> None:
    assert limits(json.loads(command(shell, "submit", notebook, *OPTIONS, "--json").stdout)) == SAID
    assert limits(json.loads(command(shell, "run", notebook, *OPTIONS, "--json").stdout)) == SAID


def test_a_notebook_is_given_limits_and_keeps_its_other_defaults(shell: dict[str, str], notebook: Path) -> None:
    made = json.loads(command(shell, "notebooks", "add", notebook, *OPTIONS, "--json").stdout)
    assert made["execution_defaults"] == SAID
    changed = command(shell, "notebooks", "update", str(made["id"]), "--memory-mb", "2048", "--json").stdout
    assert json.loads(changed)["execution_defaults"] == SAID | {"memory_mb": 2048}


def test_a_limit_that_is_wrong_is_named(shell: dict[str, str], notebook: Path) -> None:
    for words in (["run", notebook], ["notebooks", "add", notebook]):
        assert "memory_mb" in command(shell, *words, "--memory-mb", "1", code=2).stderr
    shell["PRESSROOM_MAX_PROCESSES"] = "100"
    for words in (["submit", notebook], ["notebooks", "add", notebook]):
        said = command(shell, *words, "--max-processes", "101", code=2).stderr
        assert (
            "max_processes: 101 is more than 100, the most that this service allows (PRESSROOM_MAX_PROCESSES)." in said
        )


def test_the_client_says_limits(service: Any, notebook: Path) -> None:
    with pressroom.Client(service.url) as client:
        made = client.register("Sales", notebook, "ana", execution_defaults={"memory_mb": 2048, "cpu_seconds": 30})
        assert made.execution_defaults == {"memory_mb": 2048, "cpu_seconds": 30}
        row = client.submit_notebook(made.id, cpu_seconds=60, max_processes=4000)
        assert (row.memory_mb, row.cpu_seconds, row.max_processes) == (2048, 60, 4000)
        with pytest.raises(Invalid, match="memory_mb"):
            client.submit(notebook, memory_mb=1)
