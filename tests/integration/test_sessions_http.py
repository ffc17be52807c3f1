"""What a browser does in a session, and what others have it do."""

from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import text

from pressroom.database.session import Database
from pressroom.database.shared_read import SharedReads
from pressroom.identity.cookies import csrf_token
from pressroom.identity.principal import Principal
from pressroom.identity.sessions import Sessions
from pressroom.session_settings import SessionSettings
from pressroom.settings import Settings

Service = pytest.Service  # type: ignore[attr-defined]
BEN = Principal.person("ben", groups=["analysts"], roles=["reader"], source="oidc")


async def begun(database: Database) -> str:
    async with database.transaction() as session:
        return await Sessions(database, SharedReads(), SessionSettings()).start(session, BEN)


class Page:
    """What a browser of `ben` sends from a page of the service; each part can be another one."""

    def __init__(self, http: httpx.Client, url: str, secret: str) -> None:
        self.http, self.secret = http, secret
        self.headers = {"Cookie": f"pressroom_session={secret}", "X-CSRF-Token": csrf_token(secret), "Origin": url}

    def sends(self, method: str = "POST", path: str = "/db/tokens", **headers: str | None) -> httpx.Response:
        given = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in given.items() if value is not None}
        return self.http.request(method, path, headers=sent, json={"scopes": ["read"]} if method == "POST" else None)


@pytest.fixture
async def page(settings: Settings, database: Database) -> Any:
    secret = await begun(database)
    changes = {"auth": ["oidc"], "oidc_issuer": "http://127.0.0.1:9/realms/pressroom", "workers": 0}
    with (
        Service(settings.model_copy(update=changes)) as running,
        httpx.Client(base_url=running.url, timeout=60) as http,
    ):
        yield Page(http, running.url, secret)


def test_a_page_changes_something_in_its_users_name(page: Page, plain: psycopg.Connection[Any]) -> None:
    made = page.sends()
    assert made.status_code == 201, made.text
    assert made.json()["username"] == "ben"
    assert page.sends(Origin=None, Sec_Fetch_Site="same-origin").status_code == 201
    entries = plain.execute("SELECT username, source, operation, allowed FROM audit_log ORDER BY id").fetchall()
    assert entries == [("ben", "oidc", "make_a_token", True)] * 2


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"X_CSRF_Token": None}, "X-CSRF-Token"),
        ({"X_CSRF_Token": ""}, "X-CSRF-Token"),
        ({"X_CSRF_Token": "0" * 64}, "X-CSRF-Token"),
        ({"X_CSRF_Token": csrf_token("A" * 43)}, "X-CSRF-Token"),
        ({"Origin": None}, "Origin"),
        ({"Origin": "null"}, "Origin"),
        ({"Origin": "https://evil.example.com"}, "Origin"),
        ({"Origin": "http://127.0.0.1:1"}, "Origin"),
        ({"Origin": "https://evil.example.com", "Sec_Fetch_Site": "same-origin"}, "Origin"),
        ({"Origin": None, "Sec_Fetch_Site": "same-site"}, "Origin"),
        ({"Origin": None, "Sec_Fetch_Site": "none"}, "Origin"),
    ],
)
def test_what_another_site_has_a_browser_send_changes_nothing(
    page: Page, plain: psycopg.Connection[Any], headers: dict[str, str | None], why: str
) -> None:
    refused = page.sends(**headers)
    assert refused.status_code == 403
    assert why in refused.json()["detail"]
    assert plain.execute("SELECT count(*) FROM access_tokens").fetchone() == (0,)
    entries = plain.execute("SELECT username, operation, status FROM audit_log").fetchall()
    assert entries == [("ben", "make_a_token", 403)]


def test_every_method_that_changes_something_is_guarded(page: Page) -> None:
    for method, path in (("POST", "/execute"), ("PUT", "/db/notebooks/1"), ("DELETE", "/db/tokens/1")):
        assert page.sends(method, path, X_CSRF_Token=None).status_code == 403
    assert page.sends("GET", "/db/tokens", X_CSRF_Token=None, Origin=None).status_code == 200


