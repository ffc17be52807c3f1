"""The interactive documentation in a real browser: it works, under a policy that lets no other script run."""

from typing import Any

import pytest
from playwright.async_api import async_playwright

CHROMIUM = "/usr/bin/chromium"


REDOCS_LOGO = "https://cdn.redoc.ly/redoc/logo-mini.svg"
"""It would come from Redoc's makers, who need not know who reads here: the one thing that is refused."""


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_a_page_of_the_documentation_works_and_breaks_no_policy(service: Any, path: str) -> None:
    said: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        answer = await page.goto(service.url + path, wait_until="networkidle")
        assert answer is not None
        policy = answer.headers["content-security-policy"]
        if path == "/docs":
            await page.locator("#operations-service-root button").first.click()
            await page.get_by_role("button", name="Try it out").click()
            await page.locator("button.execute").click()
            await page.locator(".live-responses-table").get_by_text('"pressroom"').first.wait_for()
        else:
            await page.get_by_text("Typed, checked parameters of registered notebooks").first.wait_for()
        assert [text for text in said if REDOCS_LOGO not in text] == []
        said.clear()
        # What was injected into the page would run nowhere.
        async with page.expect_console_message(lambda message: "Content Security Policy" in message.text):
            await page.evaluate("""() => {
                const script = document.createElement('script');
                script.textContent = 'window.injected = true';
                document.body.append(script);
            }""")
        assert await page.evaluate("() => window.injected === undefined")
        await browser.close()
    assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]
    assert len(said) == 1
    assert "Content Security Policy" in said[0]
