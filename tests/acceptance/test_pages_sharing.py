"""In a browser: an owner lets another person use a notebook and takes it back; and tokens, made and revoked."""

import re
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Page, expect

from looking import looking
from signed_in import Stage, come_in, unexplained

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
WIDTHS = pytest.mark.parametrize(("name", "width"), [("laptop", 1280), ("phone", 390)])


async def give(page: Page, grantee: str, may: str) -> None:
    await page.get_by_label("Name", exact=True).fill(grantee)
    await page.get_by_label("May", exact=True).select_option(label=f"may {may}")
    await page.get_by_role("button", name="Give this right").click()
    # That it is saved may stand there from before.
    await expect(page.get_by_role("row", name=grantee)).to_contain_text(f"may {may}")
    await expect(page.get_by_text("What others may do is saved.")).to_be_visible()


async def take_back(page: Page, grantee: str, sure: str) -> None:
    await page.get_by_role("button", name=f"Take back from {grantee}").click()
    await expect(page.get_by_role("heading", name=f"Take this back from {grantee}?")).to_be_visible()
    await page.get_by_role("button", name=sure).click()


@WIDTHS
async def test_an_owner_lets_somebody_use_a_notebook_and_takes_it_back(stage: Stage, name: str, width: int) -> None:
    path = write_notebook(stage.users / "cara" / f"shared-{name}.ipynb", "print(region)", parameters='region = "EMEA"')
    number = stage.registered("cara", path, {"param_name": "region", "param_type": "string"}, run_as="owner")
    here = f"/notebooks/{number}"
    async with looking(stage.url, name, width) as at, looking(stage.url, name, width) as elsewhere:
        page = await come_in(at, "cara", here)
        other = await come_in(elsewhere, "dora", "/notebooks")
        await expect(other.get_by_text(path.stem)).to_have_count(0)
        refused = await other.goto(elsewhere.url + here)
        assert refused is not None
        assert refused.status == 404

        await give(page, "dora", "look at it")
        await other.goto(f"{elsewhere.url}/notebooks")
        await other.get_by_role("link", name=path.stem).first.click()
        await expect(other.get_by_text("You may not execute it; its owner, cara, can let you.")).to_be_visible()
        await expect(other.get_by_role("button", name="Execute", exact=True)).to_have_count(0)
        await elsewhere.look(other, "notebook-of-another")

        await give(page, "dora", "execute it")
        await expect(page.get_by_role("row", name="dora")).to_have_count(1)
        await expect(page.get_by_role("row", name="dora")).to_contain_text("may execute it")
        await other.reload()
        await other.get_by_label("region").fill("APAC")
        await other.get_by_role("button", name="Execute", exact=True).click()
        await expect(other.locator("main .status-success").first).to_be_visible()
        await expect(other.frame_locator("iframe.sheet").get_by_text("APAC", exact=True)).to_be_visible()
        await expect(other.locator("#facts")).to_contain_text("as cara by dora")

        await other.goto(elsewhere.url + here)
        await take_back(page, "dora", "Leave it")
        await expect(page.get_by_role("heading", name="Take this back from dora?")).to_be_hidden()
        await page.get_by_role("button", name="Take back from dora").click()
        asked = page.get_by_role("heading", name="Take this back from dora?")
        await expect(asked).to_have_css("text-align", "start")
        await at.look(page, "grant-question")
        await page.get_by_role("button", name="Take it back").click()
        await expect(page.get_by_role("row", name="dora")).to_have_count(0)
        await expect(page.get_by_text("What others may do is saved.")).to_be_visible()
        # Of the page that stands open, nothing is executed any more.
        await other.get_by_role("button", name="Execute", exact=True).click()
        await expect(other.get_by_role("heading", name=re.compile("not found", re.IGNORECASE))).to_be_visible()
        await other.goto(f"{elsewhere.url}/notebooks")
        await expect(other.get_by_text(path.stem)).to_have_count(0)
        done = "SELECT count(*) FROM notebook_executions WHERE notebook_id = " + str(number)
        assert stage.rows(done) == [(1,)]
        assert [*unexplained(at), *unexplained(elsewhere, 404)] == []


@WIDTHS
async def test_a_group_is_let_in_and_a_name_that_is_none_is_refused_in_words(
    stage: Stage, name: str, width: int
) -> None:
    path: Path = write_notebook(stage.users / "cara" / f"of-group-{name}.ipynb", "print(1)")
    number = stage.registered("cara", path)
    async with looking(stage.url, name, width) as at:
        page = await come_in(at, "cara", f"/notebooks/{number}")
        await page.get_by_label("A user or a group").select_option("group")
        await page.get_by_label("May", exact=True).select_option(label="may look at it")
        field = page.get_by_label("Name", exact=True)
        for wrong, why in (
            ("  ", "String should have at least 1 character"),
            ("<analysts>", "String should match pattern"),
        ):
            await field.fill(wrong)
            await page.get_by_role("button", name="Give this right").click()
            await expect(page.locator(".grant .field-error")).to_have_text(re.compile(f"^{why}"))
            await expect(field).to_have_value(wrong)
            await expect(field).to_have_accessible_description(re.compile(why))
            await expect(page.get_by_label("A user or a group")).to_have_value("group")
            await expect(page.get_by_label("May", exact=True)).to_have_value("viewer")
        await at.look(page, "grant-wrong")
        await give(page, "analysts", "execute it")
        assert stage.ask("dora", "GET", f"/db/notebooks/{number}")["name"] == path.stem
        await take_back(page, "analysts", "Take it back")
        await expect(page.get_by_role("row", name="analysts")).to_have_count(0)
        await expect(page.get_by_text("What others may do is saved.")).to_be_visible()
        assert stage.ask("cara", "GET", f"/db/notebooks/{number}/grants") == []
        assert unexplained(at, 422) == []


