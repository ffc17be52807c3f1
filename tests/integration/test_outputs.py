"""An execution's output is served as long as it is its own; where it is not to be had, the answer says why."""

import io
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pytest

from pressroom.executions import live_endpoints
from pressroom.notebooks import outputs
from pressroom.settings import Settings

Service = pytest.Service  # type: ignore[attr-defined]
write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
ASYNC = {"Prefer": "respond-async"}
FORMS = ("notebook", "html")


def run(http: httpx.Client, path: Path, **fields: Any) -> dict[str, Any]:
    answer = http.post("/run-notebook", json={"input_path": str(path)} | fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(http: httpx.Client, execution_id: int, status: int) -> str:
    """Why neither form of an execution's output is to be had."""
    answers = [http.get(f"/db/executions/{execution_id}/{form}") for form in FORMS]
    assert [answer.status_code for answer in answers] == [status, status], [answer.text for answer in answers]
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}
    assert answers[0].json()["detail"] == answers[1].json()["detail"]
    return answers[0].json()["detail"]


def test_an_output_bears_the_mark_of_its_execution(http: httpx.Client, notebook: Path) -> None:
    done = run(http, notebook)
    assert nbformat.read(done["output"], 4).metadata["pressroom"] == {"execution_id": done["execution_id"]}
    replaced = http.post("/execute", json={"input_path": str(notebook), "in_place": True}).json()
    again = run(http, notebook)
    assert nbformat.read(notebook, 4).metadata["pressroom"] == {"execution_id": replaced["execution_id"]}
    assert nbformat.read(again["output"], 4).metadata["pressroom"] == {"execution_id": again["execution_id"]}


def test_the_output_of_a_later_execution_is_not_served_as_that_of_an_earlier(
    http: httpx.Client, notebook: Path, home: Path
) -> None:
    first, second = (run(http, notebook, output_path=str(home / "out.ipynb"))["execution_id"] for _ in range(2))
    assert f"was replaced by execution {second}" in refused(http, first, 404)
    assert [http.get(f"/db/executions/{second}/{form}").status_code for form in FORMS] == [200, 200]


def test_a_file_that_somebody_else_put_there_is_not_served(http: httpx.Client, notebook: Path) -> None:
    done = run(http, notebook)
    write_notebook(Path(done["output"]), "print('from somebody else')")
    assert "is not what this execution wrote" in refused(http, done["execution_id"], 404)


def test_what_an_execution_that_failed_left_bears_its_mark_and_is_served(http: httpx.Client, home: Path) -> None:
    path = write_notebook(home / "bad.ipynb", "print('as far as it came')", "1 / 0")
    failed = http.post("/execute", json={"input_path": str(path)}).json()
    answer = http.get(f"/db/executions/{failed['execution_id']}/notebook")
    assert answer.status_code == 200
    assert nbformat.reads(answer.text, 4).metadata["pressroom"] == {"execution_id": failed["execution_id"]}
    assert "as far as it came" in http.get(f"/db/executions/{failed['execution_id']}/html").text


def test_an_execution_without_an_output_has_none_though_an_older_one_lies_there(
    http: httpx.Client, notebook: Path, home: Path
) -> None:
    how = {"output_path": str(home / "out.ipynb")}
    run(http, notebook, **how)
    slow = write_notebook(home / "slow.ipynb", "import time; time.sleep(600)")
    under_way = http.post("/run-notebook", json={"input_path": str(slow)} | how, headers=ASYNC).json()["id"]
    assert "has not ended" in refused(http, under_way, 404)
    http.post(f"/db/executions/{under_way}/cancel")
    assert http.get(f"/db/executions/{under_way}/log?follow=true").status_code == 200
    run(http, notebook, **how)
    expired = {"input_path": str(notebook), "expires_at": "2026-01-01T00:00:00Z"} | how
    never = http.post("/run-notebook", json=expired)
    assert never.status_code == 409
    assert "this one wrote none" in refused(http, never.json()["execution_id"], 404)


def _unlink(output: Path) -> None:
    output.unlink()


def _remove_folder(output: Path) -> None:
    shutil.rmtree(output.parent)


def _no_json(output: Path) -> None:
    output.write_bytes(b"\xff\x00")


def _another_json(output: Path) -> None:
    output.write_text(json.dumps([{"metadata": 1}]))


def _a_folder(output: Path) -> None:
    output.unlink()
    output.mkdir()


