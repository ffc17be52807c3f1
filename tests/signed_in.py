"""A service whose people sign in at a real Keycloak, in browsers and with tokens of its."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from playwright.async_api import Page, expect

from keycloak import Realm
from looking import Looking
from pressroom.settings import Settings


@dataclass
class Stage:
    """The service, and the realm that its people sign in at."""

    url: str
    realm: Realm
    database: psycopg.Connection[Any]
    users: Path

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return self.database.execute(statement).fetchall()  # type: ignore[arg-type]

    def ask(self, username: str, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """One request to the API by a program that has the token of a user; the body of its answer."""
        headers["Authorization"] = f"Bearer {self.realm.token(username)}"
        answer = httpx.request(method, self.url + path, json=body, headers=headers, timeout=60)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def registered(self, username: str, path: Path, *parameters: dict[str, Any], **more: Any) -> int:
        """The id of a user's notebook, which is registered with these definitions."""
        body = {"name": path.stem, "file_path": str(path), "username": username} | more
        made = self.ask(username, "POST", "/db/notebooks", body)
        if parameters:
            self.ask(username, "POST", f"/db/parameters/bulk/{made['id']}", list(parameters))
        return made["id"]

    def end_sessions(self) -> None:
        """All sessions of browsers run out, here and at Keycloak."""
        self.database.execute("DELETE FROM sessions")
        self.realm.admin("POST", "/logout-all")


@contextmanager
def staged(settings: Settings, realm: Realm) -> Iterator[Stage]:
    changes = {"auth": ["oidc"], "oidc_issuer": realm.issuer}
    assert settings.database_url is not None
    running = pytest.Service(settings.model_copy(update=changes))  # type: ignore[attr-defined]
    with (
        running,
        psycopg.connect(settings.database_url.get_secret_value().replace("+psycopg", ""), autocommit=True) as plain,
    ):
        realm.change_client("pressroom", rootUrl=running.url)
        yield Stage(running.url, realm, plain, settings.users_root)


async def fill_in(page: Page, username: str) -> None:
    """Keycloak's form."""
    await page.locator("#username").fill(username)
    await page.locator("#password").fill(f"password of {username}")
    await page.locator("#kc-login").click()


async def sign_in(page: Page, username: str, address: str | re.Pattern[str]) -> None:
    """By Keycloak's form, whose own script may lead on as well, to a page of ours."""
    await fill_in(page, username)
    await expect(page).to_have_url(address)
    await page.wait_for_load_state()


async def come_in(at: Looking, username: str, path: str) -> Page:
    """A page of somebody whom the service does not know yet: it is shown once they have signed in at Keycloak."""
    page = await at.page()
    await page.goto(at.url + path)
    await sign_in(page, username, at.url + path)
    return page


def unexplained(at: Looking, *statuses: int) -> list[str]:
    """What our pages complained of, but for the remarks of the browser and of htmx on what is to be refused."""
    one = "|".join(map(str, statuses))
    remark = re.compile(rf"Failed to load resource: .* status of ({one})|Response Status Error Code ({one}) from ")
    return [each for each in at.complaints if f"({at.url}" in each and not remark.match(each)]
