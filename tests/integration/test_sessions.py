"""Sessions of browsers: good for their time, for one browser, and for changes from our own pages only."""

from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import URL, select, text
from starlette.responses import Response

from pressroom.database.models import BrowserSession
from pressroom.database.session import Database
from pressroom.database.shared_read import SharedReads
from pressroom.errors import NotAllowed, NotAuthenticated
from pressroom.identity import sessions
from pressroom.identity.cookies import Site, csrf_token
from pressroom.identity.principal import Principal
from pressroom.identity.sessions import Sessions
from pressroom.session_settings import SessionSettings
from pressroom.settings import Settings

Service = pytest.Service  # type: ignore[attr-defined]
BEN = Principal.person("ben", groups=["analysts"], roles=["reader"], source="oidc")
KEPT = "what only the browser may bring back"


def of(database: Database, **settings: Any) -> Sessions:
    return Sessions(database, SharedReads(), SessionSettings(**settings))


async def begun(database: Database, principal: Principal = BEN, **more: Any) -> str:
    async with database.transaction() as session:
        return await of(database).start(session, principal, **more)


async def changed(database: Database, assignment: str) -> None:
    async with database.transaction() as session:
        await session.execute(text(f"UPDATE sessions SET {assignment}"))


async def test_a_session_stands_for_whoever_signed_in(database: Database) -> None:
    first, second = await begun(database), await begun(database)
    assert first != second, "each sign-in has a secret of its own"
    assert await of(database).principal(first) == BEN


@pytest.mark.parametrize("secret", ["", "A" * 43, "A" * 44, "' OR 1=1 --", "ä" * 43])
async def test_what_is_no_secret_is_refused(database: Database, secret: str) -> None:
    await begun(database)
    with pytest.raises(NotAuthenticated, match="sign in again"):
        await of(database).principal(secret)


@pytest.mark.parametrize(
    ("assignment", "good"),
    [
        ("expires_at = now() + interval '1 minute'", True),
        ("expires_at = now()", False),
        ("last_used_at = now() - interval '119 minutes'", True),
        ("last_used_at = now() - interval '120 minutes'", False),
    ],
)
async def test_a_session_ends_after_its_time_and_when_it_is_idle(
    database: Database, assignment: str, good: bool
) -> None:
    secret = await begun(database)
    await changed(database, assignment)
    if good:
        assert await of(database).principal(secret) == BEN
        return
    with pytest.raises(NotAuthenticated):
        await of(database).principal(secret)


async def test_a_request_keeps_a_session_from_being_idle_and_not_from_its_end(database: Database) -> None:
    secret = await begun(database)
    await changed(database, "last_used_at = now() - interval '90 minutes', created_at = now() - interval '9 hours'")
    await of(database).principal(secret)
    async with database.transaction() as session:
        unused, left = (
            await session.execute(text("SELECT now() - last_used_at, expires_at - now() FROM sessions"))
        ).one()
    assert unused.total_seconds() < 60
    assert 9.9 < left.total_seconds() / 3600 < 10.0
    await changed(database, "expires_at = now()")
    with pytest.raises(NotAuthenticated):
        await of(database).principal(secret)


async def test_the_settings_say_how_long(database: Database) -> None:
    async with database.transaction() as session:
        secret = await of(database, session_hours=1).start(session, BEN)
    async with database.transaction() as session:
        ends = (await session.execute(text("SELECT expires_at - now() FROM sessions"))).scalar_one()
    assert 3500 < ends.total_seconds() <= 3600
    await changed(database, "last_used_at = now() - interval '6 minutes'")
    with pytest.raises(NotAuthenticated):
        await of(database, session_idle_minutes=5).principal(secret)


async def test_the_table_holds_nothing_that_is_good_for_anything(database: Database) -> None:
    secret = await begun(database, kept=KEPT, subject="f:1", issuer_session="s-1")
    async with database.transaction() as session:
        row = (await session.execute(text("SELECT sessions::text FROM sessions"))).scalar_one()
    for told in (secret, KEPT, csrf_token(secret)):
        assert told not in row
        assert told.encode().hex() not in row


async def test_what_was_kept_comes_back_at_the_end_and_the_session_is_worthless(database: Database) -> None:
    secret, other = await begun(database, kept=KEPT), await begun(database)
    async with database.transaction() as session:
        assert await sessions.end(session, secret) == KEPT
        assert await sessions.end(session, secret) is None
    with pytest.raises(NotAuthenticated):
        await of(database).principal(secret)
    assert await of(database).principal(other) == BEN
    async with database.transaction() as session:
        assert await sessions.end(session, other) is None


