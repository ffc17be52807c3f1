"""What a copy of a notebook takes over."""

from pathlib import Path

import httpx

DEFAULTS = {"queue": "reports", "max_attempts": 5, "retry_on": ["timed_out"], "timeout_seconds": 90.0}


def test_a_copy_and_a_filled_in_template_keep_how_the_original_is_executed(
    http: httpx.Client, notebook: Path, home: Path
) -> None:
    body = {"name": "Sales", "file_path": str(notebook), "username": "ana", "execution_defaults": DEFAULTS}
    made = http.post("/db/notebooks", json=body).json()
    (home.parent / "bo").mkdir()
    copy = http.post("/copy-notebook", json={"notebook_id": made["id"], "username": "bo"})
    assert (copy.status_code, copy.json()["execution_defaults"]) == (201, DEFAULTS)
    filled = http.post("/create-from-template", json={"notebook_id": made["id"], "file_path": "apac.ipynb"})
    assert (filled.status_code, filled.json()["execution_defaults"]) == (201, DEFAULTS)
    address = f"/db/notebooks/{copy.json()['id']}/executions"
    execution = http.post(address, json={}, headers={"Prefer": "respond-async"}).json()
    assert (execution["queue"], execution["max_attempts"]) == ("reports", 5)