def _a_home_that_is_away(output: Path) -> None:
    output.parent.parent.rename(output.parent.parent.with_name("away"))


@pytest.mark.parametrize(
    ("harm", "status", "why"),
    [
        (_unlink, 404, "There is no file"),
        (_remove_folder, 404, "There is no folder"),
        (_no_json, 404, "is not a notebook"),
        (_another_json, 404, "is not what this execution wrote"),
        (_a_folder, 404, "is not a file"),
        (_a_home_that_is_away, 503, "is not there"),
    ],
)
def test_an_output_that_is_not_to_be_had_is_told_with_the_reason(
    http: httpx.Client, notebook: Path, harm: Callable[[Path], None], status: int, why: str
) -> None:
    done = run(http, notebook)
    harm(Path(done["output"]))
    assert why in refused(http, done["execution_id"], status)


def test_an_output_that_the_disk_does_not_give_is_unavailable(
    http: httpx.Client, notebook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run(http, notebook)

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(outputs, "_open", lambda execution, place: Failing())
    assert "Input/output error" in refused(http, done["execution_id"], 503)


def test_an_output_that_is_marked_and_no_notebook_is_no_page(http: httpx.Client, notebook: Path) -> None:
    done = run(http, notebook)
    content = json.loads(Path(done["output"]).read_text()) | {"cells": 7}
    Path(done["output"]).write_text(json.dumps(content))
    answer = http.get(f"/db/executions/{done['execution_id']}/html")
    assert (answer.status_code, "is not a valid notebook" in answer.json()["detail"]) == (404, True)


@pytest.fixture
def small(settings: Settings) -> Iterator[httpx.Client]:
    """A service that makes no page of an output over 0.25 MiB."""
    limits = {"max_notebook_mb": 0.125, "max_output_mb": 0.0625}
    with Service(settings.model_copy(update=limits)) as service, httpx.Client(base_url=service.url, timeout=60) as http:
        yield http


def test_an_output_of_very_many_lines_is_sent_whole_and_is_too_large_for_a_page(
    small: httpx.Client, home: Path
) -> None:
    """Its text is within the limit, and takes many times as much in the file."""
    done = run(small, write_notebook(home / "lines.ipynb", r"print('\n' * 50_000, end='')"))
    lines = Path(done["output"]).read_bytes()
    assert len(lines) > 0.5 * 2**20
    answer = small.get(f"/db/executions/{done['execution_id']}/notebook")
    assert (answer.status_code, answer.content == lines) == (200, True)
    assert nbformat.reads(answer.text, 4).cells[0].outputs[0].text == "\n" * 50_000
    page = small.get(f"/db/executions/{done['execution_id']}/html")
    assert (page.status_code, page.json()["type"]) == (413, "/problems/too-large")
    assert page.json()["detail"].endswith("is larger than 0.25 MiB, the limit.")


def test_a_large_file_that_somebody_else_put_there_is_not_sent(small: httpx.Client, notebook: Path) -> None:
    done = run(small, notebook)
    large = write_notebook(Path(done["output"]), *["1" * 1000] * 1000)
    assert large.stat().st_size > 2**20
    assert "is not what this execution wrote" in refused(small, done["execution_id"], 404)
    large.write_bytes(json.dumps(json.loads(large.read_bytes())).encode())  # all in one line: who wrote it is not seen
    assert "is larger than" in refused(small, done["execution_id"], 413)


def test_no_connection_is_held_while_pages_are_rendered(
    settings: Settings, notebook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, goes_on, renders = threading.Semaphore(0), threading.Event(), live_endpoints.to_html

    def slow(data: bytes, *, hide_input: bool) -> bytes:
        inside.release()
        goes_on.wait(60)
        return renders(data, hide_input=hide_input)

    monkeypatch.setattr(live_endpoints, "to_html", slow)
    small = settings.model_copy(update={"database_pool_size": 2})
    with (
        Service(small) as service,
        httpx.Client(base_url=service.url, timeout=60) as http,
        ThreadPoolExecutor() as pool,
    ):
        execution_id = run(http, notebook)["execution_id"]
        try:
            pages = [pool.submit(http.get, f"/db/executions/{execution_id}/html") for _ in range(3)]
            assert all(inside.acquire(timeout=20) for _ in pages), "some wait for a connection that others hold"
            assert http.get(f"/db/executions/{execution_id}").status_code == 200
        finally:
            goes_on.set()
        assert [page.result().status_code for page in pages] == [200, 200, 200]
