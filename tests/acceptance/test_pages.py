"""The pages in a browser: from a file to its result, at the width of a laptop and of a phone, light and dark."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.async_api import Page, expect

from looking import Looking, ended, looking

Service = pytest.Service  # type: ignore[attr-defined]
ABOUT = "# Regional sales\n\nOne region in one *month*: revenue and units against the month before.\n"
PARAMETERS = """region: str = "EMEA"  # the sales region
month = "2026-10"  # the month to report, written YYYY-MM
top_n: int = 8  # how many products the ranking shows
"""
WAITING = """import time
from pathlib import Path

print("loading", region, flush=True)
while not Path("../gate").exists():
    time.sleep(0.05)
"""
LOOK = "for product in range(top_n):\n    print(product)"
_KEEP_WHAT_IT_SAYS = """button => new MutationObserver(() => {
  button.dataset.said = (button.dataset.said ?? "") + button.textContent;
}).observe(button, {childList: true})"""
"""It says that it has copied for a moment only."""


@pytest.fixture
def gate(home: Path) -> Path:
    """The file whose making lets the notebook go on."""
    cells = [
        new_markdown_cell(ABOUT),
        new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
        new_code_cell(WAITING),
        new_code_cell(LOOK),
    ]
    notebook = new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    (home / "reports").mkdir()
    nbformat.write(notebook, home / "reports" / "regional_sales.ipynb")
    return home / "gate"


async def register(at: Looking, page: Page) -> None:
    """From the list of files to the notebook's page, by the form of what its parameters cell proposes."""
    await page.get_by_role("link", name="Register regional_sales.ipynb").click()
    await page.get_by_label("Tags").fill("report, monthly")
    await page.locator("[name='d.2.low']").fill("1")
    await page.locator("[name='d.2.high']").fill("50")
    await page.locator("[name='d.0.options']").fill("EMEA, AMER, APAC")
    await at.look(page, "registering")
    await page.get_by_role("button", name="Register", exact=True).click()
    await expect(page.get_by_text("The notebook is registered.")).to_be_visible()
    await expect(page.get_by_text("revenue and units against the month before")).to_be_visible()
    await at.look(page, "notebook-new")


async def fill_in(at: Looking, page: Page) -> None:
    """The slider and the number are one; what is wrong stands beside its field, and the rest is kept."""
    await page.get_by_label("top_n, as a slider").press("ArrowRight")
    await expect(page.locator("[name='p.top_n']")).to_have_value("9")
    await page.locator("[name='p.top_n']").fill("500")
    await page.get_by_label("region").select_option("APAC")
    await expect(page.locator("#call-curl")).to_contain_text('"region": "APAC"')
    copy = page.locator("[data-copy=call-curl]")
    await expect(copy).to_have_text("Copy")
    await copy.evaluate(_KEEP_WHAT_IT_SAYS)
    await copy.click()
    await expect(copy).to_have_attribute("data-said", re.compile("^Copied"))
    assert '"region": "APAC"' in await page.evaluate("navigator.clipboard.readText()")
    await page.get_by_role("button", name="Execute", exact=True).click()
    wrong = page.locator(".field-error")
    await expect(wrong).to_have_count(1)
    await expect(wrong).to_contain_text("'top_n' must be 50 or less")
    await expect(page.get_by_label("region")).to_have_value("APAC")
    await expect(page.locator("[name='p.top_n']")).to_have_value("500")
    await at.look(page, "notebook-wrong")
    await page.locator("[name='p.top_n']").fill("3")
    await page.get_by_role("button", name="Execute", exact=True).click()


async def follow(at: Looking, page: Page, gate: Path) -> None:
    """It is followed while it works, without loading the page again: the cell that runs, and what it puts out. Its end
    shows by itself: the notebook in its frame, with and without its code."""
    await expect(page.locator("[data-part=line]")).to_contain_text("import time")
    await expect(page.locator("[data-part=output]")).to_contain_text("loading APAC")
    await expect(page.locator(".cell-running")).to_have_count(1)
    await expect(page.locator("#facts .status-running")).to_be_visible()
    await at.look(page, "execution-running")
    other = await at.page()
    await other.goto(f"{at.url}/home")
    await expect(other.locator("#now").get_by_text("Regional sales").first).to_be_visible()
    await at.look(other, "home-running")
    gate.touch()
    sheet = page.frame_locator("iframe.sheet")
    await expect(sheet.get_by_text("loading APAC")).to_be_visible()
    await expect(page.locator("main .status-success").first).to_be_visible()
    kernel = page.locator("dt", has_text="Kernel").locator("+ dd")
    await expect(kernel).to_have_text(re.compile(r"^python3, python 3\.\d+\.\d+"))
    await at.look(page, "execution")
    await page.get_by_role("link", name="Without").click()
    await page.wait_for_url(re.compile("code=hide"))
    await expect(sheet.get_by_text("loading APAC")).to_be_visible()
    await expect(sheet.get_by_text("import time")).to_have_count(0)
    await page.get_by_text("Cells and their times").click()
    await expect(page.locator("#cells .cell-done")).to_have_count(4)


