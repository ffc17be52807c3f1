"""A sign-in that ran out, in a browser: at a real Keycloak one signs in again, and finds what one had typed."""

import re

import pytest
from playwright.async_api import Page, expect

from looking import Looking, ended, looking
from pressroom.executions import following
from pressroom.identity.attempt import LONGEST_PATH
from signed_in import Stage, come_in, sign_in, unexplained

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
PASSWORD = "correct horse battery"
DEFINED = (
    {"param_name": "region", "param_type": "string", "validation_rules": {"options": ["EMEA", "Île & co"]}},
    {"param_name": "months", "param_type": "integer", "default_value": 3, "validation_rules": {"min": 1, "max": 24}},
    {"param_name": "since", "param_type": "date"},
    {"param_name": "note", "param_type": "string"},
    {"param_name": "password", "param_type": "string", "secret": True},
)
WIDTHS = pytest.mark.parametrize(("name", "width"), [("laptop", 1280), ("phone", 390)])


@pytest.fixture(scope="module")
def number(stage: Stage) -> int:
    """A notebook of `cara`'s with a field of each kind."""
    path = write_notebook(
        stage.users / "cara" / "n.ipynb", "print(months)", parameters="region = months = since = note = password = None"
    )
    return stage.registered("cara", path, *DEFINED)


async def come_back(at: Looking, page: Page) -> None:
    """From the page that says that nothing was done, by Keycloak's form."""
    await expect(page.get_by_text("Nothing was done. What you typed is filled in again")).to_be_visible()
    await page.get_by_role("link", name="Sign in").click()
    await sign_in(page, "cara", re.compile(re.escape(at.url)))


async def is_as_it_was(page: Page, note: str) -> None:
    await expect(page.get_by_label("region")).to_have_value("Île & co")
    await expect(page.locator("[name='p.months']")).to_have_value("7")
    await expect(page.get_by_label("months, as a slider")).to_have_value("7")
    await expect(page.get_by_label("since")).to_have_value("2026-02-28")
    await expect(page.get_by_label("note")).to_have_value(note)
    await expect(page.get_by_label("Time limit")).to_have_value("90")
    await expect(page.get_by_label("password")).to_have_value("")
    await expect(page.locator("#call-curl")).to_contain_text('"months": 7')


@WIDTHS
@pytest.mark.parametrize("note", ["short, with 'ä' & <b>", "long: " + "x" * 2500], ids=["short", "long"])
async def test_a_form_that_was_sent_too_late_is_filled_in_after_the_sign_in_and_works(
    stage: Stage, number: int, name: str, width: int, note: str
) -> None:
    async with looking(stage.url, name, width) as at:
        page = await come_in(at, "cara", f"/notebooks/{number}")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.get_by_label("region").select_option("Île & co")
        await page.get_by_label("since").fill("2026-02-28")
        await page.get_by_label("note").fill(note)
        await page.get_by_label("password").fill(PASSWORD)
        await page.get_by_text("How it is executed").click()
        await page.get_by_label("Time limit").fill("90")
        before = stage.rows("SELECT count(*) FROM notebook_executions")
        stage.end_sessions()
        await page.locator("[name='p.months']").fill("7")
        await expect(page.get_by_text("Your session is over, and what is shown may be old.")).to_be_visible()
        await at.look(page, "session-over")
        await page.get_by_role("button", name="Execute", exact=True).click()
        await expect(page.get_by_role("link", name="Sign in")).to_be_visible()
        await at.look(page, "sign-in-again")
        by_storage = len(note) > LONGEST_PATH
        kept = await page.evaluate("JSON.stringify({...sessionStorage, ...localStorage})")
        assert (note in kept, PASSWORD in kept) == (by_storage, False)
        assert PASSWORD not in await page.content()
        await come_back(at, page)
        assert page.url.startswith(f"{at.url}/notebooks/{number}")
        await is_as_it_was(page, note)
        assert await page.evaluate("sessionStorage.getItem('pressroom.form')") is None, "it is filled in once"
        assert stage.rows("SELECT count(*) FROM notebook_executions") == before
        await page.get_by_label("password").fill(PASSWORD)
        await page.get_by_role("button", name="Execute", exact=True).click()
        await ended(page)
        await expect(page.locator("main .status-success").first).to_be_visible()
        [(used, limit)] = stage.rows(
            "SELECT parameters_used, timeout_seconds FROM notebook_executions ORDER BY id DESC LIMIT 1"
        )
        assert used | {"password": None} == {
            "region": "Île & co",
            "months": 7,
            "since": "2026-02-28",
            "note": note,
            "password": None,
        }
        assert limit == 90
        assert not [url for url in asked if "horse" in url], "a secret is in no address"
        assert unexplained(at, 401) == []


