"""The contract over real HTTP: the registry, parameters, executions, files, problems."""

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pytest

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]


def register(http: httpx.Client, path: Path, **fields: Any) -> dict[str, Any]:
    body = {"name": path.stem, "file_path": str(path), "username": "ana"} | fields
    answer = http.post("/db/notebooks", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def define(http: httpx.Client, notebook_id: int, *definitions: dict[str, Any]) -> None:
    answer = http.post(f"/db/parameters/bulk/{notebook_id}", json=list(definitions))
    assert answer.status_code == 201, answer.text


FORM = "multipart/form-data; boundary=x"
REGION = {
    "param_name": "region",
    "param_type": "string",
    "required": True,
    "validation_rules": {"choices": ["EMEA", "APAC"]},
}
MONTHS = {
    "param_name": "months",
    "param_type": "integer",
    "default_value": 3,
    "validation_rules": {"min": 1, "max": 12},
}


def refused(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    problem = answer.json()
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"].endswith("/" + kind)
    assert problem["detail"].endswith((".", "?", "!"))
    return problem


def test_a_notebook_is_registered_read_changed_and_deleted(http: httpx.Client, notebook: Path) -> None:
    made = register(http, notebook, tags=["report", "report"], metadata={"team": "finance"})
    assert made["tags"] == ["report"]
    assert made["metadata"] == {"team": "finance"}
    assert made["created_at"].endswith("Z")
    assert http.get(f"/db/notebooks/{made['id']}").json() == made | {"parameters": []}
    changed = http.put(f"/db/notebooks/{made['id']}", json={"description": "Sales"}).json()
    assert changed | {"updated_at": made["updated_at"]} == made | {"description": "Sales"}
    assert changed["updated_at"] > made["updated_at"]
    assert http.delete(f"/db/notebooks/{made['id']}").status_code == 204
    refused(http.get(f"/db/notebooks/{made['id']}"), 404, "not-found")


def test_lists_have_totals_and_a_link_to_the_next_page(http: httpx.Client, home: Path) -> None:
    for number in range(5):
        register(http, write_notebook(home / f"n{number}.ipynb", "1"), tags=["odd" if number % 2 else "even"])
    first = http.get("/db/notebooks", params={"limit": 2, "tag": "even"})
    assert [n["name"] for n in first.json()] == ["n0", "n2"]
    assert first.headers["x-total-count"] == "3"
    last = http.get(first.links["next"]["url"])
    assert [n["name"] for n in last.json()] == ["n4"]
    assert "link" not in last.headers
    assert len(http.get("/db/notebooks/user/ana").json()) == 5
    assert http.get("/db/notebooks", params={"username": "bo"}).json() == []
    assert http.get("/db/notebooks", params={"skip": 99}).headers["x-total-count"] == "5"


def test_parameters_come_in_pages_too(http: httpx.Client, notebook: Path) -> None:
    made = register(http, notebook)
    define(http, made["id"], *({"param_name": f"p{n}", "param_type": "integer"} for n in range(101)))
    first = http.get(f"/db/parameters/notebook/{made['id']}")
    assert [p["param_name"] for p in first.json()] == [f"p{n}" for n in range(100)]
    assert first.headers["x-total-count"] == "101"
    assert [p["param_name"] for p in http.get(first.links["next"]["url"]).json()] == ["p100"]
    refused(http.get(f"/db/parameters/notebook/{made['id']}?limit=0"), 422, "invalid")


def test_more_readers_of_a_history_than_connections_are_all_answered(http: httpx.Client, notebook: Path) -> None:
    made = register(http, notebook)
    with ThreadPoolExecutor(30) as readers:
        answers = list(readers.map(lambda _: http.get(f"/db/executions/notebook/{made['id']}"), range(90)))
    assert {answer.status_code for answer in answers} == {200}
    assert max(answer.elapsed.total_seconds() for answer in answers) < 20


@pytest.mark.parametrize("query", ["skip=-1", "skip=x", "limit=0", "limit=1001", "limit=", "skip=1e3"])
def test_a_bad_page_is_refused(http: httpx.Client, query: str) -> None:
    refused(http.get(f"/db/notebooks?{query}"), 422, "invalid")


def test_a_duplicate_is_refused_by_name(http: httpx.Client, home: Path, notebook: Path) -> None:
    register(http, notebook)
    other = write_notebook(home / "other.ipynb", "1")
    same_name = {"name": "sales", "file_path": str(other), "username": "ana"}
    assert refused(http.post("/db/notebooks", json=same_name), 409, "already-exists")["field"] == "name"
    same_file = {"name": "x", "file_path": f"{home}/./sales.ipynb", "username": "ana"}
    assert refused(http.post("/db/notebooks", json=same_file), 409, "already-exists")["field"] == "file_path"


def test_parameters_are_defined_changed_and_served_as_a_schema(http: httpx.Client, notebook: Path) -> None:
    made = register(http, notebook)
    define(http, made["id"], REGION, MONTHS)
    region, months = http.get(f"/db/parameters/notebook/{made['id']}").json()
    assert region["required"] is True
    assert region["validation_rules"] == {"choices": ["EMEA", "APAC"]}
    schema = http.get(f"/db/notebooks/{made['id']}/schema").json()
    assert schema["required"] == ["region"]
    assert schema["properties"]["months"] == {
        "title": "months", "type": "integer", "minimum": 1, "maximum": 12, "default": 3,
    }  # fmt: skip
    problem = refused(http.put(f"/db/parameters/{months['id']}", json={"default_value": 13}), 422, "rule-invalid")
    assert problem["rule"] == "default_value"
    assert http.get(f"/db/parameters/{months['id']}").json()["default_value"] == 3
    assert http.delete(f"/db/parameters/{months['id']}").status_code == 204


def test_of_a_list_of_parameters_all_or_none_are_created(http: httpx.Client, notebook: Path) -> None:
    made = register(http, notebook)
    wrong = {"param_name": "x", "param_type": "string", "validation_rules": {"min": 1}}
    problem = refused(http.post(f"/db/parameters/bulk/{made['id']}", json=[REGION, wrong]), 422, "rule-invalid")
    assert (problem["parameter"], problem["rule"]) == ("x", "min")
    assert http.get(f"/db/parameters/notebook/{made['id']}").json() == []


def test_parameters_are_proposed_from_the_parameters_cell(http: httpx.Client, notebook: Path, home: Path) -> None:
    made = register(http, notebook)
    proposed = http.post(f"/db/parameters/infer/{made['id']}").json()
    assert [(p["param_name"], p["param_type"], p["default_value"]) for p in proposed["parameters"]] == [
        ("region", "string", "EMEA"),
        ("months", "integer", 3),
    ]
    bare = register(http, write_notebook(home / "bare.ipynb", "1"))
    nothing = http.post(f"/db/parameters/infer/{bare['id']}").json()
    assert nothing["has_parameters_cell"] is False
    assert nothing["notes"] == ["The notebook has no cell tagged 'parameters'."]


def test_an_execution_records_the_parameters_it_really_used(http: httpx.Client, notebook: Path, home: Path) -> None:
    made = register(http, notebook)
    define(http, made["id"], REGION, MONTHS)
    before = notebook.read_bytes()
    answer = http.post("/execute", json={"user": "ana", "path": str(notebook), "params": {"region": "APAC"}})
    assert answer.status_code == 200, answer.text
    assert answer.json()["parameters"] == {"region": "APAC", "months": 3}
    assert notebook.read_bytes() == before
    output = Path(answer.json()["output_notebook"])
    assert output.parent == home / "executions"
    texts = [o["text"] for c in nbformat.read(output, 4).cells for o in c.get("outputs", []) if "text" in o]
    assert texts == ["APAC: 6\n"]
    row = http.get(f"/db/executions/{answer.json()['execution_id']}").json()
    assert row["status"] == "success"
    assert (row["notebook_id"], row["username"]) == (made["id"], "ana")
    assert row["parameters_used"] == {"region": "APAC", "months": 3}
    assert row["cells_completed"] == row["cells_total"] == 3
    assert http.delete(f"/db/notebooks/{made['id']}").status_code == 204
    assert http.get(f"/db/executions/{row['id']}").json()["notebook_id"] is None


def test_who_acts_is_named_or_owns_or_holds_the_file_or_calls(
    http: httpx.Client, notebook: Path, home: Path, tmp_path: Path
) -> None:
    bos = write_notebook(home.parent / "bo" / "b.ipynb", "1")
    shared = write_notebook(tmp_path / "shared" / "s.ipynb", "1")

    def acting(**body: Any) -> str:
        answer = http.post("/execute", json=body)
        assert answer.status_code == 200, answer.text
        return http.get(f"/db/executions/{answer.json()['execution_id']}").json()["username"]

    assert acting(input_path="sales.ipynb") == "ana", "the caller"
    assert acting(input_path=str(shared)) == "ana", "the caller, where nobody's directory holds it"
    assert acting(input_path=str(bos)) == "bo", "whoever's directory holds it"
    register(http, shared, username="bo")
    assert acting(input_path=str(shared)) == "bo", "the owner of the registered notebook"
    (home / "link.ipynb").symlink_to(shared)
    assert acting(input_path="link.ipynb") == "bo", "the owner of what the caller's link leads to"
    assert acting(input_path=str(shared), username="ana") == "ana", "whom the body names"
    refused(http.post("/execute", json={"input_path": str(bos), "user": "ana"}), 403, "path-not-allowed")
    outside = {"input_path": str(bos), "output_path": str(home / "out.ipynb")}
    refused(http.post("/run-notebook", json=outside), 403, "path-not-allowed")


WRONG_PARAMETERS = [
    ({}, "region", "required"),
    ({"region": "EMEA", "months": "3"}, "months", "type"),
    ({"region": "EMEA", "months": 3.5}, "months", "type"),
    ({"region": "EMEA", "months": True}, "months", "type"),
    ({"region": "EMEA", "months": None}, "months", "type"),
    ({"region": "EMEA", "months": 0}, "months", "min"),
    ({"region": "EMEA", "months": 13}, "months", "max"),
    ({"region": "EMEA", "months": 10**50}, "months", "max"),
    ({"region": "emea"}, "region", "options"),
    ({"region": ["EMEA"]}, "region", "type"),
    ({"region": "EMEA", "month": 3}, "month", "unknown"),
    ({"region": None}, "region", "type"),
    ({"region": 3}, "region", "type"),
    ({"region": {"a": 1}}, "region", "type"),
    ({"region": ""}, "region", "options"),
    ({"region": "EMEA "}, "region", "options"),
    ({"region": "\uff25\uff2d\uff25\uff21"}, "region", "options"),
    ({"region": "EMEA", "months": ""}, "months", "type"),
    ({"region": "EMEA", "months": []}, "months", "type"),
    ({"region": "EMEA", "months": 1e300}, "months", "type"),
    ({"region": "EMEA", "months": -1}, "months", "min"),
    ({"region": "EMEA", "Months": 3}, "Months", "unknown"),
    ({"region": "EMEA", "": 3}, "", "unknown"),
    ({"region": "EMEA", "__import__": 3}, "__import__", "unknown"),
    ({"region": "EMEA", "code": "abc"}, "code", "pattern"),
    ({"region": "EMEA", "code": "A"}, "code", "min_length"),
    ({"region": "EMEA", "code": "A" * 9}, "code", "max_length"),
    ({"region": "EMEA", "code": 7}, "code", "type"),
    ({"region": "EMEA", "day": "2026-02-29"}, "day", "type"),
    ({"region": "EMEA", "day": "2026-1-1"}, "day", "type"),
    ({"region": "EMEA", "day": "2025-12-31"}, "day", "min"),
    ({"region": "EMEA", "when": "2026-10-31"}, "when", "type"),
    ({"region": "EMEA", "rate": "0.5"}, "rate", "type"),
    ({"region": "EMEA", "rate": 1.5}, "rate", "max"),
    ({"region": "EMEA", "rate": 2**53 + 1}, "rate", "type"),
    ({"region": "EMEA", "draft": "true"}, "draft", "type"),
    ({"region": "EMEA", "draft": 0}, "draft", "type"),
    ({"region": "EMEA", "names": "a,b"}, "names", "type"),
    ({"region": "EMEA", "names": []}, "names", "min_length"),
    ({"region": "EMEA", "names": ["c"]}, "names", "options"),
]
MORE = [
    {"param_name": "code", "param_type": "string",
     "validation_rules": {"regex": "^[A-Z]+$", "min_length": 2, "max_length": 8}},
    {"param_name": "day", "param_type": "date", "validation_rules": {"min": "2026-01-01"}},
    {"param_name": "when", "param_type": "datetime"},
    {"param_name": "rate", "param_type": "float", "validation_rules": {"max": 1}},
    {"param_name": "draft", "param_type": "boolean"},
    {"param_name": "names", "param_type": "list", "validation_rules": {"min_length": 1, "options": ["a", "b"]}},
]  # fmt: skip


def test_wrong_parameters_are_refused_by_name_before_anything_runs(http: httpx.Client, notebook: Path) -> None:
    define(http, register(http, notebook)["id"], REGION, MONTHS, *MORE)
    assert len(WRONG_PARAMETERS) >= 30
    for given, parameter, rule in WRONG_PARAMETERS:
        problem = refused(
            http.post("/execute", json={"input_path": str(notebook), "parameters": given}), 422, "parameter-invalid"
        )
        assert (problem["parameter"], problem["rule"]) == (parameter, rule)
    assert http.get("/db/executions").json() == []
    assert not (notebook.parent / "executions").exists()


def test_a_cell_that_raises_is_told_with_its_index_and_the_output_is_kept(http: httpx.Client, home: Path) -> None:
    path = write_notebook(home / "bad.ipynb", "1", 'raise ValueError("no such month")', "2")
    output = home / "out.ipynb"
    answer = http.post("/run-notebook", json={"params": {}, "input_path": str(path), "output_path": str(output)})
    problem = refused(answer, 422, "execution-failed")
    assert (problem["cell_index"], problem["ename"], problem["evalue"]) == (1, "ValueError", "no such month")
    failing = nbformat.read(output, 4).cells[problem["cell_index"]]
    assert failing.outputs[0].ename == "ValueError"
    assert http.get(f"/db/executions/{problem['execution_id']}").json()["status"] == "failed"


def test_a_time_out_answers_504_and_keeps_the_output(http: httpx.Client, home: Path) -> None:
    path = write_notebook(home / "slow.ipynb", 'print("began")', "import time; time.sleep(600)")
    problem = refused(
        http.post("/execute-notebook", json={"input_path": str(path), "timeout_seconds": 3}), 504, "execution-timed-out"
    )
    row = http.get(f"/db/executions/{problem['execution_id']}").json()
    assert (row["status"], row["failure"]["reason"]) == ("failed", "timed_out")
    assert "began" in Path(row["output_path"]).read_text()


@pytest.mark.parametrize("prefer", ["respond-async", "wait=0", "respond-async, wait=1"])
def test_a_caller_that_does_not_wait_is_told_where_to_ask(http: httpx.Client, home: Path, prefer: str) -> None:
    slow = write_notebook(home / "slow.ipynb", "import time; time.sleep(600)")
    answer = http.post("/execute", json={"input_path": str(slow)}, headers={"Prefer": prefer})
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/db/executions/{answer.json()['id']}"
    assert answer.json()["status"] in ("pending", "running")
    assert http.get("/db/executions", params={"username": "ana"}).headers["x-total-count"] == "1"


def test_in_place_replaces_the_input_and_keeps_its_mode(http: httpx.Client, notebook: Path) -> None:
    notebook.chmod(0o640)
    assert http.post("/execute", json={"input_path": "sales.ipynb", "in_place": True}).status_code == 200
    assert "EMEA: 6" in notebook.read_text()
    assert stat.S_IMODE(notebook.stat().st_mode) == 0o640
    assert [p.name for p in notebook.parent.iterdir()] == ["sales.ipynb"]


def test_files_are_listed_uploaded_copied_filled_in_and_downloaded(
    http: httpx.Client, notebook: Path, home: Path
) -> None:
    data = notebook.read_bytes()
    uploaded = http.post("/upload-notebook", files={"file": ("new.ipynb", data)}, data={"username": "ana"})
    assert uploaded.status_code == 201
    again = http.post("/upload-notebook", files={"file": ("new.ipynb", data)})
    refused(again, 409, "already-exists")
    made = register(http, notebook)
    define(http, made["id"], REGION, MONTHS)
    (home.parent / "bo").mkdir()
    copy = http.post("/copy-notebook", json={"notebook_id": made["id"], "username": "bo"}).json()
    assert (copy["username"], copy["file_path"]) == ("bo", str(home.parent / "bo" / "sales.ipynb"))
    assert len(http.get(f"/db/parameters/notebook/{copy['id']}").json()) == 2
    filled = {"notebook_id": made["id"], "file_path": "apac.ipynb", "parameters": {"region": "APAC"}}
    template = http.post("/create-from-template", json=filled)
    assert template.status_code == 201, template.text
    assert 'region = "APAC"' in "".join(c.source for c in nbformat.read(home / "apac.ipynb", 4).cells)
    listing = http.get("/list-notebooks/ana").json()
    assert [f["relative_path"] for f in listing["notebooks"]] == ["apac.ipynb", "new.ipynb", "sales.ipynb"]
    assert listing["notebook_count"] == 3
    assert http.get("/download-notebook", params={"notebook_id": made["id"]}).content == data


def test_health_answers_within_50_ms(http: httpx.Client) -> None:
    http.get("/health")
    times = sorted(http.get("/health").elapsed.total_seconds() for _ in range(20))
    assert times[len(times) // 2] < 0.05


def test_a_listing_leaves_out_what_cannot_be_used(http: httpx.Client, notebook: Path, home: Path) -> None:
    write_notebook(home / ".ipynb_checkpoints" / "sales-checkpoint.ipynb", "1")
    (home / "link.ipynb").symlink_to(notebook)
    no_text = os.fsdecode(b"caf\xe9")
    (home / f"{no_text}.ipynb").write_bytes(b"{}")
    write_notebook(home / no_text / "inside.ipynb", "1")
    listing = http.get("/list-notebooks/ana")
    assert listing.status_code == 200, listing.text
    assert [f["relative_path"] for f in listing.json()["notebooks"]] == ["sales.ipynb"]


def test_every_part_is_named_by_health(http: httpx.Client) -> None:
    health = http.get("/health").json()
    assert health["status"] == "healthy"
    assert health["papermill_available"] is True
    assert {health[part]["status"] for part in ("database", "queue", "workers", "kernels")} == {"healthy"}


@pytest.mark.parametrize("name", ["attacker.example", "127.attacker.example", "localhost.attacker.example", "[::2]"])
def test_a_page_of_another_site_gets_nowhere(http: httpx.Client, name: str) -> None:
    refused(http.get("/db/notebooks", headers={"Host": name}), 403, "not-allowed")
    refused(http.post("/db/notebooks", json={}, headers={"Origin": f"https://{name}"}), 403, "not-allowed")


@pytest.mark.parametrize("name", ["localhost:3000", "127.0.0.1", "127.1.2.3:80", "[::1]:8002"])
def test_a_page_of_this_machine_is_answered(http: httpx.Client, name: str) -> None:
    assert http.get("/db/notebooks", headers={"Host": name, "Origin": f"http://{name}"}).status_code == 200


@pytest.mark.parametrize("body", [b"{", b'{"name": NaN}', b'{"name": "a\\u0000"}', b"[]", b"", b'{"nmae": "x"}'])
def test_a_body_that_is_not_valid_is_refused_in_words(http: httpx.Client, body: bytes) -> None:
    refused(http.post("/db/notebooks", content=body, headers={"Content-Type": "application/json"}), 422, "invalid")


def test_a_body_over_the_limit_is_refused(http: httpx.Client) -> None:
    body = b'{"name": "' + b"a" * 9 * 2**20 + b'"}'
    refused(http.post("/db/notebooks", content=body, headers={"Content-Type": "application/json"}), 413, "too-large")


@pytest.mark.parametrize(("address", "kind"), [("/db/notebooks", "application/json"), ("/upload-notebook", FORM)])
def test_a_body_over_the_limit_is_refused_where_its_length_was_not_announced(
    http: httpx.Client, address: str, kind: str
) -> None:
    def pieces() -> Iterator[bytes]:
        head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.ipynb"\r\n\r\n'
        yield head if kind == FORM else b'"'
        for _ in range(40):
            yield b"a" * 2**20

    refused(http.post(address, content=pieces(), headers={"Content-Type": kind}), 413, "too-large")


def test_a_value_of_one_megabyte_arrives_whole(http: httpx.Client, home: Path) -> None:
    path = write_notebook(home / "big.ipynb", "print(len(text), n)", parameters='text = ""\nn = 0')
    given = {"text": "ä" * 2**20, "n": 10**300}
    answer = http.post("/execute", json={"input_path": str(path), "parameters": given})
    assert answer.status_code == 200, answer.text
    assert f"{2**20} {10**300}" in Path(answer.json()["output_notebook"]).read_text()
    assert http.get(f"/db/executions/{answer.json()['execution_id']}").json()["parameters_used"] == given
