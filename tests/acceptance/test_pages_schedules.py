"""Schedules in a browser: what is wrong is said beside its field, ticks that have passed are made up for, and a
schedule is paused, changed and deleted."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Page, expect

from looking import Looking, looking
from page_forms import registered

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]


@pytest.fixture
def schedule(http: httpx.Client, home: Path) -> str:
    """The path of a schedule of every morning."""
    month = {"param_name": "month", "param_type": "string", "default_value": "2026-01"}
    path = write_notebook(home / "monthly.ipynb", "print(month)", parameters='month = "2026-01"')
    wanted = {
        "notebook_id": registered(http, path, month),
        "name": "Monthly sales",
        "cron": "0 6 * * *",
        "timezone": "Europe/Berlin",
        "parameters": {"month": "{{ previous_month }}"},
    }
    made = http.post("/db/schedules", json=wanted)
    assert made.status_code == 201, made.text
    return f"/schedules/{made.json()['id']}"


async def made_up_for(at: Looking, page: Page, http: httpx.Client) -> None:
    """How many executions days have is shown while they are chosen; what is wrong with them, beside their field."""
    await page.get_by_text("Execute it for days that have passed").click()
    begin, end, count = page.get_by_label("From"), page.get_by_label("To"), page.locator("#backfill-count")
    await begin.fill("2026-01-03")
    await end.fill("2026-01-01")
    await expect(count).to_contain_text("to must not lie before from")
    await page.get_by_role("button", name="Execute them").click()
    await expect(page.locator("#f-to-error")).to_have_text("to must not lie before from.")
    await expect(count).to_be_empty()
    await expect(begin).to_have_value("2026-01-03")
    await at.look(page, "backfill-wrong")
    await begin.fill("2026-01-01")
    await end.fill("2026-01-03")
    await expect(count).to_have_text("3 executions")
    await at.look(page, "backfill")
    assert http.get("/db/batches").json() == [], "it was only counted"
    await page.get_by_role("button", name="Execute them").click()
    await expect(page.get_by_role("heading", name="3 of 3 executions ended")).to_be_visible()
    await expect(page.locator(".mark-success")).to_have_count(3)
    await expect(page.get_by_text("the ticks of a schedule")).to_be_visible()
    rows = http.get("/db/executions", params={"order": "oldest"}).json()
    ticks = [f"2026-01-0{day}T05:00:00Z" for day in (1, 2, 3)]
    assert [row["scheduled_at"] for row in rows] == ticks, "by the clocks of Berlin"
    assert {row["parameters_used"]["month"] for row in rows} == {"2025-12"}


async def paused(at: Looking, page: Page, http: httpx.Client, here: str) -> None:
    await page.goto(at.url + here)
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_text("no tick fires until it is resumed")).to_be_visible()
    await expect(page.locator("main .status-cancelled").first).to_have_text("Paused")
    assert http.get(f"/db{here}").json()["paused"] is True
    await at.look(page, "schedule-paused")
    await page.get_by_role("button", name="Resume").click()
    await expect(page.get_by_text("from the next tick on")).to_be_visible()
    await expect(page.locator(".facts").get_by_text("next")).to_be_visible()
    assert http.get(f"/db{here}").json()["paused"] is False


async def changed(at: Looking, page: Page, http: httpx.Client, here: str) -> None:
    """A wrong expression is said beside it, already while it is typed; what else was typed stays, and is saved at
    last."""
    await page.get_by_role("link", name="Change").click()
    await page.wait_for_url("**/edit")
    await page.get_by_label("Name").fill("Sales of the month")
    await page.get_by_label("month").fill("{{ scheduled_at | date }}")
    await page.get_by_label("Cron expression").fill("61 6 * * *")
    await expect(page.locator("#times .field-error")).to_contain_text("minute of a cron expression is 0 to 59")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#f-cron-error")).to_contain_text("minute of a cron expression is 0 to 59")
    await expect(page.get_by_label("Cron expression")).to_have_value("61 6 * * *")
    await expect(page.get_by_label("Name")).to_have_value("Sales of the month")
    await expect(page.get_by_label("month")).to_have_value("{{ scheduled_at | date }}")
    await at.look(page, "schedule-wrong")
    assert http.get(f"/db{here}").json()["name"] == "Monthly sales", "nothing was saved"
    await page.get_by_label("Cron expression").fill("30 7 * * 1-5")
    await expect(page.locator("#times")).to_contain_text("At 07:30")
    await expect(page.locator("#times li")).to_have_count(5)
    await expect(page.locator("#times")).to_contain_text("The next times, by your own clock")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("The schedule is saved.")).to_be_visible()
    await expect(page.get_by_role("heading", name="Sales of the month")).to_be_visible()
    saved = http.get(f"/db{here}").json()
    assert (saved["cron"], saved["timezone"]) == ("30 7 * * 1-5", "Europe/Berlin")
    assert saved["parameters"] == {"month": "{{ scheduled_at | date }}"}


async def deleted(at: Looking, page: Page, http: httpx.Client, here: str) -> None:
    """It asks first; the executions stay."""
    await page.get_by_role("button", name="Delete", exact=True).click()
    await expect(page.get_by_role("heading", name="Delete this schedule?")).to_be_visible()
    await at.look(page, "schedule-question")
    await page.get_by_role("button", name="Leave it").click()
    assert http.get(f"/db{here}").status_code == 200
    await page.get_by_role("button", name="Delete", exact=True).click()
    await page.get_by_role("button", name="Delete it").click()
    await expect(page.get_by_text("It is deleted.")).to_be_visible()
    await expect(page.get_by_role("heading", name="Nothing is scheduled")).to_be_visible()
    await at.look(page, "schedules-empty")
    assert http.get(f"/db{here}").status_code == 404
    assert len(http.get("/db/executions").json()) == 3


@pytest.mark.parametrize(("name", "width"), [("laptop", 1280), ("phone", 390)])
async def test_a_schedule_is_made_up_for_paused_changed_and_deleted(
    service: Any, http: httpx.Client, schedule: str, name: str, width: int
) -> None:
    async with looking(service.url, name, width) as at:
        page = await at.page()
        await page.goto(at.url + schedule)
        await made_up_for(at, page, http)
        await paused(at, page, http, schedule)
        await changed(at, page, http, schedule)
        await deleted(at, page, http, schedule)
        # The browser's own remarks on the two forms that were refused.
        assert [each for each in at.complaints if "status of 422" not in each] == []
        assert len(at.complaints) == 2


_COUNT = """(said) => {
  globalThis.told = 0;
  new MutationObserver((changes) => { globalThis.told += changes.length; }).observe(said, { childList: true });
}"""


async def test_what_is_no_json_is_said_once_however_often_the_times_were_said(
    service: Any, http: httpx.Client, home: Path
) -> None:
    settings = {"param_name": "settings", "param_type": "json"}
    number = registered(http, write_notebook(home / "json.ipynb", "", parameters="settings = None"), settings)
    async with looking(service.url, "laptop", 1280) as at:
        page = await at.page()
        await page.goto(f"{at.url}/schedules/new?notebook_id={number}")
        for minute in ("01", "02", "03"):
            await page.get_by_label("Cron expression").fill(f"{minute} 6 * * *")
            await expect(page.locator("#times")).to_contain_text(f"At 06:{minute}")
        await page.locator("#f-p-settings-check").evaluate(_COUNT)
        await page.get_by_label("settings").fill("{")
        await expect(page.locator("#f-p-settings-check")).to_contain_text("Not JSON yet")
        assert await page.evaluate("globalThis.told") == 1
        assert at.complaints == []
