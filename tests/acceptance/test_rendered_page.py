"""A hostile notebook's page in a real browser: what its scripts try, and what comes of it."""

import json
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from playwright.async_api import Page, async_playwright

from pressroom.notebooks.rendering import SANDBOX, to_html

CHROMIUM = "/usr/bin/chromium"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
ATTACK = """
<pre id="report"></pre>
<form id="form" method="post" action="/db/form"><input name="a" value="1"></form>
<iframe name="inner"></iframe>
<script>
(async () => {
  const report = {};
  const attempt = async (name, action) => {
    try { report[name] = String(await action()); } catch (error) { report[name] = 'refused: ' + error.name; }
  };
  const loaded = (element, address) => new Promise((done, refused) => {
    element.onload = () => done('loaded');
    element.onerror = () => refused(new DOMException('', 'Blocked'));
    element.src = address;
    document.body.append(element);
  });
  await attempt('origin', () => self.origin);
  await attempt('cookie', () => document.cookie);
  await attempt('set cookie', () => { document.cookie = 'evil=1'; return document.cookie; });
  await attempt('storage', () => localStorage.length);
  await attempt('database', () => indexedDB.open('x'));
  await attempt('fetch', async () => (await fetch('/db/fetch', {credentials: 'include'})).status);
  await attempt('blind post', async () =>
    (await fetch('/db/post', {method: 'POST', mode: 'no-cors', credentials: 'include'})).type);
  await attempt('xhr', () => new Promise((done, refused) => {
    const request = new XMLHttpRequest();
    request.onload = () => done(request.status);
    request.onerror = () => refused(new DOMException('', 'Blocked'));
    request.open('GET', '/db/xhr');
    request.send();
  }));
  await attempt('beacon', () => { navigator.sendBeacon('/db/beacon', 'x'); return 'called'; });
  await attempt('image', () => loaded(new Image(), '/db/image'));
  await attempt('script', () => loaded(document.createElement('script'), '/db/script'));
  await attempt('socket', () => new Promise((done, refused) => {
    const socket = new WebSocket('ws://' + new URL(document.baseURI).host + '/db/socket');
    socket.onopen = () => done('open');
    socket.onerror = () => refused(new DOMException('', 'Blocked'));
  }));
  await attempt('worker', () => navigator.serviceWorker.register('/db/worker'));
  await attempt('window', () => String(window.open('/db/window')));
  await attempt('parent', () => window.parent === window ? 'none' : window.parent.document.title);
  await attempt('top', () => { if (window.top !== window) window.top.location = '/db/top'; return 'called'; });
  await attempt('frame', () => { document.querySelector('iframe').src = '/db/frame'; return 'called'; });
  await attempt('form', () => { document.getElementById('form').submit(); return 'called'; });
  await attempt('picture', () => document.querySelector('img[alt=pixel]').naturalWidth);
  document.getElementById('report').textContent = JSON.stringify(report);
})();
</script>
"""
LOOK = """
<pre id="report"></pre>
<script>document.getElementById('report').textContent = JSON.stringify({cookie: document.cookie});</script>
"""


def hostile(attack: str) -> bytes:
    show = new_output("display_data", data={"text/html": attack})
    picture = new_markdown_cell("![pixel](attachment:p.png)", attachments={"p.png": {"image/png": PIXEL}})
    return to_html(
        nbformat.writes(new_notebook(cells=[picture, new_code_cell("show()", outputs=[show])])).encode(),
        hide_input=False,
    )


class Site:
    """A service with a cookie session, one rendered notebook, and a page that holds it in a frame."""

    def __init__(self, headers: dict[str, str], attack: str = ATTACK) -> None:
        self.asked: list[str] = []
        page, site = hostile(attack), self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(f"{self.command} {self.path}")
                self.send_response(200)
                body = b"<title>the service</title>"
                sent = {"Set-Cookie": "session=secret; SameSite=Lax"}
                if self.path == "/notebook":
                    body, sent = page, headers
                elif self.path == "/framed":
                    body = b"<title>the service</title><iframe src=/notebook width=800 height=600></iframe>"
                for name, value in sent.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> "Site":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def reached(self) -> set[str]:
        """What the notebook's scripts got at."""
        return {path for path in self.asked if "/db/" in path}


@pytest.fixture
def site() -> Iterator[Site]:
    with Site(dict(SANDBOX)) as running:
        yield running


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page()
        page.set_default_timeout(60_000)
        yield page
        await browser.close()


async def tried(frame: Any) -> dict[str, str]:
    report = await frame.wait_for_selector("#report:not(:empty)", state="attached")
    return json.loads(await report.text_content())


REFUSED = ("cookie", "set cookie", "storage", "database", "fetch", "blind post", "xhr", "image", "script", "socket")


async def test_a_notebooks_script_can_do_nothing_as_the_one_who_looks(site: Site, page: Page) -> None:
    await page.goto(site.url)
    await page.goto(f"{site.url}/notebook")
    report = await tried(page.main_frame)
    assert report["origin"] == "null"
    assert {name: report[name] for name in REFUSED if not report[name].startswith("refused")} == {}
    assert report["worker"].startswith("refused")
    assert report["window"] == "null"
    assert report["picture"] == "1"
    assert page.url == f"{site.url}/notebook"
    assert site.reached == set()
    assert [cookie["name"] for cookie in await page.context.cookies()] == ["session"]


async def test_in_a_frame_it_cannot_reach_the_page_around_it(site: Site, page: Page) -> None:
    await page.goto(f"{site.url}/framed")
    [frame] = page.main_frame.child_frames
    report = await tried(frame)
    assert report["parent"].startswith("refused")
    assert report["top"].startswith("refused")
    assert page.url == f"{site.url}/framed"
    assert await page.title() == "the service"
    assert site.reached == set()


async def test_without_the_headers_a_notebook_reads_the_cookie(page: Page) -> None:
    """What the other tests would see, were the headers not there: the page's own policy does not sandbox."""
    with Site({}, LOOK) as open_site:
        await page.goto(open_site.url)
        await page.goto(f"{open_site.url}/notebook")
        assert "session=secret" in (await tried(page.main_frame))["cookie"]
