"""A date or a time of which a part is missing, typed with the keyboard: nothing is executed as if it were not there."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Locator, Page, expect

from looking import looking
from page_forms import registered

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
DEFINED = (
    {"param_name": "since", "param_type": "datetime", "default_value": "2026-01-01T06:00:00Z"},
    {"param_name": "until", "param_type": "datetime"},
    {"param_name": "day", "param_type": "date", "default_value": "2026-02-03"},
)
DEFAULTS = {"since": "2026-01-01T06:00:00Z", "day": "2026-02-03"}
HALF = "This is not all of a {}, or it is in no calendar: type each part, or none."


@pytest.fixture
def number(http: httpx.Client, home: Path) -> int:
    return registered(http, write_notebook(home / "n.ipynb", "", parameters="since = until = day = None"), *DEFINED)


async def type_into(page: Page, field: Locator, keys: str) -> None:
    """Type the parts of a time from the first one on; a day as the month, so that their order does not matter."""
    await field.focus()
    await page.keyboard.type(keys)


async def refused(page: Page, field: Locator, http: httpx.Client, kind: str) -> None:
    """What is missing is said beside the field, which has the focus; and nothing is executed."""
    before = http.get("/db/executions").json()
    await page.get_by_role("button", name="Execute", exact=True).click()
    await expect(page.get_by_role("alert")).to_have_text(HALF.format(kind))
    await expect(field).to_have_accessible_description(re.compile(re.escape(HALF.format(kind))))
    await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(field).to_be_focused()
    assert http.get("/db/executions").json() == before


async def executed(page: Page, http: httpx.Client) -> dict[str, Any]:
    await page.get_by_role("button", name="Execute", exact=True).click()
    await page.wait_for_url("**/executions/*")
    return http.get("/db/executions").json()[0]["parameters_used"]


@pytest.mark.parametrize(("name", "width"), [("laptop", 1280), ("phone", 390)])
async def test_a_half_of_a_time_is_not_executed_as_none(
    service: Any, http: httpx.Client, number: int, name: str, width: int
) -> None:
    async with looking(service.url, name, width) as at:
        page = await at.page()
        await page.goto(f"{at.url}/notebooks/{number}")
        until, day = page.get_by_label("until"), page.get_by_label("day")
        await type_into(page, until, "07072026")
        await refused(page, until, http, "time")
        await at.look(page, "time-half")
        await page.get_by_role("link", name="As a sweep").click()
        await expect(until).to_be_focused()
        assert page.url.endswith(f"/notebooks/{number}")
        await type_into(page, until, "070720260800AM")
        await expect(until).to_have_value("2026-07-07T08:00")
        await expect(page.get_by_role("alert")).to_have_count(0)
        await expect(until).not_to_have_attribute("aria-invalid", "true")
        await expect(page.locator("#call-curl")).to_contain_text('"until": "2026-07-07T06:00:00Z"')

        # The calls are not asked for as if the default held.
        await day.focus()
        await page.keyboard.press("Delete")
        await expect(page.get_by_role("alert")).to_have_text(HALF.format("date"))
        await expect(page.locator("#call-curl")).to_contain_text('"day": "2026-02-03"')
        await refused(page, day, http, "date")
        await type_into(page, day, "0404")
        await expect(day).to_have_value("2026-04-04")
        assert await executed(page, http) == {**DEFAULTS, "until": "2026-07-07T06:00:00Z", "day": "2026-04-04"}
        assert at.complaints == []


async def test_a_year_has_four_digits(service: Any, number: int) -> None:
    async with looking(service.url, "laptop", 1280) as at:
        page = await at.page()
        await page.goto(f"{at.url}/notebooks/{number}")
        for field, keys, length in (("day", "030322026", 10), ("since", "0303220260800AM", 16)):
            await type_into(page, page.get_by_label(field), keys)
            assert len(await page.get_by_label(field).input_value()) == length


async def test_without_scripts_the_browser_itself_does_not_send_a_half(
    service: Any, http: httpx.Client, number: int
) -> None:
    async with looking(service.url, "laptop", 1280, scripts=False) as at:
        page = await at.page()
        await page.goto(f"{at.url}/notebooks/{number}")
        until = page.get_by_label("until")
        await type_into(page, until, "07072026")
        await page.get_by_role("button", name="Execute", exact=True).click()
        await expect(until).to_be_focused()
        await type_into(page, until, "070720260800AM")
        assert await executed(page, http) == {**DEFAULTS, "until": "2026-07-07T08:00Z"}
        assert len(http.get("/db/executions").json()) == 1
