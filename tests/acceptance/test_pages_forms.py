"""What forms do under the hand, in a browser: while a button is pressed, while something is sent, and between forms."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import expect

from looking import looking
from page_forms import registered

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
DEFINED: list[dict[str, Any]] = [
    {"param_name": "months", "param_type": "integer", "default_value": 3},
    {"param_name": "share", "param_type": "float", "required": True, "validation_rules": {"min": 0, "max": 1}},
]
FULL = """() => {
  for (const length of [1 << 20, 1 << 10, 1]) {
    const text = "x".repeat(length);
    try {
      for (let number = 0; ; number++) sessionStorage.setItem(`${length}-${number}`, text);
    } catch (error) {
      if (error.name !== "QuotaExceededError") throw error;
    }
  }
}"""
"""As much is kept in the tab as the browser keeps."""
WATCHED = """() => {
  const form = document.getElementById("run-form");
  new MutationObserver(() => {
    const line = getComputedStyle(document.body, "::before").animationName;
    sessionStorage.setItem("seen", `${form.getAttribute("aria-busy")} ${line}`);
  }).observe(form, { attributeFilter: ["aria-busy"] });
}"""
"""What the page shows once the form is sent, the line along the top among it, is found on the next page."""
HOW = {"Queue": "reports", "Priority": "7", "Time limit": "90", "Attempts": "2"}


@pytest.fixture
def number(http: httpx.Client, home: Path) -> int:
    return registered(http, write_notebook(home / "n.ipynb", "print(months, share)"), *DEFINED)


async def test_a_button_that_is_pressed_is_still_there_when_it_is_let_go(service: Any, number: int) -> None:
    async with looking(service.url, "laptop", 1280) as at:
        page = await at.page()
        await page.goto(f"{at.url}/notebooks/{number}/sweep")
        await page.get_by_label("share").fill("0.5")
        await page.get_by_label("months").press_sequentially("1, 2, 4")
        await expect(page.locator(".total")).to_contain_text("3 executions")
        button = page.get_by_role("button", name="Execute 3 times")
        box = await button.bounding_box()
        assert box is not None
        plan = await page.locator("#plan").element_handle()
        await page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        await page.mouse.down()  # which leaves the field: what is in it is counted once more
        await page.wait_for_function("plan => !plan.isConnected", arg=plan)
        await page.mouse.up()
        await expect(page.get_by_role("heading", name="of 3 executions ended")).to_be_visible()
        assert at.complaints == []


async def test_a_slider_does_not_look_as_if_it_had_been_set(service: Any, number: int) -> None:
    async with looking(service.url, "laptop", 1280) as at:
        page = await at.page()
        await page.goto(f"{at.url}/notebooks/{number}")
        slider, typed = page.get_by_label("share, as a slider"), page.locator("[name='p.share']")
        await expect(typed).to_have_value("")
        await expect(slider).to_have_attribute("aria-valuetext", "nothing is given")
        await expect(slider).to_have_css("opacity", "0.4")
        await at.look(page, "slider-idle")
        await slider.press("ArrowRight")
        await expect(typed).to_have_value("0.51")
        await expect(slider).to_have_css("opacity", "1")
        assert await slider.get_attribute("aria-valuetext") is None
        await typed.fill("")
        await expect(slider).to_have_attribute("aria-valuetext", "nothing is given")
        assert at.complaints == []


async def test_how_it_is_executed_comes_along_to_the_other_forms(service: Any, number: int) -> None:
    async with looking(service.url, "laptop", 1280) as at:
        page = await at.page()
        await page.goto(f"{at.url}/notebooks/{number}")
        await page.locator("[name='p.months']").fill("5")
        await page.get_by_text("How it is executed").click()
        for label, value in HOW.items():
            await page.get_by_label(label, exact=True).fill(value)
        for link in ("As a sweep", "On a schedule", "Once"):
            await page.get_by_role("link", name=link).click()
            await expect(page.locator("[aria-current=true]", has_text=link)).to_be_visible()
            await expect(page.locator("[name='p.months']")).to_have_value("5")
            for label, value in HOW.items():
                await expect(page.get_by_label(label, exact=True)).to_have_value(value)
        assert at.complaints == []


async def test_what_is_sent_says_so_while_it_is_under_way(service: Any, number: int) -> None:
    async with looking(service.url, "laptop", 1280) as at:
        page = await at.page()
        await page.goto(f"{at.url}/notebooks/{number}")
        await page.locator("[name='p.share']").fill("0.5")
        assert await page.evaluate("getComputedStyle(document.body, '::before').animationName") == "none"
        await page.evaluate(WATCHED)
        await page.get_by_role("button", name="Execute", exact=True).click()
        await expect(page.frame_locator("iframe.sheet").get_by_text("3 0.5", exact=True)).to_be_visible()
        assert await page.evaluate("sessionStorage.getItem('seen')") == "true pass"
        assert at.complaints == []


async def test_a_form_is_sent_where_the_browser_has_no_room_to_keep_it(service: Any, number: int) -> None:
    async with looking(service.url, "laptop", 1280) as at:
        page = await at.page()
        await page.goto(f"{at.url}/notebooks/{number}")
        await page.evaluate(FULL)
        await page.locator("[name='p.share']").fill("0.5")
        await page.get_by_role("button", name="Execute", exact=True).click()
        await expect(page.frame_locator("iframe.sheet").get_by_text("3 0.5", exact=True)).to_be_visible()
        assert at.complaints == []