async def test_a_page_that_is_followed_leads_to_the_sign_in_when_the_session_is_over_and_goes_on_after_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "ALIVE_SECONDS", 0.6)
    gate = stage.users / "gate"
    waiting = f"import time\nfrom pathlib import Path\nwhile not Path({str(gate)!r}).exists():\n    time.sleep(0.05)"
    path = write_notebook(stage.users / "cara" / "long.ipynb", "print('here')", waiting, "print('done')")
    body = {"input_path": str(path)}
    sent = stage.ask("cara", "POST", "/execute", body, Prefer="respond-async")
    async with looking(stage.url, "laptop", 1280) as at:
        here = f"/executions/{sent['id']}"
        page = await come_in(at, "cara", "/home")
        async with page.expect_response(lambda answer: "/events" in answer.url):
            await page.goto(at.url + here)
        await expect(page.locator("[data-part=output]")).to_contain_text("here")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        stage.end_sessions()
        await expect(page.locator("#password")).to_be_visible()
        assert len([url for url in asked if "/events" in url]) == 1, "it is not asked for again and again"
        await sign_in(page, "cara", at.url + here)
        await expect(page.locator("[data-part=output]")).to_contain_text("here")
        await page.goto(f"{at.url}/home")
        await expect(page.locator("#now .status-running")).to_be_visible()
        stage.end_sessions()
        await expect(page.locator("#password")).to_be_visible()
        await sign_in(page, "cara", f"{at.url}/home")
        # What is in this part of the page comes anew every now and then, under a click too.
        await expect(page.locator("#now").get_by_role("link", name="long").first).to_have_attribute("href", here)
        await page.goto(at.url + here)
        gate.touch()
        await expect(page.locator("main .status-success").first).to_be_visible()
        await expect(page.frame_locator("iframe.sheet").get_by_text("done", exact=True)).to_be_visible()
        assert unexplained(at, 401) == []


async def test_tabs_whose_session_is_over_each_come_back_to_where_they_were(stage: Stage, number: int) -> None:
    here = f"/notebooks/{number}"
    async with looking(stage.url, "laptop", 1280) as at:
        page = await come_in(at, "cara", here)
        other = await at.page()
        await other.goto(f"{at.url}/executions")
        stage.end_sessions()
        await page.reload()
        await other.reload()
        await expect(other.locator("#password")).to_be_visible()
        await sign_in(page, "cara", at.url + here)
        # Keycloak itself goes on in the tabs in which it asks for the password as well.
        await expect(other).to_have_url(f"{at.url}/executions")
        await page.locator("[name='p.months']").fill("5")
        await page.get_by_role("button", name="Execute", exact=True).click()
        await ended(page)
        await expect(page.locator("main .status-success").first).to_be_visible()
        await other.get_by_role("button", name="Sign out").click()
        await expect(other.get_by_role("heading", name="You are signed out")).to_be_visible()
        await at.look(other, "signed-out")
        assert unexplained(at, 401) == []


