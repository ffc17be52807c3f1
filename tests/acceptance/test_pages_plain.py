"""The pages in a browser that executes no scripts: from a file to its result, a cancellation, a sweep, a schedule."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Locator, Page, expect

from looking import Looking, looking

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
PARAMETERS = 'region: str = "EMEA"  # the sales region\ntop_n: int = 8  # how many are shown\n'
WORK = """
import time
from pathlib import Path

print("loading", region, top_n, flush=True)
while not Path("gate").exists():
    time.sleep(0.05)
"""


@pytest.fixture
def gate(home: Path) -> Path:
    """The file whose making lets the notebook go on."""
    write_notebook(home / "sales.ipynb", WORK, parameters=PARAMETERS)
    return home / "gate"


async def comes(part: Locator) -> None:
    """A page that goes on is loaded again by itself, as often as it takes; whoever loads it too cuts across that."""
    await expect(part.first).to_be_visible(timeout=60_000)


async def asked(at: Looking, page: Page, question: str) -> Page:
    """The page of a question that this one leads to, in its place. A click could be lost, as the page is loaded again
    under it."""
    address = await page.get_by_role("link", name="Cancel", exact=True).get_attribute("href")
    asking = await at.page()
    await asking.goto(f"{at.url}{address}")
    await page.close()
    await expect(asking.get_by_role("heading", name=question)).to_be_visible()
    await expect(asking.locator("meta[http-equiv=refresh]")).to_have_count(0)
    return asking


async def registered(at: Looking, page: Page) -> str:
    """The path of the notebook that was a file."""
    await page.goto(at.url)
    await page.get_by_role("link", name="Register a notebook").first.click()
    await page.get_by_role("link", name="Register sales.ipynb").click()
    await page.locator("[name='d.1.low']").fill("1")
    await page.locator("[name='d.1.high']").fill("50")
    await page.locator("[name='d.0.options']").fill("EMEA, APAC")
    await at.look(page, "plain-registering")
    await page.get_by_role("button", name="Register", exact=True).click()
    await expect(page.get_by_text("The notebook is registered.")).to_be_visible()
    return page.url.removeprefix(at.url).partition("?")[0]


async def executed(at: Looking, page: Page, gate: Path) -> None:
    """What is wrong is said beside its field, and the rest is kept; the page of the execution is loaded again by
    itself."""
    await page.get_by_label("region").select_option("APAC")
    await page.get_by_label("top_n", exact=True).fill("500")
    await page.get_by_role("button", name="Execute", exact=True).click()
    await expect(page.locator("#f-p-top_n-error")).to_contain_text("'top_n' must be 50 or less")
    await expect(page.get_by_label("region")).to_have_value("APAC")
    await expect(page.get_by_label("top_n", exact=True)).to_have_value("500")
    await at.look(page, "plain-wrong")
    await page.get_by_label("top_n", exact=True).fill("3")
    await page.get_by_role("button", name="Execute", exact=True).click()
    await page.wait_for_url("**/executions/*")
    await comes(page.locator("#live [data-part=output]", has_text="loading APAC 3"))
    await expect(page.locator("#live .cell-running")).to_have_count(1)
    await expect(page.locator("#live [data-part=now]")).to_have_text("import time for some time")
    await at.look(page, "plain-running")
    gate.touch()
    await comes(page.locator("main .status-success"))
    await expect(page.frame_locator("iframe.sheet").get_by_text("loading APAC 3")).to_be_visible()
    await page.get_by_text("Cells and their times").click()
    await page.get_by_role("link", name="Show them").click()
    await expect(page.locator("#cells .cell-done")).to_have_count(3)
    await at.look(page, "plain-execution")
    gate.unlink()


async def cancelled(at: Looking, page: Page) -> Page:
    """It is asked first on a page that stays as long as somebody thinks about it."""
    await page.get_by_role("button", name="Execute again").click()
    await expect(page.get_by_text("this is the new execution")).to_be_visible()
    await comes(page.locator("#live [data-part=output]", has_text="loading APAC 3"))
    here = page.url.partition("?")[0]
    await expect(page.locator("meta[http-equiv=refresh]")).to_have_count(1)
    page = await asked(at, page, "Cancel this execution?")
    await at.look(page, "plain-question")
    await page.get_by_role("link", name="Leave it").click()
    await page.wait_for_url(here)
    await expect(page.locator("main .status-running").first).to_be_visible()
    page = await asked(at, page, "Cancel this execution?")
    await page.get_by_role("button", name="Cancel it").click()
    await comes(page.locator("main .status-cancelled"))
    await expect(page.get_by_text("It was asked to stop")).to_have_count(0)
    await at.look(page, "plain-cancelled")
    return page


async def swept(at: Looking, page: Page, notebook: str, gate: Path) -> Page:
    """How many executions there will be is shown when it is asked for, and before any begins."""
    await page.goto(at.url + notebook)
    await page.get_by_role("link", name="As a sweep").click()
    await page.get_by_label("top_n", exact=True).fill("1, 2, 99")
    await page.get_by_role("button", name="Count").click()
    await expect(page.locator("#f-p-top_n-error")).to_contain_text("'top_n' must be 50 or less")
    await page.get_by_label("top_n", exact=True).fill("1, 2")
    await page.get_by_label("APAC").check()
    await page.get_by_role("button", name="Count").click()
    await expect(page.locator(".total")).to_contain_text("4 executions")
    await at.look(page, "plain-sweep")
    await page.get_by_role("button", name="Execute 4 times").click()
    await page.wait_for_url("**/batches/*")
    page = await asked(at, page, "Cancel this batch?")
    await page.get_by_role("link", name="Leave it").click()
    gate.touch()
    await comes(page.get_by_role("heading", name="4 of 4 executions ended"))
    await expect(page.locator(".heat a")).to_have_count(4)
    await at.look(page, "plain-batch")
    return page


async def scheduled(at: Looking, page: Page, http: httpx.Client, notebook: str) -> None:
    """Times are in UTC, and say so."""
    await page.goto(at.url + notebook)
    await page.get_by_role("link", name="On a schedule").click()
    await page.get_by_label("Cron expression").fill("61 6 * * 1")
    await page.get_by_role("button", name="Show the times").click()
    await expect(page.locator("#times .field-error")).to_contain_text("minute of a cron expression is 0 to 59")
    await page.get_by_label("Cron expression").fill("30 6 * * 1")
    await page.get_by_role("button", name="Show the times").click()
    await expect(page.locator("#times")).to_contain_text("At 06:30 on Monday")
    await expect(page.locator("#times")).to_contain_text("The next times, in UTC")
    await expect(page.locator("#times li").first).to_contain_text("06:30:00 UTC")
    await at.look(page, "plain-schedule-form")
    assert http.get("/db/schedules").json() == []
    await page.get_by_role("button", name="Schedule it").click()
    await expect(page.get_by_text("The schedule is saved.")).to_be_visible()
    [saved] = http.get("/db/schedules").json()
    assert (saved["cron"], saved["timezone"]) == ("30 6 * * 1", "UTC")
    await page.get_by_role("button", name="Delete", exact=True).click()
    await page.get_by_role("button", name="Delete it").click()
    await expect(page.get_by_text("It is deleted.")).to_be_visible()


async def test_everything_is_done_without_scripts(service: Any, http: httpx.Client, gate: Path) -> None:
    async with looking(service.url, "phone", 390, scripts=False) as at:
        page = await at.page()
        notebook = await registered(at, page)
        await executed(at, page, gate)
        page = await cancelled(at, page)
        page = await swept(at, page, notebook, gate)
        await scheduled(at, page, http, notebook)
        # The browser's own remark on the form that was refused.
        assert [each for each in at.complaints if "status of 422" not in each] == []
