"""The pages in a browser: from a sweep to what its executions have to say to each other, a schedule, and the others."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.async_api import FloatRect, Locator, Page, expect

from looking import Looking, ended, looking

PARAMETERS = 'alpha = 0.5  # how much the last month weighs\ndepth = 2\nmodel = "ridge"\n'
FIT = """
from IPython.display import display
def record(name, value):
    display({"application/vnd.pressroom.result+json": {"name": name, "value": value}}, raw=True)
record("rmse", (alpha - 0.4) ** 2 + 0.1 / depth + (0.02 if model == "ridge" else 0))
record("rows", 1000 * depth)
"""
DEFINED = [
    {"param_name": "alpha", "param_type": "float", "default_value": 0.5, "validation_rules": {"min": 0, "max": 1}},
    {"param_name": "depth", "param_type": "integer", "default_value": 2, "description": "How many levels it has"},
    {
        "param_name": "model",
        "param_type": "string",
        "default_value": "ridge",
        "validation_rules": {"options": ["ridge", "lasso"]},
    },
]


@pytest.fixture
def notebook(home: Path) -> Path:
    """A notebook that says how good a fit is."""
    cells = [new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}), new_code_cell(FIT)]
    made = new_notebook(cells=cells)
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, home / "fit.ipynb")
    return home / "fit.ipynb"


async def register(at: Looking, page: Page, notebook: Path) -> int:
    body = {"name": "Fit of the demand", "file_path": str(notebook), "username": "ana", "tags": ["model"]}
    made = await (await page.request.post(f"{at.url}/db/notebooks", data=body)).json()
    done = await page.request.post(f"{at.url}/db/parameters/bulk/{made['id']}", data=DEFINED)
    assert done.status == 201, await done.text()
    return made["id"]


async def sweep(at: Looking, page: Page) -> None:
    """What was typed once comes along; the number of executions follows what is typed."""
    await page.get_by_label("depth").fill("7")
    await page.get_by_role("link", name="As a sweep").click()
    await page.wait_for_url("**/sweep?*")
    await expect(page.get_by_label("depth")).to_have_value("7")
    await expect(page.get_by_text("No parameter has several values yet")).to_be_visible()
    await page.get_by_label("alpha").fill("0..1 step 0.25")
    await expect(page.locator(".total")).to_contain_text("5 executions")
    await page.get_by_label("depth").fill("1, 2, x")
    await expect(page.locator("#plan .field-error")).to_contain_text("'depth' must be an integer")
    await page.get_by_label("depth").fill("1, 2, 4")
    await expect(page.locator(".total")).to_contain_text("15 executions")
    await at.look(page, "sweep")
    await page.get_by_role("button", name="Execute 15 times").click()


async def watch(at: Looking, page: Page) -> None:
    """A batch goes on by itself, until each of its executions is a mark and a place in the map."""
    await expect(page.get_by_role("heading", name="15 of 15 executions ended")).to_be_visible()
    await expect(page.locator("h1 + .facts .status-success")).to_be_visible()
    await expect(page.locator(".mark-success")).to_have_count(15)
    await expect(page.locator(".heat td[class^=heat-]")).to_have_count(15)
    await expect(page.locator(".heat .heat-8")).to_have_text(re.compile(r"0\.4[0-9]*"))
    await at.look(page, "batch")
    await page.get_by_role("link", name="Compare", exact=True).click()


async def place(page: Page, chart: Locator) -> FloatRect:
    """Where a chart is, which itself knows it by then: that the page was scrolled it is told with the next picture."""
    await chart.scroll_into_view_if_needed()
    await page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    box = await chart.bounding_box()
    assert box is not None
    return box


async def compare(at: Looking, page: Page) -> None:
    """A drag over a chart picks executions out of the table, and so does a tick; two of them are told apart."""
    scatter = page.locator("[data-part=scatter] .u-over")
    await expect(scatter).to_be_visible()
    await expect(page.locator("tr[data-row]")).to_have_count(15)
    await at.look(page, "compare")
    box = await place(page, scatter)
    await page.mouse.move(box["x"] + 2, box["y"] + box["height"] / 2)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] - 2, steps=4)
    await page.mouse.up()
    picked = page.locator("[data-part=picked]")
    await expect(picked).to_contain_text(re.compile(r"\d+ of 15 picked out"))
    count = int((await picked.inner_text()).split()[0])
    assert 0 < count < 15
    await expect(page.locator("tr.picked")).to_have_count(count)
    await at.look(page, "compare-picked")
    box = await place(page, page.locator("[data-part=parallel] .u-over"))
    # Those of the highest alpha.
    await page.mouse.move(box["x"] + 1, box["y"] + 1)
    await page.mouse.down()
    await page.mouse.move(box["x"] + 12, box["y"] + box["height"] * 0.1, steps=4)
    await page.mouse.up()
    await expect(picked).to_have_text("3 of 15 picked out")
    await page.get_by_role("button", name="Only the ticked").click()
    await expect(page.locator("tr[data-row]")).to_have_count(3)
    await page.get_by_role("link", name="Show all", exact=True).click()
    await expect(page.locator("tr[data-row]")).to_have_count(15)
    await page.wait_for_load_state()
    boxes = page.locator("tr[data-row] input")
    await boxes.nth(0).check()
    await boxes.nth(4).check()
    await expect(picked).to_have_text("2 of 15 picked out")
    await page.get_by_role("button", name="Difference of two").click()
    await expect(page.get_by_role("heading", name="What differs")).to_be_visible()
    await expect(page.get_by_text("The code was the same.")).to_be_visible()
    await at.look(page, "difference")


async def schedule(at: Looking, page: Page) -> None:
    """The times follow what is typed, in the reader's own zone, which is chosen."""
    await page.get_by_role("link", name="On a schedule").click()
    await expect(page.get_by_label("Time zone")).to_have_value("Europe/Berlin")
    await page.get_by_label("Cron expression").fill("30 6 * * 1")
    times = page.locator("#times")
    await expect(times).to_contain_text("At 06:30 on Monday")
    await expect(times.locator("li").first).to_have_text(re.compile(r"^Mon.* 06:30$"))
    await page.get_by_label("depth").fill("{{ scheduled_at.day }}")
    await at.look(page, "schedule-form")
    await page.get_by_text("When something comes between").click()
    await page.get_by_label("Not before").fill("2026-10-01 08:00")
    await page.get_by_role("button", name="Schedule it").click()
    await expect(page.get_by_text("The schedule is saved.")).to_be_visible()
    [saved] = await (await page.request.get(f"{at.url}/db/schedules")).json()
    assert saved["starts_at"] == "2026-10-01T06:00:00Z", "by the reader's own clock"
    await page.get_by_role("button", name="Execute now").click()
    await ended(page)
    await expect(page.locator("main .status-success").first).to_be_visible()
    await page.get_by_role("link", name=re.compile(r"^\d+$")).first.click()
    await expect(page.get_by_role("heading", name="Ticks")).to_be_visible()
    await at.look(page, "schedule")


