"""How many executions a caller may start a minute."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import URL

from pressroom.settings import Settings

ASYNC = {"Prefer": "respond-async"}
MOST = 3
"""One grows in 20 seconds: far longer than any test here takes."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    settings.executions_per_minute = MOST
    settings.workers = 0
    return settings


@pytest.fixture
def known(database_url: URL) -> Any:
    url = database_url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def later(known: Any, seconds: float) -> None:
    """Let time pass for whoever has used something up."""
    known.execute("UPDATE execution_allowances SET at = at - make_interval(secs => %s)", [seconds])


def submit(http: httpx.Client, notebook: Path, **headers: str) -> httpx.Response:
    return http.post("/execute", json={"input_path": str(notebook)}, headers=ASYNC | headers)


def test_over_the_limit_it_is_429_and_nothing_is_stored(http: httpx.Client, notebook: Path, known: Any) -> None:
    assert [submit(http, notebook).status_code for _ in range(MOST)] == [202] * MOST
    refused = submit(http, notebook)
    assert refused.status_code == 429
    problem = refused.json()
    assert problem["type"] == "/problems/too-many"
    assert "ana has started too many executions: 3 a minute are allowed" in problem["detail"]
    assert problem["setting"] == "PRESSROOM_EXECUTIONS_PER_MINUTE"
    assert 10 <= int(refused.headers["Retry-After"]) <= 20
    assert int(http.get("/db/executions").headers["X-Total-Count"]) == MOST
    assert known.execute("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'execute'").fetchone() == (MOST,)
    assert known.execute("SELECT count(*) FROM audit_log").fetchone() == (MOST,)
    later(known, int(refused.headers["Retry-After"]))
    assert submit(http, notebook).status_code == 202
    assert submit(http, notebook).status_code == 429
    later(known, 3600)  # no more than a minute's worth is saved up
    assert [submit(http, notebook).status_code for _ in range(MOST + 1)] == [202] * MOST + [429]


def test_what_a_key_repeats_and_what_is_refused_costs_nothing(http: httpx.Client, notebook: Path, known: Any) -> None:
    assert [submit(http, notebook, **{"Idempotency-Key": "k"}).status_code for _ in range(10)] == [202] * 10
    for _ in range(10):
        assert submit(http, notebook.with_name("missing.ipynb")).status_code == 404
    output = {"input_path": str(notebook), "output_path": str(notebook.with_name("out.ipynb"))}
    assert http.post("/run-notebook", json=output, headers=ASYNC).status_code == 202
    for _ in range(10):
        assert http.post("/run-notebook", json=output, headers=ASYNC).status_code == 409
    assert [submit(http, notebook).status_code for _ in range(MOST - 1)] == [202] * (MOST - 2) + [429]


def test_many_together_cost_as_many(http: httpx.Client, notebook: Path, known: Any) -> None:
    def bulk(count: int, **headers: str) -> httpx.Response:
        body = {"executions": [{"input_path": str(notebook)}] * count}
        return http.post("/db/executions/bulk", json=body, headers=headers)

    never = bulk(MOST + 1)
    assert (never.status_code, never.json()["type"]) == (422, "/problems/over-limit")
    assert "4 is more than 3" in never.json()["detail"]
    assert "PRESSROOM_EXECUTIONS_PER_MINUTE" in never.json()["detail"]
    assert [bulk(2, **{"Idempotency-Key": "k"}).status_code for _ in range(2)] == [202] * 2
    later_ = bulk(2)
    assert later_.status_code == 429
    assert 10 <= int(later_.headers["Retry-After"]) <= 20
    assert bulk(1).status_code == 202
    assert int(http.get("/db/executions").headers["X-Total-Count"]) == MOST


def test_executing_again_costs_and_each_caller_has_their_own(http: httpx.Client, notebook: Path, known: Any) -> None:
    first = submit(http, notebook).json()["id"]
    assert http.post(f"/db/executions/{first}/cancel").status_code == 200
    again = [http.post(f"/db/executions/{first}/retry").status_code for _ in range(MOST)]
    assert again == [202] * (MOST - 1) + [429]
    made = http.post("/db/tokens", json={"scopes": ["execute", "act"], "username": "bo"}).json()
    other = {"Authorization": f"Bearer {made['token']}"}
    sent = {"input_path": str(notebook), "username": "ana"}
    answers = [http.post("/execute", json=sent, headers=ASYNC | other).status_code for _ in range(MOST + 1)]
    assert answers == [202] * MOST + [429]  # it counts for who calls, whomever they act for


def test_of_many_at_once_no_more_are_let_through(http: httpx.Client, notebook: Path, service: Any) -> None:
    def one(_: int) -> int:
        return submit(http, notebook).status_code

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(one, range(20)))
    assert sorted(answers) == [202] * MOST + [429] * (20 - MOST)
