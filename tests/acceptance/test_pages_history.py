"""The history in a browser: what is asked for stands in the address, and its pages follow each other."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import psycopg
import pytest
from playwright.async_api import Page, expect
from sqlalchemy import URL

from looking import Looking, looking
from page_forms import registered
from pressroom.database.url import conninfo

WIDTHS = pytest.mark.parametrize(("name", "width"), [("laptop", 1280), ("phone", 390)])
EXECUTIONS = """
INSERT INTO notebook_executions
    (notebook_id, username, input_path, parameters_used, status, queue, submitted_at, started_at, completed_at, attempt)
SELECT %(notebook)s, CASE WHEN g %% 4 = 0 THEN 'ben' ELSE 'ana' END, '/home/ana/sales.ipynb',
    jsonb_build_object('region', CASE WHEN g %% 3 = 0 THEN 'APAC' ELSE 'EMEA' END, 'number', g),
    CASE WHEN g %% 10 = 0 THEN 'failed' ELSE 'success' END, CASE WHEN g > 110 THEN 'gpu' ELSE 'default' END,
    at, at, at + interval '4 s', 1
FROM (SELECT g, timestamptz '2026-10-01T00:00:00Z' + g * interval '1 h' AS at FROM generate_series(1, 120) AS g) AS rows
"""
"""One an hour. Every third is of APAC, every fourth ben's, every tenth failed; the last ten were in another queue."""


@pytest.fixture
def plain(database_url: URL) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(conninfo(database_url), autocommit=True) as connection:
        yield connection


@pytest.fixture
def number(http: httpx.Client, notebook: Path, plain: psycopg.Connection[Any]) -> int:
    """A notebook with a long history."""
    made = registered(http, notebook)
    plain.execute(EXECUTIONS, {"notebook": made})
    return made


async def ids(page: Page) -> list[int]:
    """The executions of the list, as it has them."""
    return [int(text) for text in await page.locator("tbody td:last-child").all_inner_texts()]


async def filtered(at: Looking, page: Page, notebook: int) -> None:
    """What is chosen and typed is in the address, without what was left empty, and says the same in another browser."""
    await page.goto(f"{at.url}/executions")
    await page.get_by_role("checkbox", name="Success").check()
    await page.get_by_role("checkbox", name="Failed").check()
    await page.get_by_text("More filters").click()
    await page.get_by_label("Notebook's id").fill(str(notebook))
    await page.get_by_label("User").fill("ben")
    await page.get_by_label("Queue").fill("default")
    await page.get_by_label("Submitted at or after").fill("2026-10-01 14:00")
    await page.get_by_label("Submitted before").fill("2026-10-05 02:00")
    await page.get_by_label("Order").select_option("oldest")
    await page.get_by_label("Parameter").fill("region")
    await page.get_by_label("has the value").fill("APAC")
    await page.get_by_role("button", name="Filter").click()
    await page.wait_for_url("**/executions?*")
    assert parse_qsl(urlsplit(page.url).query) == [
        *(("status", "success"), ("status", "failed"), ("notebook_id", str(notebook)), ("username", "ben")),
        *(
            ("queue", "default"),
            ("submitted_after", "2026-10-01T12:00:00Z"),
            ("submitted_before", "2026-10-05T00:00:00Z"),
        ),
        *(("order", "oldest"), ("param.region", "APAC")),
    ]
    assert await ids(page) == [12, 24, 36, 48, 60, 72, 84]
    await expect(page.locator("tbody .status-failed")).to_have_count(1)
    await at.look(page, "executions-filtered")
    other = await at.browser.new_context(timezone_id="Asia/Tokyo", locale="en-GB")
    sent = await other.new_page()
    await sent.goto(page.url)
    assert await ids(sent) == await ids(page)
    await expect(sent.get_by_label("User")).to_have_value("ben")
    await expect(sent.get_by_role("checkbox", name="Failed")).to_be_checked()
    await expect(sent.get_by_role("checkbox", name="Running")).not_to_be_checked()
    await expect(sent.get_by_label("Submitted at or after")).to_have_value("2026-10-01 21:00")
    await other.close()
    await page.get_by_role("link", name=re.compile("region = APAC")).click()
    await page.wait_for_url(lambda address: "region" not in address)
    assert (await ids(page))[:3] == [12, 16, 20], "the others stay"
    await page.get_by_role("link", name="Show all").click()
    await page.wait_for_url(f"{at.url}/executions")
    await expect(page.get_by_label("User")).to_have_value("")
    await expect(page.locator("tbody tr")).to_have_count(50)


