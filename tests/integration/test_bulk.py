"""Many executions submitted together: once under a key, and each that is refused named by its place in the body."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import URL

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
ASYNC = {"Prefer": "respond-async"}
FORM = frozenset(("loc", "msg", "detail", "type", "status", "index", "parameter", "rule"))


@pytest.fixture
def registered(http: httpx.Client, notebook: Path) -> int:
    body = {"name": "sales", "file_path": str(notebook), "username": "ana"}
    notebook_id = http.post("/db/notebooks", json=body).json()["id"]
    for name, kind in (("region", "string"), ("months", "integer")):
        made = {"notebook_id": notebook_id, "param_name": name, "param_type": kind}
        assert http.post("/db/parameters", json=made).status_code == 201
    return notebook_id


def many(http: httpx.Client, *items: dict[str, Any], key: str | None = None) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return http.post("/db/executions/bulk", json={"executions": list(items)}, headers=headers)


def total(http: httpx.Client) -> int:
    return int(http.get("/db/executions").headers["x-total-count"])


def named(answer: httpx.Response, status: int) -> list[tuple[int, ...]]:
    """The places that a refusal names, below the executions of the body."""
    assert answer.status_code == status, answer.text
    errors = answer.json()["errors"]
    assert all(error["loc"][:2] == ["body", "executions"] and error["msg"] == error["detail"] for error in errors)
    assert {frozenset(error) for error in errors} == {FORM}
    assert all(error["index"] == error["loc"][2] for error in errors)
    return [tuple(error["loc"][2:]) for error in errors]


def test_one_key_and_body_give_the_same_executions(http: httpx.Client, notebook: Path) -> None:
    items = [{"input_path": str(notebook), "parameters": {"months": n}} for n in range(3)]
    first = many(http, *items, key="k")
    assert (first.status_code, first.json()["total"]) == (202, 3)
    again = many(http, *items, key="k")
    assert (again.status_code, again.json()) == (202, first.json())
    used = [http.get(f"/db/executions/{one}").json()["parameters_used"]["months"] for one in again.json()["ids"]]
    assert used == [0, 1, 2]
    assert total(http) == 3


def test_one_key_with_another_body_is_refused(http: httpx.Client, notebook: Path) -> None:
    item = {"input_path": str(notebook)}
    ids = many(http, item, item, key="k").json()["ids"]
    for others in ([item], [item] * 3, [item, item | {"priority": 1}]):
        refused = many(http, *others, key="k")
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/idempotency-conflict")
        assert refused.json()["execution_id"] == ids[0]
    alone = http.post("/execute", json=item, headers=ASYNC | {"Idempotency-Key": "k"})
    assert (alone.status_code, total(http)) == (409, 2)
    http.post("/execute", json=item, headers=ASYNC | {"Idempotency-Key": "one"})
    assert many(http, item, key="one").status_code == 409


def test_many_at_once_with_one_key_are_submitted_once(http: httpx.Client, notebook: Path) -> None:
    items = [{"input_path": str(notebook), "queue": "later"}] * 5
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(many, http, *items, key="k" * 255) for _ in range(16)]
        assert len({tuple(answer.result().json()["ids"]) for answer in answers}) == 1
    assert total(http) == 5


@pytest.mark.parametrize("deleted", [0, 1, 2])
def test_executions_that_are_no_longer_all_there_are_not_submitted_again(
    http: httpx.Client, notebook: Path, database_url: URL, deleted: int
) -> None:
    item = {"input_path": str(notebook)}
    ids = many(http, item, item, item, key="k").json()["ids"]
    with psycopg.connect(database_url.set(drivername="postgresql").render_as_string(hide_password=False)) as rows:
        rows.execute("DELETE FROM notebook_executions WHERE id = %s", [ids[deleted]])
    refused = many(http, item, item, item, key="k")
    assert (refused.status_code, "deleted since" in refused.json()["detail"]) == (409, True)
    assert total(http) == 2


def test_every_wrong_one_is_named_by_its_place(http: httpx.Client, registered: int, notebook: Path, home: Path) -> None:
    good = {"notebook_id": registered}
    outside = home.parent / "bo" / "x.ipynb"
    wrong = {
        1: ({"parameters": {"months": "x", "colour": "red"}}, 422, ("parameters", "months"), ("parameters", "colour")),
        3: ({"notebook_id": 77}, 404, ("notebook_id",)),
        4: ({"notebook_id": None, "input_path": str(home / "gone.ipynb")}, 404, ("input_path",)),
        5: ({"output_path": str(outside)}, 403, ("output_path",)),
        6: ({"output_path": str(notebook)}, 422, ("output_path",)),
        8: ({"notebook_id": None, "input_path": str(home / "gone.ipynb")}, 404, ("input_path",)),
    }
    items = [good | (wrong[n][0] if n in wrong else {}) for n in range(10)]
    answer = many(http, *[{k: v for k, v in item.items() if v is not None} for item in items])
    places = [(n, *field) for n, (_, _, *fields) in wrong.items() for field in fields]
    assert sorted(named(answer, 422)) == sorted(places)
    statuses = {error["loc"][2]: error["status"] for error in answer.json()["errors"]}
    assert statuses == {n: status for n, (_, status, *_) in wrong.items()}
    problem = answer.json()
    assert (problem["type"], problem["parameter"]) == ("/problems/parameter-invalid", "colour")
    assert "executions[1].parameters: " in problem["detail"]
    assert "executions[8].input_path: There is no file" in problem["detail"]
    assert total(http) == 0


def test_wrong_parameters_and_wrong_fields_are_told_in_one_form(http: httpx.Client, registered: int) -> None:
    wrong_parameter = {"parameters": {"months": "x", "colour": "red"}}
    answer = many(http, {"notebook_id": registered}, {"notebook_id": registered} | wrong_parameter, {"notebook_id": 77})
    named(answer, 422)
    told = [(e["index"], e["parameter"], e["rule"], e["type"], e["status"]) for e in answer.json()["errors"]]
    assert told == [
        (1, "colour", "unknown", "/problems/parameter-invalid", 422),
        (1, "months", "type", "/problems/parameter-invalid", 422),
        (2, None, None, "/problems/not-found", 404),
    ]
    field = many(http, {"notebook_id": registered}, {"notebook_id": registered, "priority": "x"})
    assert named(field, 422) == [(1, "priority")]
    assert field.json()["errors"][0]["type"] == "/problems/invalid"


def test_what_is_refused_alone_is_told_in_the_same_form(http: httpx.Client, registered: int) -> None:
    url = f"/db/notebooks/{registered}/executions"
    parameters = http.post(url, json={"parameters": {"months": "x", "colour": "red"}})
    field = http.post(url, json={"priority": "x"})
    for answer, places in ((parameters, ["colour", "months"]), (field, ["priority"])):
        errors = answer.json()["errors"]
        assert (answer.status_code, {frozenset(error) for error in errors}) == (422, {FORM})
        assert [(error["loc"][-1], error["index"]) for error in errors] == [(place, None) for place in places]
    assert [error["rule"] for error in parameters.json()["errors"]] == ["unknown", "type"]


def test_the_problem_is_that_of_the_first_wrong_one(http: httpx.Client, registered: int, notebook: Path) -> None:
    answer = many(http, {"notebook_id": registered}, {"notebook_id": 77}, {"notebook_id": 78})
    assert named(answer, 404) == [(1, "notebook_id"), (2, "notebook_id")]
    assert answer.json()["key"] == "77"


def test_hundreds_of_wrong_ones_are_all_named(http: httpx.Client, registered: int) -> None:
    items = [{"notebook_id": registered, "parameters": {"months": "x"}}] * 300
    answer = many(http, *items)
    assert named(answer, 422) == [(n, "parameters", "months") for n in range(300)]
    assert answer.json()["detail"].endswith("And 290 more.")
    not_valid = many(http, *[{"notebook_id": registered, "priority": "x"}] * 300)
    assert named(not_valid, 422) == [(n, "priority") for n in range(300)]


def test_outputs_that_others_write_to_are_named(http: httpx.Client, notebook: Path, home: Path) -> None:
    slow = write_notebook(home / "slow.ipynb", "import time; time.sleep(600)")
    taken, free, twice = (str(home / f"{name}.ipynb") for name in ("taken", "free", "twice"))
    under_way = http.post("/run-notebook", json={"input_path": str(slow), "output_path": taken}, headers=ASYNC)
    base = {"input_path": str(notebook)}
    items = [base, base | {"output_path": taken}, base | {"output_path": free}, base | {"output_path": twice}]
    answer = many(http, *items, base | {"output_path": twice}, {"input_path": str(slow), "output_path": taken})
    assert named(answer, 409) == [(n, "output_path") for n in (1, 4, 5)]
    assert answer.json()["value"] == taken
    assert total(http) == 1
    http.post(f"/db/executions/{under_way.json()['id']}/cancel")
