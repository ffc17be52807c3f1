"""An execution that is tried again, and files that cannot be listed, in a browser."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from looking import Looking, looking

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
WORK = """from pathlib import Path
import time

first = Path("first").exists()
Path("first").touch()
if not first:
    print("this is the first try", flush=True)
    raise ValueError("the source is not there yet")
print("this is the second try", flush=True)
while not Path("gate").exists():
    time.sleep(0.05)
"""
UNTIL_THE_SECOND = """async (address) => {
  while ((await (await fetch(address)).json()).attempt < 2) await new Promise((then) => setTimeout(then, 50));
}"""
AGAIN: dict[str, Any] = {"max_attempts": 2, "retry_on": ["any_failure"], "retry_delay_seconds": 0}


@pytest.fixture
def kernel(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A kernel that comes up for the second attempt once the file ``up`` is there."""
    wait = 'while [ -e "$1/first" ] && [ ! -e "$1/up" ]; do sleep 0.05; done'
    argv = ["bash", "-c", f'{wait}; exec "$2" -m ipykernel_launcher -f "$3"', "kernel"]
    spec = {"argv": [*argv, str(home), sys.executable, "{connection_file}"], "display_name": "", "language": "python"}
    place = tmp_path / "jupyter" / "kernels" / "awaited"
    place.mkdir(parents=True)
    (place / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    return "awaited"


@pytest.mark.parametrize(("name", "width"), [("laptop", 1280), ("phone", 390)])
async def test_a_second_attempt_is_followed_without_the_output_of_the_first(
    kernel: str, service: Any, home: Path, name: str, width: int
) -> None:
    path: Path = write_notebook(home / "n.ipynb", WORK, kernel=kernel)
    async with looking(service.url, name, width) as at:
        page, late = await at.page(), await at.page()
        body = {"input_path": str(path), **AGAIN}
        sent = await page.request.post(f"{at.url}/execute", data=body, headers={"Prefer": "respond-async"})
        assert sent.status == 202, await sent.text()
        number = (await sent.json())["id"]
        here = f"{at.url}/executions/{number}"
        await page.goto(here)
        await page.evaluate(UNTIL_THE_SECOND, f"{at.url}/db/executions/{number}")
        # One that comes while the second attempt has told nothing yet hears of the first one's events.
        await late.goto(here)
        await expect(late.locator("#live")).to_have_attribute("data-attempt", "2")
        await expect(late.locator("[data-part=output]")).to_be_empty()
        (home / "up").touch()
        for each in (page, late):
            await expect(each.locator("[data-part=output]")).to_have_text("this is the second try\n")
            await expect(each.locator(".cell-running")).to_have_count(1)
        await at.look(late, "execution-second-attempt")
        (home / "gate").touch()
        for each in (page, late):
            await ended(at, each)
        assert at.complaints == []


async def test_what_is_put_back_is_said_to_wait_for_another_attempt_by_the_page_that_follows_it(
    service: Any, home: Path
) -> None:
    waits = "from pathlib import Path\nimport time\nwhile not Path('gate').exists():\n    time.sleep(0.05)\n1 / 0"
    path: Path = write_notebook(home / "n.ipynb", waits)
    async with looking(service.url, "laptop", 1280) as at:
        page = await at.page()
        body = {"input_path": str(path), **AGAIN, "retry_delay_seconds": 3600}
        sent = await page.request.post(f"{at.url}/execute", data=body, headers={"Prefer": "respond-async"})
        await page.goto(f"{at.url}/executions/{(await sent.json())['id']}")
        await expect(page.locator(".cell-running")).to_have_count(1)
        (home / "gate").touch()
        await expect(page.locator("#live-head")).to_have_text("Waiting to be tried again")
        await page.reload()
        row = page.locator("section", has=page.get_by_role("heading", name="Attempts")).locator("tbody tr")
        await expect(row).to_contain_text("ZeroDivisionError")
        assert at.complaints == []


async def ended(at: Looking, page: Page) -> None:
    """Both attempts are listed, the first with why it ended."""
    await expect(page.frame_locator("iframe.sheet").get_by_text("this is the second try", exact=True)).to_be_visible()
    rows = page.locator("section", has=page.get_by_role("heading", name="Attempts")).locator("tbody tr")
    await expect(rows).to_have_count(2)
    await expect(rows.nth(0)).to_contain_text("ValueError: the source is not there yet")
    await expect(rows.nth(1)).to_contain_text("it succeeded")
    await at.look(page, "execution-attempts")


async def test_files_that_cannot_be_listed_are_said_to_be_none(service: Any, home: Path) -> None:
    home.rmdir()
    async with looking(service.url, "phone", 390) as at:
        page = await at.page()
        await page.goto(f"{at.url}/notebooks/files")
        await expect(page.get_by_role("heading", name="Your files cannot be listed")).to_be_visible()
        await expect(page.locator(".empty")).to_contain_text("ana")
        await at.look(page, "files-none")
        assert at.complaints == []
