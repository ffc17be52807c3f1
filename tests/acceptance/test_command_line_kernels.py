"""``pressroom kernels list``: with a worker, without one, and without a database."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

PRESSROOM = [sys.executable, "-m", "pressroom.cli"]
PATIENCE = 30


@pytest.fixture
def shell(database_url: URL, home: Path) -> dict[str, str]:
    """The environment of a shell whose database is the test's, and whose users live in the test's folder."""
    url = database_url.render_as_string(hide_password=False)
    ours = {"PRESSROOM_USERS_ROOT": str(home.parent), "PRESSROOM_LOCAL_USER": "ana", "DATABASE_URL": url}
    return os.environ | ours | {"NO_COLOR": "1", "TERM": "dumb"}


def listed(shell: dict[str, str], *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [*PRESSROOM, "kernels", "list", *words]
    done = subprocess.run(command, env=shell, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def kernels(shell: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
    return {kernel["name"]: kernel["workers"] for kernel in json.loads(listed(shell, "--json").stdout)}


@pytest.fixture
def worker(shell: dict[str, str]) -> Iterator[None]:
    command = [*PRESSROOM, "worker", "--name", "press-1", "--concurrency", "1", "--grace", "0"]
    with subprocess.Popen(command, env=shell, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("Worker press-1" in line for line in process.stderr)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
            assert process.wait(30) == 0


def test_without_a_service_it_is_this_machine_that_is_told_of(shell: dict[str, str]) -> None:
    found = kernels(shell)
    assert {"bash", "python3"} <= set(found)
    assert [at["worker"] for at in found["python3"]] == [None]
    table = listed(shell).stdout
    assert "why not" in table
    assert "none on " in table


def test_without_a_database_too(shell: dict[str, str]) -> None:
    shell["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/nothing"
    done = listed(shell, "--json")
    assert "python3" in [kernel["name"] for kernel in json.loads(done.stdout)]
    assert "of this machine alone" in done.stderr


@pytest.mark.usefixtures("worker")
def test_with_a_worker_it_is_the_worker_that_tells(shell: dict[str, str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while (found := kernels(shell))["python3"][0]["worker"] is None:
        assert time.monotonic() < deadline
    assert [at["worker"] for at in found["python3"]] == ["press-1"]
    assert "press-1" in listed(shell).stdout


def test_a_setting_that_is_wrong_is_named(shell: dict[str, str]) -> None:
    shell["PRESSROOM_PRELOAD"] = "pandas;numpy"
    assert "'pandas;numpy' is no module's name" in listed(shell, code=2).stderr