async def test_the_issuer_ends_one_of_its_sessions_or_all_of_a_user(database: Database) -> None:
    first = await begun(database, subject="ben-there", issuer_session="1")
    second = await begun(database, subject="ben-there", issuer_session="2")
    await begun(database, subject="ana-there", issuer_session="3")
    async with database.transaction() as session:
        ended = await sessions.end_of_issuer(session, "oidc", subject="ben-there", issuer_session="1")
        assert ended == 1
        assert await sessions.end_of_issuer(session, "jupyterhub", subject="ben-there", issuer_session=None) == 0
    with pytest.raises(NotAuthenticated):
        await of(database).principal(first)
    assert await of(database).principal(second) == BEN
    async with database.transaction() as session:
        assert await sessions.end_of_issuer(session, "oidc", subject="ben-there", issuer_session=None) == 1
        assert (await session.scalars(select(BrowserSession.subject))).all() == ["ana-there"]


async def test_a_sign_in_clears_away_the_sessions_whose_time_is_over(database: Database) -> None:
    for assignment in ("expires_at = now()", "last_used_at = now() - interval '3 hours'"):
        await begun(database)
        await changed(database, assignment)
        secret = await begun(database)
        async with database.transaction() as session:
            assert len((await session.scalars(select(BrowserSession.hash))).all()) == 1
        assert await of(database).principal(secret) == BEN


@pytest.mark.parametrize(
    ("public_url", "root_path", "cookie"),
    [
        ("https://p.example.com", "", "__Host-pressroom=x; HttpOnly; Path=/; SameSite=lax; Secure"),
        ("https://p.example.com:443/", "", "__Host-pressroom=x; HttpOnly; Path=/; SameSite=lax; Secure"),
        (
            "https://p.example.com/hub/pressroom",
            "",
            "__Secure-pressroom=x; HttpOnly; Path=/hub/pressroom; SameSite=lax; Secure",
        ),
        (
            "https://p.example.com",
            "/hub/pressroom",
            "__Secure-pressroom=x; HttpOnly; Path=/hub/pressroom; SameSite=lax; Secure",
        ),
        (None, "", "pressroom_session=x; HttpOnly; Path=/; SameSite=lax"),
        (None, "/pressroom", "pressroom_session=x; HttpOnly; Path=/pressroom; SameSite=lax"),
    ],
)
def test_the_cookie_is_for_this_service_alone(public_url: str | None, root_path: str, cookie: str) -> None:
    scope = {"scheme": "http", "headers": [(b"host", b"127.0.0.1:8002")], "root_path": root_path}
    site = Site.of(scope, public_url)
    assert site is not None
    response = Response()
    site.give(response, "x")
    assert response.headers["Set-Cookie"] == cookie


@pytest.mark.parametrize("host", [b"evil.example.com", b"127.0.0.1.example.com", b"[::1", b"", b"127.0.0.1:port"])
def test_without_a_public_url_there_are_sessions_on_this_machine_only(host: bytes) -> None:
    assert Site.of({"scheme": "http", "headers": [(b"host", host)]}, None) is None


def test_no_cookie_goes_over_a_network_in_the_clear() -> None:
    scope = {"scheme": "https", "headers": [(b"host", b"p.example.com")]}
    assert Site.of(scope, None) is None, "anybody may write that"
    assert Site.of(scope, "http://p.example.com") is None
    assert Site.of(scope, "http://[::1]:8002") == Site("http://[::1]:8002")


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


@pytest.fixture
def plain(database_url: URL) -> Iterator[psycopg.Connection[Any]]:
    url = database_url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


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
        await changed(database, "expires_at = now()")
        assert http.get("/session", headers=mine).status_code == 401


def test_our_own_pages_are_told_by_their_origin() -> None:
    site, secret = Site("https://p.example.com"), "s"

    def sent(*headers: tuple[bytes, bytes]) -> None:
        site.require_own_page({"headers": [*headers, (b"x-csrf-token", csrf_token(secret).encode())]}, secret)

    sent((b"origin", b"https://p.example.com"))
    for origin in (b"http://p.example.com", b"https://p.example.com:8443", b"https://p.example.com.evil.net"):
        with pytest.raises(NotAllowed):
            sent((b"origin", origin))
