"""A browser that looks at pages: at barriers in them, at what is wider than they are, and at what their console says.

Where ``PRESSROOM_PICTURES`` names a folder, a picture of each page goes there.
"""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect

from axe import violations

CHROMIUM = "/usr/bin/chromium"
PICTURES = os.environ.get("PRESSROOM_PICTURES")
OF_COLOURS = ("color-contrast", "link-in-text-block")
"""The rules of axe-core that the scheme matters to: nothing but colours differs between light and dark."""
_AS_IN_THE_DOCS = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const put = (text) => text.replace(/\\/[^\\s"']*\\/home\\/(?=ana)/g, "/home/")
    .replace(/127\\.0\\.0\\.1:\\d+/g, "127.0.0.1:8002").replace(/\\bvm(-\\d+)?\\b/g, "press-1");
  while (walker.nextNode()) walker.currentNode.data = put(walker.currentNode.data);
  for (const field of document.querySelectorAll("input[name=path]")) {
    field.dataset.was = field.value;
    field.value = put(field.value);
  }
}"""
"""A picture shows the paths, the address and the names that the docs speak of."""
_PAINTED = """() => new Promise(done => {
  document.querySelector("iframe.sheet")?.scrollIntoView({behavior: "instant"});
  requestAnimationFrame(() => requestAnimationFrame(done));
})"""
"""A frame that lies below what is seen of a page is not painted, whatever is in it."""
_AS_IT_WAS = """() => {
  for (const field of document.querySelectorAll("[data-was]")) field.value = field.dataset.was;
}"""


@dataclass
class Looking:
    """A browser of a certain width, and all that its pages complained of."""

    browser: Browser
    context: BrowserContext
    url: str
    name: str
    width: int
    scripts: bool = True
    complaints: list[str] = field(default_factory=list)

    async def page(self) -> Page:
        page = await self.context.new_page()
        page.on("console", self._told)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page

    def _told(self, told: ConsoleMessage) -> None:
        if told.type == "error":
            self.complaints.append(f"{told.text} ({told.location['url']})")

    async def look(self, page: Page, name: str) -> None:
        """There is no barrier in either scheme, nothing is wider than the page, and on a laptop the keyboard alone
        comes to all of it."""
        if self.scripts:
            await self._look(page, name)
            return
        # axe-core waits for timers, which such a page has none of: it looks at what stands there in another page.
        html = re.sub(r"<script.*?</script>|</?noscript>|<meta http-equiv[^>]*>", "", await _html(page))
        async with _context(self.browser, self.width, scripts=True) as context:
            shown = await context.new_page()
            await shown.route(page.url, lambda route: route.fulfill(body=html, content_type="text/html"))
            await shown.goto(page.url)
            await self._look(shown, name)

    async def _look(self, page: Page, name: str) -> None:
        await page.wait_for_load_state()
        for scheme, rules in (("light", ()), ("dark", OF_COLOURS)):
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            found = await violations(page, *rules)
            assert found == [], f"{name}, {scheme}: {found}"
            if PICTURES:
                await page.evaluate(_AS_IN_THE_DOCS)
                await page.evaluate(_PAINTED)
                await page.screenshot(path=Path(PICTURES, f"{name}-{self.name}-{scheme}.png"), full_page=True)
                await page.evaluate(_AS_IT_WAS)
        wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{name} is {wide} pixels too wide"
        if self.name == "laptop":
            await reached_by_keyboard(page)


async def _html(page: Page) -> str:
    """All of a page, as it stands. One that loads itself again may do so at any moment: it is read in a way that begins
    anew then, and not before its foot is there, which comes last."""
    root = page.locator("html:has(body > footer)")
    said = [f'{name}="{await root.get_attribute(name)}"' for name in ("lang", "data-theme")]
    return f"<!DOCTYPE html><html {' '.join(said)}>{await root.inner_html()}</html>"


async def ended(page: Page) -> None:
    """The execution whose page was gone to is over, and its page has come to its end: that of one that runs goes to
    itself anew then, whatever it was sent to meanwhile."""
    await page.wait_for_url("**/executions/*")
    await expect(page.locator("iframe.sheet")).to_be_visible()


@asynccontextmanager
async def _context(browser: Browser, width: int, *, scripts: bool) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(
        viewport={"width": width, "height": 900},
        timezone_id="Europe/Berlin",
        locale="en-GB",
        java_script_enabled=scripts,
    )
    context.set_default_timeout(60_000)
    yield context
    await context.close()


@asynccontextmanager
async def looking(url: str, name: str, width: int, *, scripts: bool = True) -> AsyncIterator[Looking]:
    """``scripts=False``: as somebody sees the pages whose browser executes none."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        expect.set_options(timeout=30_000)
        async with _context(chromium, width, scripts=scripts) as context:
            yield Looking(chromium, context, url, name, width, scripts)
        await chromium.close()


_STOPS = """() => [...(document.querySelector("dialog:modal") ?? document).querySelectorAll(
    "a[href], button, input, select, textarea, summary, [tabindex='0']")]
  .filter(one => one.type !== "hidden" && !one.disabled && one.checkVisibility({visibilityProperty: true})
    && !one.closest("details:not([open]) > :not(summary)"))
  .map((one, at) => { one.dataset.stop = at; return String(at); })"""
_AT = """() => {
  const one = document.activeElement;
  // A mark of a chart has its line around the shape in it.
  const seen = (each) => getComputedStyle(each).outlineStyle !== "none" || getComputedStyle(each).stroke !== "none";
  return [one?.dataset.stop ?? null, one !== null && ![one, ...one.querySelectorAll("rect")].some(seen)];
}"""
_LEFT = """(stops) => stops.map(at => document.querySelector(`[data-stop='${at}']`))
  .filter(one => one !== null).map(one => one.outerHTML.slice(0, 200))"""
"""Those that are still there: a page that lives has put others in the place of some."""
_IN_A_FRAME = 200
"""How many stops the notebook in its frame may have."""


async def reached_by_keyboard(page: Page) -> None:
    """The tabulator alone comes to everything that can be used, and it is seen where one is."""
    left = set(await page.evaluate(_STOPS))
    unseen: set[str] = set()
    await page.evaluate("() => { document.activeElement?.blur(); scrollTo(0, 0); }")
    # A date has a stop for each of its parts.
    for _ in range(2 * len(left) + _IN_A_FRAME):
        if not left:
            break
        await page.keyboard.press("Tab")
        at, invisible = await page.evaluate(_AT)
        if at in left and invisible:
            unseen.add(at)
        left.discard(at)
    missed = await page.evaluate(_LEFT, sorted(left))
    assert missed == [], f"not reached in {page.url}: {missed}"
    invisible = await page.evaluate(_LEFT, sorted(unseen))
    assert invisible == [], f"what has the focus is not seen in {page.url}: {invisible}"
    await page.evaluate("() => { document.activeElement?.blur(); scrollTo(0, 0); }")
