"""Schedules over HTTP, as a browser without scripts sees them."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from page_forms import Form, registered
from pressroom.settings import Settings

KEY = Fernet.generate_key().decode()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"workers": 0, "secret_key": SecretStr(KEY)})


@pytest.fixture
def number(browser: httpx.Client, notebook: Path) -> int:
    return registered(
        browser,
        notebook,
        {"param_name": "month", "param_type": "string", "default_value": "2026-10"},
        {"param_name": "top_n", "param_type": "integer", "validation_rules": {"max": 50}},
        {"param_name": "region", "param_type": "string", "validation_rules": {"options": ["EMEA", "APAC"]}},
    )


def test_a_schedule_is_said_in_words_and_in_times_before_it_is_saved(browser: httpx.Client, number: int) -> None:
    page = browser.get("/schedules/new", params={"notebook_id": number, "p.top_n": "9"})
    form = Form(page.text, "/schedules/new").fields
    assert (form["p.top_n"], form["p.month"]) == ("9", "")
    looked = browser.post("/schedules/new", data=form | {"cron": "30 6 * * 1", "look": "yes"})
    assert looked.status_code == 200
    assert "At 06:30 on Monday" in looked.text
    times = re.findall(r'<time class="nowrap" datetime="(\d{4}-\d\d-\d\dT06:30:00Z)"', looked.text)
    assert len(times) == 5
    wrong = browser.post("/schedules/new", data=form | {"cron": "61 6 * * 1", "timezone": "Europe/Brlin", "look": "y"})
    assert "The minute of a cron expression is 0 to 59" in wrong.text
    assert browser.get("/db/schedules").json() == []


def test_a_schedule_is_saved_and_changed(browser: httpx.Client, number: int) -> None:
    form = Form(browser.get("/schedules/new", params={"notebook_id": number}).text, "/schedules/new").fields
    typed = form | {"name": "Monthly", "timezone": "Europe/Berlin", "p.month": "{{ previous_month }}", "p.top_n": "99"}
    wrong = browser.post("/schedules/new", data=typed | {"p.region": "EMEA"})
    assert wrong.status_code == 422
    assert "must be 50 or less" in wrong.text
    kept = Form(wrong.text, "/schedules/new").fields
    assert (kept["p.month"], kept["p.region"], kept["name"]) == ("{{ previous_month }}", "EMEA", "Monthly")
    wrong = browser.post("/schedules/new", data=kept | {"p.top_n": "9", "timezone": "Europe/Brlin", "queue": "A b"})
    assert (wrong.status_code, "should match pattern" in wrong.text) == (422, True)
    wrong = browser.post("/schedules/new", data=kept | {"p.top_n": "9", "timezone": "Europe/Brlin"})
    assert (wrong.status_code, "did you mean Europe/Berlin" in wrong.text) == (422, True)
    done = browser.post("/schedules/new", data=kept | {"p.top_n": "9"})
    assert done.status_code == 303, done.text
    [schedule] = browser.get("/db/schedules").json()
    assert schedule["parameters"] == {"month": "{{ previous_month }}", "top_n": 9, "region": "EMEA"}
    assert (schedule["missed"], schedule["overlap"], schedule["timezone"]) == ("last", "queue", "Europe/Berlin")
    here = f"/schedules/{schedule['id']}"
    assert done.headers["Location"] == f"{here}?notice=scheduled"
    page = browser.get(here)
    assert "Europe/Berlin" in page.text
    assert "No tick has come yet" in page.text
    assert f'href="{here}"' in browser.get("/schedules").text
    assert f'href="{here}"' in browser.get("/home").text

    form = Form(browser.get(f"{here}/edit").text, f"{here}/edit").fields
    assert (form["cron"], form["p.top_n"]) == ("0 6 1 * *", "9")
    changed = browser.post(f"{here}/edit", data=form | {"cron": "@daily", "p.top_n": "", "queue": "reports"})
    assert changed.status_code == 303, changed.text
    schedule = browser.get(f"/db{here}").json()
    assert (schedule["cron"], schedule["queue"], schedule["timezone"]) == ("@daily", "reports", "Europe/Berlin")
    assert schedule["parameters"] == {"month": "{{ previous_month }}", "region": "EMEA"}
    parameters = {"month": "", "region": "EMEA"}
    assert browser.put(f"/db{here}", json={"parameters": parameters}).status_code == 200
    form = Form(browser.get(f"{here}/edit").text, f"{here}/edit").fields
    assert browser.post(f"{here}/edit", data=form | {"starts_at": "2026-10-01"}).status_code == 303
    schedule = browser.get(f"/db{here}").json()
    assert schedule["parameters"] == parameters, "a field that nobody touched"
    assert schedule["starts_at"] == "2026-10-01T00:00:00Z"


def test_a_schedule_is_paused_run_made_up_for_and_deleted(
    browser: httpx.Client, number: int, plain: psycopg.Connection[Any]
) -> None:
    form = Form(browser.get("/schedules/new", params={"notebook_id": number}).text, "/schedules/new").fields
    browser.post("/schedules/new", data=form | {"cron": "@daily"})
    [schedule] = browser.get("/db/schedules").json()
    here = f"/schedules/{schedule['id']}"
    assert "It is paused" in browser.get(browser.post(f"{here}/pause").headers["Location"]).text
    assert "Paused" in browser.get("/schedules").text
    assert "It is resumed" in browser.get(browser.post(f"{here}/resume").headers["Location"]).text
    run = browser.post(f"{here}/run")
    execution = browser.get("/db/executions").json()[0]
    assert run.headers["Location"] == f"/executions/{execution['id']}?notice=submitted"
    assert f'href="/executions/{execution["id"]}"' in browser.get(here).text
    wrong = browser.post(f"{here}/backfill", data={"from": "2026-01-05", "to": "2026-01-01"})
    assert (wrong.status_code, "to must not lie before from" in wrong.text) == (422, True)
    made = browser.post(f"{here}/backfill", data={"from": "2026-01-01", "to": "2026-01-05", "in_order": "yes"})
    assert made.status_code == 303, made.text
    [batch] = browser.get("/db/batches").json()
    assert (batch["source"], batch["total"], batch["in_order"]) == ("backfill", 5, True)
    gone = browser.post(f"{here}/delete")
    assert "It is deleted." in browser.get(gone.headers["Location"]).text
    assert browser.get(here).status_code == 404
    told = plain.execute("SELECT operation, facts FROM audit_log WHERE operation LIKE '%page' ORDER BY id").fetchall()
    names = ["schedule", "pause_a_schedule", "resume_a_schedule", "run_a_schedule"]
    names += ["backfill_a_schedule", "delete_a_schedule"]
    assert [operation for operation, _ in told] == [f"{name}_from_a_page" for name in names]
    assert json.dumps(told[0][1]) == json.dumps({"notebook_id": number, "schedule_id": schedule["id"]})


def test_what_is_wrong_with_the_parameters_of_days_that_have_passed_is_said_once(
    browser: httpx.Client, notebook: Path
) -> None:
    year = {"param_name": "year", "param_type": "integer", "validation_rules": {"min": 2026}}
    made = registered(browser, notebook, year)
    form = Form(browser.get("/schedules/new", params={"notebook_id": made}).text, "/schedules/new").fields
    browser.post("/schedules/new", data=form | {"cron": "@daily", "p.year": "{{ year }}"})
    [schedule] = browser.get("/db/schedules").json()
    wrong = browser.post(f"/schedules/{schedule['id']}/backfill", data={"from": "2025-01-01", "to": "2025-03-01"})
    assert wrong.status_code == 422
    assert wrong.text.count("must be 2026 or more") == 1
    assert "sets[" not in wrong.text


@pytest.mark.parametrize(
    ("cron", "zone", "first"),
    [
        ("0 6 * * *", "Asia/Tokyo", "2026-01-02T21:00:00Z"),
        ("0 18 * * *", "America/Los_Angeles", "2026-01-04T02:00:00Z"),
    ],
)
def test_days_that_have_passed_are_those_of_the_zone_of_the_schedule(
    browser: httpx.Client, number: int, cron: str, zone: str, first: str
) -> None:
    wanted = {"notebook_id": number, "name": "n", "cron": cron, "timezone": zone}
    here = f"/schedules/{browser.post('/db/schedules', json=wanted).json()['id']}"
    looked = browser.post(f"{here}/backfill", data={"from": "2026-01-03", "to": "2026-01-05", "look": "yes"})
    assert looked.status_code == 200
    assert "<b>3 executions</b>" in looked.text
    assert browser.get("/db/batches").json() == []
    for days, said in (
        ({"from": "2026-01-03", "to": "31.01.2026"}, "&#39;31.01.2026&#39; is no day"),
        ({"from": "0001-01-01", "to": "9999-12-31"}, "is no day" if zone == "Asia/Tokyo" else "1970"),
        ({"from": "9990-01-01", "to": "9990-01-02"}, "lies ahead"),
        ({"from": "2026-01-03"}, 'id="f-to-error"'),
    ):
        wrong = browser.post(f"{here}/backfill", data=days)
        assert (wrong.status_code, said in wrong.text) == (422, True), days
    made = browser.post(f"{here}/backfill", data={"from": "2026-01-03", "to": "2026-01-03"})
    assert made.status_code == 303, made.text
    [execution] = browser.get("/db/executions").json()
    assert execution["scheduled_at"] == first


def test_a_secret_of_a_schedule_is_shown_nowhere_and_stays_until_another_is_typed(
    browser: httpx.Client, number: int, plain: psycopg.Connection[Any]
) -> None:
    wanted = {"notebook_id": number, "param_name": "password", "param_type": "string", "secret": True}
    assert browser.post("/db/parameters", json=wanted).status_code == 201
    form = Form(browser.get("/schedules/new", params={"notebook_id": number}).text, "/schedules/new").fields
    assert browser.post("/schedules/new", data=form | {"s.password": "hunter2"}).status_code == 303
    [schedule] = browser.get("/db/schedules").json()
    here = f"/schedules/{schedule['id']}"
    sealed = plain.execute("SELECT secrets FROM schedules").fetchone()
    edit = browser.get(f"{here}/edit")
    assert "A value of <b>password</b> is kept" in edit.text
    assert "hunter2" not in edit.text + browser.get(here).text
    form = Form(edit.text, f"{here}/edit").fields
    assert browser.post(f"{here}/edit", data=form | {"p.month": "2026-01"}).status_code == 303
    [schedule] = browser.get("/db/schedules").json()
    assert schedule["parameters"] == {"month": "2026-01", "password": "********"}
    after = plain.execute("SELECT secrets IS NOT NULL FROM schedules").fetchone()
    assert (sealed is not None, after) == (True, (True,))
    form = Form(browser.get(f"{here}/edit").text, f"{here}/edit").fields
    given = {"month": "2026-01", "password": "of somebody else"}
    assert browser.put(f"/db{here}", json={"parameters": given}).status_code == 200
    late = browser.post(f"{here}/edit", data=form | {"s.password": "mine"})
    assert (late.status_code, "somebody saved this schedule" in late.text) == (409, True)


def test_a_secret_that_was_typed_and_is_not_shown_is_said_to_be_typed_again(browser: httpx.Client, number: int) -> None:
    wanted = {"notebook_id": number, "param_name": "password", "param_type": "string", "secret": True}
    assert browser.post("/db/parameters", json=wanted).status_code == 201
    told = '<span class="field-again" id="f-s-password-again">Type it again: it is not shown</span>'
    at = f"/notebooks/{number}"
    schedule = "/schedules/new"
    for shown, action in ((at, f"{at}/execute"), (f"{at}/sweep",) * 2, (f"{schedule}?notebook_id={number}", schedule)):
        page = browser.get(shown)
        form = Form(page.text, action).fields
        assert "field-again" not in page.text
        for sent in ({"p.top_n": "99"}, {"look": "yes"}):
            again = browser.post(action, data=form | sent | {"s.password": "hunter2"})
            assert told in again.text
            assert re.search(r'<input type="password"[^>]* aria-describedby="[^"]*f-s-password-again"', again.text)
            assert "hunter2" not in again.text
            assert "field-again" not in browser.post(action, data=form | sent).text
