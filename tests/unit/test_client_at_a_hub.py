"""What the client takes from the environment of a notebook server of JupyterHub, and where it sends it."""

from typing import Any

import pytest

from pressroom.client import Client

TOKEN = "of-this-server"
PUBLIC = {
    "JUPYTERHUB_API_TOKEN": TOKEN,
    "JUPYTERHUB_API_URL": "http://hub:8081/team/hub/api",
    "JUPYTERHUB_BASE_URL": "/team/",
    "JUPYTERHUB_PUBLIC_HUB_URL": "https://hub.example.com/team/hub/",
}
SILENT = PUBLIC | {"JUPYTERHUB_API_URL": "http://127.0.0.1:8081/hub/api", "JUPYTERHUB_PUBLIC_HUB_URL": ""}
AT_THE_HUB = "https://hub.example.com/team/services/pressroom"


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PUBLIC, "PRESSROOM_URL", "PRESSROOM_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "given", "url", "token"),
    [
        ({}, {}, "http://127.0.0.1:8002", None),
        (PUBLIC, {}, AT_THE_HUB, TOKEN),
        (PUBLIC, {"base_url": "https://hub.example.com/services/other"}, None, TOKEN),
        (PUBLIC, {"base_url": "http://hub:8081/services/pressroom"}, None, TOKEN),
        (PUBLIC, {"token": "mine"}, AT_THE_HUB, "mine"),
        (PUBLIC | {"PRESSROOM_TOKEN": "mine"}, {}, AT_THE_HUB, "mine"),
        # To its own Hub, and to nothing that only looks like it.
        (PUBLIC, {"base_url": "https://pressroom.example.com"}, None, None),
        (PUBLIC | {"PRESSROOM_URL": "https://pressroom.example.com"}, {}, None, None),
        (PUBLIC, {"base_url": "https://hub.example.com.attacker.example"}, None, None),
        (PUBLIC, {"base_url": "https://hub.example.com@attacker.example"}, None, None),
        (PUBLIC, {"base_url": "https://attacker.example/hub.example.com"}, None, None),
        (PUBLIC, {"base_url": "http://hub.example.com/team/services/pressroom"}, None, None),
        # A Hub that does not say its address: nobody knows who listens at Pressroom's usual port.
        (SILENT, {}, "http://127.0.0.1:8002", None),
        (SILENT, {"base_url": "http://127.0.0.1:8000/services/pressroom"}, None, TOKEN),
        ({"JUPYTERHUB_API_TOKEN": TOKEN}, {"base_url": "http://127.0.0.1:8000"}, None, None),
    ],
)
def test_the_hubs_token_goes_to_the_hub_alone(
    environment: dict[str, str],
    given: dict[str, Any],
    url: str | None,
    token: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with Client(**given) as client:
        assert client.url == (url or given.get("base_url") or environment["PRESSROOM_URL"])
        assert client._http.headers.get("Authorization") == (token and f"Bearer {token}")
