"""Batches over HTTP: what may be asked for, what is said of what is wrong, and how one is followed to its end."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pressroom.settings import Settings

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
Begin = Callable[..., httpx.Response]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A service whose batches wait: nothing is executed here."""
    return settings.model_copy(update={"workers": 0, "batch_limit": 500})


@pytest.fixture
def begin(http: httpx.Client, notebook: Path) -> Begin:
    """Begins batches of a registered notebook."""
    made = http.post("/db/notebooks", json={"name": "sales", "file_path": str(notebook), "username": "ana"}).json()
    kinds = {"region": ("string", {"options": ["EMEA", "APAC"]}), "months": ("integer", {"min": 1, "max": 12})}
    for name, (kind, rules) in kinds.items():
        fields = {"notebook_id": made["id"], "param_name": name, "param_type": kind, "validation_rules": rules}
        assert http.post("/db/parameters", json=fields).status_code == 201

    def ask(key: str | None = None, **fields: Any) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        return http.post("/db/batches", json={"notebook_id": made["id"]} | fields, headers=headers)

    return ask


def used(http: httpx.Client, batch: dict[str, Any]) -> list[dict[str, Any]]:
    """The parameters of a batch's executions, in order."""
    answer = http.get("/db/executions", params={"batch_id": batch["id"], "order": "oldest", "limit": 1000})
    rows = answer.json()
    assert [row["batch_index"] for row in rows] == list(range(batch["total"]))
    return [row["parameters_used"] for row in rows]


def test_a_grid_and_what_all_of_it_shares_becomes_a_batch(http: httpx.Client, begin: Begin) -> None:
    answer = begin(
        grid={"months": [1, 2]}, parameters={"region": "APAC"}, name="October", concurrency_limit=2, queue="reports"
    )
    batch = answer.json()
    assert (answer.status_code, answer.headers["Location"]) == (201, f"/db/batches/{batch['id']}"), answer.text
    assert (batch["total"], batch["source"], batch["status"], batch["name"]) == (2, "grid", "running", "October")
    assert batch["plan"] == {"grid": {"months": [1, 2]}, "parameters": {"region": "APAC"}}
    assert batch["counts"] == {"pending": 2, "running": 0, "success": 0, "failed": 0, "cancelled": 0}
    assert used(http, batch) == [{"region": "APAC", "months": months} for months in (1, 2)]
    shown = http.get(answer.headers["Location"]).json()
    assert shown | {"elapsed_seconds": 0} == batch | {"elapsed_seconds": 0}
    entry = http.get("/db/audit").json()[0]
    facts = {"batch_id": batch["id"], "executions": 2, "notebook_id": batch["notebook_id"]}
    assert (entry["operation"], entry["facts"]) == ("begin_a_batch", facts)


def test_a_sample_is_drawn_again_by_the_seed_that_its_batch_shows(http: httpx.Client, begin: Begin) -> None:
    first = begin(sample={"method": "sobol", "count": 6}).json()
    plan = first["plan"]
    again = begin(sample={"method": plan["method"], "count": plan["count"], "seed": plan["seed"]}).json()
    assert used(http, first) == used(http, again)
    named = begin(sample={"count": 2, "parameters": ["months"]}, parameters={"region": "APAC"}).json()
    assert (named["plan"]["drawn"], named["plan"]["parameters"]) == (["months"], {"region": "APAC"})
    assert [each["region"] for each in used(http, named)] == ["APAC"] * 2
    assert "parameters" not in begin(sample={"count": 2, "parameters": ["months"]}).json()["plan"]
    assert {each["months"] for each in used(http, first)} <= set(range(1, 13))


