"""The editor of a notebook's parameters, in a browser."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from looking import Looking, ended, looking

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
CELL = 'region = "EMEA"\nmonths = 3\nold = "gone"\nfactor = 1.0\n'
DEFINED = [
    {"param_name": "region", "param_type": "string", "default_value": "EMEA"},
    {"param_name": "months", "param_type": "integer", "default_value": 3},
    {"param_name": "old", "param_type": "string", "default_value": "gone"},
]


async def register(at: Looking, page: Page, path: Path) -> int:
    body = {"name": "Sales", "file_path": str(path), "username": "ana"}
    made = await (await page.request.post(f"{at.url}/db/notebooks", data=body)).json()
    done = await page.request.post(f"{at.url}/db/parameters/bulk/{made['id']}", data=DEFINED)
    assert done.status == 201, await done.text()
    return made["id"]


def part(page: Page, name: str) -> Locator:
    """The fields of one parameter."""
    return page.get_by_role("group", name=name)


async def change(page: Page) -> None:
    """A type, rules, a default; one is left out, and one is new."""
    region, months = part(page, "Parameter region"), part(page, "Parameter months")
    await region.get_by_label("Options").fill("EMEA, AMER, APAC")
    await region.get_by_label("Default").fill("APAC")
    await months.get_by_label("Type").select_option("float")
    await months.get_by_label("Least").fill("0.5")
    await months.get_by_label("Most").fill("0.25")
    await months.get_by_label("Description").fill("how many, by half")
    await part(page, "Parameter old").get_by_label("in the form").uncheck()
    await page.get_by_text("Add another parameter").click()
    new = part(page, "A new parameter")
    await new.get_by_label("Name").fill("factor")
    await new.get_by_label("Type").select_option("integer")
    await new.get_by_label("Default").fill("2")
    await new.get_by_label("required").check()
    await new.get_by_label("Pattern").fill("[0-9]")


async def is_as_it_was_typed(page: Page) -> None:
    region, months = part(page, "Parameter region"), part(page, "Parameter months")
    await expect(region.get_by_label("Options")).to_have_value("EMEA, AMER, APAC")
    await expect(region.get_by_label("Default")).to_have_value("APAC")
    await expect(months.get_by_label("Type")).to_have_value("float")
    await expect(months.get_by_label("Least")).to_have_value("0.5")
    await expect(months.get_by_label("Description")).to_have_value("how many, by half")
    await expect(part(page, "Parameter old").get_by_label("in the form")).not_to_be_checked()
    factor = part(page, "Parameter factor")
    await expect(factor.get_by_label("Type")).to_have_value("integer")
    await expect(factor.get_by_label("Default")).to_have_value("2")
    await expect(factor.get_by_label("required")).to_be_checked()


async def the_form_asks_for_them(page: Page) -> None:
    """The form of the notebook, and what it gives to the notebook."""
    await expect(page.get_by_text("The parameters are saved.")).to_be_visible()
    options = page.get_by_label("region").locator("option")
    await expect(options).to_have_text(["Not given", "EMEA", "AMER", "APAC"])
    await expect(page.get_by_label("region")).to_have_value("APAC")
    slider = page.get_by_label("months, as a slider")
    assert [float(await slider.get_attribute(name) or "") for name in ("min", "max")] == [0.5, 12]
    await expect(page.get_by_text("how many, by half")).to_be_visible()
    await expect(page.get_by_label("factor")).to_have_value("2")
    await expect(page.get_by_label("old")).to_have_count(0)
    await page.locator("[name='p.months']").fill("1.5")
    await page.get_by_label("region").select_option("AMER")
    await page.get_by_role("button", name="Execute", exact=True).click()
    await ended(page)
    await expect(page.locator("main .status-success").first).to_be_visible()
    await expect(page.frame_locator("iframe.sheet").get_by_text("AMER 1.5 2", exact=True)).to_be_visible()


@pytest.mark.parametrize(("name", "width"), [("laptop", 1280), ("phone", 390)])
async def test_parameters_are_changed_added_and_deleted(service: Any, home: Path, name: str, width: int) -> None:
    path = write_notebook(home / "sales.ipynb", "print(region, months, factor)", parameters=CELL)
    async with looking(service.url, name, width) as at:
        page = await at.page()
        number = await register(at, page, path)
        here = f"{at.url}/notebooks/{number}"
        await page.goto(here)
        await page.get_by_role("link", name="Parameters", exact=True).click()
        await page.wait_for_url(f"{here}/parameters")
        await change(page)
        await at.look(page, "parameters-changed")
        save = page.get_by_role("button", name="Save", exact=True)
        await save.click()
        await expect(page.get_by_text("Nothing was saved: 2 parameters are not right.")).to_be_visible()
        await expect(page.locator(".field-error")).to_have_count(2)
        await expect(part(page, "Parameter factor").locator(".field-error")).to_contain_text("pattern")
        await expect(part(page, "Parameter months").locator(".field-error")).to_contain_text("more than max")
        await is_as_it_was_typed(page)
        await at.look(page, "parameters-wrong")
        await part(page, "Parameter months").get_by_label("Most").fill("12")
        await part(page, "Parameter factor").get_by_label("Pattern").fill("")
        await part(page, "Parameter months").get_by_label("Default").fill("many")
        await save.click()
        await expect(part(page, "Parameter months").locator(".field-error")).to_contain_text("many")
        await part(page, "Parameter months").get_by_label("Default").fill("3")
        await save.click()
        await expect(page.get_by_text("Nothing was saved yet. old would be deleted")).to_be_visible()
        await is_as_it_was_typed(page)
        stored = await (await page.request.get(f"{at.url}/db/parameters/notebook/{number}")).json()
        assert [each["param_name"] for each in stored] == ["region", "months", "old"]
        await at.look(page, "parameters-question")
        await page.get_by_role("button", name="Save, and delete old").click()
        await page.wait_for_url(f"{here}?notice=parameters")
        await the_form_asks_for_them(page)
        remarks = re.compile(r"Failed to load resource: .* status of 422")
        assert [each for each in at.complaints if not remarks.match(each)] == []


async def test_a_time_of_a_definition_is_said_to_be_in_utc(service: Any, home: Path) -> None:
    async with looking(service.url, "laptop", 1280) as at:
        page = await at.page()
        number = await register(at, page, write_notebook(home / "n.ipynb", "", parameters=CELL))
        await page.goto(f"{at.url}/notebooks/{number}/parameters")
        months = part(page, "Parameter months")
        default = months.get_by_label("Default")
        await expect(default).to_have_accessible_description("What holds where nothing is given")
        await months.get_by_label("Type").select_option("datetime")
        for label in ("Default", "Options", "Least", "Most"):
            said = re.compile("; UTC where no zone is said$")
            await expect(months.get_by_label(label)).to_have_accessible_description(said)
        await default.fill("2026-07-01 08:00")
        await at.look(page, "definition-times")
        await page.get_by_role("button", name="Save", exact=True).click()
        await expect(page.get_by_text("The parameters are saved.")).to_be_visible()
        # By the clocks of Berlin.
        await expect(page.get_by_label("months")).to_have_value("2026-07-01T10:00")
        assert at.complaints == []


async def test_whoever_saves_after_somebody_else_is_told_so_first(service: Any, home: Path) -> None:
    async with looking(service.url, "laptop", 1280) as at:
        page, other = await at.page(), await at.page()
        number = await register(at, page, write_notebook(home / "n.ipynb", "", parameters=CELL))
        here = f"{at.url}/notebooks/{number}/parameters"
        await page.goto(here)
        await part(page, "Parameter months").get_by_label("Default").fill("7")
        await other.goto(here)
        await part(other, "Parameter region").get_by_label("Default").fill("APAC")
        await other.get_by_role("button", name="Save", exact=True).click()
        await expect(other.get_by_text("The parameters are saved.")).to_be_visible()
        await page.get_by_role("button", name="Save", exact=True).click()
        await expect(page.get_by_text("somebody saved the parameters after you had opened this form")).to_be_visible()
        await expect(part(page, "Parameter months").get_by_label("Default")).to_have_value("7")
        await at.look(page, "parameters-overtaken")
        async with page.expect_popup() as opened:
            await page.get_by_role("link", name="what there is by now").click()
        theirs = await opened.value
        await expect(part(theirs, "Parameter region").get_by_label("Default")).to_have_value("APAC")
        await part(page, "Parameter region").get_by_label("Default").fill("APAC")
        await page.get_by_role("button", name="Save", exact=True).click()
        await expect(page.get_by_text("The parameters are saved.")).to_be_visible()
        await expect(page.get_by_label("region")).to_have_value("APAC")
        await expect(page.locator("[name='p.months']")).to_have_value("7")
        remarks = re.compile(r"Failed to load resource: .* status of 409")
        assert [each for each in at.complaints if not remarks.match(each)] == []
