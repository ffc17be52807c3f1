"""Two clients who make the same thing at once: one wins, the other gets 409; 200 times."""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import httpx
import pytest

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
TIMES = 200
Post = Callable[..., tuple[httpx.Response, httpx.Response]]


@pytest.fixture
def both(service: Any) -> Iterator[Post]:
    """Sends the same request from two clients at the same moment."""
    barrier = Barrier(2)
    clients = [httpx.Client(base_url=service.url, timeout=60) for _ in range(2)]

    def send(client: httpx.Client, address: str, arguments: dict[str, Any]) -> httpx.Response:
        barrier.wait(60)
        return client.post(address, **arguments)

    with ThreadPoolExecutor(2) as pool, clients[0], clients[1]:

        def post(address: str, **arguments: Any) -> tuple[httpx.Response, httpx.Response]:
            first, second = pool.map(send, clients, itertools.repeat(address), itertools.repeat(arguments))
            return first, second

        yield post


def one_wins(answers: tuple[httpx.Response, httpx.Response], status: int) -> dict[str, Any]:
    winner, loser = sorted(answers, key=lambda answer: answer.status_code)
    assert (winner.status_code, loser.status_code) == (status, 409), [answer.text for answer in answers]
    assert loser.headers["content-type"] == "application/problem+json"
    assert loser.json()["type"].endswith("/already-exists")
    return winner.json()


def test_one_of_two_who_register_the_same_notebook_wins(both: Post, http: httpx.Client, notebook: Path) -> None:
    for _ in range(TIMES):
        made = one_wins(both("/db/notebooks", json={"name": "n", "file_path": "sales.ipynb", "username": "ana"}), 201)
        assert http.get("/db/notebooks").json() == [made]
        assert http.delete(f"/db/notebooks/{made['id']}").status_code == 204


def test_one_of_two_who_define_the_same_parameter_wins(both: Post, http: httpx.Client, notebook: Path) -> None:
    fields = {"name": "n", "file_path": "sales.ipynb", "username": "ana"}
    number = http.post("/db/notebooks", json=fields).json()["id"]
    for n in range(TIMES):
        one_wins(both("/db/parameters", json={"notebook_id": number, "param_name": f"p{n}", "param_type": "json"}), 201)
    assert http.get(f"/db/parameters/notebook/{number}").headers["x-total-count"] == str(TIMES)


def test_one_of_two_who_write_the_same_output_wins(
    both: Post, http: httpx.Client, notebook: Path, service: Any, home: Path
) -> None:
    # These take every place, so that no winner has ended when the loser comes.
    write_notebook(home / "slow.ipynb", "import time; time.sleep(600)")
    for _ in range(service.settings.workers):
        slow = http.post("/execute", json={"input_path": "slow.ipynb"}, headers={"Prefer": "respond-async"})
        assert slow.status_code == 202
    for n in range(TIMES):
        body = {"params": {}, "input_path": "sales.ipynb", "output_path": f"out-{n}.ipynb"}
        one_wins(both("/run-notebook", json=body, headers={"Prefer": "respond-async"}), 202)
    pending = http.get("/db/executions", params={"status": "pending", "limit": 1})
    assert pending.headers["x-total-count"] == str(TIMES)


def test_one_of_two_who_upload_the_same_file_wins(both: Post, http: httpx.Client, notebook: Path, home: Path) -> None:
    data = notebook.read_bytes()
    for n in range(TIMES):
        one_wins(both("/upload-notebook", files={"file": (f"up-{n}.ipynb", data)}), 201)
        assert (home / f"up-{n}.ipynb").read_bytes() == data
    assert http.get("/list-notebooks/ana").json()["notebook_count"] == TIMES + 1