@WIDTHS
@pytest.mark.parametrize("note", ["short, with 'ä' & <b>", "long: " + "x" * 2500], ids=["short", "long"])
async def test_a_form_that_is_sent_after_signing_in_anew_in_another_tab_is_filled_in_again_and_works(
    stage: Stage, number: int, name: str, width: int, note: str
) -> None:
    here = f"/notebooks/{number}"
    async with looking(stage.url, name, width) as at:
        page = await come_in(at, "cara", here)
        await page.get_by_label("note").fill(note)
        await page.get_by_label("password").fill(PASSWORD)
        before = stage.rows("SELECT count(*) FROM notebook_executions")
        stage.end_sessions()
        other = await at.page()
        await other.goto(f"{at.url}/executions")
        await sign_in(other, "cara", f"{at.url}/executions")
        await page.locator("[name='p.months']").fill("7")
        await expect(page.get_by_text("What is shown may be old: you have signed in anew since")).to_be_visible()
        await page.get_by_role("button", name="Execute", exact=True).click()
        await expect(page.get_by_role("heading", name="You have signed in anew")).to_be_visible()
        said = "Nothing was done. What you typed is filled in again on its page; secrets are not."
        await expect(page.get_by_text(said)).to_be_visible()
        await at.look(page, "signed-in-anew")
        await page.get_by_role("link", name="Back to the form").click()
        await expect(page.get_by_label("note")).to_have_value(note)
        await expect(page.locator("[name='p.months']")).to_have_value("7")
        await expect(page.get_by_label("password")).to_have_value("")
        assert stage.rows("SELECT count(*) FROM notebook_executions") == before
        await page.get_by_label("password").fill(PASSWORD)
        await page.get_by_role("button", name="Execute", exact=True).click()
        await ended(page)
        await expect(page.locator("main .status-success").first).to_be_visible()
        assert unexplained(at, 401, 403) == []


async def test_a_form_is_given_back_to_whoever_typed_it_alone(stage: Stage, number: int) -> None:
    here, note = f"/notebooks/{number}", "of cara: " + "x" * 2500
    async with looking(stage.url, "laptop", 1280) as at:
        page = await come_in(at, "cara", here)
        await page.get_by_label("note").fill(note)
        stage.end_sessions()
        await page.get_by_role("button", name="Execute", exact=True).click()
        await expect(page.get_by_text("Nothing was done. What you typed is filled in again")).to_be_visible()
        assert note in await page.evaluate("sessionStorage.getItem('pressroom.form')")
        stage.ask("cara", "PUT", f"/db/notebooks/{number}/grants/user/dora", {"level": "runner"})
        await page.get_by_role("link", name="Sign in").click()
        await sign_in(page, "dora", at.url + here)
        await expect(page.locator("#call-curl")).to_contain_text("curl")
        assert await page.evaluate("sessionStorage.getItem('pressroom.form')") is None
        await expect(page.get_by_label("note")).to_have_value("")
        assert unexplained(at, 401) == []


@pytest.mark.parametrize("said", ["short", "long: " + "x" * 2500], ids=["short", "long"])
async def test_a_form_that_was_given_back_replaces_nothing_that_was_saved_meanwhile_unasked(
    stage: Stage, said: str
) -> None:
    path = write_notebook(stage.users / "cara" / f"edited-{len(said)}.ipynb", "", parameters="months = 3")
    gone, months, added = (
        {"param_name": name, "param_type": "integer", "default_value": value}
        for name, value in (("gone", 1), ("months", 3), ("added", 5))
    )
    number = stage.registered("cara", path, gone, months)
    here = f"/notebooks/{number}/parameters"
    async with looking(stage.url, "laptop", 1280) as at:
        page = await come_in(at, "cara", here)
        described = page.get_by_role("group", name="Parameter months").get_by_label("Description")
        await described.fill(said)
        stage.end_sessions()
        await page.get_by_role("button", name="Save", exact=True).click()
        there = {row["param_name"]: row["id"] for row in stage.ask("cara", "GET", f"/db/parameters/notebook/{number}")}
        stage.ask("cara", "PUT", f"/db/parameters/{there['months']}", {"default_value": 12})
        stage.ask("cara", "DELETE", f"/db/parameters/{there['gone']}")
        stage.ask("cara", "POST", f"/db/parameters/bulk/{number}", [added])
        await come_back(at, page)
        await expect(described).to_have_value(said)
        await page.get_by_role("button", name="Save", exact=True).click()
        await expect(page.get_by_text("somebody saved the parameters after")).to_be_visible()
        await expect(described).to_have_value(said)
        stored = f"SELECT param_name, default_value, description FROM notebook_parameters WHERE notebook_id = {number}"
        assert set(stage.rows(stored)) == {("months", 12, None), ("added", 5, None)}
        await page.get_by_role("button", name="Save", exact=True).click()
        await expect(page.get_by_text("The parameters are saved.")).to_be_visible()
        assert {("months", 3, said), ("added", 5, None)} <= set(stage.rows(stored))
        assert unexplained(at, 401, 409) == []
