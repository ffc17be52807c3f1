"""A stream ends soon after its caller may not see the execution any more, and goes on as long as they may."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from pressroom.executions import following
from pressroom.settings import Settings

HELD = "import pathlib, time\nprint('it begins')\nwhile not pathlib.Path({!r}).exists(): time.sleep(0.05)\nprint('end')"
FOLLOWERS = 50


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "ALIVE_SECONDS", 0.6)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    settings.workers = 1
    return settings


class Held:
    """An execution of `ana`'s that goes on until the gate opens."""

    def __init__(self, http: httpx.Client, gate: Path, path: Path) -> None:
        self.http, self.gate = http, gate
        fields = {"name": "held", "file_path": str(path), "username": "ana"}
        self.notebook_id = http.post("/db/notebooks", json=fields).json()["id"]
        sent = http.post(f"/db/notebooks/{self.notebook_id}/executions", json={}, headers={"Prefer": "respond-async"})
        self.path = f"/db/executions/{sent.json()['id']}"

    def token(self, username: str) -> tuple[int, dict[str, str]]:
        made = self.http.post("/db/tokens", json={"scopes": ["read"], "username": username}).json()
        return made["id"], {"Authorization": f"Bearer {made['token']}"}


@pytest.fixture
def held(http: httpx.Client, home: Path) -> Iterator[Held]:
    gate = home / "gate"
    path = pytest.write_notebook(home / "held.ipynb", HELD.format(str(gate)))  # type: ignore[attr-defined]
    yield Held(http, gate, path)
    gate.touch()


@contextmanager
def followed(held: Held, headers: dict[str, str], what: str = "/events") -> Iterator[Any]:
    """A stream that has begun: what is called for the rest of it waits until it ends."""
    with held.http.stream("GET", held.path + what, headers=headers) as answer:
        assert answer.status_code == 200
        texts = answer.iter_text()
        begun = ""
        while "it begins" not in begun:
            begun += next(texts)

        def rest() -> str:
            return begun + "".join(texts)

        yield rest


def revoked(held: Held) -> tuple[dict[str, str], Any, str, int]:
    token_id, headers = held.token("ana")
    return headers, lambda: held.http.delete(f"/db/tokens/{token_id}"), "The token was revoked.", 401


def not_granted(held: Held) -> tuple[dict[str, str], Any, str, int]:
    _, headers = held.token("bo")
    granted = f"/db/notebooks/{held.notebook_id}/grants/user/bo"
    assert held.http.put(granted, json={"level": "viewer"}).status_code == 200
    return headers, lambda: held.http.delete(granted), f"There is no execution {held.path[-1]}.", 404


@pytest.mark.parametrize("take_away", [revoked, not_granted])
@pytest.mark.parametrize("what", ["/events", "/log?follow=true"])
def test_a_right_that_was_taken_away_ends_the_stream(held: Held, take_away: Any, what: str) -> None:
    headers, taken, why, status = take_away(held)
    with followed(held, headers, what) as rest:
        assert taken().status_code == 204
        whole = rest()
    assert why in whole
    assert '"status": "success"' not in whole
    assert not held.gate.exists()  # the execution goes on
    assert held.http.get(held.path + what, headers=headers).status_code == status


def test_whoever_may_still_see_it_follows_it_to_its_end(held: Held, http: httpx.Client) -> None:
    """Also where that is asked many times."""
    _, headers = held.token("ana")
    with followed(held, headers) as rest:
        opening = threading.Timer(2.5, held.gate.touch)
        opening.start()
        whole = rest()
        opening.join()
    assert '"status": "success"' in whole
    assert whole.count("\n: \n") >= 2


async def test_many_followers_of_one_token_end_with_it(held: Held, service: Any) -> None:
    token_id, headers = held.token("ana")
    begun = asyncio.Semaphore(0)

    async def one(client: httpx.AsyncClient) -> str:
        got = ""
        async with client.stream("GET", held.path + "/events", headers=headers) as answer:
            async for text in answer.aiter_text():
                if "it begins" not in got and "it begins" in got + text:
                    begun.release()
                got += text
        return got

    limits = httpx.Limits(max_connections=FOLLOWERS + 1)
    async with httpx.AsyncClient(base_url=service.url, timeout=60, limits=limits) as client:
        following_ = [asyncio.create_task(one(client)) for _ in range(FOLLOWERS)]
        for _ in range(FOLLOWERS):
            await begun.acquire()
        assert (await client.delete(f"/db/tokens/{token_id}")).status_code == 204
        assert all("The token was revoked." in got for got in await asyncio.gather(*following_))
