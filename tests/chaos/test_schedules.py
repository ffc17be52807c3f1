"""A year of ticks by three clocks of which one is killed, again and again, in the middle of what it does."""

import asyncio
import os
import random
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL

from chaos.clocks import begin, settings_of
from pressroom.database.models import Notebook
from pressroom.database.postmaster import Postmaster
from pressroom.database.session import Database
from pressroom.database.url import normalise
from pressroom.executions.connector import open_jobs
from pressroom.executions.orders import Intake
from pressroom.identity.principal import Principal
from pressroom.notebooks.files import ValidFiles
from pressroom.notebooks.places import Places
from pressroom.schedules import service, ticks
from pressroom.schedules.due import following, wait_for
from pressroom.schedules.schemas import ScheduleCreate

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
START, END = datetime(2030, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
STEPS = 24
CLOCKS = 3
ZONES = (
    "UTC", "Europe/Berlin", "Europe/London", "Europe/Dublin", "Europe/Moscow", "America/New_York", "America/St_Johns",
    "America/Sao_Paulo", "America/Santiago", "America/Havana", "Asia/Kathmandu", "Asia/Kolkata", "Asia/Tehran",
    "Asia/Beirut", "Africa/Casablanca", "Africa/Cairo", "Australia/Lord_Howe", "Pacific/Chatham", "Pacific/Apia",
    "Antarctica/Troll",
)  # fmt: skip
# The days on which clocks are changed are among their days.
EXPRESSIONS = (
    "30 2 * 3,10 7L", "0 3 * 3,11 0#2", "30 1 * 4,9 SUN#1", "0 0 1 */2 *", "30 2 L 1,7 *", "15 4 15 * *",
    "59 23 L */6 *", "0 6 1 */3 *", "@yearly", "*/30 2 31 3,10 *",
)  # fmt: skip
AT_WORK = """
SELECT application_name FROM pg_stat_activity
WHERE datname = current_database() AND application_name = ANY(%s) AND backend_xid IS NOT NULL
"""
"""The clocks that are in the middle of what they do."""
ANA = Principal.local("ana")


@pytest.fixture
def database(cluster: tuple[URL, Postmaster]) -> str:
    url, postmaster = cluster
    postmaster.start()
    name = f"clocks_{uuid.uuid4().hex}"
    plain = url.set(drivername="postgresql")
    with psycopg.connect(plain.set(database="postgres").render_as_string(hide_password=False), autocommit=True) as made:
        made.execute(f'CREATE DATABASE {name} TEMPLATE "{url.database}"')
    return plain.set(database=name).render_as_string(hide_password=False)


async def make(url: str, home: Path) -> dict[int, tuple[str, str]]:
    """200 schedules, as they would be when the year begins."""
    settings = settings_of(url, home)
    database = Database(normalise(url))
    found: dict[int, tuple[str, str]] = {}
    path = write_notebook(home / "ana" / "n.ipynb", "1")
    async with open_jobs(database) as jobs, database.transaction() as session:
        notebook = Notebook(name="n", file_path=str(path), username="ana", tags=[], metadata_={})
        session.add(notebook)
        await session.flush()
        intake = Intake(Places.of(settings), settings, jobs, ValidFiles(2**20))
        for zone in ZONES:
            for cron in EXPRESSIONS:
                wanted = ScheduleCreate(
                    notebook_id=notebook.id, name=f"{cron} {zone}", cron=cron, timezone=zone, missed="all",
                    missed_limit=1000,
                )  # fmt: skip
                schedule = await service.create(session, intake, ANA, wanted)
                wait_for(schedule, following(schedule, START))
                found[schedule.id] = cron, zone
    await database.dispose()
    return found


def due(sql: psycopg.Connection, now: datetime) -> int:
    """How many schedules have yet to fire."""
    return sql.execute("SELECT count(*) FROM schedules WHERE NOT paused AND fire_at <= %s", (now,)).fetchone()[0]


def test_a_year_of_ticks_fires_exactly_once_while_clocks_are_killed(database: str, tmp_path: Path) -> None:
    seed = int(os.environ.get("PRESSROOM_CHAOS_SEED", random.randrange(10**9)))
    print(f"seed {seed}")
    chance = random.Random(seed)
    schedules = asyncio.run(make(database, tmp_path))
    told = tmp_path / "now"

    def tell(moment: datetime) -> None:
        (tmp_path / "next").write_text(moment.isoformat())
        (tmp_path / "next").replace(told)

    tell(START)
    clocks = {name: begin(database, tmp_path, told, name) for name in map(str, range(CLOCKS))}
    in_hand = 0
    try:
        with psycopg.connect(database, autocommit=True) as sql:
            for step in range(1, STEPS + 1):
                now = START + (END - START) * step / STEPS
                tell(now)
                sql.execute("SELECT pg_notify('pressroom_schedules', '')")
                deadline = time.monotonic() + 60
                # One that is at work, at some of the times when one is; else, when all is done, any.
                sights, at_work = chance.randrange(1, 15), None
                while sights and due(sql, now):
                    assert time.monotonic() < deadline, f"what was due at {now} has not fired"
                    if seen := sql.execute(AT_WORK, (sorted(clocks),)).fetchall():
                        sights, at_work = sights - 1, chance.choice(seen)[0]
                in_hand += not sights
                killed = clocks.pop(at_work or chance.choice(sorted(clocks)))
                killed.kill()
                # It begins while the others go on.
                name = str(CLOCKS + step)
                clocks[name] = begin(database, tmp_path, told, name)
                killed.join()
                while due(sql, now):
                    assert time.monotonic() < deadline, f"what was due at {now} has not fired"
                    time.sleep(0.01)
            found = sql.execute(
                "SELECT schedule_id, scheduled_at, outcome, execution_id FROM schedule_ticks"
            ).fetchall()
            made = sql.execute("SELECT schedule_id, scheduled_at, id FROM notebook_executions").fetchall()
            jobs = sql.execute("SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'").fetchone()[0]
    finally:
        for clock in clocks.values():
            clock.kill()
            clock.join()
    wanted = {
        (schedule_id, tick)
        for schedule_id, (cron, zone) in schedules.items()
        for tick in ticks.between(cron, ticks.zone(zone), START + timedelta(microseconds=1), END, 10_000)
    }
    assert len(wanted) > 600
    assert {outcome for _, _, outcome, _ in found} == {"fired"}
    assert sorted((schedule_id, at) for schedule_id, at, _, _ in found) == sorted(wanted), "none missed"
    assert sorted((schedule_id, at) for schedule_id, at, _ in made) == sorted(wanted), "none twice"
    assert {(s, at, execution) for s, at, _, execution in found} == set(made)
    assert jobs == len(made)
    assert in_hand > STEPS / 3, "the kills met clocks at work"
    print(f"{len(made)} ticks, {STEPS} kills, {in_hand} of clocks that had a transaction under way")