async def turned(at: Looking, page: Page) -> None:
    """Each execution is on one page, and the way back leads to the same ones; what is new meanwhile moves none."""
    await page.goto(f"{at.url}/executions?username=ana")
    seen = [await ids(page)]
    await expect(page.get_by_text("50 executions on this page")).to_be_visible()
    while await page.get_by_role("link", name="Next page").count():
        before = page.url
        await page.get_by_role("link", name="Next page").click()
        await page.wait_for_url(lambda address, before=before: address != before)
        seen.append(await ids(page))
    assert [one for each in seen for one in each] == [g for g in range(120, 0, -1) if g % 4]
    await at.look(page, "executions-last-page")
    await page.go_back()
    assert await ids(page) == seen[0]
    await page.go_forward()
    assert await ids(page) == seen[1]
    await page.get_by_role("link", name="First page").click()
    await page.wait_for_url(f"{at.url}/executions?username=ana")
    assert await ids(page) == seen[0]


async def refused(at: Looking, page: Page) -> None:
    """What an address asks for wrongly is said in words, beside its field where it has one."""
    await page.goto(f"{at.url}/executions?notebook_id=x&submitted_after=yesterday&status=late&color=red")
    await expect(page.locator("#f-notebook_id-error")).to_have_text("must be the number of one, 1 or more")
    await expect(page.locator("#f-submitted_after-error")).to_contain_text("must be a time as ISO 8601 writes it")
    await expect(page.get_by_label("Submitted at or after")).to_have_value("yesterday")
    await expect(page.locator("fieldset .field-error")).to_contain_text("must be some of pending, running")
    await expect(page.get_by_role("alert")).to_have_text("There is no filter 'color'.")
    await expect(page.get_by_role("heading", name="Nothing was looked for")).to_be_visible()
    await at.look(page, "executions-wrong")
    await page.goto(f"{at.url}/executions?username=nobody")
    await expect(page.get_by_role("heading", name="No execution matches")).to_be_visible()
    await expect(page.get_by_text("Take a filter away, or look at all of them.")).to_be_visible()
    await at.look(page, "executions-none")
    await page.locator("section").get_by_role("link", name="Show all").click()
    await page.wait_for_url(f"{at.url}/executions")


@WIDTHS
async def test_a_view_of_the_history_is_an_address(service: Any, number: int, name: str, width: int) -> None:
    async with looking(service.url, name, width) as at:
        page = await at.page()
        await filtered(at, page, number)
        await turned(at, page)
        await refused(at, page)
        # The browser's own remark on the address that was refused.
        assert len(at.complaints) == 1
        assert "status of 422" in at.complaints[0]


async def test_where_nothing_was_executed_it_is_said_what_to_do(service: Any) -> None:
    async with looking(service.url, "phone", 390) as at:
        page = await at.page()
        await page.goto(f"{at.url}/executions")
        await expect(page.get_by_role("heading", name="Nothing was executed yet")).to_be_visible()
        await at.look(page, "executions-empty")
        await page.goto(f"{at.url}/batches")
        await expect(page.get_by_role("heading", name="There is no batch yet")).to_be_visible()
        await at.look(page, "batches-empty")
        await page.get_by_role("link", name="Notebooks").last.click()
        await expect(page.get_by_role("heading", name="No notebook is registered yet")).to_be_visible()
        await at.look(page, "notebooks-empty")
        assert at.complaints == []
