"""The end of a batch in a browser: when it will probably be, how it is brought about, and what failed is repeated."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Page, expect

from looking import Looking, looking
from page_forms import registered

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
WORK = """
import time
from pathlib import Path

if number == 1 and not Path("right").exists():
    raise RuntimeError("there is no file yet")
while number > 1 and not Path("gate").exists():
    time.sleep(0.05)
"""
"""The first succeeds, the second fails until there is a file, the others wait for another one."""


@pytest.fixture
def batch(http: httpx.Client, home: Path) -> int:
    """A batch of five executions, of which two work at a time."""
    notebook = registered(
        http,
        write_notebook(home / "work.ipynb", WORK, parameters="number = 0"),
        {"param_name": "number", "param_type": "integer"},
    )
    made = http.post("/db/batches", json={"notebook_id": notebook, "grid": {"number": [0, 1, 2, 3, 4]}})
    assert made.status_code == 201, made.text
    return made.json()["id"]


async def loaded(page: Page) -> None:
    """Remember this page, so that :func:`same` can tell whether it was loaded anew."""
    await page.evaluate("window.loaded = 'once'")


async def same(page: Page) -> bool:
    return await page.evaluate("window.loaded === 'once'")


async def estimated(at: Looking, page: Page) -> None:
    """What has ended tells when all will have; the page shows it by itself."""
    await expect(page.locator(".mark-success")).to_have_count(1)
    await expect(page.locator(".mark-failed")).to_have_count(1)
    await expect(page.locator(".mark-running")).to_have_count(2)
    estimate = page.locator("#facts").get_by_text(re.compile("ends about"))
    await expect(estimate).to_be_visible()
    await expect(estimate.locator("time")).to_have_attribute("title", re.compile("UTC"))
    assert await same(page)
    await at.look(page, "batch-running")


async def cancelled(at: Looking, page: Page) -> None:
    """It asks first; then what runs and what waits ends, and its marks say so without the page being asked for."""
    await page.get_by_role("button", name="Cancel", exact=True).click()
    await expect(page.get_by_role("heading", name="Cancel this batch?")).to_be_visible()
    await at.look(page, "batch-question")
    await page.get_by_role("button", name="Leave it").click()
    await expect(page.get_by_role("heading", name="Cancel this batch?")).to_be_hidden()
    await expect(page.locator(".mark-cancelled")).to_have_count(0)
    await page.get_by_role("button", name="Cancel", exact=True).click()
    await page.get_by_role("button", name="Cancel it").click()
    await expect(page.locator(".mark-cancelled")).to_have_count(3)
    await expect(page.locator("#facts .status-cancelled")).to_be_visible()
    await expect(page.get_by_text("somebody cancelled it")).to_be_visible()
    await expect(page.get_by_text("what runs is being stopped")).to_have_count(0)
    await expect(page.get_by_role("button", name="Cancel", exact=True)).to_have_count(0)
    await at.look(page, "batch-cancelled")


async def repeated(at: Looking, page: Page, home: Path, first: str) -> None:
    """What failed is executed again, and succeeds now; what was cancelled too, where that is ticked."""
    (home / "right").touch()
    await page.get_by_role("button", name="Retry failed").click()
    await page.wait_for_url("**/batches/*?notice=batch-again")
    await expect(page.locator("h1 + .facts")).to_contain_text("repeats")
    await expect(page.get_by_role("heading", name="1 of 1 execution ended")).to_be_visible()
    await expect(page.locator(".mark-success")).to_have_count(1)
    await expect(page.get_by_role("button", name="Retry failed")).to_have_count(0)
    await at.look(page, "batch-again")
    await page.goto(first)
    await page.get_by_label("with those cancelled").check()
    await page.get_by_role("button", name="Retry failed").click()
    await page.wait_for_url("**/batches/*?notice=batch-again")
    await expect(page.locator(".mark-running")).to_have_count(2)
    await loaded(page)
    await expect(page.locator(".mark-success")).to_have_count(1)
    assert await same(page)
    (home / "gate").touch()
    await expect(page.get_by_role("heading", name="4 of 4 executions ended")).to_be_visible()
    await expect(page.locator(".mark-success")).to_have_count(4)
    await expect(page.locator("#facts .status-success")).to_be_visible()


@pytest.mark.parametrize(("name", "width"), [("laptop", 1280), ("phone", 390)])
async def test_a_batch_is_cancelled_and_what_did_not_succeed_is_repeated(
    service: Any, batch: int, home: Path, name: str, width: int
) -> None:
    async with looking(service.url, name, width) as at:
        page = await at.page()
        first = f"{at.url}/batches/{batch}"
        await page.goto(first)
        await loaded(page)
        await estimated(at, page)
        await cancelled(at, page)
        await repeated(at, page, home, first)
        assert at.complaints == []
