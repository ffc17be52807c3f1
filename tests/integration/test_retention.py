"""Pruning: what goes, what stays, and that a kill in the middle leaves nothing wrong."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import procrastinate
import psycopg
import pytest
from procrastinate import testing
from sqlalchemy import URL

from line import discard
from pressroom.database.session import Database
from pressroom.executions import artifacts, discarding, retention, retention_tasks, trees
from pressroom.executions.retention import Pruned, prune
from pressroom.notebooks.places import Places
from pressroom.settings import Settings

OLD = timedelta(days=90)
OTHERS = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)
TABLES = (
    "notebook_executions",
    "execution_events",
    "execution_attempts",
    "notification_deliveries",
    "execution_counts",
)


class History:
    """Executions of ``ana`` and their files, as they were left long ago."""

    def __init__(self, connection: psycopg.Connection, home: Path) -> None:
        self.connection, self.home = connection, home
        self.input = self.file(home / "sales.ipynb", 7)

    def file(self, path: Path, size: int) -> Path:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * size)
        return path

    def add(
        self,
        *,
        days: float = 100,
        status: str = "success",
        input_path: Path | None = None,
        output_path: Path | None = None,
        size: int | None = 10,
        events: int = 2,
    ) -> tuple[int, Path]:
        """An execution that ended ``days`` ago, and its output, of ``size`` bytes unless it is ``None``."""
        source = input_path or self.input
        ended = None if status in ("pending", "running") else days
        row = self.connection.execute(
            "INSERT INTO notebook_executions (username, input_path, status, completed_at) "
            "VALUES ('ana', %s, %s, now() - %s * interval '1 day') RETURNING id",
            (str(source), status, ended),
        ).fetchone()
        assert row is not None
        output = output_path or source.parent / "executions" / f"{source.stem}-{row[0]}.ipynb"
        if size is not None:
            self.file(output, size)
        self.connection.execute("UPDATE notebook_executions SET output_path = %s WHERE id = %s", (str(output), row[0]))
        self.connection.execute(
            "INSERT INTO execution_events (execution_id, attempt, kind, data) "
            "SELECT %s, 1, 'output', '{}' FROM generate_series(1, %s)",
            (row[0], events),
        )
        self.connection.execute(
            "INSERT INTO execution_attempts (execution_id, number, worker, worker_id, host, process_id) "
            "VALUES (%s, 1, 'w', 1, 'h', 1)",
            (row[0],),
        )
        return row[0], output

    def ids(self) -> list[int]:
        return [row[0] for row in self.connection.execute("SELECT id FROM notebook_executions ORDER BY id")]

    def everything(self) -> dict[str, Any]:
        rows = {t: self.connection.execute(f"SELECT * FROM {t} ORDER BY 1, 2").fetchall() for t in TABLES}
        return rows | {str(p): p.read_bytes() for p in sorted(self.home.rglob("*")) if p.is_file()}


@pytest.fixture
def history(database_url: URL, home: Path) -> Iterator[History]:
    text = database_url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(text, autocommit=True) as connection:
        yield History(connection, home)


@pytest.fixture
def places(home: Path, tmp_path: Path) -> Places:
    return Places(home.parent, (tmp_path / "shared",))


async def test_old_executions_go_with_all_that_is_theirs(database: Database, places: Places, history: History) -> None:
    gone = [history.add(status=status)[1] for status in ("success", "failed", "cancelled")]
    kept = [history.add(days=80), history.add(status="running", size=None), history.add(status="pending", size=None)]
    assert await prune(database, places, OLD) == Pruned(3, 6, 3, 30)
    assert history.ids() == [execution_id for execution_id, _ in kept]
    assert not any(path.exists() for path in gone)
    assert kept[0][1].exists()
    assert history.input.exists()
    for table in ("execution_events", "execution_attempts"):
        found = history.connection.execute(f"SELECT DISTINCT execution_id FROM {table} ORDER BY 1").fetchall()
        assert [row[0] for row in found] == history.ids()
    total = history.connection.execute("SELECT sum(change) FROM execution_counts").fetchone()
    assert total == (3,)
    assert await prune(database, places, OLD) == Pruned()


async def test_artifacts_go_with_their_execution_also_where_its_output_stays(
    database: Database, places: Places, history: History
) -> None:
    for output in (None, history.home / "named.ipynb"):
        one, path = history.add(output_path=output)
        artifact = history.file(path.parent / f"{path.stem.removesuffix(f'-{one}')}-{one}.artifacts" / "a.csv", 5)
        history.connection.execute("UPDATE notebook_executions SET attempt = 1 WHERE id = %s", (one,))
        history.connection.execute("INSERT INTO execution_artifacts VALUES (%s, 'a.csv', 5, 'text/csv')", (one,))
        assert (await prune(database, places, OLD, dry_run=True)).bytes == (15 if output is None else 5)
        assert artifact.exists()
        assert await prune(database, places, OLD) == Pruned(
            1, 2, 2 if output is None else 1, 15 if output is None else 5
        )
        assert not artifact.parent.exists()
        assert path.exists() == (output is not None)


async def test_artifacts_that_were_never_listed_go_too_also_where_they_cannot_be_emptied_at_once(
    database: Database, places: Places, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, path = history.add(output_path=history.home / "named.ipynb")
    history.connection.execute("UPDATE notebook_executions SET attempt = 1")
    artifact = history.file(path.parent / f"named-{one}.artifacts" / "a.csv", 5)

    def removed(folder: int, name: str) -> None:
        del folder
        assert history.ids() == [], "no row is locked while a tree is taken away"
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr(trees, "remove", removed)
    assert (await prune(database, places, OLD)).executions == 1
    assert not artifact.parent.exists()
    assert (artifact.parent.with_name(artifacts.gone_name(one, 1)) / "a.csv").exists()


async def test_a_dry_run_changes_nothing_and_says_exactly_what_a_run_does(
    database: Database, places: Places, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    shared = history.home / "executions" / "latest.ipynb"
    other = history.file(history.home / "other.ipynb", 3)
    for n in range(10):
        history.add(size=n)
        history.add(input_path=other, events=n)
    for _ in range(5):
        history.add(output_path=shared, size=50)
    history.add(days=1)
    for keep_last in (0, 2, 4, 100):
        before = history.everything()
        expected = await prune(database, places, OLD, keep_last, dry_run=True)
        assert history.everything() == before
        if keep_last == 2:
            assert await prune(database, places, OLD, keep_last) == expected
            assert expected.executions == 8 + 14
    assert await prune(database, places, OLD, 0, dry_run=True) == Pruned(3, 4 + 8 + 9 - 2, 3, 50 + 20)


async def test_ticks_of_schedules_go_by_their_age_and_with_their_execution(
    database: Database, places: Places, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    old, new = history.add()[0], history.add(days=1)[0]
    history.connection.execute(
        "WITH n AS (INSERT INTO notebooks (name, file_path, username) VALUES ('n', '/n.ipynb', 'ana') RETURNING id)"
        " INSERT INTO schedules"
        " (notebook_id, username, name, cron, timezone, missed, missed_limit, overlap, created_by)"
        " SELECT id, 'ana', 's', '@daily', 'UTC', 'last', 1, 'queue', 'ana' FROM n"
    )
    ago = "now() - %s * interval '1 day'"
    add = f"INSERT INTO schedule_ticks SELECT id, {ago}, %s, %s, NULL, {ago}"
    kept = [(1, "missed", None), (2, "fired", new), (100, "skipped", new)]
    gone = [(days, "missed", None) for days in range(101, 109)] + [(110, "fired", old)]
    for days, outcome, execution_id in kept + gone:
        history.connection.execute(f"{add} FROM schedules", (days, outcome, execution_id, days))
    expected = await prune(database, places, OLD, dry_run=True)
    assert expected.ticks == len(gone)
    assert await prune(database, places, OLD) == expected
    left = history.connection.execute("SELECT outcome, execution_id FROM schedule_ticks ORDER BY at DESC").fetchall()
    assert left == [each[1:] for each in kept]


@pytest.mark.parametrize("keep_last", [1, 2, 3])
async def test_the_last_of_each_notebook_stay_however_old(
    database: Database, places: Places, history: History, keep_last: int
) -> None:
    other = history.file(history.home / "other.ipynb", 3)
    sales = [history.add()[0] for _ in range(5)]
    others = [history.add(input_path=other)[0] for _ in range(2)]
    newest = history.add(days=1)[0]
    await prune(database, places, OLD, keep_last)
    assert history.ids() == sorted([*([*sales, newest][-keep_last:]), *others[-keep_last:]])


async def test_what_is_no_output_of_its_own_is_never_deleted(
    database: Database, places: Places, history: History, tmp_path: Path
) -> None:
    """Replaced inputs, outputs elsewhere, links, folders, files of others, registered notebooks."""
    home, folder = history.home, history.home / "executions"
    secret = history.file(home.parent / "bo.ipynb", 5)
    history.add(output_path=history.input, size=None)
    chosen = history.add(output_path=home / "report.ipynb")[1]
    nested = history.file(home / "sub" / "x.ipynb", 1)
    elsewhere = history.add(input_path=nested, output_path=folder / "of-another.ipynb")[1]
    (folder / "link.ipynb").symlink_to(secret)
    history.add(output_path=folder / "link.ipynb", size=None)
    (home / "way").symlink_to(home.parent)
    (home.parent / "executions").mkdir()
    outside = history.file(home.parent / "executions" / "o.ipynb", 5)
    history.add(input_path=home / "way" / "i.ipynb", output_path=home / "way" / "executions" / "o.ipynb", size=None)
    history.add(input_path=home.parent / "i.ipynb", output_path=outside, size=None)
    (folder / "folder.ipynb").mkdir()
    history.add(output_path=folder / "folder.ipynb", size=None)
    registered = history.add()[1]
    history.connection.execute(
        "INSERT INTO notebooks (name, file_path, username) VALUES ('r', %s, 'ana')", (str(registered),)
    )
    history.add(output_path=folder / "never-written.ipynb", size=None)
    assert await prune(database, places, OLD) == Pruned(9, 18, 0, 0)
    assert history.ids() == []
    assert all(path.exists() for path in (history.input, chosen, elsewhere, secret, outside, registered))
    assert (folder / "link.ipynb").is_symlink()
    assert (folder / "folder.ipynb").is_dir()


async def test_a_file_that_another_execution_names_stays(database: Database, places: Places, history: History) -> None:
    again = history.add()[1]
    history.add(days=1, output_path=again)
    pending = history.add()[1]
    history.add(status="pending", output_path=pending)
    source = history.add()[1]
    history.add(days=1, input_path=source)
    both_old = history.add()[1]
    history.add(output_path=both_old)
    output_and_input = history.add()[1]
    history.add(input_path=output_and_input)
    pruned = await prune(database, places, OLD)
    assert all(path.exists() for path in (again, pending, source, output_and_input))
    assert not both_old.exists()
    assert (pruned.executions, pruned.files) == (7, 2)


async def test_a_kill_between_files_and_rows_leaves_rows_that_the_next_run_finishes(
    database: Database, places: Places, history: History, database_url: URL
) -> None:
    outputs = [history.add(events=1)[1] for _ in range(1005)]
    last = history.ids()[999]
    history.connection.execute("UPDATE notebook_executions SET attempt = 1 WHERE id = %s", (first := history.ids()[0],))
    artifact = history.file(outputs[0].parent / artifacts.folder_name(str(outputs[0]), first, 1) / "a.csv", 5)
    command = [sys.executable, "-m", "pressroom.cli", "prune", "--older-than", "90d"]
    url = database_url.render_as_string(hide_password=False)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    text = database_url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(text) as holding:
        # The events of a batch are deleted after its files; whoever holds one stops it there.
        holding.execute("SELECT FROM execution_events WHERE execution_id = %s FOR UPDATE", (last,))
        with subprocess.Popen(command, env={**os.environ, "DATABASE_URL": url}) as process:
            while history.connection.execute(waiting).fetchone() == (0,):
                assert process.poll() is None
            process.kill()
        assert process.returncode == -signal.SIGKILL
    assert [path.exists() for path in outputs] == [False] * 1000 + [True] * 5
    assert len(history.ids()) == 1005, "a file is never left without its row"
    assert not artifact.exists()
    assert [path.name for path in outputs[0].parent.glob(".*")] == [f".pressroom-{first}-1.gone"]
    # The server ends the transaction of the killed process by itself, and lets its rows go.
    while history.connection.execute(OTHERS).fetchone() != (0,):
        pass
    assert await prune(database, places, OLD) == Pruned(1005, 1005, 5, 50)
    assert history.ids() == []
    assert list(outputs[0].parent.iterdir()) == []


async def test_artifacts_are_taken_away_though_whoever_deleted_their_execution_is_killed_right_after(
    database: Database, places: Places, history: History, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, path = history.add()
    history.connection.execute("UPDATE notebook_executions SET attempt = 1")
    history.file(path.parent / artifacts.folder_name(str(path), one, 1) / "a.csv", 5)

    class Killed(BaseException): ...

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(discarding, "discard", killed)
        with pytest.raises(Killed):
            await prune(database, places, OLD)
    assert history.ids() == []
    assert [left.name for left in path.parent.iterdir()] == [f".pressroom-{one}-1.gone"]
    await discard(database, Context(settings, database, places))
    assert list(path.parent.iterdir()) == []


async def test_it_says_how_far_it_is_and_stops_between_batches(
    database: Database, places: Places, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    for _ in range(5):
        history.add()
    seen: list[int] = []
    done = await prune(
        database,
        places,
        OLD,
        progress=lambda pruned: seen.append(pruned.executions),
        stopped=lambda: len(seen) == 2,
    )
    assert (seen, done.executions, len(history.ids())) == ([2, 4], 4, 1)


async def test_an_output_that_cannot_be_deleted_keeps_its_execution(
    database: Database, places: Places, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, output = history.add()
    history.add()

    real = os.unlink

    def unlink(name: str, **options: Any) -> None:
        if name == output.name:
            raise PermissionError(13, "Permission denied", name)
        real(name, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", unlink)
        assert await prune(database, places, OLD) == Pruned(1, 2, 1, 10)
    assert history.ids() == [stuck]
    assert await prune(database, places, OLD) == Pruned(1, 2, 1, 10)


async def test_an_output_that_is_written_meanwhile_keeps_its_execution(
    database: Database, places: Places, history: History
) -> None:
    kept, output = history.add()
    ahead = output.stat().st_mtime + 3600
    os.utime(output, (ahead, ahead))
    assert await prune(database, places, OLD) == Pruned()
    assert (history.ids(), output.exists()) == ([kept], True)


async def test_repetitions_of_a_pruned_execution_stay(database: Database, places: Places, history: History) -> None:
    first, _ = history.add()
    again, _ = history.add(days=1)
    history.connection.execute("UPDATE notebook_executions SET retry_of = %s WHERE id = %s", (first, again))
    await prune(database, places, OLD)
    assert history.connection.execute("SELECT id, retry_of FROM notebook_executions").fetchall() == [(again, None)]


class Context:
    def __init__(self, settings: Settings, database: Database, places: Places) -> None:
        self.settings, self.database, self.places = settings, database, places


async def test_a_batch_goes_with_the_last_of_its_executions(
    database: Database, places: Places, history: History
) -> None:
    batch = "INSERT INTO batches (username, created_by, source, plan, total) VALUES ('ana', 'ana', 'sets', '{}', 2)"
    history.connection.execute(batch)
    (old, _), (new, _) = history.add(), history.add(days=1)
    history.connection.execute("UPDATE notebook_executions SET batch_id = 1, batch_index = 0")
    assert (await prune(database, places, OLD)).executions == 1
    assert history.connection.execute("SELECT id, total FROM batches").fetchall() == [(1, 2)]
    await prune(database, places, timedelta(hours=1))
    assert history.connection.execute("SELECT id FROM batches").fetchall() == []
    assert old < new


async def test_the_daily_chore_does_what_the_settings_say(
    database: Database, places: Places, history: History, settings: Settings
) -> None:
    for _ in range(3):
        history.add()
    assert await retention_tasks.prune_daily(Context(settings, database, places)) is None
    assert len(history.ids()) == 3
    set_ = settings.model_copy(update={"retention_days": 90.0, "retention_keep_last": 1})
    connector = testing.InMemoryConnector()
    app = procrastinate.App(connector=connector)
    retention_tasks.add_tasks(app, Context(set_, database, places))
    assert [(t.cron, t.task.name) for t in app.periodic_registry.periodic_tasks.values()] == [
        ("17 3 * * *", "pressroom.prune_daily")
    ]
    async with app.open_async():
        await app.configure_task("pressroom.prune_daily").defer_async(timestamp=0)
        await app.run_worker_async(wait=False, queues=["pressroom:chores"], install_signal_handlers=False)
    assert [job["status"] for job in connector.jobs.values()] == ["succeeded"]
    assert len(history.ids()) == 1