def test_a_page_is_told_who_is_signed_in(page: Page) -> None:
    told = page.sends("GET", "/session", X_CSRF_Token=None, Origin=None)
    assert told.headers["Cache-Control"] == "no-store"
    assert told.json() == {
        "username": "ben",
        "groups": ["analysts"],
        "roles": ["reader"],
        "scopes": ["execute", "read", "write"],
        "source": "oidc",
        "csrf_token": csrf_token(page.secret),
    }
    assert page.http.get("/session").status_code == 401


def test_a_cookie_is_worthless_after_its_user_has_signed_out(page: Page) -> None:
    assert page.sends(path="/logout", X_CSRF_Token=None).status_code == 403
    assert page.sends("GET", "/session").status_code == 200
    out = page.sends(path="/logout")
    assert out.status_code == 200
    assert 'pressroom_session=""; ' in out.headers["Set-Cookie"]
    assert "Max-Age=0" in out.headers["Set-Cookie"]
    for method, path in (("GET", "/session"), ("GET", "/db/notebooks"), ("POST", "/db/tokens"), ("POST", "/logout")):
        refused = page.sends(method, path)
        assert refused.status_code == 401
        assert "sign in again" in refused.json()["detail"]


def test_whoever_sends_a_token_is_whom_it_stands_for(page: Page) -> None:
    made = page.sends().json()
    mine = {"Authorization": f"Bearer {made['token']}"}
    told = page.sends("GET", "/session", **mine)
    assert told.json()["source"] == "token"
    assert told.json()["csrf_token"] is None
    assert page.sends("GET", "/session", Authorization="Bearer prs_wrong").status_code == 401
    refused = page.sends(path="/logout", **mine)
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/invalid")
    assert "scope write" in page.sends(X_CSRF_Token=None, **mine).json()["detail"], "no word of the session"
    assert page.sends("GET", "/session").json()["source"] == "oidc"


def test_a_cookie_that_somebody_else_has_added_is_not_taken(page: Page) -> None:
    twice = f"pressroom_session={'A' * 43}; pressroom_session={page.secret}"
    refused = page.sends("GET", "/session", Cookie=twice)
    assert refused.status_code == 401
    assert "more than once" in refused.json()["detail"]
    assert page.sends("GET", "/session", Cookie=f"a=1;pressroom_session={page.secret}; b").status_code == 200
    assert page.sends("GET", "/session", Cookie=f"xpressroom_session={page.secret}").status_code == 401


def test_a_kept_answer_is_not_sent_into_a_session_that_has_ended(page: Page) -> None:
    assert [page.sends("GET", "/db/notebooks").status_code for _ in range(4)] == [200] * 4
    assert page.sends(path="/logout").status_code == 200
    assert page.sends("GET", "/db/notebooks").status_code == 401


async def test_where_nobody_signs_in_a_cookie_means_nothing(settings: Settings, database: Database) -> None:
    secret = await begun(database)
    with Service(settings) as running:
        told = httpx.get(f"{running.url}/session", headers={"Cookie": f"pressroom_session={secret}"})
    assert (told.json()["username"], told.json()["source"]) == ("ana", "local")


async def test_beside_the_local_user_a_session_is_its_own_users(settings: Settings, database: Database) -> None:
    secret = await begun(database)
    changes = {"auth": ["local", "oidc"], "oidc_issuer": "http://127.0.0.1:9/", "workers": 0}
    with (
        Service(settings.model_copy(update=changes)) as running,
        httpx.Client(base_url=running.url, timeout=60) as http,
    ):
        mine = {"Cookie": f"pressroom_session={secret}"}
        assert http.get("/session").json()["username"] == "ana"
        assert http.get("/session", headers=mine).json()["username"] == "ben"
        async with database.transaction() as session:
            await session.execute(text("UPDATE sessions SET expires_at = now()"))
        assert http.get("/session", headers=mine).status_code == 401
