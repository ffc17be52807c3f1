"""Webhooks: told if and only if it happened, signed, tried again, given up."""

import asyncio
from typing import Any

from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import text
from standardwebhooks.webhooks import Webhook

from pressroom.database.models import Notification
from pressroom.notifications import service
from pressroom.notifications.schemas import Event


async def test_a_webhook_is_told_and_signed_by_the_standard(teller: Any, receiver: Any) -> None:
    notebook_id = await teller.notebook("/home/ana/sales.ipynb", "Régional")
    await teller.subscribe(f"{receiver.url}/hook?key=1", Event.SUCCEEDED, notebook_id=notebook_id)
    execution = await teller.execution(notebook_id=notebook_id)
    assert await teller.announce(execution) == 1
    await teller.work()
    [got] = receiver.received
    [delivery] = await teller.deliveries()
    assert got.path == "/hook?key=1"
    assert got.headers["webhook-id"] == f"msg_{delivery.id}"
    assert got.headers["content-type"] == "application/json"
    body = Webhook(teller.secret).verify(got.body, got.headers)
    assert body["type"] == "execution.succeeded"
    assert body["timestamp"].endswith("Z")
    assert body["data"]["id"] == execution.id
    assert body["data"]["status"] == "success"
    assert body["data"]["parameters_used"] == {"region": "EMEA"}
    assert body["data"]["notebook_name"] == "Régional"
    assert (delivery.status, delivery.attempts, delivery.detail) == ("delivered", 1, None)
    assert delivery.delivered_at is not None


async def test_only_those_are_told_who_want_to_know(teller: Any, receiver: Any) -> None:
    sales, costs = await teller.notebook("/home/ana/sales.ipynb"), await teller.notebook("/home/ana/c.ipynb", "Costs")
    for path, wanted, notebook_id in (
        ("own", (Event.FAILED, Event.LATE), sales),
        ("every", (Event.FAILED,), None),
        ("other-notebook", (Event.FAILED,), costs),
        ("other-event", (Event.SUCCEEDED,), sales),
    ):
        await teller.subscribe(f"{receiver.url}/{path}", *wanted, notebook_id=notebook_id)
    assert await teller.announce(await teller.execution(notebook_id=sales, status="failed"), Event.FAILED) == 2
    assert await teller.announce(await teller.execution(notebook_id=None, status="failed"), Event.FAILED) == 1
    await teller.work()
    assert sorted(got.path for got in receiver.received) == ["/every", "/every", "/own"]
    assert {got.json["data"]["notebook_name"] for got in receiver.received} == {"Sales", None}


async def test_what_is_rolled_back_is_told_to_nobody(teller: Any, receiver: Any) -> None:
    await teller.subscribe(receiver.url)
    execution = await teller.execution()
    async with teller.database.transaction() as session:
        assert await service.announce(session, execution.id, execution.notebook_id, Event.SUCCEEDED) == 1
        await session.rollback()
    await teller.work()
    assert receiver.received == []
    assert await teller.deliveries() == []
    assert await teller.jobs() == {}


async def test_an_event_is_not_told_twice(teller: Any, receiver: Any) -> None:
    await teller.subscribe(receiver.url)
    execution = await teller.execution()
    assert [await teller.announce(execution), await teller.announce(execution)] == [1, 0]
    assert await teller.announce(execution, Event.LATE) == 1
    await teller.work()
    assert await teller.announce(execution) == 0
    await teller.work()
    assert sorted(got.json["type"] for got in receiver.received) == ["execution.late", "execution.succeeded"]


async def test_it_costs_one_statement_where_nobody_listens(teller: Any) -> None:
    await teller.subscribe("https://example.com", Event.FAILED)
    execution = await teller.execution()
    statements: list[str] = []
    async with teller.database.transaction() as session:
        await session.connection()

        def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
            statements.append(statement)

        engine = teller.database.engine.sync_engine
        sqlalchemy_event.listen(engine, "before_cursor_execute", note)
        assert await service.announce(session, execution.id, execution.notebook_id, Event.SUCCEEDED) == 0
        sqlalchemy_event.remove(engine, "before_cursor_execute", note)
    assert len(statements) == 1


