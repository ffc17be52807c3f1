"""A parameter that is a time, in a browser: typed by the reader's own clock, or in UTC where no script tells it."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Page, expect

from looking import Looking, ended, looking
from page_forms import registered

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
SINCE = {
    "param_name": "since",
    "param_type": "datetime",
    "description": "What is older is left out",
    "validation_rules": {"min": "2026-01-01T00:00:00Z"},
}
TWICE = "2026-10-25T01:30:00Z"
"""By the clocks of Berlin the second 02:30 of that night: they are put back at three."""


@pytest.fixture
def number(http: httpx.Client, home: Path) -> int:
    return registered(http, write_notebook(home / "since.ipynb", "print(since)", parameters="since = None"), SINCE)


def last(http: httpx.Client) -> dict[str, Any]:
    """The newest execution."""
    return http.get("/db/executions").json()[0]


async def executed(page: Page) -> None:
    await page.get_by_role("button", name="Execute", exact=True).click()
    await ended(page)


async def once(at: Looking, page: Page, http: httpx.Client, number: int) -> None:
    """The call beside the form says what the field means; what is wrong is said, and the time stays as it was typed."""
    await page.goto(f"{at.url}/notebooks/{number}")
    since = page.get_by_label("since")
    await expect(page.locator("#f-p-since-hint")).to_have_text(
        "What is older is left out. 2026-01-01T00:00:00Z or later. By your own clock"
    )
    await since.fill("2026-01-01T00:30")
    await expect(page.locator("#call-curl")).to_contain_text('"since": "2025-12-31T23:30:00Z"')
    await page.get_by_role("button", name="Execute", exact=True).click()
    await expect(page.locator("#f-p-since-error")).to_contain_text("must be 2026-01-01T00:00:00Z or later")
    await expect(since).to_have_value("2026-01-01T00:30")
    await at.look(page, "time-wrong")
    await since.fill("2026-07-01T08:00")
    await executed(page)
    assert last(http)["parameters_used"] == {"since": "2026-07-01T06:00:00Z"}


async def again(page: Page, http: httpx.Client, number: int) -> None:
    """The same moment, though its hour comes twice by the reader's clock."""
    sent = http.post(f"/db/notebooks/{number}/executions", json={"parameters": {"since": TWICE}})
    await page.goto(f"{http.base_url}/executions/{sent.json()['execution_id']}")
    await page.get_by_role("link", name="Again with changes").click()
    await expect(page.get_by_label("since")).to_have_value("2026-10-25T02:30")
    await executed(page)
    assert last(http)["parameters_used"] == {"since": TWICE}
    assert last(http)["id"] > sent.json()["execution_id"]


async def swept(page: Page, http: httpx.Client, number: int) -> None:
    """It comes along to the other forms; of several, each is meant so."""
    await page.goto(f"{http.base_url}/notebooks/{number}")
    await page.get_by_label("since").fill("2026-07-01T08:00:05")
    await page.get_by_role("link", name="As a sweep").click()
    await page.wait_for_url("**/sweep?*")
    since = page.get_by_label("since")
    await expect(since).to_have_value("2026-07-01 08:00:05")
    await since.fill("2026-07-01 08:00, 2026-12-01 08:00")
    await expect(page.locator("#plan")).to_contain_text("2026-07-01T06:00:00Z, 2026-12-01T07:00:00Z")
    await expect(page.locator(".total")).to_contain_text("2 executions")


async def refused(page: Page, http: httpx.Client, number: int) -> None:
    """What the script does not read is not taken for UTC under a hint that says otherwise."""
    wanted = "must be written like 2026-10-31 08:00, or with its zone, like 2026-10-31T08:00:00Z"
    await page.goto(f"{http.base_url}/notebooks/{number}/sweep")
    await page.get_by_label("since").fill("2026-07-01 08:00, 2026-07-02 08")
    await expect(page.locator("#plan")).to_contain_text(wanted)
    await page.goto(f"{http.base_url}/schedules/new?notebook_id={number}")
    await page.get_by_label("since").fill("20260701T0800")
    await page.get_by_role("button", name="Schedule it").click()
    await expect(page.locator("#f-p-since-error")).to_contain_text(wanted)
    await page.wait_for_load_state()
    await expect(page.get_by_label("since")).to_have_value("20260701T0800")
    await page.get_by_text("When something comes between").click()
    await page.get_by_label("Not before").fill("2026-07-01 08:00:00,5")
    await page.get_by_role("button", name="Schedule it").click()
    await expect(page.locator("#f-starts_at-error")).to_have_text(f"'2026-07-01 08:00:00,5' {wanted}.")
    await expect(page.get_by_label("Not before")).to_have_value("2026-07-01 08:00:00,5")
    await page.goto(f"{http.base_url}/executions")
    await page.get_by_text("More filters").click()
    await page.get_by_label("Submitted before").fill("2026-07-01 08")
    await page.get_by_role("button", name="Filter", exact=True).click()
    await expect(page.locator("#f-submitted_before-error")).to_contain_text("must say its time zone")
    await expect(page.get_by_label("Submitted before")).to_have_value("2026-07-01 08")
    assert http.get("/db/schedules").json() == []


async def scheduled(page: Page, http: httpx.Client, number: int) -> None:
    """A day that is in no calendar is not taken for the next one; what stands there when it is changed is what was
    typed."""
    await page.goto(f"{http.base_url}/schedules/new?notebook_id={number}")
    since = page.get_by_label("since")
    await since.fill("2026-02-31 08:00")
    await page.get_by_role("button", name="Schedule it").click()
    await expect(page.locator("#f-p-since-error")).to_contain_text("must be a datetime")
    await page.wait_for_load_state()
    await expect(since).to_have_value("2026-02-31 08:00")
    await since.fill("2026-02-28 08:00")
    await page.get_by_role("button", name="Schedule it").click()
    await expect(page.get_by_role("heading", name="Ticks")).to_be_visible()
    [schedule] = http.get("/db/schedules").json()
    assert schedule["parameters"] == {"since": "2026-02-28T07:00:00Z"}
    await page.get_by_role("link", name="Change").click()
    await expect(since).to_have_value("2026-02-28 08:00")


@pytest.mark.parametrize(("name", "width"), [("laptop", 1280), ("phone", 390)])
async def test_a_time_is_typed_by_the_readers_own_clock(
    service: Any, http: httpx.Client, number: int, name: str, width: int
) -> None:
    async with looking(service.url, name, width) as at:
        page = await at.page()
        await once(at, page, http, number)
        await again(page, http, number)
        await swept(page, http, number)
        await refused(page, http, number)
        await scheduled(page, http, number)
        # The browser's own remarks on what was refused.
        assert [each for each in at.complaints if "status of 422" not in each] == []
        assert len(at.complaints) == 5


async def test_without_scripts_a_time_is_in_utc_and_its_field_says_so(
    service: Any, http: httpx.Client, number: int
) -> None:
    async with looking(service.url, "laptop", 1280, scripts=False) as at:
        page = await at.page()
        await page.goto(f"{at.url}/notebooks/{number}")
        await expect(page.locator("#f-p-since-hint")).to_contain_text("In UTC")
        await page.get_by_label("since").fill("2026-07-01T08:00")
        await executed(page)
        assert last(http)["parameters_used"] == {"since": "2026-07-01T08:00Z"}
        await page.goto(f"{at.url}/notebooks/{number}?from={last(http)['id']}")
        await expect(page.get_by_label("since")).to_have_value("2026-07-01T08:00")
