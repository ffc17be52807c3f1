"""What a clock does with the ticks that are due: each once, whoever fires it, and why there is none."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update
from sqlalchemy.dialects import postgresql

from line import Line
from pressroom.database.models import Notebook, Schedule
from pressroom.errors import Invalid, NotAllowed, NotFound, OverLimit
from pressroom.identity.principal import Principal
from pressroom.identity.rights import Level
from pressroom.notebooks import grants
from pressroom.notebooks.grant_schemas import GranteeKind
from pressroom.schedules import backfill, firing, service
from pressroom.schedules.clock import open_clock
from pressroom.schedules.schemas import BackfillWanted, ScheduleCreate
from schedule_desk import ANA, BO, MINUTE, START, Desk

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]


@pytest.fixture
async def desk(line: Line, home: Path) -> Desk:
    return await Desk.of(line, write_notebook(home / "sales.ipynb", "1"))


async def test_a_tick_fires_once_however_many_clocks_look_at_once(desk: Desk) -> None:
    made = [await desk.make(name=f"s{n}") for n in range(10)]
    clocks = [desk.clock() for _ in range(4)]
    for minute in (1, 2):
        desk.now = START + MINUTE * minute
        for _ in range(4):
            await asyncio.gather(*(clock.once() for clock in clocks))
        await desk.at(desk.now)
    for schedule_id in made:
        assert await desk.ticks(schedule_id) == [(1, "fired"), (2, "fired")]
        executions = await desk.executions(schedule_id)
        assert [each.scheduled_at for each in executions] == [START + MINUTE, START + 2 * MINUTE]
        assert {each.status for each in executions} == {"pending"}
        assert all(each.job_id for each in executions)


@pytest.mark.parametrize(
    ("policy", "ticks"),
    [
        ({"missed": "skip"}, {"missed": range(1, 10), "fired": range(0)}),
        ({"missed": "last"}, {"missed": range(1, 9), "fired": range(9, 10)}),
        ({"missed": "all"}, {"missed": range(0), "fired": range(1, 10)}),
        ({"missed": "all", "missed_limit": 4}, {"missed": range(1, 6), "fired": range(6, 10)}),
        (
            {"missed": "all", "missed_limit": 4, "overlap": "skip"},
            {"missed": range(1, 6), "fired": range(6, 7), "skipped": range(7, 10)},
        ),
        (
            {"missed": "all", "missed_limit": 4, "overlap": "cancel_running"},
            {"missed": range(1, 6), "skipped": range(6, 9), "fired": range(9, 10)},
        ),
    ],
)
async def test_the_ticks_of_an_outage(desk: Desk, policy: dict[str, Any], ticks: dict[str, range]) -> None:
    schedule_id = await desk.make(cron="*/10 * * * *", **policy)
    await desk.at(START + 95 * MINUTE)
    wanted = [(minute * 10, outcome) for outcome, minutes in ticks.items() for minute in minutes]
    assert await desk.ticks(schedule_id) == sorted(wanted)
    assert len(await desk.executions(schedule_id)) == len(ticks["fired"])
    if ticks["missed"]:
        assert f"missed is {policy['missed']}" in str(await desk.message(schedule_id, 10))
    # It goes on as if nothing had been.
    await desk.at(START + 100 * MINUTE)
    assert (await desk.ticks(schedule_id))[-1] == (100, "fired" if policy.get("overlap") != "skip" else "skipped")


async def test_a_tick_that_is_on_time_fires_whatever_was_missed_before(desk: Desk) -> None:
    skipping, last = await desk.make(missed="skip"), await desk.make(name="t", missed="last")
    await desk.at(START + 5 * MINUTE + timedelta(seconds=20))
    for schedule_id in (skipping, last):
        assert await desk.ticks(schedule_id) == [(n, "missed") for n in (1, 2, 3, 4)] + [(5, "fired")]


async def test_a_year_of_minutes_that_was_missed_is_a_thousand_rows(desk: Desk) -> None:
    schedule_id = await desk.make()
    await desk.at(START + timedelta(days=365))
    ticks = await desk.ticks(schedule_id)
    assert 1000 <= len(ticks) <= 1005
    assert [outcome for _, outcome in ticks].count("fired") == 1
    assert "earlier ones" in str(await desk.message(schedule_id, ticks[0][0]))


async def test_a_pause_a_start_and_an_end(desk: Desk) -> None:
    later, soon = START + 3 * MINUTE, START + 5 * MINUTE
    schedule_id = await desk.make(starts_at=later, ends_at=soon, missed="all")
    await desk.at(START + 9 * MINUTE)
    assert await desk.ticks(schedule_id) == [(3, "fired"), (4, "fired"), (5, "fired")]
    async with desk.session() as session:
        assert (await service.get(session, ANA, schedule_id)).next_at is None
    paused = await desk.make(name="p", missed="all", paused=True)
    await desk.at(START + 20 * MINUTE)
    assert await desk.ticks(paused) == []


async def test_overlap(desk: Desk) -> None:
    queued = await desk.make(name="q", overlap="queue")
    skipped = await desk.make(name="s", overlap="skip")
    cancelled = await desk.make(name="c", overlap="cancel_running")
    for minute in (1, 2):
        await desk.at(START + MINUTE * minute)
    assert await desk.ticks(queued) == [(1, "fired"), (2, "fired")]
    assert await desk.ticks(skipped) == [(1, "fired"), (2, "skipped")]
    [only] = await desk.executions(skipped)
    assert f"Execution {only.id} of an earlier tick was under way." == await desk.message(skipped, 2)
    assert await desk.ticks(cancelled) == [(1, "fired"), (2, "fired")]
    assert [each.status for each in await desk.executions(cancelled)] == ["cancelled", "pending"]
    assert [each.status for each in await desk.executions(queued)] == ["pending", "pending"]
    # One that runs is asked to stop; and when the one in the way has ended, the next tick fires.
    running = (await desk.executions(cancelled))[1].id
    while await desk.line.claim() not in (None, running):
        pass
    await desk.line.end(only.id)
    await desk.at(START + 3 * MINUTE)
    assert (await desk.ticks(skipped))[-1] == (3, "fired")
    assert (await desk.executions(cancelled))[1].cancel_requested_at is not None


async def test_jitter_moves_the_firing_and_not_the_tick(desk: Desk) -> None:
    schedule_id = await desk.make(jitter_seconds=600)
    async with desk.session() as session:
        schedule = await service.get(session, ANA, schedule_id)
    assert schedule.next_at == START + MINUTE
    assert START + MINUTE < schedule.fire_at <= START + 11 * MINUTE
    await desk.at(schedule.fire_at - timedelta(seconds=1))
    assert await desk.ticks(schedule_id) == []
    await desk.at(START + 30 * MINUTE)
    await desk.at(START + 60 * MINUTE)
    ticks = await desk.ticks(schedule_id)
    assert [minute for minute, _ in ticks] == list(range(1, len(ticks) + 1))
    for minute in (20, 50):
        assert (minute - 1, "missed") in ticks
        assert (minute, "fired") in ticks, "with its jitter it was on time"


async def test_a_tick_that_is_refused_says_why_and_the_schedule_goes_on(desk: Desk, home: Path) -> None:
    (home.parent / "bo").mkdir()
    async with desk.session() as session:
        await session.execute(update(Notebook).values(run_as="owner"))
        await grants.grant(session, ANA, desk.notebook_id, GranteeKind.USER, "bo", Level.RUNNER)
    schedule_id = await desk.make(BO)
    await desk.at(START + MINUTE)
    [execution] = await desk.executions(schedule_id)
    assert (execution.username, execution.submitted_by) == ("ana", "bo")
    async with desk.session() as session:
        await grants.revoke(session, ANA, desk.notebook_id, GranteeKind.USER, "bo")
    await desk.at(START + 2 * MINUTE)
    async with desk.session() as session:
        await grants.grant(session, ANA, desk.notebook_id, GranteeKind.USER, "bo", Level.RUNNER)
    desk.path.rename(gone := desk.path.with_suffix(".gone"))
    await desk.at(START + 3 * MINUTE)
    gone.rename(desk.path)
    await desk.at(START + 4 * MINUTE)
    outcomes = [(1, "fired"), (2, "refused"), (3, "refused"), (4, "fired")]
    assert await desk.ticks(schedule_id) == outcomes
    assert await desk.message(schedule_id, 2) == f"There is no notebook {desk.notebook_id}."
    assert "sales.ipynb" in str(await desk.message(schedule_id, 3))


async def test_one_that_cannot_be_written_holds_up_no_other(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    stuck, other = await desk.make(name="stuck"), await desk.make(name="other")
    async with desk.session() as session:
        body = f"BEGIN IF NEW.schedule_id = {stuck} THEN RAISE 'stuck'; END IF; RETURN NEW; END"
        await session.execute(text(f"CREATE FUNCTION stuck() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$"))
        trigger = "CREATE TRIGGER stuck BEFORE INSERT ON schedule_ticks FOR EACH ROW EXECUTE FUNCTION stuck()"
        await session.execute(text(trigger))
    await desk.at(START + MINUTE)
    assert f"the ticks of schedule {stuck} cannot be written" in caplog.text
    assert await desk.ticks(other) == [(1, "fired")]
    async with desk.session() as session:
        await session.execute(text("DROP TRIGGER stuck ON schedule_ticks"))
    await desk.at(START + MINUTE + timedelta(seconds=11))
    assert await desk.ticks(stuck) == [(1, "fired")]


async def test_a_change_wakes_the_clock_that_waits(desk: Desk) -> None:
    async with open_clock(desk.line.shop(), desk.line.intake.jobs):
        schedule_id = await desk.make()
        async with desk.session() as session:
            await session.execute(text("UPDATE schedules SET next_at = date_trunc('minute', now()), fire_at = now()"))
            await session.execute(text("SELECT pg_notify('pressroom_schedules', '')"))
        async with asyncio.timeout(20):  # it would look by itself after thirty seconds
            while not (ticks := await desk.ticks(schedule_id)):
                await asyncio.sleep(0.01)
    assert ticks[0][1] == "fired"


async def test_a_backfill_is_one_batch_in_order(desk: Desk) -> None:
    async with desk.session() as session:
        schedule = await service.create(
            session,
            desk.line.intake,
            ANA,
            ScheduleCreate(notebook_id=desk.notebook_id, name="b", cron="0 6 1 * *", timezone="Europe/Berlin"),
        )

        def of(**said: Any) -> BackfillWanted:
            return BackfillWanted.model_validate({"from": "2025-10-01T04:00:00Z", "to": "2026-01-31T00:00:00Z"} | said)

        async def begin(**said: Any) -> Any:
            return await backfill.begin(session, desk.line.intake, ANA, schedule.id, of(**said))

        batch = await begin(in_order=True, concurrency_limit=2)
        assert (batch.total, batch.source, batch.schedule_id, batch.in_order) == (4, "backfill", schedule.id, True)
        await refuses(lambda: begin(to="2999-01-01T00:00:00Z"), Invalid, "lies ahead")
        await refuses(lambda: begin(to="2025-01-01T00:00:00Z"), Invalid, "before from")
        await refuses(lambda: begin(to="2025-10-01T04:00:00Z", **{"from": "2025-10-01T03:59:00Z"}), None, "")
        await refuses(lambda: begin(to="2025-10-03T04:00:00Z", **{"from": "2025-10-02T03:59:00Z"}), Invalid, "no set")
        schedule.cron = "* * * * *"
        limit = desk.line.intake.settings.model_copy(update={"batch_limit": 50})
        object.__setattr__(desk.line.intake, "settings", limit)
        await refuses(lambda: begin(**{"from": "1971-01-01T00:00:00Z"}), OverLimit, "PRESSROOM_BATCH_LIMIT")
    found = await desk.executions(schedule.id)
    hours = [(each.scheduled_at.month, each.scheduled_at.hour) for each in found]
    assert hours[:4] == [(10, 4), (11, 5), (12, 5), (1, 5)]
    assert [each.batch_index for each in found][:4] == [0, 1, 2, 3]


async def refuses(call: Callable[[], Awaitable[Any]], kind: type[Exception] | None, words: str) -> None:
    if kind is None:
        await call()
        return
    with pytest.raises(kind, match=words):
        await call()


async def test_only_its_user_changes_a_schedule_and_who_acts_for_them(desk: Desk, home: Path) -> None:
    (home.parent / "bo").mkdir()
    schedule_id = await desk.make()
    async with desk.session() as session:
        with pytest.raises(NotFound):
            await service.get(session, BO, schedule_id)
        await grants.grant(session, ANA, desk.notebook_id, GranteeKind.USER, "bo", Level.EDITOR)
        assert (await service.get(session, BO, schedule_id)).username == "ana"
        for call in (
            lambda: service.change(session, desk.line.intake, BO, schedule_id, {"paused": True}),
            lambda: service.delete(session, BO, schedule_id),
            lambda: service.run(session, desk.line.intake, BO, schedule_id),
        ):
            with pytest.raises(NotAllowed, match="is ana's"):
                await call()
        with pytest.raises(NotAllowed, match="may not act for"):
            await service.create(
                session, desk.line.intake, BO,
                ScheduleCreate(notebook_id=desk.notebook_id, name="x", cron="@daily", username="ana"),
            )  # fmt: skip
        machine = Principal("hub", frozenset(), frozenset(), frozenset({"read", "execute", "act"}), "test")
        changed = await service.change(session, desk.line.intake, machine, schedule_id, {"description": "x"})
        assert (changed.username, changed.owner_roles) == ("ana", ["admin"])
    # Whose rights have been taken away since it was saved loses them in its ticks as well.
    async with desk.session() as session:
        await session.execute(update(Schedule).where(Schedule.id == schedule_id).values(owner_roles=[]))
    await desk.at(START + MINUTE)
    assert await desk.ticks(schedule_id) == [(1, "fired")], "the notebook is ana's own"


async def test_what_is_due_is_found_by_an_index(desk: Desk) -> None:
    statement = firing.due_at(firing.time_of(None)).compile(
        dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}
    )
    async with desk.session() as session:
        await session.execute(text("SET LOCAL enable_seqscan = off"))
        plan = "\n".join((await session.scalars(text(f"EXPLAIN {statement}"))).all())
    assert "ix_schedules_fire_at" in plan
    assert "Index Cond: (fire_at <= statement_timestamp())" in plan


async def test_the_many_ticks_of_an_outage_fire_some_at_a_time(desk: Desk) -> None:
    schedule_id = await desk.make(missed="all", missed_limit=60)
    desk.now = START + 80 * MINUTE
    clock, fired = desk.clock(), list[int]()
    while await clock.once():
        fired.append([outcome for _, outcome in await desk.ticks(schedule_id)].count("fired"))
    assert fired == [50, 61], "sixty that are late, and the one that is on time"
    assert [minute for minute, outcome in await desk.ticks(schedule_id) if outcome == "missed"] == list(range(1, 20))


async def test_a_tick_waits_for_a_kernel_that_is_away_as_long_as_it_is_on_time(desk: Desk) -> None:
    schedule_id = await desk.make(cron="*/10 * * * *")

    async def there(kernel: str) -> None:
        async with desk.session() as session:
            said = text("UPDATE workers SET kernels = jsonb_build_array(jsonb_build_object('name', CAST(:k AS text)))")
            await session.execute(said, {"k": kernel})

    await there("bash")
    clock = desk.clock()
    await desk.at(START + 10 * MINUTE, clock)
    assert await desk.ticks(schedule_id) == []
    await there("python3")
    await desk.at(START + 10 * MINUTE + timedelta(seconds=30), desk.clock())
    assert await desk.ticks(schedule_id) == [(10, "fired")]
    await there("bash")
    for seconds in (0, 30, 61):
        assert len(await desk.ticks(schedule_id)) == 1
        await desk.at(START + 20 * MINUTE + timedelta(seconds=seconds), desk.clock())
    assert await desk.ticks(schedule_id) == [(10, "fired"), (20, "refused")]
    assert "There is no kernel named 'python3'" in str(await desk.message(schedule_id, 20))
