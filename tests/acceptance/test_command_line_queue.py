"""The commands of the queue, with a real worker process beside them."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
PRESSROOM = [sys.executable, "-m", "pressroom.cli"]


@pytest.fixture
def shell(database_url: URL, home: Path) -> dict[str, str]:
    """The environment of a shell whose database is the test's, and whose users live in the test's folder."""
    url = database_url.render_as_string(hide_password=False)
    ours = {"PRESSROOM_USERS_ROOT": str(home.parent), "PRESSROOM_LOCAL_USER": "ana", "PRESSROOM_GRACE_SECONDS": "1"}
    return os.environ | ours | {"DATABASE_URL": url, "NO_COLOR": "1", "PRESSROOM_WEBHOOK_PRIVATE_ADDRESSES": "true"}


def pressroom(shell: dict[str, str], *words: str | Path | int, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [*PRESSROOM, *(str(word) for word in words)]
    done = subprocess.run(command, env=shell, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def answer(shell: dict[str, str], *words: str | Path | int, code: int = 0) -> Any:
    return json.loads(pressroom(shell, *words, "--json", code=code).stdout)


@contextmanager
def _worker(shell: dict[str, str], *words: str) -> Iterator[None]:
    command = [*PRESSROOM, "worker", "--name", "press-1", "--concurrency", "2", "--grace", "0", *words]
    with subprocess.Popen(command, env=shell, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("Worker press-1" in line for line in process.stderr)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
            assert process.wait(30) == 0


@pytest.fixture
def worker(shell: dict[str, str]) -> Iterator[None]:
    with _worker(shell):
        yield


@pytest.fixture
def slow(home: Path) -> Path:
    return write_notebook(home / "slow.ipynb", 'print("be" "gan", flush=True)', "import time; time.sleep(600)")


def began(shell: dict[str, str], execution_id: int) -> None:
    command = [*PRESSROOM, "executions", "log", str(execution_id), "--follow"]
    with subprocess.Popen(command, env=shell, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "began\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


@pytest.mark.parametrize(
    "words",
    [
        ("submit", "quick.ipynb", "--key", ""),
        ("submit", "quick.ipynb", "--key", "k" * 256),
        ("worker", "--queues", "Two words"),
    ],
)
def test_a_key_or_a_queue_that_cannot_be_is_refused_in_words(shell: dict[str, str], words: tuple[str, ...]) -> None:
    told = pressroom(shell, *words, code=2).stderr
    assert told.startswith(("error: key: String should have at ", "error: queues.0: String should match pattern"))
    assert told.count("\n") == 1


def test_what_is_submitted_waits_for_a_worker_with_all_that_was_said(shell: dict[str, str], notebook: Path) -> None:
    words = ["--queue", "reports", "--priority", "5", "--max-attempts", "2", "--retry-on", "timed_out", "--timeout"]
    words += ["60", "--expires-in", "2h", "--late-after", "30m", "--key", "monthly"]
    told = pressroom(shell, "submit", notebook, "-p", "months", "12", *words)
    assert re.fullmatch(r"\d+\n", told.stdout), "the id, for a shell to keep"
    row = answer(shell, "submit", notebook, "-p", "months", "12", *words)
    assert row["id"] == int(told.stdout), "the same key, the same execution"
    assert (row["status"], row["queue"], row["priority"], row["max_attempts"]) == ("pending", "reports", 5, 2)
    assert (row["retry_on"], row["timeout_seconds"], row["expires_at"] is None) == (["timed_out"], 60, False)
    other = pressroom(shell, "submit", notebook, "-p", "months", "3", *words, code=2)
    assert "came with another request before" in other.stderr
    [queue] = answer(shell, "queues")
    assert (queue["name"], queue["waiting"], queue["running"]) == ("reports", 1, 0)
    assert answer(shell, "workers") == []
    with _worker(shell, "--queues", "reports"):
        pressroom(shell, "executions", "follow", row["id"])
        [worker] = answer(shell, "workers")
    assert (worker["name"], worker["queues"], worker["alive"]) == ("press-1", ["reports"], True)
    assert pressroom(shell, "executions", "log", row["id"]).stdout == "EMEA: 24\n"


def test_what_a_worker_may_not_read_is_refused_at_once(shell: dict[str, str], tmp_path: Path) -> None:
    outside = write_notebook(tmp_path / "outside.ipynb", "1")
    assert "outside" in pressroom(shell, "submit", outside, code=2).stderr
    assert answer(shell, "executions", "list") == []


def test_waiting_ends_as_the_execution_ends(shell: dict[str, str], worker: None, notebook: Path, home: Path) -> None:
    done = pressroom(shell, "submit", notebook, "-p", "months", "2", "--wait", "--log")
    text, output = done.stdout.splitlines()
    assert text == "EMEA: 4"
    assert Path(output).parent == home / "executions"
    row = answer(shell, "submit", notebook, "--wait")
    assert (row["status"], row["cells_completed"]) == ("success", 2)
    failed = pressroom(shell, "submit", write_notebook(home / "bad.ipynb", "1/0"), "--wait", code=1)
    run = pressroom(shell, "run", home / "bad.ipynb", code=1)
    for said in (
        "the failing cell",
        "1 1/0",
        "Traceback (most recent call last)",
        "ZeroDivisionError: division by zero",
    ):
        assert said in failed.stderr
    assert re.sub(r"execution \d+  .*", "", failed.stderr) == re.sub(r"execution \d+  .*", "", run.stderr)


def test_ctrl_c_ends_the_waiting_and_not_the_execution(shell: dict[str, str], worker: None, slow: Path) -> None:
    command = [*PRESSROOM, "submit", str(slow), "--wait", "--log"]
    with subprocess.Popen(command, env=shell, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "began\n"
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in process.stderr.read()
        assert process.wait(30) == 130
    [row] = answer(shell, "executions", "list")
    assert row["status"] == "running"


def test_a_running_execution_is_cancelled_and_repeated(shell: dict[str, str], worker: None, slow: Path) -> None:
    first = int(pressroom(shell, "submit", slow).stdout)
    began(shell, first)
    assert "is still running" in pressroom(shell, "executions", "retry", first, code=2).stderr
    assert answer(shell, "executions", "cancel", first)["status"] == "running"
    followed = pressroom(shell, "executions", "follow", first, code=130)
    assert [line.split()[1] for line in followed.stdout.splitlines() if "cancelled" in line] == ["cancelled"]
    [attempt] = answer(shell, "executions", "attempts", first)
    assert (attempt["worker"], attempt["reason"]) == ("press-1", "cancelled")
    assert "press-1" in pressroom(shell, "executions", "attempts", first).stdout
    again = int(pressroom(shell, "executions", "retry", first).stdout)
    assert answer(shell, "executions", "show", again)["retry_of"] == first
    began(shell, again)
    assert "asked to stop" in pressroom(shell, "executions", "cancel", again).stdout
    pressroom(shell, "executions", "follow", again, code=130)
    done = int(pressroom(shell, "submit", write_notebook(slow.with_name("one.ipynb"), "1")).stdout)
    pressroom(shell, "executions", "follow", done)
    assert "has ended already: success" in pressroom(shell, "executions", "cancel", done, code=2).stderr
    assert "There is no execution 99" in pressroom(shell, "executions", "follow", "99", code=2).stderr


def test_one_that_waits_is_cancelled_at_once(shell: dict[str, str], notebook: Path) -> None:
    waiting = int(pressroom(shell, "submit", notebook).stdout)
    assert pressroom(shell, "executions", "cancel", waiting).stdout == f"Execution {waiting} is cancelled.\n"
    assert "not tried yet" in pressroom(shell, "executions", "attempts", waiting).stderr


def test_a_program_follows_events_line_by_line(shell: dict[str, str], worker: None, notebook: Path) -> None:
    execution = int(pressroom(shell, "submit", notebook).stdout)
    told = pressroom(shell, "executions", "follow", execution, "--json").stdout
    events = [json.loads(line) for line in told.splitlines()]
    kinds = [event["kind"] for event in events]
    assert (kinds[0], kinds[-1]) == ("status", "status")
    assert kinds.count("cell_finished") == 2
    assert [event["text"] for event in events if event["kind"] == "output"] == ["EMEA: 6\n"]
    rest = pressroom(shell, "executions", "follow", execution, "--json", "--after", events[2]["id"]).stdout
    assert rest.splitlines() == told.splitlines()[3:]


def test_who_is_told_is_listed_added_and_removed(shell: dict[str, str], notebook: Path) -> None:
    made = answer(shell, "notebooks", "add", notebook)
    words = ["webhook", "http://127.0.0.1:9/hook", "--on", "execution.failed", "--on", "execution.late"]
    added = answer(shell, "notifications", "add", *words, "--notebook", made["id"])
    assert added["secret"].startswith("whsec_")
    assert "shown this once: whsec_" in pressroom(shell, "notifications", "add", *words).stdout
    listed = answer(shell, "notifications", "list", "--notebook", made["id"])
    assert [(row["id"], row["events"]) for row in listed] == [(added["id"], ["execution.failed", "execution.late"])]
    assert "secret" not in listed[0]
    assert answer(shell, "notifications", "deliveries", added["id"]) == []
    assert "Nothing was told yet" in pressroom(shell, "notifications", "deliveries", added["id"]).stderr
    assert answer(shell, "notifications", "remove", added["id"]) == {"id": added["id"], "removed": True}
    assert "tells no more" in pressroom(shell, "notifications", "remove", "2").stdout
    assert answer(shell, "notifications", "list") == []
    wrong = pressroom(shell, "notifications", "add", "email", "ana@example.com", "--on", "execution.failed", code=2)
    assert "PRESSROOM_SMTP_URL" in wrong.stderr


def test_programs_read_the_other_answers_as_json(shell: dict[str, str], notebook: Path) -> None:
    made = answer(shell, "notebooks", "add", notebook, "--infer")
    parameter = made["parameters"][0]["id"]
    assert answer(shell, "parameters", "remove", parameter) == {"id": parameter, "removed": True}
    assert answer(shell, "notebooks", "remove", made["id"]) == {"id": made["id"], "removed": True}
    assert answer(shell, "db", "check")["ready"] is True


def test_an_old_schema_is_told_as_json_too(shell: dict[str, str], empty_database_url: URL) -> None:
    shell["DATABASE_URL"] = empty_database_url.render_as_string(hide_password=False)
    checked = answer(shell, "db", "check", code=1)
    assert (checked["ready"], checked["current"], checked["needed"] is None) == (False, None, False)


def test_the_log_of_a_run_is_the_text_unchanged(shell: dict[str, str], home: Path) -> None:
    path = write_notebook(
        home / "text.ipynb",
        'print("a", end=""); print("b"); print("\\x1b[31mred\\x1b[0m\\n\\n")',
        "41 + 1",
        'print("z", end="")',
    )
    done = pressroom(shell, "run", path, "--log", "-o", home / "out.ipynb")
    assert done.stdout == f"ab\n\x1b[31mred\x1b[0m\n\n\n42\nz\n{home / 'out.ipynb'}\n"
    row = json.loads(pressroom(shell, "run", path, "--log", "--json").stdout)
    assert row["status"] == "success", "with --json the text does not mix with the answer"


def test_a_person_at_a_terminal_sees_the_text_unchanged_too(shell: dict[str, str], home: Path) -> None:
    path = write_notebook(home / "text.ipynb", 'print("a", end="", flush=True); print("b")')
    ours, theirs = pty.openpty()
    with subprocess.Popen([*PRESSROOM, "run", str(path), "--log"], env=shell, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        try:
            while piece := os.read(ours, 4096):
                seen += piece
        except OSError:  # the other end is closed
            pass
        assert process.wait(30) == 0
    os.close(ours)
    assert seen.startswith(b"ab\r\n")


@pytest.mark.parametrize("module", ["rich.console", "sqlalchemy.engine", "procrastinate.app"])
def test_ctrl_c_while_modules_are_imported_ends_without_a_traceback(
    shell: dict[str, str], notebook: Path, module: str
) -> None:
    command = [sys.executable, "-X", "importtime", "-c", "from pressroom.cli.start import main; main()"]
    with subprocess.Popen(
        [*command, "run", str(notebook)], env=shell, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stderr is not None

        assert any(line.split("|")[-1].strip() == module for line in process.stderr)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(30) == 130, rest
    assert "Traceback" not in rest


def test_a_run_is_executed_by_the_command_itself_whoever_else_works(
    shell: dict[str, str], worker: None, tmp_path: Path
) -> None:
    outside = write_notebook(tmp_path / "outside.ipynb", "1")
    for _ in range(3):
        pressroom(shell, "run", outside)
