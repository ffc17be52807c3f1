"""The page of a batch in a browser, which is asked for again and again: it stays where the reader is."""

from pathlib import Path

import httpx
import pytest
from playwright.async_api import Page, expect

from looking import looking
from page_forms import registered
from pressroom.settings import Settings

SETTLED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Nothing is executed: the batch goes on for as long as somebody looks."""
    return settings.model_copy(update={"workers": 0})


@pytest.fixture
def number(http: httpx.Client, notebook: Path) -> int:
    names = ("months", "weeks")
    return registered(http, notebook, *({"param_name": name, "param_type": "integer"} for name in names))


def begun(http: httpx.Client, number: int, months: int, weeks: int) -> int:
    """A batch of every combination."""
    grid = {"months": list(range(months)), "weeks": list(range(weeks))}
    made = http.post("/db/batches", json={"notebook_id": number, "grid": grid})
    assert made.status_code == 201, made.text
    return made.json()["id"]


async def replaced(page: Page) -> None:
    """Until the part that changes has been put in place of the old, once."""
    old = await page.locator("#stands").element_handle()
    await page.wait_for_function("one => !one.isConnected", arg=old)
    await page.evaluate(SETTLED)


async def test_a_map_wider_than_the_page_stays_where_it_was_scrolled_to(http: httpx.Client, number: int) -> None:
    batch = begun(http, number, 10, 10)
    async with looking(str(http.base_url).rstrip("/"), "phone", 390) as at:
        page = await at.page()
        await page.goto(f"{at.url}/batches/{batch}")
        region = page.get_by_role("region", name="The map; it can be scrolled")
        await expect(region.locator("td a")).to_have_count(100)
        await region.focus()
        await region.evaluate("one => { one.scrollLeft = 150; }")
        for _ in range(2):
            await replaced(page)
            assert await region.evaluate("one => one.scrollLeft") == 150
            await expect(region).to_be_focused()
        await at.look(page, "batch-wide")
        assert at.complaints == []


async def test_a_page_of_marks_stays_the_one_that_was_turned_to(http: httpx.Client, number: int) -> None:
    batch = begun(http, number, 1010, 1)
    async with looking(str(http.base_url).rstrip("/"), "phone", 390) as at:
        page = await at.page()
        await page.goto(f"{at.url}/batches/{batch}")
        await expect(page.locator(".mark")).to_have_count(1000)
        await page.get_by_role("link", name="After", exact=True).click()
        await expect(page).to_have_url(f"{at.url}/batches/{batch}?skip=1000")
        before = page.get_by_role("link", name="Before", exact=True)
        await before.focus()
        await replaced(page)
        await expect(page.locator(".mark")).to_have_count(10)
        await expect(page.locator(".mark").first).to_have_text("1001: pending")
        await expect(before).to_be_focused()
        await at.look(page, "batch-last-marks")
        assert at.complaints == []
