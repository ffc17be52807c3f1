"""Forms of what is there already: whoever saves after somebody else is told so first, and replaces nothing unasked."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from page_forms import Form, registered
from pressroom.settings import Settings

REGION = {"param_name": "region", "param_type": "string", "default_value": "EMEA"}
MONTHS = {"param_name": "months", "param_type": "integer", "default_value": 3}
SAID = "Nothing was saved yet: somebody saved"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"workers": 0})


@pytest.fixture
def number(browser: httpx.Client, notebook: Path) -> int:
    return registered(browser, notebook, REGION, MONTHS)


def defaults(browser: httpx.Client, number: int) -> dict[str, object]:
    rows = browser.get(f"/db/parameters/notebook/{number}").json()
    return {row["param_name"]: row["default_value"] for row in rows}


def test_definitions_that_were_saved_meanwhile_are_replaced_once_that_was_said(
    browser: httpx.Client, number: int
) -> None:
    here = f"/notebooks/{number}/parameters"
    mine, other = (Form(browser.get(here).text, here).fields for _ in range(2))
    assert browser.post(here, data=other | {"d.0.default": "APAC"}).status_code == 303
    wrong = browser.post(here, data=mine | {"d.1.default": "many"})
    assert (wrong.status_code, SAID in wrong.text) == (422, False)
    assert Form(wrong.text, here).fields["edition"] == mine["edition"], "it is still the form of before"
    late = browser.post(here, data=mine | {"d.1.default": "7"})
    assert late.status_code == 409
    assert f"{SAID} the parameters" in late.text
    assert defaults(browser, number) == {"region": "APAC", "months": 3}
    typed = Form(late.text, here).fields
    assert (typed["d.0.default"], typed["d.1.default"]) == ("EMEA", "7"), "what was typed stays"
    assert browser.post(here, data=typed).status_code == 303
    assert defaults(browser, number) == {"region": "EMEA", "months": 7}


def test_the_question_what_is_deleted_does_not_hide_that_somebody_has_saved(browser: httpx.Client, number: int) -> None:
    here = f"/notebooks/{number}/parameters"
    form = Form(browser.get(here).text, here).fields
    [region, _] = browser.get(f"/db/parameters/notebook/{number}").json()
    assert browser.put(f"/db/parameters/{region['id']}", json={"description": "theirs"}).status_code == 200
    without = {name: value for name, value in form.items() if name != "d.0.take"}
    asked = browser.post(here, data=without)
    assert "region would be deleted" in asked.text
    late = browser.post(here, data=Form(asked.text, here).fields | {"delete": "region"})
    assert (late.status_code, SAID in late.text) == (409, True)
    assert set(defaults(browser, number)) == {"region", "months"}
    assert browser.post(here, data=Form(late.text, here).fields | {"delete": "region"}).status_code == 303
    assert set(defaults(browser, number)) == {"months"}


def test_a_schedule_that_was_saved_meanwhile_is_replaced_once_that_was_said(browser: httpx.Client, number: int) -> None:
    wanted = {"notebook_id": number, "name": "Monthly", "cron": "@monthly", "parameters": {"region": "EMEA"}}
    schedule = browser.post("/db/schedules", json=wanted).json()
    there = f"/db/schedules/{schedule['id']}"
    here = f"/schedules/{schedule['id']}/edit"
    form = Form(browser.get(here).text, here).fields
    assert browser.put(there, json={"paused": True}).status_code == 200
    assert browser.post(here, data=form | {"queue": "reports"}).status_code == 303, "the form does not ask for that"
    form = Form(browser.get(here).text, here).fields
    assert browser.put(there, json={"parameters": {"region": "APAC"}}).status_code == 200
    late = browser.post(here, data=form | {"name": "Sales"})
    assert late.status_code == 409
    assert f"{SAID} this schedule" in late.text
    assert browser.get(there).json()["parameters"] == {"region": "APAC"}
    typed = Form(late.text, here).fields
    assert (typed["name"], typed["p.region"]) == ("Sales", "EMEA")
    assert browser.post(here, data=typed).status_code == 303
    stored = browser.get(there).json()
    assert (stored["name"], stored["parameters"], stored["paused"]) == ("Sales", {"region": "EMEA"}, True)


@pytest.mark.parametrize("what", ["definitions", "schedule"])
def test_of_those_who_save_at_the_same_time_one_is_first(browser: httpx.Client, number: int, what: str) -> None:
    if what == "definitions":
        here, field = f"/notebooks/{number}/parameters", "d.1.default"
    else:
        made = browser.post("/db/schedules", json={"notebook_id": number, "name": "Monthly", "cron": "@monthly"}).json()
        here, field = f"/schedules/{made['id']}/edit", "jitter_seconds"
    form = Form(browser.get(here).text, here).fields

    def save(value: int) -> int:
        return browser.post(here, data=form | {field: str(value)}).status_code

    with ThreadPoolExecutor(4) as four:
        assert sorted(four.map(save, range(100, 104))) == [303, 409, 409, 409]
