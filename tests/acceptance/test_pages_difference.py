"""The difference of two executions in a browser, of a notebook that was changed between them; and tables of nothing."""

from pathlib import Path

import httpx
import pytest
from playwright.async_api import Page, expect

from looking import Looking, looking
from page_forms import registered

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
WIDTHS = pytest.mark.parametrize(("name", "width"), [("laptop", 1280), ("phone", 390)])
BEFORE = ("import math", "total = 1\nprint('a total of', total)", "print('the last word')")
AFTER = ("import math", "total = 2\nprint('a total of', total)", "x = 1\ny = 2\nprint(x + y)", "# " + "wide " * 60)


async def two_executions(at: Looking, page: Page, http: httpx.Client, home: Path) -> int:
    """Of a notebook whose cells stay, are changed, go and are added."""
    region = {"param_name": "region", "param_type": "string"}
    number = registered(http, write_notebook(home / "n.ipynb", *BEFORE, parameters='region = "EMEA"'), region)
    made: list[int] = []
    for cells, given in ((BEFORE, "EMEA"), (AFTER, "APAC")):
        write_notebook(home / "n.ipynb", *cells, parameters='region = "EMEA"')
        sent = http.post(f"/db/notebooks/{number}/executions", json={"parameters": {"region": given}})
        made.append(sent.raise_for_status().json()["execution_id"])
    await page.goto(f"{at.url}/difference?executions={made[0]},{made[1]}")
    return number


@WIDTHS
async def test_cells_that_were_changed_added_and_removed_are_shown_line_by_line(
    http: httpx.Client, home: Path, name: str, width: int
) -> None:
    async with looking(str(http.base_url).rstrip("/"), name, width) as at:
        page = await at.page()
        number = await two_executions(at, page, http, home)
        await expect(page.get_by_role("heading", name="What differs")).to_be_visible()
        cells = page.get_by_role("region", name="Code cells")
        said = await cells.get_by_role("heading", level=3).all_inner_texts()
        assert {text.split(maxsplit=2)[2] for text in said} == {"was changed", "is new"}, said
        await expect(cells.locator(".line-removed", has_text="total = 1")).to_have_count(1)
        await expect(cells.locator(".line-added", has_text="total = 2")).to_have_count(1)
        await expect(cells.locator(".line-added", has_text="y = 2")).to_have_count(1)
        await expect(cells.locator(".line-removed", has_text="the last word")).to_have_count(1)
        await expect(cells.get_by_text("import math")).to_have_count(0)
        await at.look(page, "difference-of-cells")
        await page.get_by_role("link", name="The other way round").click()
        await expect(cells.get_by_role("heading", name="is gone")).to_have_count(1)
        await expect(cells.locator(".line-removed", has_text="y = 2")).to_have_count(1)
        await page.goto(f"{at.url}/notebooks/{number}/compare?where=nonsense")
        await expect(page.locator(".field-error")).to_be_visible()
        await at.look(page, "compare-wrong")
        assert [each for each in at.complaints if "status of 422" not in each] == []


@WIDTHS
async def test_a_comparison_of_nothing_says_so(http: httpx.Client, home: Path, name: str, width: int) -> None:
    number = registered(http, write_notebook(home / "n.ipynb", "print(1)"))
    async with looking(str(http.base_url).rstrip("/"), name, width) as at:
        page = await at.page()
        await page.goto(f"{at.url}/notebooks/{number}/compare")
        await expect(page.locator(".empty-title")).to_be_visible()
        await at.look(page, "compare-empty")
        assert at.complaints == []