async def look_around(at: Looking, page: Page, notebook: str) -> None:
    """The other pages, with something in them."""
    await page.goto(notebook)
    await at.look(page, "notebook")
    await page.get_by_role("link", name="All executions").click()
    await expect(page.locator("tbody tr")).to_have_count(1)
    await at.look(page, "executions")
    await page.get_by_role("checkbox", name=re.compile("Choose execution")).check()
    await page.get_by_role("button", name="Compare", exact=True).click()
    await expect(page.get_by_role("heading", name="Compare")).to_be_visible()
    await page.goto(f"{at.url}/notebooks")
    await page.get_by_label("Search").press_sequentially("regi")
    await expect(page).to_have_url(f"{at.url}/notebooks?q=regi&owner=&tag=")
    await at.look(page, "notebooks")
    await at.context.set_offline(True)
    await page.get_by_label("Search").fill("regio")
    away = page.get_by_text("the service cannot be reached")
    await expect(away).to_be_visible()
    await at.context.set_offline(False)
    await page.get_by_label("Search").fill("region")
    await expect(away).to_be_hidden()
    await page.get_by_label("Search").fill("nothing like it")
    await expect(page.get_by_text("No notebook matches")).to_be_visible()
    await page.goto(f"{at.url}/ui")
    first = page.locator("svg.strip:not(.strip-small) title").first
    await expect(first).to_have_text(re.compile(r"4\.1 s, 1 Nov 2026, 09:00 \(2026-11-01 08:00:00 UTC\)$"))
    await at.look(page, "ui")
    await page.get_by_role("button", name="Delete", exact=True).click()
    async with page.expect_event("load"):
        await page.get_by_role("button", name="Delete it").click()
    await expect(page).to_have_url(re.compile(r"/ui\??$"))
    await expect(page.get_by_role("heading", name="Delete this example?")).to_be_hidden()
    await page.emulate_media(color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = await page.evaluate(paper)
    await page.get_by_role("button", name="Dark", exact=True).click()
    assert await page.evaluate(paper) != light
    await page.reload()
    assert await page.evaluate(paper) != light, "it stays as it was chosen"
    await page.get_by_role("button", name="Auto", exact=True).click()
    refused = await page.goto(f"{at.url}/executions/2000000000")
    assert refused is not None
    assert refused.status == 404
    await at.look(page, "not-there")


@pytest.mark.parametrize(("name", "width"), [("laptop", 1280), ("phone", 390)])
async def test_from_a_file_to_its_result(service: Any, gate: Path, name: str, width: int) -> None:
    async with looking(service.url, name, width) as at:
        await at.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = await at.page()
        await page.goto(at.url)
        await expect(page.get_by_role("heading", name="Begin here")).to_be_visible()
        await at.look(page, "home-empty")
        await page.get_by_role("link", name="Register a notebook").first.click()
        await page.wait_for_url("**/notebooks/files")
        await at.look(page, "files")
        await register(at, page)
        notebook = page.url.partition("?")[0]
        await fill_in(at, page)
        await follow(at, page, gate)
        await page.get_by_role("link", name="Again with changes").click()
        await expect(page.locator("[name='p.top_n']")).to_have_value("3")
        await look_around(at, page, notebook)
        # The browser itself remarks on the form that was refused, the page that is not there, and the service.
        remarks = re.compile(
            r"Failed to load resource: (.* status of (404|422)|net::ERR_INTERNET)|htmx:(afterRequest|sendError)"
        )
        assert [each for each in at.complaints if not remarks.match(each)] == []


@pytest.mark.parametrize(("name", "width"), [("laptop", 1280), ("phone", 390)])
async def test_a_failure_begins_with_the_error_and_its_cell_and_a_question_comes_before_a_cancellation(
    service: Any, home: Path, gate: Path, name: str, width: int
) -> None:
    notebook = new_notebook(
        cells=[new_code_cell("a = 1"), new_code_cell("def share(a):\n    return a / 0\n\nshare(a)")]
    )
    nbformat.write(notebook, home / "broken.ipynb")
    async with looking(service.url, name, width) as at:
        page = await at.page()
        sent = await page.request.post(f"{at.url}/execute", data={"input_path": str(home / "broken.ipynb")})
        await page.goto(f"{at.url}/executions/{(await sent.json())['execution_id']}")
        await expect(page.get_by_role("heading", name="What went wrong")).to_be_visible()
        await expect(page.get_by_text("ZeroDivisionError").first).to_be_visible()
        await expect(page.get_by_label("The cell that failed")).to_contain_text("return a / 0")
        await expect(page.frame_locator("iframe.sheet").get_by_text("return a / 0").first).to_be_visible()
        await at.look(page, "execution-failed")
        await page.get_by_role("button", name="Copy to debug").click()
        await expect(page.get_by_role("heading", name="A copy is in your directory")).to_be_visible()
        await at.look(page, "copied-to-debug")
        options = {"headers": {"Prefer": "respond-async"}}
        sent = await page.request.post(
            f"{at.url}/execute", data={"input_path": str(home / "reports" / "regional_sales.ipynb")}, **options
        )
        await page.goto(f"{at.url}/executions/{(await sent.json())['id']}")
        await expect(page.locator("[data-part=output]")).to_contain_text("loading EMEA")
        await page.get_by_role("button", name="Cancel", exact=True).click()
        await expect(page.get_by_role("heading", name="Cancel this execution?")).to_be_visible()
        await at.look(page, "question")
        await page.get_by_role("button", name="Leave it").click()
        await page.get_by_role("button", name="Cancel", exact=True).click()
        await page.get_by_role("button", name="Cancel it").click()
        await expect(page.locator("main .status-cancelled").first).to_be_visible()
        await ended(page)
        assert at.complaints == []


async def test_a_page_with_nothing_on_it_says_so_without_a_barrier(service: Any) -> None:
    async with looking(service.url, "laptop", 1280) as at:
        page = await at.page()
        for path in (
            *("/notebooks", "/notebooks?q=x", "/notebooks/files", "/executions", "/executions?status=failed"),
            *("/batches", "/schedules", "/service/workers", "/tokens"),
        ):
            await page.goto(at.url + path)
            await expect(page.locator("main .empty").first).to_be_visible()
            await at.look(page, "empty")
        assert at.complaints == []
