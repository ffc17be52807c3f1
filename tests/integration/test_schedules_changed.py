"""What a change of a schedule, and a run by hand, do to the ticks that are due."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text, update

from line import Line
from pressroom.database.models import Parameter, Schedule
from pressroom.errors import NotFound
from pressroom.identity.principal import Principal
from pressroom.parameters.sealing import SecretKeys, new_key
from pressroom.schedules import service
from pressroom.schedules.answers import answer
from pressroom.schedules.orders import opened_secrets
from schedule_desk import ANA, MINUTE, START, Desk

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]


@pytest.fixture
async def desk(line: Line, home: Path) -> Desk:
    return await Desk.of(line, write_notebook(home / "sales.ipynb", "1"))


async def overdue(desk: Desk, schedule_id: int) -> None:
    """Two ticks have come, and wait for a jitter of an hour."""
    async with desk.session() as session:
        by = "next_at = date_trunc('minute', now() - interval '1 minute'), fire_at = now() + interval '1 hour'"
        await session.execute(text(f"UPDATE schedules SET {by} WHERE id = {schedule_id}"))


async def read(desk: Desk, schedule_id: int) -> Schedule:
    async with desk.session() as session:
        return await service.get(session, ANA, schedule_id)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"cron": "0 6 * * *"}, "changed"),
        ({"starts_at": START}, "changed"),
        ({"timezone": "Europe/Berlin"}, "changed"),
        ({"paused": True}, "paused"),
    ],
)
async def test_a_tick_that_is_due_when_its_schedule_is_changed_is_missed(
    desk: Desk, changes: dict[str, Any], word: str
) -> None:
    schedule_id = await desk.make(cron="* * * * *", jitter_seconds=3600)
    await overdue(desk, schedule_id)
    first = (await read(desk, schedule_id)).next_at
    changed = await desk.change(schedule_id, **changes)
    assert changed.next_at is None or changed.next_at > first
    rows = await desk.rows(schedule_id)
    assert len(rows) in (2, 3), "a minute may pass meanwhile"
    assert rows[0].scheduled_at == first
    assert {(row.outcome, row.message) for row in rows} == {("missed", f"The schedule was {word} before it fired.")}


async def test_a_change_to_the_same_leaves_the_tick_that_waits(desk: Desk) -> None:
    schedule_id = await desk.make(cron="* * * * *", jitter_seconds=3600)
    await overdue(desk, schedule_id)
    waits = await read(desk, schedule_id)
    same = {"cron": "* * * * *", "timezone": "UTC", "starts_at": None, "ends_at": None, "jitter_seconds": 3600}
    changed = await desk.change(schedule_id, **same, paused=False)
    assert (changed.next_at, changed.fire_at) == (waits.next_at, waits.fire_at)
    # Without its jitter it fires at once.
    changed = await desk.change(schedule_id, jitter_seconds=0)
    assert changed.next_at == changed.fire_at == waits.next_at
    assert await desk.rows(schedule_id) == []


async def test_a_tick_that_is_run_again_by_hand_keeps_its_execution(desk: Desk) -> None:
    schedule_id = await desk.make(missed="skip", starts_at=START)
    await desk.at(START + 2 * MINUTE)
    async with desk.session() as session:
        await session.execute(update(Schedule).values(starts_at=None))
        # As if it were long ago: what lies ahead is not run by hand.
        await session.execute(text("UPDATE schedule_ticks SET scheduled_at = scheduled_at - interval '10 years'"))
    missed, fired = await desk.rows(schedule_id)
    ran: list[int] = []
    for tick in (missed, fired, fired):
        async with desk.session() as session:
            ran.append((await service.run(session, desk.line.intake, ANA, schedule_id, tick.scheduled_at)).id)
    first, second = await desk.rows(schedule_id)
    assert (first.outcome, first.execution_id, first.message) == ("fired", ran[0], "Run by ana.")
    assert first.at > missed.at
    assert (second.outcome, second.execution_id, second.at) == ("fired", fired.execution_id, fired.at)
    assert second.message == f"Run again by ana: execution {ran[1]}. Run again by ana: execution {ran[2]}."


async def test_a_run_by_hand_waits_for_who_has_the_schedule_in_hand(desk: Desk) -> None:
    schedule_id = await desk.make()

    async def run() -> None:
        async with desk.session() as session:
            await service.run(session, desk.line.intake, ANA, schedule_id)

    async with desk.session() as session:
        await service.delete(session, ANA, schedule_id)
        running = asyncio.create_task(run())
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        async with asyncio.timeout(20):
            while not await session.scalar(waiting):
                assert not running.done(), "it has not waited"
                await asyncio.sleep(0.01)
    with pytest.raises(NotFound, match="There is no schedule"):
        await running


async def test_a_value_that_becomes_secret_is_shown_no_more_and_is_encrypted_when_it_fires(desk: Desk) -> None:
    keyed = desk.line.intake.settings.model_copy(update={"secret_key": SecretStr(new_key())})
    desk.line.intake = replace(desk.line.intake, settings=keyed)
    parameters = {"password": "hunter2", "month": "{{ month }}", "region": "EMEA"}
    async with desk.session() as session:
        for name in parameters:
            session.add(Parameter(notebook_id=desk.notebook_id, param_name=name, param_type="string"))
    schedule_id = await desk.make(parameters=parameters)
    async with desk.session() as session:
        await session.execute(update(Parameter).where(Parameter.param_name != "region").values(secret=True))
    shown = {"password": "********", "month": "********", "region": "EMEA"}
    before = await read(desk, schedule_id)
    assert before.parameters == parameters
    async with desk.session() as session:
        assert (await answer(session, before)).parameters == shown
    await desk.at(START + MINUTE, desk.clock(secret_key=keyed.secret_key))
    assert await desk.ticks(schedule_id) == [(1, "fired")]
    after = await read(desk, schedule_id)
    assert after.parameters == parameters | {"password": "********"}, "a template is no secret itself"
    assert after.updated_at == before.updated_at
    # What was shown, given back, leaves all as it was.
    changed = await desk.change(schedule_id, parameters=shown)
    opened = opened_secrets(changed, SecretKeys.of(keyed))
    assert opened == {"password": "hunter2", "month": "{{ month }}"}


async def test_an_administrator_takes_the_rights_of_one_from_the_schedule_of_who_was_one(desk: Desk) -> None:
    schedule_id = await desk.make()
    assert (await read(desk, schedule_id)).owner_roles == ["admin"]
    other = Principal.person("root", roles=["admin"], source="test")
    assert (await desk.change(schedule_id, other, description="x")).owner_roles == []
    assert (await desk.change(schedule_id, description="y")).owner_roles == ["admin"]
