"""Schedules over real HTTP: made, changed, refused in words, paused, fired by the running service, and seen."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import URL

import pressroom
from pressroom.errors import Invalid, NotFound
from pressroom.parameters.sealing import new_key
from pressroom.settings import Settings

Service = pytest.Service  # type: ignore[attr-defined]
write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
DAILY = {"cron": "0 6 * * *", "timezone": "Europe/Berlin"}


@pytest.fixture(scope="module")
def address(module_database_url: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service of the module's own."""
    home = tmp_path_factory.mktemp("home")
    write_notebook(
        home / "ana" / "sales.ipynb", 'print(f"{region}: {month}")', parameters='region = "EMEA"\nmonth = "2026-01"'
    )
    settings = Settings(
        database_url=module_database_url.render_as_string(hide_password=False),
        users_root=home,
        local_user="ana",
        worker_grace_seconds=2,
        workers=2,
        preload=[],
        secret_key=SecretStr(new_key()),
    )
    with Service(settings) as running:
        yield running.url


@pytest.fixture(scope="module")
def http(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def notebook_id(http: httpx.Client) -> int:
    made = http.post("/db/notebooks", json={"name": "sales", "file_path": "sales.ipynb", "username": "ana"}).json()[
        "id"
    ]
    definitions = [
        {"param_name": "region", "param_type": "string", "validation_rules": {"options": ["EMEA", "APAC"]}},
        {"param_name": "month", "param_type": "string"},
        {"param_name": "year", "param_type": "integer"},
        {"param_name": "password", "param_type": "string", "secret": True},
    ]
    answer = http.post(f"/db/parameters/bulk/{made}", json=definitions)
    assert answer.status_code == 201, answer.text
    return made


@pytest.fixture
def sql(module_database_url: URL) -> Iterator[psycopg.Connection[Any]]:
    url = module_database_url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def made(http: httpx.Client, notebook_id: int, name: str, **fields: Any) -> dict[str, Any]:
    answer = http.post("/db/schedules", json={"notebook_id": notebook_id, "name": name, **DAILY, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def refused(answer: httpx.Response, *words: str, status: int = 422) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    for word in words:
        assert word in answer.json()["detail"]
    return answer.json()


def test_a_schedule_is_made_read_changed_and_deleted(http: httpx.Client, notebook_id: int) -> None:
    schedule = made(http, notebook_id, "daily", parameters={"month": "{{ previous_month }}"}, queue="reports")
    assert schedule["next_at"] == schedule["fire_at"] > datetime.now(UTC).isoformat()
    shown = ("username", "created_by", "missed", "overlap", "paused", "queue", "priority")
    assert [schedule[name] for name in shown] == ["ana", "ana", "last", "queue", False, "reports", None]
    path = f"/db/schedules/{schedule['id']}"
    assert http.get(path).json() == schedule
    changed = http.put(path, json={"cron": "@hourly", "timezone": "UTC", "overlap": "skip", "queue": None}).json()
    assert [changed[name] for name in ("cron", "timezone", "overlap", "queue")] == ["@hourly", "UTC", "skip", None]
    assert changed["next_at"].endswith(":00:00Z")
    assert changed["parameters"] == schedule["parameters"]
    listed = http.get("/db/schedules", params={"notebook_id": notebook_id, "username": "ana"})
    assert listed.json()[-1] == changed
    assert int(listed.headers["X-Total-Count"]) == len(listed.json())
    assert http.get("/db/schedules", params={"username": "bo"}).json() == []
    refused(http.post("/db/schedules", json={"notebook_id": notebook_id, "name": "daily", **DAILY}), status=409)
    assert http.delete(path).status_code == 204
    refused(http.get(path), "There is no schedule", status=404)
    refused(http.put(path, json={"name": "x"}), "There is no schedule", status=404)


@pytest.mark.parametrize(
    ("fields", "loc", "words"),
    [
        ({"cron": "61 * * * *"}, "cron", "The minute of a cron expression is 0 to 59"),
        ({"cron": "* * * * * *"}, "cron", "has six fields"),
        ({"cron": "0 0 30 2 *"}, "cron", "never comes"),
        ({"timezone": "Berlin"}, "timezone", "did you mean Europe/Berlin"),
        ({"parameters": {"month": "{{ ''.__class__ }}"}}, "parameters", "it has no '__class__'"),
        ({"parameters": {"month": "{% for x in y %}{% endfor %}"}}, "parameters", "no statements"),
        ({"parameters": {"region": "{{ year }}"}}, "parameters", "must be one of"),
        ({"parameters": {"year": "{{ month }}"}}, "parameters", "must be an integer"),
        ({"parameters": {"monht": "2026-01"}}, "parameters", "did you mean 'month'"),
        ({"ends_at": "2020-01-01T00:00:00Z"}, "ends_at", "no tick ahead"),
        ({"starts_at": "2030-01-02T00:00:00Z", "ends_at": "2030-01-01T00:00:00Z"}, "ends_at", "before starts_at"),
        ({"starts_at": "2030-01-02T00:00:00"}, "starts_at", "timezone"),
        ({"missed": "some"}, "missed", "'skip', 'last' or 'all'"),
        ({"jitter_seconds": -1}, "jitter_seconds", "greater than or equal"),
        ({"timeout_seconds": 0}, "timeout_seconds", "greater than 0"),
        ({"croon": "x"}, "croon", "Extra inputs"),
        ({"username": "x y"}, "username", "pattern"),
    ],
)
def test_what_is_wrong_is_named(
    http: httpx.Client, notebook_id: int, fields: dict[str, Any], loc: str, words: str
) -> None:
    answer = http.post("/db/schedules", json={"notebook_id": notebook_id, "name": "wrong", **DAILY, **fields})
    problem = refused(answer, words)
    assert loc in json.dumps(problem.get("errors", [{"loc": loc}]))
    assert "wrong" not in [each["name"] for each in http.get("/db/schedules").json()]


def test_a_notebook_that_is_not_there_has_no_schedule(http: httpx.Client) -> None:
    refused(http.post("/db/schedules", json={"notebook_id": 999, "name": "x", **DAILY}), status=404)


def test_times_are_shown_before_anything_is_made(http: httpx.Client) -> None:
    query = {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "from": "2026-03-28T12:00:00Z", "count": 2}
    answer = http.get("/db/schedules/preview", params=query)
    assert answer.json() == ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
    query |= {"from": "2026-10-24T12:00:00+02:00"}
    assert http.get("/db/schedules/preview", params=query).json() == ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
    assert len(http.get("/db/schedules/preview", params={"cron": "@daily"}).json()) == 10
    refused(http.get("/db/schedules/preview", params={"cron": "0 0 * * FOO"}), "The day of week")
    refused(http.get("/db/schedules/preview", params=query | {"timezone": "Mars"}), "no time zone 'Mars'")
    refused(http.get("/db/schedules/preview", params=query | {"count": 1001}), "1000")


def test_a_tick_is_fired_by_the_service_and_is_in_the_history(
    http: httpx.Client, address: str, notebook_id: int, sql: psycopg.Connection[Any]
) -> None:
    parameters = {"month": "{{ previous_month }}", "year": "{{ year }}", "password": "hunter2"}
    [at] = sql.execute("SELECT date_trunc('minute', now())").fetchone()
    # Once a year: the next one does not come while this goes on.
    cron = f"{at.astimezone(UTC):%-M %-H %-d %-m} *"
    schedule = made(http, notebook_id, "fired", cron=cron, parameters=parameters, timezone="UTC")
    assert schedule["parameters"] == parameters | {"password": "********"}
    [kept] = sql.execute("SELECT to_jsonb(s)::text FROM schedules AS s WHERE id = %s", (schedule["id"],)).fetchone()
    assert "hunter2" not in kept
    # A year passes.
    sql.execute("UPDATE schedules SET next_at = %s, fire_at = now() WHERE id = %s", (at, schedule["id"]))
    sql.execute("SELECT pg_notify('pressroom_schedules', '')")
    with pressroom.Client(address) as client:
        ticks = client.schedule_history(schedule["id"])
        while not (tick := next(iter(ticks), None)):
            ticks = client.schedule_history(schedule["id"])
        assert (tick.scheduled_at, tick.outcome) == (at, "fired")
        execution = client.wait(tick.execution_id)
        [found] = client.executions(schedule_id=schedule["id"])
    assert found.id == execution.id
    assert (execution.schedule_id, execution.scheduled_at, execution.notebook_id) == (schedule["id"], at, notebook_id)
    assert (execution.username, execution.submitted_by) == ("ana", "ana")
    month = f"{at.year - (at.month == 1)}-{(at.month - 2) % 12 + 1:02}"
    assert execution.parameters_used == {"month": month, "year": at.year, "password": "********"}
    entries = http.get("/db/audit").json()
    [entry] = [each for each in entries if each["operation"] == "fire_a_schedule"]
    assert (entry["source"], entry["facts"]["execution_ids"]) == ("schedule", [execution.id])
    assert 'pressroom_schedule_ticks_total{outcome="fired"} 1.0' in http.get("/metrics").text
    again = http.get(f"/db/schedules/{schedule['id']}").json()
    assert again["next_at"] > tick.scheduled_at.isoformat()
    assert again["updated_at"] == schedule["updated_at"], "that it fired is no change of it"
    # What is shown in place of a secret leaves it as it was.
    path = f"/db/schedules/{schedule['id']}"
    assert http.put(path, json={"parameters": schedule["parameters"], "name": "renamed"}).status_code == 200
    ran = http.post(f"{path}/run", json={"scheduled_at": "2026-01-15T00:00:00Z"})
    assert ran.status_code == 202, ran.text
    assert ran.headers["Location"] == f"/db/executions/{ran.json()['id']}"
    assert ran.json()["parameters_used"] == {"month": "2025-12", "year": 2026, "password": "********"}
    history = http.get(f"{path}/ticks").json()
    assert [each["message"] for each in history][-1] == "Run by ana."
    assert history[-1]["execution_id"] == ran.json()["id"]
    refused(http.post(f"{path}/run", json={"scheduled_at": "2099-01-01T00:00:00Z"}), "lies ahead")
    assert http.delete(path).status_code == 204
    assert http.get(f"/db/executions/{execution.id}").json()["schedule_id"] is None


def test_a_pause_is_no_outage(http: httpx.Client, notebook_id: int) -> None:
    schedule = made(http, notebook_id, "paused", cron="* * * * *", paused=True, missed="all")
    assert schedule["next_at"] is None
    path = f"/db/schedules/{schedule['id']}"
    before = datetime.now(UTC)
    resumed = http.post(f"{path}/resume").json()
    assert datetime.fromisoformat(resumed["next_at"]) > before - timedelta(seconds=60)
    assert resumed["paused"] is False
    assert http.post(f"{path}/pause").json()["next_at"] is None
    assert http.get(f"{path}/ticks").json() == []


def test_a_schedule_goes_with_its_notebook(http: httpx.Client, address: str, tmp_path: Path) -> None:
    other = http.post(
        "/copy-notebook", json={"notebook_id": 1, "username": "ana", "file_path": "copy.ipynb", "name": "c"}
    )
    schedule = made(http, other.json()["id"], "of a copy")
    assert http.delete(f"/db/notebooks/{other.json()['id']}").status_code == 204
    refused(http.get(f"/db/schedules/{schedule['id']}"), status=404)


async def test_both_clients_have_every_call(http: httpx.Client, address: str, notebook_id: int) -> None:
    with pressroom.Client(address) as client:
        schedule = client.schedule(
            notebook_id, "by client", "@monthly", parameters={"month": "{{ month }}"}, priority=3
        )
        assert (schedule.cron, schedule.timezone, schedule.priority) == ("@monthly", "UTC", 3)
        assert schedule in list(client.schedules(notebook_id=notebook_id))
        assert client.update_schedule(schedule.id, description="x", ends_at=None).description == "x"
        assert client.pause_schedule(schedule.id).paused
        assert not client.resume_schedule(schedule.id).paused
        at = datetime(2026, 1, 1, tzinfo=UTC)
        assert client.run_schedule(schedule.id, at).scheduled_at == at
        assert client.preview_schedule("@daily", "UTC", after=at, count=1) == [at + timedelta(days=1)]
        with pytest.raises(Invalid, match="six fields"):
            client.preview_schedule("* * * * * *")
    async with pressroom.AsyncClient(address) as client:
        again = await client.schedule(
            notebook_id, "by other", "@yearly", timezone="Asia/Tokyo", starts_at=datetime.now(UTC)
        )
        assert again.timezone == "Asia/Tokyo"
        assert again in [each async for each in client.schedules()]
        assert (await client.update_schedule(again.id, name="by another")).name == "by another"
        assert (await client.pause_schedule(again.id)).paused
        assert not (await client.resume_schedule(again.id)).paused
        ran = await client.run_schedule(again.id)
        assert [each.execution_id async for each in client.schedule_history(again.id)] == [ran.id]
        assert await client.preview_schedule("@daily", after=at, count=1) == [at + timedelta(days=1)]
        await client.delete_schedule(again.id)
        with pytest.raises(NotFound):
            await client.get_schedule(again.id)
