"""People who sign in with a browser: a real Chromium, at a real Keycloak, with the realm that we ship."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.async_api import BrowserContext, Page, async_playwright, expect

from keycloak import Realm, own_server
from pressroom.settings import Settings
from signed_in import Stage, fill_in, staged

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
CHROMIUM = "/usr/bin/chromium"
PICTURES = os.environ.get("PRESSROOM_PICTURES")
"""A folder for pictures of the pages, to look at."""


@pytest.fixture(scope="module")
def people(realm: Realm) -> Realm:
    """The realm, with one more who may execute."""
    realm.add_user("cara", groups=("analysts",))
    return realm


@pytest.fixture
def stage(settings: Settings, people: Realm) -> Iterator[Stage]:
    with staged(settings, people) as made:
        yield made


@pytest.fixture
async def browser() -> AsyncIterator[BrowserContext]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        expect.set_options(timeout=60_000)
        context = await chromium.new_context()
        context.set_default_timeout(60_000)
        yield context
        await chromium.close()


async def picture(page: Page, name: str) -> None:
    if PICTURES:
        await page.screenshot(path=Path(PICTURES, f"{name}.png"))


async def sign_in(page: Page, url: str, username: str) -> None:
    """From `/docs` to Keycloak's form and back."""
    await page.goto(f"{url}/docs")
    await page.get_by_role("link", name="Sign in").click()
    await fill_in(page, username)
    await expect(page.get_by_text(f"Signed in as {username}")).to_be_visible(timeout=60_000)


FETCH = """async ([path, method, body, token]) => {
  const headers = {"Content-Type": "application/json", "Prefer": "wait=50"};
  if (token) headers["X-CSRF-Token"] = token;
  const answer = await fetch(path, {method, headers, body: body && JSON.stringify(body)});
  return [answer.status, await answer.json()];
}"""


async def test_somebody_signs_in_and_executes_and_signs_out(stage: Stage, browser: BrowserContext) -> None:
    path = write_notebook(stage.users / "cara" / "n.ipynb", "print(1)")
    page = await browser.new_page()
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    await sign_in(page, stage.url, "cara")
    assert page.url == f"{stage.url}/docs"
    assert {url for url in loaded if not url.startswith((stage.url, stage.realm.url, "data:"))} == set(), "no CDN"
    await picture(page, "docs-signed-in")

    [cookie] = [each for each in await browser.cookies() if each["name"] == "pressroom_session"]
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/")
    assert "pressroom_session" not in await page.evaluate("document.cookie")
    assert [each["name"] for each in await browser.cookies() if each["name"].startswith("pressroom_login")] == []

    # "Try it out" sends what a change needs.
    operation = page.locator("#operations-executions-execute_as_a_user")
    await operation.locator(".opblock-summary-control").click()
    await operation.get_by_role("button", name="Try it out").click()
    await operation.locator("textarea").fill(f'{{"input_path": "{path}"}}')
    async with page.expect_response(lambda answer: answer.url.endswith("/execute")) as executed:
        await operation.get_by_role("button", name="Execute", exact=True).click()
    assert (await (await executed.value).json())["status"] == "success"
    assert stage.rows("SELECT username, status, submitted_by FROM notebook_executions") == [("cara", "success", "cara")]

    # A script of the page that does not know the token changes nothing.
    body = {"input_path": str(path)}
    assert (await page.evaluate(FETCH, ["/execute", "POST", body, None]))[0] == 403
    _, told = await page.evaluate(FETCH, ["/session", "GET", None, None])
    assert (told["username"], told["groups"], told["source"]) == ("cara", ["analysts"], "oidc")
    status, answer = await page.evaluate(FETCH, ["/execute", "POST", body, told["csrf_token"]])
    assert (status, answer["status"]) == (200, "success")

    await page.get_by_role("link", name="Sign out").click()
    await expect(page.get_by_role("link", name="Sign in")).to_be_visible(timeout=60_000)
    assert page.url == f"{stage.url}/docs"
    entries = stage.rows("SELECT username, operation, allowed FROM audit_log ORDER BY id")
    assert entries[0] == ("cara", "finish_signing_in", True)
    assert entries[-1] == ("cara", "sign_out", True)
    stolen = {"Cookie": f"pressroom_session={cookie['value']}"}
    assert httpx.get(f"{stage.url}/session", headers=stolen).status_code == 401
    # Keycloak has forgotten the browser, too: it asks for the password again.
    await page.goto(f"{stage.url}/login")
    await expect(page.locator("#password")).to_be_visible(timeout=60_000)


async def test_a_viewer_who_signs_in_may_look_and_do_nothing_else(stage: Stage, browser: BrowserContext) -> None:
    page = await browser.new_page()
    await sign_in(page, stage.url, "ben")
    _, told = await page.evaluate(FETCH, ["/session", "GET", None, None])
    assert told["scopes"] == ["read"]
    status, refused = await page.evaluate(FETCH, ["/execute", "POST", {"input_path": "n.ipynb"}, told["csrf_token"]])
    assert (status, refused["scope"]) == (403, "execute")


