"""An execution's life in the queue, over HTTP: tried again, cancelled, repeated, submitted once, in bulk, too late."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pytest

from pressroom.settings import Settings

Service = pytest.Service  # type: ignore[attr-defined]
write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
ASYNC = {"Prefer": "respond-async"}
PATIENCE = 60


def submit(http: httpx.Client, path: Path, **fields: Any) -> dict[str, Any]:
    answer = http.post("/execute", json={"input_path": str(path)} | fields, headers=ASYNC)
    assert answer.status_code == 202, answer.text
    return answer.json()


def seen(http: httpx.Client, execution_id: int) -> dict[str, Any]:
    return http.get(f"/db/executions/{execution_id}").json()


def ended(http: httpx.Client, execution_id: int) -> dict[str, Any]:
    """The execution at its end, which the event stream tells of."""
    with http.stream("GET", f"/db/executions/{execution_id}/events", timeout=PATIENCE) as stream:
        for _ in stream.iter_lines():
            pass
    return seen(http, execution_id)


def register(http: httpx.Client, path: Path, **fields: Any) -> dict[str, Any]:
    body = {"name": path.stem, "file_path": str(path), "username": "ana"} | fields
    answer = http.post("/db/notebooks", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.fixture
def slow(home: Path) -> Path:
    return write_notebook(home / "slow.ipynb", 'print("be" "gan", flush=True)', "import time; time.sleep(600)")


def began(http: httpx.Client, execution_id: int) -> None:
    with http.stream("GET", f"/db/executions/{execution_id}/log?follow=true", timeout=PATIENCE) as log:
        assert next(log.iter_lines()) == "began"


def test_a_failing_execution_is_tried_as_often_as_it_may_and_says_so(http: httpx.Client, home: Path) -> None:
    path = write_notebook(home / "flaky.ipynb", "import os; print(os.environ['PRESSROOM_ATTEMPT'])", "1 / 0")
    how = {"max_attempts": 3, "retry_on": ["any_failure"], "retry_delay_seconds": 0}
    row = ended(http, submit(http, path, **how)["id"])
    assert (row["status"], row["attempt"], row["failure"]["ename"]) == ("failed", 3, "ZeroDivisionError")
    assert "tried 3 times" in row["error_message"]
    attempts = http.get(f"/db/executions/{row['id']}/attempts").json()
    assert [(a["number"], a["reason"]) for a in attempts] == [(n, "cell_error") for n in (1, 2, 3)]
    assert all(a["started_at"] <= a["ended_at"] for a in attempts)
    log = http.get(f"/db/executions/{row['id']}/log").text
    assert log == "1\n--- attempt 2 ---\n2\n--- attempt 3 ---\n3\n"


def test_one_that_succeeds_the_second_time_succeeds(http: httpx.Client, home: Path) -> None:
    path = write_notebook(home / "second.ipynb", "import os; assert os.environ['PRESSROOM_ATTEMPT'] == '2'")
    how = {"max_attempts": 5, "retry_on": ["any_failure"], "retry_delay_seconds": 0.1}
    row = ended(http, submit(http, path, **how)["id"])
    assert (row["status"], row["attempt"], row["failure"], row["error_message"]) == ("success", 2, None, None)
    reasons = [a["reason"] for a in http.get(f"/db/executions/{row['id']}/attempts").json()]
    assert reasons == ["cell_error", None]


def test_a_time_out_is_tried_again_where_that_was_asked_for(http: httpx.Client, slow: Path) -> None:
    how = {"timeout_seconds": 3, "max_attempts": 2, "retry_on": ["timed_out"], "retry_delay_seconds": 0}
    row = ended(http, submit(http, slow, **how)["id"])
    assert (row["status"], row["attempt"], row["failure"]["reason"]) == ("failed", 2, "timed_out")


def test_a_running_execution_is_cancelled_and_keeps_its_partial_output(http: httpx.Client, slow: Path) -> None:
    made = submit(http, slow)
    began(http, made["id"])
    answer = http.post(f"/db/executions/{made['id']}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "running")
    assert answer.json()["cancel_requested_at"] is not None
    row = ended(http, made["id"])
    assert (row["status"], row["failure"]["reason"], row["attempt"]) == ("cancelled", "cancelled", 1)
    assert nbformat.read(row["output_path"], 4).cells[0].outputs[0].text == "began\n"
    again = http.post(f"/db/executions/{made['id']}/cancel")
    assert (again.status_code, again.json()["status"]) == (200, "cancelled"), "cancelling twice does no harm"


def test_a_caller_who_waits_for_a_cancelled_execution_is_answered_409(http: httpx.Client, slow: Path) -> None:
    key = {"Idempotency-Key": "one"}
    made = http.post("/execute", json={"input_path": str(slow)}, headers=ASYNC | key).json()
    began(http, made["id"])
    http.post(f"/db/executions/{made['id']}/cancel")
    answer = http.post("/execute", json={"input_path": str(slow)}, headers=key)
    assert answer.status_code == 409
    assert answer.json()["type"].endswith("/execution-cancelled")
    assert answer.json()["execution_id"] == made["id"]


def test_a_pending_execution_is_cancelled_at_once_and_never_starts(http: httpx.Client, slow: Path) -> None:
    waiting = submit(http, slow, queue="nobody-there", user_limit=1)
    running = [submit(http, slow, user_limit=1)["id"] for _ in range(2)]
    row = http.post(f"/db/executions/{running[1]}/cancel").json()
    assert (row["status"], row["attempt"]) == ("cancelled", 0)
    assert http.get(f"/db/executions/{running[1]}/attempts").json() == []
    assert not Path(row["output_path"]).exists()
    assert seen(http, waiting["id"])["status"] in ("pending", "running")


def test_what_has_ended_is_not_cancelled(http: httpx.Client, notebook: Path) -> None:
    done = http.post("/execute", json={"input_path": str(notebook)}).json()
    answer = http.post(f"/db/executions/{done['execution_id']}/cancel")
    assert (answer.status_code, answer.json()["ended_as"]) == (409, "success")
    assert answer.json()["type"].endswith("/already-ended")


def test_an_ended_execution_is_repeated_with_the_same_parameters_and_linked(http: httpx.Client, notebook: Path) -> None:
    made = register(http, notebook)
    body = {"parameters": {"region": "APAC"}, "priority": 7}
    http.post("/db/parameters", json={"notebook_id": made["id"], "param_name": "region", "param_type": "string"})
    done = http.post(f"/db/notebooks/{made['id']}/executions", json=body).json()
    answer = http.post(f"/db/executions/{done['execution_id']}/retry")
    again = answer.json()
    assert answer.headers["location"] == f"/db/executions/{again['id']}"
    assert (answer.status_code, again["retry_of"], again["priority"]) == (202, done["execution_id"], 7)
    assert again["parameters_used"] == {"region": "APAC"}
    assert again["output_path"] != done["output_notebook"]
    assert ended(http, again["id"])["status"] == "success"


def test_a_repetition_that_is_asked_for_twice_with_one_key_is_one(http: httpx.Client, notebook: Path) -> None:
    done = ended(http, submit(http, notebook)["id"])
    again = [http.post(f"/db/executions/{done['id']}/retry", headers={"Idempotency-Key": "r"}) for _ in range(2)]
    assert [answer.status_code for answer in again] == [202, 202]
    assert again[0].json()["id"] == again[1].json()["id"]
    other = ended(http, again[0].json()["id"])
    assert http.post(f"/db/executions/{other['id']}/retry", headers={"Idempotency-Key": "r"}).status_code == 409
    assert http.get("/db/executions").headers["x-total-count"] == "2"


def test_one_that_is_under_way_is_not_repeated(http: httpx.Client, slow: Path) -> None:
    answer = http.post(f"/db/executions/{submit(http, slow)['id']}/retry")
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/not-ended")


def test_a_key_gives_the_same_execution_and_another_body_is_refused(http: httpx.Client, notebook: Path) -> None:
    headers = {"Idempotency-Key": "report-2026-10"}
    body = {"input_path": str(notebook), "parameters": {"months": 2}}
    first = http.post("/execute", json=body, headers=headers).json()
    second = http.post("/execute", json=body, headers=headers).json()
    assert first["execution_id"] == second["execution_id"]
    other = http.post("/execute", json=body | {"parameters": {"months": 3}}, headers=headers)
    assert other.status_code == 409
    assert other.json()["type"].endswith("/idempotency-conflict")
    assert other.json()["execution_id"] == first["execution_id"]
    assert http.get("/db/executions").headers["x-total-count"] == "1"


def test_many_at_once_with_one_key_make_one_execution(http: httpx.Client, notebook: Path) -> None:

    headers = ASYNC | {"Idempotency-Key": "k"}
    with ThreadPoolExecutor(8) as pool:
        sent = [
            pool.submit(http.post, "/execute", json={"input_path": str(notebook)}, headers=headers) for _ in range(24)
        ]
        answers = [one.result() for one in sent]
    assert [answer.text for answer in answers if answer.status_code != 202] == []
    assert len({answer.json()["id"] for answer in answers}) == 1


@pytest.mark.parametrize("source", ["print('done')", "1 / 0"], ids=["success", "failure"])
def test_who_does_not_wait_gets_the_row_although_the_execution_with_that_key_has_ended(
    http: httpx.Client, home: Path, source: str
) -> None:
    pytest.write_notebook(home / "soon.ipynb", source)  # type: ignore[attr-defined]
    headers = {"Idempotency-Key": "soon"}
    body = {"input_path": str(home / "soon.ipynb")}
    first = http.post("/execute", json=body, headers=headers | {"Prefer": "wait=60"})
    again = http.post("/execute", json=body, headers=headers | ASYNC)
    assert first.status_code == (200 if source.startswith("print") else 422)
    assert (again.status_code, again.json()["status"]) == (202, "success" if first.status_code == 200 else "failed")
    assert again.headers["location"] == f"/db/executions/{again.json()['id']}"


def test_ten_thousand_are_submitted_in_one_transaction_or_none(http: httpx.Client, notebook: Path) -> None:
    made = register(http, notebook)
    http.post("/db/parameters", json={"notebook_id": made["id"], "param_name": "months", "param_type": "integer"})
    items = [{"notebook_id": made["id"], "parameters": {"months": n}, "queue": "later"} for n in range(10_000)]
    wrong = [*items[:500], {"notebook_id": made["id"], "parameters": {"months": "x"}}]
    refused = http.post("/db/executions/bulk", json={"executions": wrong})
    assert (refused.status_code, refused.json()["parameter"]) == (422, "months")
    assert http.get("/db/executions").headers["x-total-count"] == "0"
    http.post("/db/executions/bulk", json={"executions": [{"input_path": str(notebook), "queue": "later"}]})
    answer = http.post("/db/executions/bulk", json={"executions": items})
    assert answer.status_code == 202, answer.text
    assert (answer.json()["total"], len(set(answer.json()["ids"]))) == (10_000, 10_000)
    last = seen(http, answer.json()["ids"][-1])
    assert last["parameters_used"] == {"months": 9999}
    too_many = http.post("/db/executions/bulk", json={"executions": [*items, items[0]]})
    assert too_many.status_code == 422


def test_one_that_expired_is_not_started(http: httpx.Client, notebook: Path) -> None:
    expired = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    row = ended(http, submit(http, notebook, expires_at=expired)["id"])
    assert (row["status"], row["failure"]["reason"], row["attempt"]) == ("cancelled", "expired", 0)
    assert "expired" in row["error_message"]
    naive = http.post("/execute", json={"input_path": str(notebook), "expires_at": "2026-11-01T00:00:00"})
    assert naive.status_code == 422


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
def test_an_expiry_that_no_client_could_read_back_is_refused(http: httpx.Client, notebook: Path, moment: str) -> None:
    answer = http.post("/execute", json={"input_path": str(notebook), "expires_at": moment}, headers=ASYNC)
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["body", "expires_at"])
    assert http.get("/db/executions").json() == []


def test_without_a_worker_what_expired_is_still_ended(settings: Settings, notebook: Path) -> None:
    alone = settings.model_copy(update={"workers": 0, "worker_lost_seconds": 0.4})
    with Service(alone) as service, httpx.Client(base_url=service.url, timeout=PATIENCE) as http:
        assert "no worker runs" in http.get("/health").json()["workers"]["detail"]
        soon = (datetime.now(UTC) + timedelta(seconds=0.2)).isoformat()
        assert ended(http, submit(http, notebook, expires_at=soon)["id"])["failure"]["reason"] == "expired"


def test_a_notebooks_defaults_hold_where_the_caller_does_not_say(http: httpx.Client, notebook: Path) -> None:
    defaults = {"queue": "reports", "max_attempts": 5, "retry_on": ["timed_out"], "timeout_seconds": 90}
    made = register(http, notebook, execution_defaults=defaults | {"concurrency_limit": 2})
    assert made["execution_defaults"] == defaults | {"notebook_limit": 2}
    row = submit(http, notebook, max_attempts=2, priority=3)
    told = ("queue", "max_attempts", "retry_on", "timeout_seconds", "notebook_limit", "priority")
    assert [row[name] for name in told] == ["reports", 2, ["timed_out"], 90, 2, 3]
    http.put(f"/db/notebooks/{made['id']}", json={"execution_defaults": {"priority": 9}})
    row = submit(http, notebook)
    assert [row[name] for name in told] == ["default", 3, ["worker_lost"], None, None, 9]
    wrong = http.put(f"/db/notebooks/{made['id']}", json={"execution_defaults": {"queue": "No Such Name"}})
    assert wrong.status_code == 422


def test_workers_and_queues_are_told_of(http: httpx.Client, slow: Path) -> None:
    running = [submit(http, slow, queue="reports")["id"] for _ in range(2)]
    for execution_id in running:
        began(http, execution_id)
    submit(http, slow, queue="reports")
    [worker] = http.get("/db/workers").json()
    assert (worker["alive"], worker["concurrency"], worker["running"]) == (True, 2, running)
    [queue] = http.get("/db/queues").json()
    assert (queue["name"], queue["waiting"], queue["running"]) == ("reports", 1, 2)
    assert queue["oldest_waiting_seconds"] >= 0
    health = http.get("/health").json()
    assert (health["queue"]["detail"], health["workers"]["status"]) == ("1 executions wait", "healthy")


def test_events_are_told_in_order_and_go_on_where_they_were_left(http: httpx.Client, notebook: Path) -> None:
    made = register(http, notebook)
    for _ in range(2):
        done = http.post("/execute", json={"input_path": str(notebook)}).json()
    with http.stream("GET", f"/db/executions/{done['execution_id']}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        frames = [
            dict(line.split(": ", 1) for line in frame.splitlines()) for frame in stream.read().decode().split("\n\n")
        ]
    told = [frame for frame in frames if "id" in frame]
    kinds = [frame["event"] for frame in told]
    assert kinds[:2] == ["status", "started"]
    assert kinds[-1] == "status"
    assert [k for k in kinds if k.startswith("cell")] == ["cell_started", "cell_finished"] * 2
    data = [json.loads(frame["data"]) for frame in told]
    assert (data[1]["cells"], data[1]["kernel"]) == (2, "python3")
    assert [(d["number"], d["of"]) for d in data if "number" in d] == [(1, 2), (1, 2), (2, 2), (2, 2)]
    assert [d["line"] for d in data if "line" in d] == ['region = "EMEA"', 'print(f"{region}: {months * 2}")']
    assert [d["text"] for d in data if "text" in d] == ["EMEA: 6\n"]
    assert [d["status"] for d in data if "status" in d] == ["running", "success"]
    standing = json.loads(next(frame["data"] for frame in frames if frame.get("event") == "execution"))
    assert standing["notebook_id"] == made["id"]
    ids = [int(frame["id"]) for frame in told]
    assert ids == sorted(ids)
    rest = http.get(f"/db/executions/{done['execution_id']}/events", headers={"Last-Event-ID": str(ids[3])}).text
    assert [int(line[4:]) for line in rest.splitlines() if line.startswith("id: ")] == ids[4:]
    over = http.get(f"/db/executions/{done['execution_id']}/events", headers={"Last-Event-ID": str(ids[-1])})
    assert over.status_code == 204
    wrong = http.get(f"/db/executions/{done['execution_id']}/events", headers={"Last-Event-ID": "x"})
    assert wrong.status_code == 422


def test_a_running_execution_tells_when_it_should_end(http: httpx.Client, home: Path) -> None:
    path = write_notebook(
        home / "usual.ipynb", "import time; time.sleep(0.5); print('on', flush=True); time.sleep(t)", parameters="t = 0"
    )
    register(http, path)
    assert http.post("/db/parameters", json={"notebook_id": 1, "param_name": "t", "param_type": "integer"}).is_success
    http.post("/execute", json={"input_path": str(path)})
    made = submit(http, path, parameters={"t": 600})
    with http.stream("GET", f"/db/executions/{made['id']}/events", timeout=PATIENCE) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: ") and json.loads(line[6:]).get("expected_end"):
                told = json.loads(line[6:])
                break
    assert told["started_at"] < told["expected_end"] < "2100"


def test_the_output_is_downloaded_and_read_as_a_page_without_rights(http: httpx.Client, notebook: Path) -> None:
    done = http.post("/execute", json={"input_path": str(notebook)}).json()
    address = f"/db/executions/{done['execution_id']}"
    assert nbformat.reads(http.get(f"{address}/notebook").text, 4).cells[-1].outputs[0].text == "EMEA: 6\n"
    page = http.get(f"{address}/html")
    assert page.headers["content-security-policy"].startswith("sandbox allow-scripts; default-src 'none'")
    assert "EMEA: 6" in page.text
    assert "months" in page.text
    hidden = http.get(f"{address}/html", params={"input": "hide"}).text
    assert "EMEA: 6" in hidden
    assert "months * 2" not in hidden
    assert http.get(f"{address}/html", params={"input": "x"}).status_code == 422
    Path(done["output_notebook"]).unlink()
    gone = http.get(f"{address}/notebook")
    assert (gone.status_code, gone.json()["type"]) == (404, "/problems/not-found")


def test_what_is_late_is_told_once_and_goes_on(http: httpx.Client, slow: Path) -> None:
    made = submit(http, slow, late_after_seconds=0.5)
    with http.stream("GET", f"/db/executions/{made['id']}/events", timeout=PATIENCE) as stream:
        for line in stream.iter_lines():
            if line == "event: late":
                break
    assert seen(http, made["id"])["status"] == "running"
    http.post(f"/db/executions/{made['id']}/cancel")
    ended(http, made["id"])
    again = http.post(f"/db/executions/{made['id']}/retry").json()
    with http.stream("GET", f"/db/executions/{again['id']}/events", timeout=PATIENCE) as stream:
        assert "event: late" in stream.iter_lines(), "what repeats it is late after as long"


def test_an_execution_goes_on_when_its_caller_goes_away(http: httpx.Client, home: Path) -> None:
    path = write_notebook(home / "goes-on.ipynb", "print('be' 'gan', flush=True)", "import time; time.sleep(1)")
    with pytest.raises(httpx.ReadTimeout):
        http.post("/execute", json={"input_path": str(path)}, timeout=0.5)
    [row] = http.get("/db/executions").json()
    assert row["status"] in ("pending", "running")
    assert ended(http, row["id"])["status"] == "success"


def test_prefer_wait_answers_202_when_its_time_is_over_and_200_when_the_end_comes_first(
    http: httpx.Client, slow: Path, notebook: Path
) -> None:
    goes_on = http.post("/execute", json={"input_path": str(slow)}, headers={"Prefer": "wait=1"})
    assert goes_on.status_code == 202
    assert goes_on.headers["location"] == f"/db/executions/{goes_on.json()['id']}"
    done = http.post("/execute", json={"input_path": str(notebook)}, headers={"Prefer": "wait=50"})
    assert done.status_code == 200
