"""Under a real JupyterHub: from an execution's page to JupyterLab, where a copy of the notebook goes on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect
from sqlalchemy import URL

from hub import Hub
from hub_accounts import Account, account
from keycloak import Realm
from looking import PICTURES, looking
from pressroom.client import Client
from signed_in import sign_in

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
PARAMETERS = 'region = "EMEA"  # the sales region\nmonths = 3'
SUM = "total = 6 * months\nprint(f'{region}: {total}')"


@pytest.fixture(scope="module")
def ana(open_module_directory: Path) -> Iterator[Account]:
    """An account of this machine, in whose home is a notebook that fails."""
    homes = open_module_directory / "home"
    homes.mkdir()
    with account("ana", homes) as made:
        write_notebook(made.home / "sales.ipynb", SUM, "1 / 0", parameters=PARAMETERS)
        yield made


@pytest.fixture(scope="module")
def hub(realm: Realm, ana: Account, open_module_directory: Path, module_database_url: URL) -> Iterator[Hub]:
    """A Hub that has started Pressroom, which runs notebooks as their users."""
    realm.add_user(ana.name, groups=("analysts",))
    environment = {
        "DATABASE_URL": module_database_url.render_as_string(hide_password=False),
        "PRESSROOM_AUTH": "jupyterhub",
        "PRESSROOM_USERS_ROOT": str(ana.home.parent),
        "PRESSROOM_RUN_AS": "user",
        "PRESSROOM_WORKERS": "1",
        "PRESSROOM_PRELOAD": "none",
    }
    made = Hub(open_module_directory, realm, environment)
    made.configure(outside=False)
    try:
        made.start()
        yield made
    finally:
        made.stop()


async def sign_in_by_the_hub(page: Page, username: str, address: str) -> None:
    await page.goto(address)
    await page.get_by_text("Sign in with").click()
    await sign_in(page, username, address)


async def test_an_execution_that_failed_is_opened_in_jupyterlab_with_its_parameters_in_it(
    hub: Hub, ana: Account
) -> None:
    async with looking(hub.service, "laptop", 1280) as at:
        page = await at.page()
        await sign_in_by_the_hub(page, ana.name, f"{at.url}/home")
        with Client(at.url, token=hub.user_token(ana.name, "inherit")) as client:
            sent = client.submit(str(ana.home / "sales.ipynb"), {"region": "APAC", "months": 7})
        await page.goto(f"{at.url}/executions/{sent.id}")
        await expect(page.get_by_text("ZeroDivisionError").first).to_be_visible()
        await page.get_by_role("button", name="Open in JupyterLab").click()
        await expect(page.get_by_role("heading", name="A copy is in your directory")).to_be_visible()
        copy = ana.home / f"sales-{sent.id}.ipynb"
        await expect(page.locator("main code").first).to_have_text(copy.name)
        assert copy.stat().st_uid == ana.uid
        await at.look(page, "copied")
        await page.get_by_role("link", name="Open in JupyterLab").click()
        # The user's server is started for it.
        await page.wait_for_url(f"{hub.url}/user/{ana.name}/lab/tree/{copy.name}", timeout=300_000)
        # On a busy machine it takes its time, and so does its kernel.
        expect.set_options(timeout=120_000)
        notebook = page.locator(".jp-NotebookPanel:visible")
        cells = notebook.locator(".jp-CodeCell .cm-content")
        await expect(cells).to_have_count(4)
        await expect(cells.nth(0)).to_contain_text('region = "EMEA"')
        await expect(cells.nth(1)).to_contain_text('region = "APAC"')
        await expect(cells.nth(1)).to_contain_text("months = 7")
        await expect(notebook.locator(".jp-OutputArea-output")).to_have_count(0)
        # A key that comes before the kernel is there would have JupyterLab ask which kernel is wanted.
        await expect(notebook.locator(".jp-KernelName")).to_have_text("Python 3 (ipykernel)")
        await expect(notebook.locator(".jp-Notebook-ExecutionIndicator")).to_have_attribute("data-status", "idle")
        # It goes on from there: the cells run as the user, with these parameters.
        await cells.nth(0).click()
        for _ in range(3):
            await page.keyboard.press("Shift+Enter")
        await expect(notebook.locator(".jp-OutputArea-output").first).to_have_text("APAC: 42")
        if PICTURES:
            await page.screenshot(path=f"{PICTURES}/jupyterlab.png")
        assert [each for each in at.complaints if f"({at.url}" in each] == []
