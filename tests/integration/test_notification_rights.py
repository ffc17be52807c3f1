"""Who may be told of what, and see whose notifications."""

from typing import Any

import httpx
import pytest

from pressroom.errors import NotAllowed, NotFound
from pressroom.identity.principal import Principal
from pressroom.notifications import service
from pressroom.notifications.schemas import Channel, Event, NotificationCreate

NOBODY: frozenset[str] = frozenset()
ANA, BO = (Principal(name, NOBODY, NOBODY, NOBODY, "test") for name in ("ana", "bo"))
BOSS = Principal("boss", NOBODY, frozenset({"admin"}), NOBODY, "test")


def wanted(notebook_id: int | None) -> NotificationCreate:
    return NotificationCreate(
        notebook_id=notebook_id, channel=Channel.WEBHOOK, target="https://example.com/", events=[Event.FAILED]
    )


async def test_only_an_administrator_is_told_of_every_notebook(teller: Any) -> None:
    async with teller.database.transaction() as session:
        with pytest.raises(NotAllowed, match="every notebook"):
            await service.create(session, teller.settings, ANA, wanted(None))
        assert (await service.create(session, teller.settings, BOSS, wanted(None))).username == "boss"


async def test_nobody_is_told_of_anothers_notebook(teller: Any) -> None:
    notebook_id = await teller.notebook("/home/ana/sales.ipynb")
    async with teller.database.transaction() as session:
        with pytest.raises(NotFound):  # it is not his to see
            await service.create(session, teller.settings, BO, wanted(notebook_id))
        made = await service.create(session, teller.settings, ANA, wanted(notebook_id))
        with pytest.raises(NotAllowed):
            await service.change(session, teller.settings, ANA, made.id, {"notebook_id": None})


async def test_anothers_notification_is_not_there(teller: Any) -> None:
    notebook_id = await teller.notebook("/home/ana/sales.ipynb")
    async with teller.database.transaction() as session:
        made = await service.create(session, teller.settings, ANA, wanted(notebook_id))
        for attempt in (
            service.get(session, BO, made.id),
            service.change(session, teller.settings, BO, made.id, {"target": "https://example.com/bo"}),
            service.delete(session, BO, made.id),
            service.deliveries(session, BO, made.id, 0, 10),
        ):
            with pytest.raises(NotFound):
                await attempt
        assert (await service.page(session, BO, None, 0, 10))[2] == 0
        assert (await service.page(session, ANA, None, 0, 10))[2] == 1
        assert (await service.page(session, BOSS, None, 0, 10))[2] == 1


def test_a_former_owner_is_told_of_a_notebook_no_more(http: httpx.Client, settings: Any) -> None:
    path = pytest.write_notebook(settings.shared_roots[0] / "sales.ipynb", "1")  # type: ignore[attr-defined]

    def somebody(name: str) -> dict[str, str]:
        made = http.post("/db/tokens", json={"scopes": ["write", "execute"], "username": name}).json()
        return {"Authorization": f"Bearer {made['token']}"}

    vera, bo = somebody("vera"), somebody("bo")
    fields = {"name": "sales", "file_path": str(path), "username": "vera"}
    notebook_id = http.post("/db/notebooks", json=fields, headers=vera).json()["id"]

    def subscribe(headers: dict[str, str], notebook_id: int | None = notebook_id) -> int:
        told = {
            "notebook_id": notebook_id,
            "channel": "webhook",
            "target": "https://example.com/",
            "events": ["execution.late"],
        }
        answer = http.post("/db/notifications", json=told, headers=headers)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    of_vera, of_administrator, of_all = subscribe(vera), subscribe({}), subscribe({}, None)
    here = f"/db/notebooks/{notebook_id}"
    assert http.put(here, json={"description": "Sales."}).status_code == 200
    assert http.put(here, json={"username": "vera"}).status_code == 200
    assert http.get(f"/db/notifications/{of_vera}", headers=vera).status_code == 200
    assert http.put(here, json={"username": "bo"}).status_code == 200
    assert http.get(here, headers=vera).status_code == http.get(f"/db/notifications/{of_vera}").status_code == 404
    left = {of_administrator, of_all, subscribe(bo)}
    assert {row["id"] for row in http.get("/db/notifications").json()} == left
    transferred = next(entry for entry in http.get("/db/audit").json() if entry["path"] == here)
    assert transferred["facts"] == {"former_owner": "vera", "username": "bo"}


async def test_what_was_not_delivered_when_the_owner_left_is_not_delivered(teller: Any, receiver: Any) -> None:
    path = "/home/ana/sales.ipynb"
    notebook_id = await teller.notebook(path)
    await teller.subscribe(f"{receiver.url}/ana", notebook_id=notebook_id)
    await teller.subscribe(f"{receiver.url}/all")
    assert await teller.announce(await teller.execution(path, notebook_id=notebook_id)) == 2
    async with teller.database.transaction() as session:
        await service.owner_left(session, notebook_id, "ana")
    await teller.work()
    assert [got.path for got in receiver.received] == ["/all"]
    assert await teller.announce(await teller.execution(path, notebook_id=notebook_id)) == 1