async def look_around(at: Looking, page: Page, notebook: int) -> None:
    """The other pages, with something in them."""
    grant = {"level": "runner"}
    await page.request.put(f"{at.url}/db/notebooks/{notebook}/grants/group/finance", data=grant)
    await page.request.post(f"{at.url}/db/tokens", data={"name": "nightly reports", "scopes": ["execute"]})
    for path, name in (
        (f"/notebooks/{notebook}", "notebook-shared"),
        (f"/notebooks/{notebook}/parameters", "parameters"),
        ("/home", "home"),
        ("/batches", "batches"),
        ("/schedules", "schedules"),
        ("/service/workers", "workers"),
        ("/service/kernels", "kernels"),
        ("/service/audit", "audit"),
        ("/tokens", "tokens"),
    ):
        await page.goto(at.url + path)
        await at.look(page, name)


@pytest.mark.parametrize(("name", "width"), [("laptop", 1280), ("phone", 390)])
async def test_from_a_sweep_to_a_comparison_and_a_schedule(service: Any, notebook: Path, name: str, width: int) -> None:
    async with looking(service.url, name, width) as at:
        page = await at.page()
        number = await register(at, page, notebook)
        await page.goto(f"{at.url}/notebooks/{number}")
        await sweep(at, page)
        await watch(at, page)
        await compare(at, page)
        await page.goto(f"{at.url}/notebooks/{number}")
        await schedule(at, page)
        await look_around(at, page, number)
        assert at.complaints == []


async def tab_to(page: Page, wanted: Locator) -> None:
    """On with the tabulator, as far as something."""
    for _ in range(100):
        await page.keyboard.press("Tab")
        if await wanted.evaluate("one => one === document.activeElement"):
            return
    raise AssertionError(f"{wanted} is not reached in {page.url}")


async def test_a_notebook_is_executed_and_a_question_answered_by_the_keyboard_alone(
    service: Any, notebook: Path
) -> None:
    async with looking(service.url, "laptop", 1280) as at:
        page = await at.page()
        number = await register(at, page, notebook)
        await page.request.post(f"{at.url}/db/schedules", data={"notebook_id": number, "name": "s", "cron": "@daily"})
        await page.goto(f"{at.url}/notebooks/{number}")
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        await page.keyboard.press("Enter")
        await tab_to(page, page.locator("[name='p.depth']"))
        await page.keyboard.press("Control+A")
        await page.keyboard.type("4")
        await page.keyboard.press("Enter")
        await ended(page)
        await expect(page.locator("main .status-success").first).to_be_visible()
        await page.goto(f"{at.url}/schedules/1")
        await tab_to(page, page.get_by_role("button", name="Delete", exact=True))
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Delete this schedule?")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("heading", name="Delete this schedule?")).to_be_hidden()
        await expect(page.get_by_role("button", name="Delete", exact=True)).to_be_focused()
        assert at.complaints == []
