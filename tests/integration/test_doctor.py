"""The doctor, at installations that are well and that are not."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import time_machine
from sqlalchemy import URL

from line import Line
from own_issuer import OwnIssuer
from ports import free_port
from pressroom.database.migrate import upgrade
from pressroom.doctor import database, examination, machine, queue, sign_in
from pressroom.doctor.case import Case
from pressroom.doctor.findings import Finding, State
from pressroom.parameters.sealing import SecretKeys, new_key
from pressroom.settings import Settings


@pytest.fixture
def case(settings: Settings, database_url: URL) -> Case:
    return Case(settings, url=database_url)


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def only(findings: Any) -> Finding:
    [found] = findings
    return found


def test_a_migrated_database_is_well(case: Case) -> None:
    found = [*database.reached(case), *database.migrations(case), *database.clock(case), *queue.secret_key(case)]
    assert {finding.state for finding in found} == {State.OK}
    assert "UTF8" in found[0].says


def test_a_schema_that_is_behind_is_wrong_and_the_command_is_named(case: Case, empty_database_url: URL) -> None:
    case.url = empty_database_url
    for at in ("no revision", "revision 0009"):
        found = only(database.migrations(case))
        assert (found.state, found.mend) == (State.WRONG, "pressroom db upgrade")
        assert at in found.says
        upgrade(empty_database_url, "0009")


def test_a_schema_of_a_later_version_and_one_that_was_changed(case: Case, plain: psycopg.Connection[Any]) -> None:
    plain.execute("ALTER TABLE notebooks ADD COLUMN colour text")
    assert only(database.migrations(case)).state is State.WARNING
    plain.execute("UPDATE alembic_version SET version_num = '9999'")
    found = only(database.migrations(case))
    assert (found.state, "later version" in found.says) == (State.WRONG, True)


def test_a_database_that_is_not_there_is_said_without_its_password(case: Case) -> None:
    case.url = URL.create("postgresql+psycopg", "ana", "hunter2", "127.0.0.1", free_port(), "x")
    found = only(database.reached(case))
    assert found.state is State.WRONG
    assert "hunter2" not in str(found)


def test_an_embedded_server_that_does_not_start_is_mended_by_its_own_log(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "postgres").mkdir(parents=True)
    found = examination.of_the_database(Case(Settings(data_dir=data)))[0]
    assert (found.part, found.state) == ("database", State.WRONG)
    assert "did not start" in found.says
    assert str(data / "postgres" / "server.log") in (found.mend or "")


def test_clocks_that_differ_by_more_than_is_allowed_are_wrong(case: Case) -> None:
    with time_machine.travel(time.time() + 60):
        found = only(database.clock(case))
    assert found.state is State.WRONG
    assert "ahead of the database" in found.says
    case.clock_seconds = 90
    with time_machine.travel(time.time() + 60):
        assert only(database.clock(case)).state is State.OK


async def test_what_waits_where_nobody_works_is_wrong(case: Case, line: Line, plain: psycopg.Connection[Any]) -> None:
    plain.execute("UPDATE workers SET queues = '[\"reports\"]'")
    await line.submit(n=2)
    await line.submit(queue="reports")
    [bad] = [finding for finding in queue.workers(case) if finding.state is State.WRONG]
    assert "2 executions wait in queue default" in bad.says


async def test_secrets_that_no_key_decrypts_are_wrong(
    case: Case, line: Line, plain: psycopg.Connection[Any], settings: Settings
) -> None:
    [execution] = await line.submit()
    key = new_key()
    sealed = SecretKeys([key]).sealed({"token": "x"}, (execution, "ana", "n"))
    plain.execute("UPDATE notebook_executions SET secrets = %s", (sealed,))
    assert only(queue.secret_key(case)).state is State.WRONG
    for given, state in ((new_key(), State.WRONG), (key, State.OK), (f"{new_key()},{key}", State.OK)):
        case.settings = Settings(secret_key=given)
        found = only(queue.secret_key(case))
        assert found.state is state
        assert key not in str(found)


def test_folders_that_are_not_there_are_wrong(case: Case, tmp_path: Path) -> None:
    assert {finding.state for finding in machine.folders(case)} == {State.OK}
    case.settings = Settings(users_root=tmp_path / "nowhere", shared_roots=[tmp_path / "neither"])
    assert [finding.state for finding in machine.folders(case)] == [State.WRONG, State.WRONG]
    case.settings = Settings(users_root=tmp_path, run_as="user")
    (tmp_path / "nobody-of-that-name").mkdir()
    assert any("have no account" in finding.says for finding in machine.folders(case))
    assert {finding.part for finding in machine.disk(case)} == {"disk"}


def test_a_full_disk_of_the_database_is_not_mended_by_a_command_that_needs_the_database(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        full = Settings(users_root=tmp_path, data_dir=Path(elsewhere), max_output_mb=10**9)
        found = {finding.says.partition(", for ")[2]: finding for finding in machine.disk(Case(full))}
    assert {finding.state for finding in found.values()} == {State.WRONG}
    assert "pressroom prune" in (found["outputs and temporary files"].mend or "")
    assert "pressroom" not in (found["the embedded database"].mend or "pressroom")


def test_an_issuer_is_asked_for_what_it_says_of_itself(settings: Settings, issuer: OwnIssuer) -> None:
    known = {"auth": ["oidc"], "public_url": "https://pressroom.example.com"}
    well = Case(Settings(oidc_issuer=issuer.url, **known))
    assert only(sign_in.issuer(well)).state is State.OK
    other = Case(Settings(oidc_issuer=f"{issuer.url}/realms/other", **known))
    assert only(sign_in.issuer(other)).state is State.WRONG


def test_a_hub_and_an_issuer_that_say_nothing_are_given_up(silent: int) -> None:
    address = f"http://127.0.0.1:{silent}"
    case = Case(
        Settings(auth=["oidc", "jupyterhub"], oidc_issuer=address, jupyterhub_api_url=f"{address}/hub/api"),
        answer_seconds=0.2,
    )
    assert only(sign_in.issuer(case)).state is State.WRONG
    assert only(sign_in.hub(case)).state is State.WRONG


def test_the_command_says_what_is_wrong_and_shows_no_secret(settings: Settings, silent: int, tmp_path: Path) -> None:
    """A server that hangs, a key, a wrong setting: all of it is told, and the command ends."""
    key = new_key()
    environment = {
        "DATABASE_URL": f"postgresql://ana:hunter2@127.0.0.1:{silent}/x?connect_timeout=2",
        "PRESSROOM_SECRET_KEY": key,
        "PRESSROOM_PORT": "eight",
        "PRESSROOM_USERS_ROOT": str(tmp_path),
    }
    command = [sys.executable, "-m", "pressroom.cli", "doctor", "--json"]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    bad = {finding["part"] for finding in found["findings"] if finding["state"] == "wrong"}
    assert {"settings", "database"} <= bad
    assert found["wrong"] == len([finding for finding in found["findings"] if finding["state"] == "wrong"])
    assert {"kernels", "disk", "sign-in"} <= {finding["part"] for finding in found["findings"]}
    assert "hunter2" not in done.stdout + done.stderr
    assert key not in done.stdout + done.stderr
