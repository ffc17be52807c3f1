"""What the operator's settings limit no caller exceeds: a request for more is refused, and says by which setting."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from pressroom.settings import Settings

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
ASYNC = {"Prefer": "respond-async"}
LIMITS: dict[str, tuple[int, str]] = {
    "timeout_seconds": (60, "PRESSROOM_TIMEOUT_LIMIT_SECONDS"),
    "max_attempts": (2, "PRESSROOM_ATTEMPTS_LIMIT"),
    "user_limit": (4, "PRESSROOM_USER_LIMIT"),
    "queue_limit": (3, "PRESSROOM_QUEUE_LIMITS"),
    "memory_mb": (4096, "PRESSROOM_MAX_MEMORY_MB"),
    "cpu_seconds": (1_234_567, "PRESSROOM_MAX_CPU_SECONDS"),
    "max_processes": (20_000, "PRESSROOM_MAX_PROCESSES"),
}
MOST = {field: limit for field, (limit, _) in LIMITS.items()}
LEAST = dict.fromkeys(MOST, 1) | {"memory_mb": 64, "max_processes": 16}
SETTINGS = {"timeout_limit_seconds": 60, "attempts_limit": 2, "user_limit": 4, "queue_limits": {"gpu": 3}}
SETTINGS |= {"max_memory_mb": 4096, "max_cpu_seconds": 1_234_567, "max_processes": 20_000, "bulk_limit": 5}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A service with limits."""
    return settings.model_copy(update=SETTINGS)


def submit(http: httpx.Client, path: Path, **fields: Any) -> httpx.Response:
    return http.post("/execute", json={"input_path": str(path), "queue": "gpu"} | fields, headers=ASYNC)


def has(row: dict[str, Any]) -> dict[str, Any]:
    return {field: row[field] for field in MOST}


@pytest.mark.parametrize("field", LIMITS)
def test_more_than_a_limit_is_refused_by_name(http: httpx.Client, notebook: Path, field: str) -> None:
    most, setting = LIMITS[field]
    refused = submit(http, notebook, **{field: most + 1})
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/over-limit")
    problem = refused.json()
    assert (problem["field"], problem["limit"], problem["setting"]) == (field, most, setting)
    sentence = f"{field}: {most + 1} is more than {most}, the most that this service allows ({setting})."
    assert problem["detail"] == sentence, "numbers are written out"
    assert http.get("/db/executions").json() == []


@pytest.mark.parametrize("field", LIMITS)
def test_a_notebook_cannot_hold_more_than_a_limit(http: httpx.Client, notebook: Path, field: str) -> None:
    made = {"name": "n", "file_path": str(notebook), "username": "ana"}
    just, over = ({"execution_defaults": {"queue": "gpu", field: LIMITS[field][0] + more}} for more in (0, 1))
    refused = http.post("/db/notebooks", json=made | over)
    assert (refused.status_code, refused.json()["setting"]) == (422, LIMITS[field][1])
    assert http.get("/db/notebooks").json() == []
    added = http.post("/db/notebooks", json=made | just)
    assert added.status_code == 201, added.text
    refused = http.put(f"/db/notebooks/{added.json()['id']}", json=over)
    assert (refused.status_code, refused.json()["field"]) == (422, field)


def test_as_much_as_a_limit_or_less_is_accepted(http: httpx.Client, notebook: Path) -> None:
    assert has(submit(http, notebook, **MOST).json()) == MOST
    assert has(submit(http, notebook, **LEAST).json()) == LEAST


def test_who_says_nothing_is_held_to_the_limits(http: httpx.Client, notebook: Path) -> None:
    assert has(submit(http, notebook).json()) == MOST
    assert submit(http, notebook, queue="other").json()["queue_limit"] is None


def test_what_a_notebook_says_since_before_is_held_to_the_limits(
    settings: Settings, http: httpx.Client, notebook: Path
) -> None:
    without = Settings.model_fields
    for name in SETTINGS:
        setattr(settings, name, without[name].get_default(call_default_factory=True))
    defaults = {field: limit + 50 for field, limit in MOST.items()}
    made = {"name": "n", "file_path": str(notebook), "username": "ana", "execution_defaults": defaults}
    assert http.post("/db/notebooks", json=made).status_code == 201
    for name, limit in SETTINGS.items():
        setattr(settings, name, limit)
    assert has(submit(http, notebook).json()) == MOST


def test_one_that_is_repeated_is_held_to_the_limits_of_today(
    settings: Settings, http: httpx.Client, notebook: Path
) -> None:
    first = http.post("/execute", json={"input_path": str(notebook), "queue": "gpu"} | MOST).json()["execution_id"]
    settings.timeout_limit_seconds, settings.attempts_limit, settings.user_limit = 30, 1, 2
    settings.max_memory_mb, settings.max_cpu_seconds, settings.max_processes = 2048, 10, None
    again = http.post(f"/db/executions/{first}/retry")
    assert again.status_code == 202
    today = {"timeout_seconds": 30, "max_attempts": 1, "user_limit": 2, "memory_mb": 2048, "cpu_seconds": 10}
    assert has(again.json()) == MOST | today


def test_more_together_than_the_limit_are_refused(http: httpx.Client, notebook: Path) -> None:
    item = {"input_path": str(notebook)}
    refused = http.post("/db/executions/bulk", json={"executions": [item] * 6})
    assert (refused.status_code, refused.json()["setting"]) == (422, "PRESSROOM_BULK_LIMIT")
    over = http.post("/db/executions/bulk", json={"executions": [item, item | {"max_attempts": 3}]})
    assert over.json()["errors"][0]["loc"] == ["body", "executions", 1, "max_attempts"]
    assert http.get("/db/executions").json() == []
    assert http.post("/db/executions/bulk", json={"executions": [item] * 5}).status_code == 202


@pytest.mark.parametrize("field", ["max_output_mb", "max_notebook_mb", "max_log_mb", "grace_seconds"])
def test_the_sizes_are_not_the_callers_to_say(http: httpx.Client, notebook: Path, field: str) -> None:
    refused = submit(http, notebook, **{field: 1})
    assert (refused.status_code, refused.json()["errors"][0]["loc"]) == (422, ["body", field])