@WIDTHS
async def test_whoever_is_let_in_is_told_what_to_do_about_a_file_that_is_out_of_their_reach(
    stage: Stage, name: str, width: int
) -> None:
    path: Path = write_notebook(stage.users / "cara" / f"at-home-{name}.ipynb", "print(1)")
    number = stage.registered("cara", path, {"param_name": "region", "param_type": "string"})
    async with looking(stage.url, name, width) as at, looking(stage.url, name, width) as elsewhere:
        page = await come_in(at, "cara", f"/notebooks/{number}")
        told = page.get_by_text("Whoever executes it does so with their own files, and has to reach this one")
        await expect(told).to_contain_text("With run_as: owner, which the API and pressroom notebooks update set")
        await give(page, "dora", "execute it")
        other = await come_in(elsewhere, "dora", f"/notebooks/{number}")
        await other.get_by_label("region").fill("APAC")
        await other.get_by_role("button", name="Execute", exact=True).click()
        said = other.get_by_role("alert")
        await expect(said).to_contain_text("lies outside the directory of dora")
        await expect(said).to_contain_text("Its owner, cara, can move it to a shared folder, or let others execute it")
        await expect(other.get_by_label("region")).to_have_value("APAC")
        await elsewhere.look(other, "notebook-out-of-reach")
        await other.get_by_role("link", name="On a schedule").click()
        await expect(other.get_by_label("region")).to_have_value("APAC")
        await other.get_by_role("button", name="Schedule it").click()
        await expect(said).to_contain_text("Its owner, cara, can move it to a shared folder, or let others execute it")
        await expect(other.get_by_label("region")).to_have_value("APAC")
        await elsewhere.look(other, "schedule-out-of-reach")
        await other.get_by_role("link", name="As a sweep").click()
        await other.get_by_label("region").fill("APAC, EMEA")
        await other.get_by_role("button", name="Execute 2 times").click()
        await expect(said).to_contain_text("Its owner, cara, can move it to a shared folder, or let others execute it")
        await expect(other.get_by_label("region")).to_have_value("APAC, EMEA")
        await elsewhere.look(other, "sweep-out-of-reach")
        await other.get_by_role("link", name="Once").click()
        await other.get_by_label("region").fill("APAC")
        stage.ask("cara", "PUT", f"/db/notebooks/{number}", {"run_as": "owner"})
        await page.reload()
        await expect(
            page.get_by_text("Whoever may execute it does so as cara, with the files of cara.")
        ).to_be_visible()
        await other.get_by_role("button", name="Execute", exact=True).click()
        await expect(other.locator("main .status-success").first).to_be_visible()
        assert stage.rows("SELECT count(*) > 0 FROM audit_log WHERE status = 403 AND username = 'dora'") == [(True,)]
        assert unexplained(elsewhere, 403) == []
        assert unexplained(at) == []


@WIDTHS
async def test_a_token_is_made_shown_once_used_and_revoked(stage: Stage, name: str, width: int) -> None:
    async with looking(stage.url, name, width) as at:
        page = await come_in(at, "cara", "/tokens")
        await page.get_by_label("Name").fill(f"nightly on a {name}")
        await page.get_by_label("For").select_option("7")
        await page.get_by_role("button", name="Make it").click()
        wrong = page.locator(".field-error")
        await expect(wrong).to_have_text("Tick what it may be used for.")
        await expect(page.get_by_label("Name")).to_have_value(f"nightly on a {name}")
        await expect(page.get_by_label("For")).to_have_value("7")
        await at.look(page, "tokens-wrong")
        await page.get_by_label("see what you see").check()
        await page.get_by_role("button", name="Make it").click()
        secret = await page.locator("#secret").inner_text()
        assert re.fullmatch(r"prs_[\w-]{43}", secret)
        await at.look(page, "token-made")

        def status(method: str, path: str) -> int:
            headers = {"Authorization": f"Bearer {secret}"}
            return httpx.request(method, at.url + path, json={}, headers=headers, timeout=60).status_code

        assert (status("GET", "/db/notebooks"), status("POST", "/execute")) == (200, 403), "as far as it was made for"
        await page.goto(f"{at.url}/tokens")
        assert secret not in await page.content()
        row = page.get_by_role("row").filter(has_text=f"nightly on a {name}")
        await expect(row.get_by_text("never")).to_have_count(0)
        await row.get_by_role("button", name=f"Revoke nightly on a {name}", exact=True).click()
        await expect(page.get_by_role("heading", name=f"Revoke nightly on a {name}?")).to_be_visible()
        await page.get_by_role("button", name="Leave it").click()
        assert status("GET", "/db/notebooks") == 200
        await row.get_by_role("button", name=f"Revoke nightly on a {name}", exact=True).click()
        await page.get_by_role("button", name="Revoke it").click()
        await expect(page.get_by_text("The token is worthless from now on.")).to_be_visible()
        await expect(row).to_contain_text("revoked")
        await expect(row.get_by_role("button")).to_have_count(0)
        assert status("GET", "/db/notebooks") == 401
        assert unexplained(at, 422) == []
