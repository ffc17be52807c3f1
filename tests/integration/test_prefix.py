"""The service under a path of a proxy's, which passes the path on or takes it away."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pressroom.app import create_app
from pressroom.client import Client
from pressroom.errors import Invalid
from pressroom.settings import Settings

Service = pytest.Service  # type: ignore[attr-defined]
PREFIX = "/tools/pressroom"


@pytest.fixture
def service(settings: Settings) -> Iterator[Any]:
    with Service(settings.model_copy(update={"root_path": PREFIX, "max_body_mb": 1})) as running:
        yield running


@pytest.fixture(params=["passed on", "taken away"])
def http(service: Any, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    base = service.url + (PREFIX if request.param == "passed on" else "")
    with httpx.Client(base_url=base, timeout=60) as client:
        yield client


@pytest.mark.parametrize("prefix", ["/db", "/db/notebooks", "/execute"])
def test_a_prefix_that_is_a_path_of_the_services_own_is_refused(settings: Settings, prefix: str) -> None:
    with pytest.raises(Invalid, match="root_path: .* is the beginning of the service's own"):
        create_app(settings.model_copy(update={"root_path": prefix}))


def test_the_next_page_is_under_the_address_that_people_reach_the_service_at(
    settings: Settings, notebook: Path
) -> None:
    public = "https://hub.example.com/tools/pressroom"
    with (
        Service(settings.model_copy(update={"root_path": PREFIX, "public_url": public})) as running,
        httpx.Client(base_url=running.url, timeout=60) as http,
    ):
        for _ in range(2):
            http.post("/execute", json={"path": str(notebook)}, headers={"Prefer": "respond-async"})
        following = http.get("/db/executions?limit=1").links["next"]["url"]
    assert following.startswith(f"{public}/db/executions?after=")


def test_every_address_that_the_service_says_has_the_prefix(
    service: Any, http: httpx.Client, notebook: Path, home: Path
) -> None:
    page = http.get("/docs")
    assert set(re.findall(r'(?:src|href)="([^"]*static-offline-docs)', page.text)) == {f"{PREFIX}/static-offline-docs"}
    for script in re.findall(r'src="([^"]+)"', page.text):
        assert httpx.get(service.url + script).status_code == 200, script
    assert http.get("/openapi.json").json()["servers"] == [{"url": PREFIX}]
    for _ in range(2):
        accepted = http.post("/execute", json={"path": str(notebook)}, headers={"Prefer": "respond-async"})
        assert accepted.status_code == 202, accepted.text
        assert accepted.headers["location"] == f"{PREFIX}/db/executions/{accepted.json()['id']}"
    for _ in range(3):  # the last ones are kept answers
        following = http.get("/db/executions?limit=1").links["next"]["url"]
        assert following.startswith(f"{service.url}{PREFIX}/db/executions?")
        assert len(httpx.get(following).json()) == 1


def test_the_type_of_a_problem_has_the_prefix_and_can_be_asked_for(service: Any, http: httpx.Client) -> None:
    missing = http.get("/db/notebooks/1")
    assert (missing.status_code, missing.json()["type"]) == (404, f"{PREFIX}/problems/not-found")
    assert httpx.get(service.url + missing.json()["type"]).json()["type"] == f"{PREFIX}/problems/not-found"
    wrong = http.post("/db/executions/bulk", json={"executions": [{"username": "ana"}]}).json()
    assert [wrong["type"], wrong["errors"][0]["type"]] == [f"{PREFIX}/problems/invalid"] * 2
    assert http.get("/nothing").json()["type"] == f"{PREFIX}/problems/not-found"
    large = http.post("/execute", content=b"x" * (2 * 2**20), headers={"Content-Type": "application/json"})
    assert (large.status_code, large.json()["type"]) == (413, f"{PREFIX}/problems/too-large")


def test_the_larger_limit_of_uploads_holds_under_a_prefix(http: httpx.Client) -> None:
    body = b'{"cells": [], "metadata": {"x": "' + b"x" * (3 * 2**20) + b'"}, "nbformat": 4, "nbformat_minor": 5}'
    sent = http.post("/upload-notebook", files={"file": ("large.ipynb", body)})
    assert sent.status_code == 201, sent.text


def test_the_client_follows_an_execution_under_a_prefix(service: Any, notebook: Path) -> None:
    with Client(service.url + PREFIX) as client:
        done = client.execute(str(notebook), {"region": "APAC"})
        assert (done.status, done.username) == ("success", "ana")


def test_a_path_that_only_begins_like_the_prefix_is_another(service: Any) -> None:
    assert httpx.get(f"{service.url}{PREFIX}s/health").status_code == 404
    assert httpx.get(f"{service.url}{PREFIX}").headers["location"].endswith(f"{PREFIX}/")