def test_what_is_wrong_is_named_by_its_place(http: httpx.Client, begin: Begin) -> None:
    refused = begin(sets=[{"months": 1}, {"months": 13, "region": "X"}, {"month": 2}])
    problem = refused.json()
    assert (refused.status_code, problem["type"], problem["wrong"]) == (422, "/problems/parameter-invalid", 2)
    assert [each["loc"][1:] for each in problem["errors"]] == [
        ["sets", 1, "region"],
        ["sets", 1, "months"],
        ["sets", 2, "month"],
    ]
    assert {each["index"] for each in problem["errors"]} == {1, 2}
    for fields, said in (
        ({"grid": {f"p{n}": list(range(1000)) for n in range(10)}}, "PRESSROOM_BATCH_LIMIT"),
        ({"grid": {"month": [1]}}, "'month' is not one of the notebook's parameters; it has these: region, months"),
        ({"grid": {"months": []}}, "There is no set of parameters"),
        ({"sets": []}, "There is no set of parameters"),
        ({"sample": {"count": 501}}, "PRESSROOM_BATCH_LIMIT"),
        ({"sample": {"count": 5, "parameters": ["months"], "ranges": {"months": {"min": 99}}}}, "nothing lies there"),
        ({}, "say one of sets, grid and sample"),
        ({"sets": [{}], "grid": {}}, "say one of sets, grid and sample"),
        ({"sets": [{}], "output_path": "/tmp/x.ipynb"}, "output_path"),
    ):
        refused = begin(**fields)
        assert refused.status_code == 422, fields
        assert said in refused.json()["detail"]
    assert http.get("/db/executions").json() == http.get("/db/batches").json() == []


def test_a_key_gives_the_batch_that_it_began_and_pages_are_the_newest_first(http: httpx.Client, begin: Begin) -> None:
    first = begin("k", sets=[{"months": 1}]).json()
    assert begin("k", sets=[{"months": 1}]).json()["id"] == first["id"]
    conflict = begin("k", sets=[{"months": 2}])
    assert (conflict.status_code, conflict.json()["batch_id"]) == (409, first["id"])
    others = [begin(sets=[{"months": 1}]).json()["id"] for _ in range(2)]
    page = http.get("/db/batches", params={"limit": 2, "notebook_id": first["notebook_id"]})
    assert [each["id"] for each in page.json()] == others[::-1]
    assert (page.headers["X-Total-Count"], 'rel="next"' in page.headers["Link"]) == ("3", True)
    assert http.get("/db/batches", params={"username": "bo"}).json() == []


def test_a_file_of_sets_becomes_a_batch(http: httpx.Client, begin: Begin) -> None:
    notebook_id = begin(sets=[{}]).json()["notebook_id"]

    def upload(data: bytes, key: str | None = None, **form: Any) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        sent = {"files": {"file": ("sets", data)}, "data": {"notebook_id": notebook_id, **form}}
        return http.post("/db/batches/upload", headers=headers, **sent)

    parquet = io.BytesIO()
    pq.write_table(pa.table({"months": [3, None], "region": ["EMEA", "APAC"]}), parquet)
    for data in (b"months,region\n3,EMEA\n,APAC\n", parquet.getvalue()):
        answer = upload(data, in_order="true", stop_after_failures=1, how=json.dumps({"priority": 3}))
        batch = answer.json()
        assert (answer.status_code, batch["source"], batch["in_order"]) == (201, "file", True), answer.text
        assert used(http, batch) == [{"region": "EMEA", "months": 3}, {"region": "APAC"}]
    first = upload(b"months\n1\n", "k", parameters='{"region": "EMEA"}').json()
    assert used(http, first) == [{"region": "EMEA", "months": 1}]
    assert upload(b"months\n1\n", "k", parameters='{"region": "EMEA"}').json()["id"] == first["id"]
    assert upload(b"months\n2\n", "k", parameters='{"region": "EMEA"}').status_code == 409
    for data, form, said in (
        (b"months\n1\nx\n", {}, "sets[1].months: Parameter 'months' must be an integer"),
        (b"month\n1\n", {}, "it has these: region, months"),
        (b"months\n", {}, "no row below its header"),
        (b"months\n1\n", {"parameters": "[]"}, "parameters: must be a JSON object"),
        (b"months\n1\n", {"how": '{"priority": 5000}'}, "priority: "),
        (b"months\n1\n", {"concurrency_limit": "0"}, "concurrency_limit: "),
        (b"months\n" + b"1\n" * 501, {}, "PRESSROOM_BATCH_LIMIT"),
    ):
        refused = upload(data, **form)
        assert refused.status_code == 422, refused.text
        assert said in refused.json()["detail"]


def test_a_cancelled_batch_is_told_of_to_whoever_follows_it(http: httpx.Client, begin: Begin) -> None:
    batch_id = begin(sets=[{"months": 1}]).json()["id"]
    with http.stream("GET", f"/db/batches/{batch_id}/events") as stream:
        told = (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: "))
        assert next(told)["status"] == "running"
        answer = http.post(f"/db/batches/{batch_id}/cancel").json()
        assert (answer["status"], answer["stop_reason"]) == ("stopping", "cancelled")
        assert next(told)["status"] == "stopping"
