"""What the page of an execution leads to, in a browser: the files that come are those of the execution."""

import csv
import io
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pytest
from playwright.async_api import Locator, Page, expect

from looking import looking
from page_forms import registered

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
TABLE = {"columns": ["month", "units"], "index": [0, 1], "data": [["2026-09", 5], ["2026-10", 7]]}
WORK = f"""
import os
from pathlib import Path
from IPython.display import display

folder = Path(os.environ["PRESSROOM_ARTIFACTS"])
(folder / "deep").mkdir()
(folder / "deep" / "by month, ü.csv").write_text("month,units\\n2026-10,7\\n")
(folder / "raw.bin").write_bytes(bytes(range(256)) * 400)
(folder / "page.html").write_text("<script>document.title = 'acted'</script>")
display({{"application/vnd.pressroom.result+json": {{"name": "by month", "table": {TABLE}}}}}, raw=True)
print("written", region)
"""


@pytest.fixture
def number(http: httpx.Client, home: Path) -> int:
    region = {"param_name": "region", "param_type": "string"}
    return registered(http, write_notebook(home / "month ends.ipynb", WORK, parameters='region = "EMEA"'), region)


async def downloaded(page: Page, link: Locator) -> tuple[str, bytes]:
    """The name that a browser gives to the file that comes, and what is in it."""
    async with page.expect_download() as began:
        await link.click()
    came = await began.value
    return came.suggested_filename, Path(await came.path()).read_bytes()


@pytest.mark.parametrize(("name", "width"), [("laptop", 1280), ("phone", 390)])
async def test_what_an_executions_page_offers_is_what_comes(
    service: Any, http: httpx.Client, number: int, name: str, width: int
) -> None:
    sent = http.post(f"/db/notebooks/{number}/executions", json={"parameters": {"region": "APAC"}})
    assert sent.status_code == 200, sent.text
    execution = http.get(f"/db/executions/{sent.json()['execution_id']}").json()
    async with looking(service.url, name, width) as at:
        page = await at.page()
        here = f"{at.url}/executions/{execution['id']}"
        await page.goto(here)
        await at.look(page, "execution-files")

        name, data = await downloaded(page, page.get_by_role("link", name="Download", exact=True))
        assert name == Path(execution["output_path"]).name
        notebook = nbformat.reads(data.decode(), as_version=4)
        assert data == Path(execution["output_path"]).read_bytes()
        assert "written APAC" in notebook.cells[-1].outputs[-1].text

        name, data = await downloaded(page, page.get_by_role("link", name="deep/by month, ü.csv"))
        assert (name, data) == ("by month, ü.csv", b"month,units\n2026-10,7\n")
        name, data = await downloaded(page, page.get_by_role("link", name="raw.bin"))
        assert (name, data) == ("raw.bin", bytes(range(256)) * 400)
        name, data = await downloaded(page, page.get_by_role("link", name="page.html"))
        assert (name, data) == ("page.html", b"<script>document.title = 'acted'</script>")
        name, data = await downloaded(page, page.get_by_role("link", name="table", exact=True))
        assert name == "by month.csv"
        assert list(csv.reader(io.StringIO(data.decode()))) == [["month", "units"], ["2026-09", "5"], ["2026-10", "7"]]
        assert page.url == here, "a download leaves the page where it is"
        await page.goto(f"{at.url}/notebooks/{number}/compare")
        assert await downloaded(page, page.get_by_role("link", name="table", exact=True)) == (name, data)
        await page.goto(here)

        async with page.expect_popup() as opened:
            await page.get_by_role("link", name="Alone").click()
        alone = await opened.value
        await expect(alone.get_by_text("written APAC")).to_be_visible()
        await expect(alone.get_by_text("PRESSROOM_ARTIFACTS")).to_be_visible()
        await alone.close()

        await page.get_by_role("link", name="Log", exact=True).click()
        await page.wait_for_url(f"{at.url}/db/executions/{execution['id']}/log")
        await expect(page.locator("body")).to_have_text("written APAC")
        await page.go_back()

        await page.get_by_role("link", name="Sales").first.click()
        await page.wait_for_url(f"{at.url}/notebooks/{number}")
        name, data = await downloaded(page, page.get_by_role("link", name="Download", exact=True))
        assert (name, data) == ("month ends.ipynb", Path(execution["input_path"]).read_bytes())
        assert at.complaints == []
