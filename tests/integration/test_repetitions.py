"""What is repeated is what was submitted, to the letter, whatever has changed at its notebook since."""

from pathlib import Path
from typing import Any

import httpx
import pytest

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
HOW = (
    *("notebook_id", "username", "input_path", "parameters_used", "kernel_name", "timeout_seconds", "queue"),
    *("priority", "max_attempts", "retry_on", "retry_delay_seconds", "notebook_limit", "user_limit", "queue_limit"),
    *("memory_mb", "cpu_seconds", "max_processes"),
)
CHANGED = {
    "queue": "other",
    "priority": 9,
    "timeout_seconds": 77,
    "max_attempts": 9,
    "retry_on": ["any_failure"],
    "retry_delay_seconds": 9,
    "notebook_limit": 9,
    "user_limit": 9,
    "queue_limit": 9,
    "memory_mb": 9999,
    "cpu_seconds": 999.5,
    "max_processes": 999,
    "late_after_seconds": 0.001,
}


def register(http: httpx.Client, path: Path) -> int:
    notebook_id = http.post("/db/notebooks", json={"name": "n", "file_path": str(path), "username": "ana"}).json()["id"]
    for name, kind in (("region", "string"), ("months", "integer")):
        define(http, notebook_id, param_name=name, param_type=kind)
    return notebook_id


def define(http: httpx.Client, notebook_id: int, **fields: Any) -> None:
    answer = http.post("/db/parameters", json={"notebook_id": notebook_id} | fields)
    assert answer.status_code == 201, answer.text


def repeated(http: httpx.Client, execution_id: int) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """An execution, the one that repeats it, and the kinds of that one's events."""
    answer = http.post(f"/db/executions/{execution_id}/retry")
    assert answer.status_code == 202, answer.text
    again = answer.json()
    stream = http.get(f"/db/executions/{again['id']}/events").text
    kinds = [line.removeprefix("event: ") for line in stream.splitlines() if line.startswith("event: ")]
    return http.get(f"/db/executions/{execution_id}").json(), again, kinds


SAID = {"queue": "mine", "priority": 3, "timeout_seconds": 300, "user_limit": 2, "memory_mb": 8192, "cpu_seconds": 99.5}


@pytest.mark.parametrize("said", [{}, SAID], ids=["nothing", "much"])
def test_what_the_notebook_says_by_now_does_not_count(http: httpx.Client, notebook: Path, said: dict[str, Any]) -> None:
    notebook_id = register(http, notebook)
    body = {"parameters": {"region": "APAC"}} | said
    first = http.post(f"/db/notebooks/{notebook_id}/executions", json=body).json()["execution_id"]
    assert http.put(f"/db/notebooks/{notebook_id}", json={"execution_defaults": CHANGED}).status_code == 200
    region, months = http.get(f"/db/parameters/notebook/{notebook_id}").json()
    changes = {"validation_rules": {"options": ["EMEA"]}, "default_value": "EMEA"}
    assert http.put(f"/db/parameters/{region['id']}", json=changes).status_code == 200
    http.put(f"/db/parameters/{months['id']}", json={"default_value": 12})
    define(http, notebook_id, param_name="currency", param_type="string", required=True)
    before, again, kinds = repeated(http, first)
    assert {name: again[name] for name in HOW} == {name: before[name] for name in HOW}
    assert again["parameters_used"] == {"region": "APAC"}
    assert "late" not in kinds


def test_a_notebook_that_is_registered_for_another_file_by_now_is_repeated_from_the_old_one(
    http: httpx.Client, notebook: Path, home: Path
) -> None:
    notebook_id = register(http, notebook)
    first = http.post(f"/db/notebooks/{notebook_id}/executions", json={}).json()["execution_id"]
    other = write_notebook(home / "other.ipynb", "1")
    assert http.put(f"/db/notebooks/{notebook_id}", json={"file_path": str(other)}).status_code == 200
    _, again, _ = repeated(http, first)
    assert (again["input_path"], again["notebook_id"]) == (str(notebook), notebook_id)


def test_an_output_that_the_caller_chose_is_written_again_wherever_it_is(
    http: httpx.Client, notebook: Path, home: Path
) -> None:
    (home / "executions").mkdir()
    for chosen in (home / "out.ipynb", home / "executions" / "latest.ipynb"):
        body = {"input_path": str(notebook), "output_path": str(chosen)}
        first = http.post("/run-notebook", json=body).json()["execution_id"]
        assert repeated(http, first)[1]["output_path"] == str(chosen)
