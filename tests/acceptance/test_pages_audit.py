"""The audit in a browser: its pages follow each other, and it can be asked for one user and for refusals."""

from typing import Any

import psycopg
import pytest
from playwright.async_api import Page, expect
from sqlalchemy import URL

from looking import looking
from pressroom.database.url import conninfo

ENTRIES = """
INSERT INTO audit_log (at, username, source, method, path, operation, status, allowed, facts)
SELECT timestamptz '2026-10-01T00:00:00Z' + g * interval '1 h', CASE WHEN g % 2 = 0 THEN 'ben' ELSE 'ana' END, 'oidc',
    'DELETE', '/db/notebooks/' || g, 'delete_notebook', CASE WHEN g % 5 = 0 THEN 403 ELSE 204 END, g % 5 <> 0, '{}'
FROM generate_series(1, 230) AS g
"""


@pytest.mark.parametrize(("name", "width"), [("laptop", 1280), ("phone", 390)])
async def test_an_administrator_turns_the_pages_of_the_audit_and_asks_it_for_somebody(
    service: Any, database_url: URL, name: str, width: int
) -> None:
    with psycopg.connect(conninfo(database_url)) as connection:
        connection.execute(ENTRIES)

    async def entries(page: Page, count: int) -> list[int]:
        paths = page.locator("tbody .mono")
        await expect(paths).to_have_count(count)
        return [int(path.rpartition("/")[2]) for path in await paths.all_inner_texts()]

    async with looking(service.url, name, width) as at:
        page = await at.page()
        await page.goto(f"{at.url}/service/workers")
        await page.get_by_role("link", name="Audit").click()
        await page.wait_for_url("**/service/audit")
        assert await entries(page, 100) == list(range(230, 130, -1))
        await page.get_by_role("link", name="Next page").click()
        await page.wait_for_url("**/service/audit?after=*")
        await page.get_by_role("link", name="Next page").click()
        await expect(page.get_by_text("30 entries on this page")).to_be_visible()
        assert await entries(page, 30) == list(range(30, 0, -1))
        await at.look(page, "audit-last-page")
        await page.go_back()
        assert await entries(page, 100) == list(range(130, 30, -1))
        await page.get_by_role("link", name="First page").click()
        await page.wait_for_url(f"{at.url}/service/audit")
        await page.get_by_label("User").fill("ben")
        await page.get_by_label("What became of it").select_option("was refused")
        await page.get_by_role("button", name="Filter").click()
        await page.wait_for_url(f"{at.url}/service/audit?username=ben&allowed=no")
        assert await entries(page, 23) == list(range(230, 0, -10))
        await expect(page.locator("tbody .status-failed")).to_have_count(23)
        await expect(page.get_by_label("User")).to_have_value("ben")
        await at.look(page, "audit-filtered")
        await page.get_by_label("User").fill("nobody")
        await page.get_by_role("button", name="Filter").click()
        await expect(page.get_by_role("heading", name="There is no entry")).to_be_visible()
        await expect(page.get_by_text("Take the filter away to see all of them.")).to_be_visible()
        await at.look(page, "audit-none")
        assert at.complaints == []
