"""The charts of a comparison in a browser: what is drawn of executions that failed, and of what is picked out."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Page, expect

from looking import looking
from page_forms import registered

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
WATCHED = """
window.drawn = [];
for (const [kind, style] of [["stroke", "strokeStyle"], ["fill", "fillStyle"]]) {
  const draw = CanvasRenderingContext2D.prototype[kind];
  CanvasRenderingContext2D.prototype[kind] = function (...given) {
    drawn.push([this[style], kind === "stroke" && this.getLineDash().length ? "dashed" : kind]);
    return draw.apply(this, given);
  };
}
"""
"""Remembers what is drawn on each canvas: the colour, and whether it is a line, a dashed line or an area."""
AT_REST = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
OF_THE_LEGEND = """(name) => {
  const brush = document.createElement("canvas").getContext("2d");
  brush.fillStyle = getComputedStyle(document.querySelector(`.chart-${name}`)).color;
  return brush.fillStyle;
}"""


@pytest.fixture
def compared(http: httpx.Client, home: Path) -> dict[str, Any]:
    """A batch of three executions, of which the second one fails."""
    notebook = registered(
        http,
        write_notebook(home / "work.ipynb", "1 / (number - 1)", parameters="number = 0"),
        {"param_name": "number", "param_type": "integer"},
    )
    made = http.post("/db/batches", json={"notebook_id": notebook, "grid": {"number": [0, 1, 2]}})
    assert made.status_code == 201, made.text
    return made.json()


async def drawn(page: Page, name: str) -> set[str]:
    """What was drawn, once or again, of the colour that the legend has for ``name``."""
    await page.evaluate(AT_REST)
    colour = await page.evaluate(OF_THE_LEGEND, name)
    return {kind for each, kind in await page.evaluate("window.drawn") if each == colour}


async def test_what_failed_has_another_shape_than_the_others_whatever_its_colour(
    http: httpx.Client, compared: dict[str, Any]
) -> None:
    async with looking(str(http.base_url).rstrip("/"), "laptop", 1280) as at:
        page = await at.page()
        await page.add_init_script(WATCHED)
        await page.goto(f"{at.url}/batches/{compared['id']}")
        await expect(page.get_by_role("heading", name="3 of 3 executions ended")).to_be_visible()
        await page.goto(f"{at.url}/notebooks/{compared['notebook_id']}/compare")
        await expect(page.locator("[data-part=scatter] .u-over")).to_be_visible()
        assert await drawn(page, "failed") == {"dashed", "stroke"}, "a dashed line, and a cross"
        assert await drawn(page, "line") == {"stroke", "fill"}, "lines, and dots"
        await at.look(page, "compare-failed")
        await page.evaluate(AT_REST)
        await page.evaluate("window.drawn = []")
        failed = page.locator("tr[data-row]", has=page.locator(".status-failed"))
        await failed.locator("input[type=checkbox]").check()
        await expect(page.locator("[data-part=picked]")).to_have_text("1 of 3 picked out")
        assert await drawn(page, "failed") == set()
        assert await drawn(page, "picked") == {"dashed", "stroke"}
        assert at.complaints == []