async def test_a_session_that_ends_at_keycloak_ends_here(stage: Stage, browser: BrowserContext) -> None:
    page = await browser.new_page()
    await sign_in(page, stage.url, "cara")
    [cara] = stage.realm.admin("GET", "/users?exact=true&username=cara")
    stage.realm.admin("POST", f"/users/{cara['id']}/logout")
    assert (await page.evaluate(FETCH, ["/session", "GET", None, None]))[0] == 401
    assert stage.rows("SELECT count(*) FROM sessions") == [(0,)]


EVIL = """<form method=post action="{url}/db/tokens" enctype="text/plain">
<input name='{{"scopes": ["read"], "name": "' value='"}}'></form><script>document.forms[0].submit()</script>"""


async def test_another_sites_page_can_have_nothing_done(stage: Stage, browser: BrowserContext) -> None:
    page = await browser.new_page()
    await sign_in(page, stage.url, "cara")
    # Under localhost the browser takes it for another site than 127.0.0.1; under the same name at another port, not.
    for site in ("http://localhost:9", "http://127.0.0.1:9"):
        await page.route(
            f"{site}/evil", lambda route: route.fulfill(body=EVIL.format(url=stage.url), content_type="text/html")
        )
        async with page.expect_response(lambda answer: answer.url.endswith("/db/tokens")) as posted:
            await page.goto(f"{site}/evil")
        assert (await posted.value).status in (401, 403)
    assert stage.rows("SELECT count(*) FROM access_tokens") == [(0,)]
    refused = stage.rows("SELECT username, status FROM audit_log WHERE operation = 'make_a_token' ORDER BY id")
    assert refused == [(None, 401), ("cara", 403)], (
        "the cookie does not come from another site; within the site, it is not enough"
    )


async def test_with_keycloak_killed_who_is_in_goes_on_and_nobody_else_comes_in_until_it_is_back(
    settings: Settings, browser: BrowserContext
) -> None:
    with own_server() as (keycloak, realm), staged(settings, realm) as stage:
        realm.add_password_client()
        for username in ("cara", "dora"):
            realm.add_user(username, groups=("analysts",))
        path = write_notebook(stage.users / "cara" / "n.ipynb", "print(1)")
        page = await browser.new_page()
        await sign_in(page, stage.url, "cara")
        token = realm.token("dora")

        keycloak.stop(signal.SIGKILL)
        with pytest.raises(httpx.ConnectError):
            httpx.get(realm.issuer)
        await page.reload()
        await expect(page.get_by_text("Signed in as cara")).to_be_visible()
        _, told = await page.evaluate(FETCH, ["/session", "GET", None, None])
        done = await page.evaluate(FETCH, ["/execute", "POST", {"input_path": str(path)}, told["csrf_token"]])
        assert (done[0], done[1]["status"]) == (200, "success")
        assert (await page.evaluate(FETCH, ["/db/executions", "GET", None, None]))[1][0]["username"] == "cara"
        answer = httpx.get(f"{stage.url}/db/notebooks", headers={"Authorization": f"Bearer {token}"}, timeout=60)
        assert answer.status_code == 200, answer.text

        assert browser.browser is not None
        another = await browser.browser.new_context()
        another.set_default_timeout(60_000)
        newcomer = await another.new_page()
        refused = await newcomer.goto(f"{stage.url}/login?next=/redoc")
        assert refused is not None
        assert refused.status == 503
        await expect(newcomer.get_by_text("The issuer cannot be reached")).to_be_visible()
        again = newcomer.get_by_role("link", name="Try again")
        assert await again.get_attribute("href") == "/login?next=%2Fredoc"
        await picture(newcomer, "issuer-away")
        # Who signs out is out here, whatever the issuer says.
        await page.get_by_role("link", name="Sign out").click()
        await expect(page.get_by_role("link", name="Sign in")).to_be_visible()
        assert stage.rows("SELECT count(*) FROM sessions") == [(0,)]

        keycloak.start()
        await again.click()
        await fill_in(newcomer, "dora")
        await newcomer.wait_for_url(f"{stage.url}/redoc", timeout=60_000)
        assert stage.rows("SELECT username, source FROM sessions") == [("dora", "oidc")]


async def test_whoever_does_not_sign_in_is_told_so_in_words(stage: Stage, browser: BrowserContext) -> None:
    page = await browser.new_page()
    await page.goto(f"{stage.url}/login")
    [attempt] = [each for each in await browser.cookies() if each["name"].startswith("pressroom_login")]
    assert attempt["httpOnly"]
    state = httpx.URL(page.url).params["state"]
    answer = await page.goto(
        f"{stage.url}/login/callback?error=access_denied&error_description=<b>No.</b>&state={state}"
    )
    assert answer is not None
    assert answer.status == 401
    await expect(page.get_by_role("heading", name="You are not signed in")).to_be_visible()
    await expect(page.get_by_text("access_denied: <b>No.</b>")).to_be_visible()
    await picture(page, "refused")
    await page.get_by_role("link", name="Try again").click()
    await expect(page.locator("#password")).to_be_visible()
    [(username, status, facts)] = stage.rows("SELECT username, status, facts FROM audit_log")
    assert (username, status) == (None, 401)
    assert "access_denied" in facts["why"]