async def test_one_that_fails_is_tried_again_as_the_same_message(teller: Any, receiver: Any) -> None:
    await teller.subscribe(receiver.url)
    receiver.answer(500, 200)
    await teller.announce(await teller.execution())
    await teller.work()
    [delivery] = await teller.deliveries()
    assert (delivery.status, delivery.attempts) == ("pending", 1)
    assert delivery.detail == "The receiver answered 500."
    [seconds] = await teller.hasten()
    assert 7 <= seconds <= 13
    await teller.work()
    [delivery] = await teller.deliveries()
    assert (delivery.status, delivery.attempts, delivery.detail) == ("delivered", 2, None)
    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    for got in (first, second):
        Webhook(teller.secret).verify(got.body, got.headers)


async def test_after_eight_tries_over_some_hours_it_has_failed(teller: Any, receiver: Any) -> None:
    await teller.subscribe(receiver.url)
    receiver.answer(404)
    await teller.announce(await teller.execution())
    pauses: list[float] = []
    for _ in range(10):
        await teller.work()
        pauses += await teller.hasten()
    assert len(receiver.received) == service.TRIES == 8
    assert len(pauses) == 7
    assert 3 * 3600 < sum(pauses) < 9 * 3600
    [delivery] = await teller.deliveries()
    assert (delivery.status, delivery.attempts) == ("failed", 8)
    assert await teller.jobs() == {"succeeded": 1}


async def test_a_receiver_that_is_gone_is_not_tried_again(teller: Any, receiver: Any) -> None:
    await teller.subscribe(receiver.url)
    receiver.answer(410)
    await teller.announce(await teller.execution())
    await teller.work()
    [delivery] = await teller.deliveries()
    assert (delivery.status, delivery.attempts) == ("failed", 1)
    assert await teller.hasten() == []


async def test_a_receiver_may_ask_for_time(teller: Any, receiver: Any) -> None:
    await teller.subscribe(receiver.url)
    receiver.answer((429, {"Retry-After": "600"}), (503, {"Retry-After": "999999999"}), (503, {"Retry-After": "soon"}))
    await teller.announce(await teller.execution())
    pauses: list[float] = []
    for _ in range(3):
        await teller.work()
        pauses += await teller.hasten()
    asked, too_long, nonsense = pauses
    assert 590 <= asked <= 600
    assert 7190 <= too_long <= 7200
    assert 180 <= nonsense <= 320


async def test_redirects_are_not_followed(teller: Any, receiver: Any) -> None:
    await teller.subscribe(f"{receiver.url}/hook")
    receiver.answer((307, {"Location": f"{receiver.url}/elsewhere"}))
    await teller.announce(await teller.execution())
    await teller.work()
    assert [got.path for got in receiver.received] == ["/hook"]
    [delivery] = await teller.deliveries()
    assert (delivery.status, delivery.detail) == ("pending", "The receiver answered 307.")


async def test_a_receiver_that_is_not_there_is_tried_again(teller: Any) -> None:
    await teller.subscribe("http://127.0.0.1:9/hook?token=s3cret")
    await teller.announce(await teller.execution())
    await teller.work()
    [delivery] = await teller.deliveries()
    assert delivery.status == "pending"
    assert delivery.detail.startswith("The receiver cannot be reached")
    assert "s3cret" not in delivery.detail


async def test_nothing_is_told_after_its_notification_was_deleted(teller: Any, receiver: Any) -> None:
    notification_id = await teller.subscribe(receiver.url)
    await teller.announce(await teller.execution())
    async with teller.database.transaction() as session:
        await session.delete(await session.get(Notification, notification_id))
    await teller.work()
    assert receiver.received == []
    assert await teller.jobs() == {"succeeded": 1}


async def test_a_notification_deleted_meanwhile_does_not_fail_the_execution(teller: Any) -> None:
    notification_id = await teller.subscribe("https://example.com")
    execution = await teller.execution()
    async with teller.database.transaction() as session:
        await session.delete(await session.get(Notification, notification_id))
        await session.flush()
        announcing = asyncio.create_task(teller.announce(execution))
        async with teller.database.transaction() as other:
            while not await other.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
                pass
    assert await announcing == 0


async def test_a_fault_of_the_service_is_recorded_and_tried_again(teller: Any) -> None:
    await teller.subscribe("ftp://nobody.could.have.asked.for.this")
    await teller.announce(await teller.execution())
    await teller.work()
    [delivery] = await teller.deliveries()
    assert (delivery.status, delivery.detail) == ("pending", "The service failed: KeyError.")
