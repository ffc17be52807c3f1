"""Who may be told of what, and see whose notifications."""

from typing import Any

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
