"""The way of a browser through a sign-in over HTTP, with an issuer of the test's own."""

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import psycopg
import pytest
from joserfc import jwt

from own_issuer import ANOTHER, KEY, OwnIssuer
from pressroom.settings import Settings
from sign_ins import EVIL, Browser

Service = pytest.Service  # type: ignore[attr-defined]


@pytest.fixture
def browsers(settings: Settings, issuer: OwnIssuer) -> Iterator[Callable[[], Browser]]:
    """As many browsers as the test wants, of a service that signs people in at the test's issuer."""
    opened: list[Browser] = []
    changes = {"auth": ["oidc"], "oidc_issuer": issuer.url, "workers": 0}
    with Service(settings.model_copy(update=changes)) as running:

        def browser() -> Browser:
            opened.append(Browser(running.url, issuer))
            return opened[-1]

        yield browser
        for each in opened:
            each.http.close()


def test_from_the_service_to_the_issuer_and_back(
    browsers: Callable[[], Browser], issuer: OwnIssuer, plain: psycopg.Connection[Any]
) -> None:
    browser = browsers()
    asked = browser.begin()
    url = str(browser.http.base_url).rstrip("/")
    told = {name: asked[name] for name in ("response_type", "client_id", "scope", "redirect_uri")}
    assert told == {
        "response_type": "code",
        "client_id": "pressroom",
        "scope": "openid profile",
        "redirect_uri": f"{url}/login/callback",
    }
    back = browser.come_back(asked["state"])
    assert (back.status_code, back.headers["Location"]) == (303, f"{url}/redoc")
    assert back.headers["Cache-Control"] == "no-store"
    [(form, _)] = issuer.asked
    verifier = hashlib.sha256(form["code_verifier"].encode()).digest()
    assert asked["code_challenge_method"] == "S256"
    assert asked["code_challenge"] == base64.urlsafe_b64encode(verifier).rstrip(b"=").decode()
    assert (form["grant_type"], form["code"], form["redirect_uri"]) == (
        "authorization_code",
        "c",
        asked["redirect_uri"],
    )
    assert browser.whoami() == "ben"
    assert plain.execute("SELECT username, operation, allowed FROM audit_log").fetchall() == [
        ("ben", "finish_signing_in", True)
    ]


def test_each_sign_in_has_a_session_of_its_own_and_ends_the_one_before(
    browsers: Callable[[], Browser], plain: psycopg.Connection[Any]
) -> None:
    browser, thief = browsers(), browsers()
    planted = "A" * 43
    browser.http.cookies.set("pressroom_session", planted, domain="127.0.0.1")
    assert browser.come_back(browser.begin()["state"]).status_code == 303
    first = browser.http.cookies["pressroom_session"]
    assert first != planted
    assert browser.come_back(browser.begin()["state"]).status_code == 303
    assert browser.http.cookies["pressroom_session"] not in (first, planted)
    for worthless in (first, planted):
        thief.http.cookies.set("pressroom_session", worthless, domain="127.0.0.1")
        assert thief.whoami() is None
        thief.http.cookies.clear()
    assert plain.execute("SELECT count(*) FROM sessions").fetchone() == (1,)


def test_tabs_that_sign_in_at_once_each_come_back_to_where_they_were_in_one_session(
    browsers: Callable[[], Browser], issuer: OwnIssuer, plain: psycopg.Connection[Any]
) -> None:
    browser = browsers()
    first = browser.begin("/redoc")
    second = browser.begin("/docs?a=1")
    issuer.nonce = first["nonce"]
    assert browser.come_back(first["state"]).headers["Location"].endswith("/redoc")
    token = browser.http.get("/session").json()["csrf_token"]
    issuer.nonce = second["nonce"]
    assert browser.come_back(second["state"]).headers["Location"].endswith("/docs?a=1")
    assert browser.http.get("/session").json()["csrf_token"] == token, "the forms of the first tab's page are taken"
    assert plain.execute("SELECT count(*) FROM sessions").fetchone() == (1,)
    third = browser.begin("/redoc")
    plain.execute("UPDATE sessions SET username = 'ana', created_at = now()")
    issuer.nonce = third["nonce"]
    browser.come_back(third["state"])
    assert browser.whoami() == "ben", "whoever signs in is not who did before"


def test_a_browser_holds_the_sign_ins_that_began_last(browsers: Callable[[], Browser], issuer: OwnIssuer) -> None:
    browser = browsers()
    begun = [browser.begin("/docs?" + "a" * 1900) for _ in range(5)]
    held = [name for name in browser.http.cookies if name.startswith("pressroom_login-")]
    assert held == [f"pressroom_login-{asked['state'][:16]}" for asked in begun[-3:]]
    issuer.nonce = begun[-2]["nonce"]
    assert browser.come_back(begun[0]["state"]).status_code == 401
    assert browser.come_back(begun[-2]["state"]).status_code == 303


def test_a_sign_in_that_somebody_else_began_is_none(
    browsers: Callable[[], Browser], issuer: OwnIssuer, plain: psycopg.Connection[Any]
) -> None:
    thief, victim = browsers(), browsers()
    asked = thief.begin()
    state = asked["state"]
    for refused in (victim.come_back(state), victim.come_back("x"), victim.come_back("")):
        assert refused.status_code == 401
        assert "not begun in this browser" in refused.text
        assert 'href="/login"' in refused.text
    victim.begin()
    assert victim.come_back(state).status_code == 401
    assert issuer.asked == [], "the code was shown to nobody"
    assert victim.whoami() is None
    issuer.nonce = asked["nonce"]
    assert thief.come_back(state).status_code == 303
    again = thief.come_back(state)
    assert again.status_code == 401, "once only"
    refusals = plain.execute("SELECT facts ->> 'why' FROM audit_log WHERE NOT allowed AND status = 401").fetchall()
    assert len([why for (why,) in refusals if why and "not begun" in why]) == 5


def test_nobody_is_sent_to_another_site(browsers: Callable[[], Browser]) -> None:
    browser = browsers()
    for path in EVIL[:8]:
        refused = browser.http.get("/login", params={"next": path})
        assert (refused.status_code, "Location" in refused.headers) == (422, False), path
    assert browser.come_back(browser.begin("/%2F%2Fevil.example.com")["state"]).headers["Location"] == (
        f"{browser.http.base_url}".rstrip("/") + "/%2F%2Fevil.example.com"
    )


def test_a_refusal_is_a_page_for_people_and_a_document_for_programs(browsers: Callable[[], Browser]) -> None:
    browser = browsers()
    said = {"error": "access_denied", "error_description": "<script>alert(1)</script>"}
    state = browser.begin("/redoc?a=1&b=2")["state"]
    page = browser.come_back(state, **said)
    assert page.status_code == 401
    assert page.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text
    assert 'href="/login?next=%2Fredoc%3Fa%3D1%26b%3D2"' in page.text
    browser.http.headers["Accept"] = "*/*"
    document = browser.come_back(state, **said)
    assert document.json()["type"] == "/problems/not-authenticated"


def test_whose_address_nobody_has_said_is_told_which_setting_to_make(
    browsers: Callable[[], Browser], issuer: OwnIssuer
) -> None:
    refused = browsers().http.get("/login", headers={"Host": "pressroom.example.com"})
    assert refused.status_code == 503
    assert "PRESSROOM_PUBLIC_URL" in refused.text


def test_behind_a_public_address_the_browser_comes_back_to_that(settings: Settings, issuer: OwnIssuer) -> None:
    changes = {"auth": ["oidc"], "oidc_issuer": issuer.url, "workers": 0, "public_url": "https://p.example.com/press"}
    with Service(settings.model_copy(update=changes)) as running:
        sent = httpx.get(f"{running.url}/login?next=/press/docs")
        asked = parse_qs(urlsplit(sent.headers["Location"]).query)
        assert asked["redirect_uri"] == ["https://p.example.com/press/login/callback"]
        cookie = sent.headers["Set-Cookie"]
        assert cookie.startswith(f"__Secure-pressroom-login-{asked['state'][0][:16]}=")
        assert "; HttpOnly; Max-Age=600; Path=/press; SameSite=lax; Secure" in cookie
        issuer.nonce = asked["nonce"][0]
        back = httpx.get(
            f"{running.url}/login/callback",
            params={"code": "c", "state": asked["state"][0]},
            headers={"Cookie": cookie.split(";")[0]},
        )
        assert back.headers["Location"] == "https://p.example.com/press/docs"


def test_who_signs_out_is_sent_to_the_issuer_with_what_it_needs(
    browsers: Callable[[], Browser], issuer: OwnIssuer
) -> None:
    browser = browsers()
    browser.come_back(browser.begin()["state"])
    url = str(browser.http.base_url).rstrip("/")
    token = browser.http.get("/session").json()["csrf_token"]
    out = browser.http.post("/logout", headers={"Origin": url, "X-CSRF-Token": token}).json()["continue_at"]
    asked = dict(parse_qsl(urlsplit(out).query))
    assert out.startswith(f"{issuer.url}/logout?")
    assert asked["client_id"] == "pressroom"
    assert asked["post_logout_redirect_uri"] == f"{url}/docs"
    assert jwt.decode(asked["id_token_hint"], KEY).claims["sid"] == "s-1"
    assert browser.whoami() is None


LOGOUT = {"http://schemas.openid.net/event/backchannel-logout": {}}


def told_to_end(browser: Browser, token: str) -> httpx.Response:
    return httpx.post(browser.http.base_url.join("/logout/backchannel"), data={"logout_token": token})


def test_the_issuer_ends_the_sessions_that_it_has_ended(
    browsers: Callable[[], Browser], issuer: OwnIssuer, plain: psycopg.Connection[Any]
) -> None:
    def logout_token(kind: str = "logout+jwt", **claims: Any) -> str:
        said = issuer.claims(**({"events": LOGOUT, "sub": ..., "sid": ...} | claims))
        return jwt.encode({"alg": "RS256", "kid": "k", "typ": kind}, said, KEY)

    def signed_in() -> Browser:
        browser = browsers()
        assert browser.come_back(browser.begin()["state"]).status_code == 303
        return browser

    first, second = signed_in(), signed_in()
    issuer.answer = lambda: (200, issuer.tokens(sid="s-2"))
    other = signed_in()
    for wrong in (
        *(logout_token(sid="s-1", events=...), logout_token(sid="s-1", events="backchannel-logout")),
        *(logout_token(sid="s-1", aud="other"), logout_token(sid="s-1", iss="http://127.0.0.1:9")),
        *(logout_token(sid="s-1", exp=1), logout_token(sid="s-1", exp=...), logout_token(sid="s-1", nonce="n")),
        *(logout_token(), logout_token(sid=["s-1"]), logout_token("at+jwt", sid="s-1"), issuer.tokens()["id_token"]),
        *(
            logout_token(sid="s-1")[:-8] + "AAAAAAAA",
            "a.b.c",
            "",
            jwt.encode({"alg": "RS256", "kid": "k"}, {}, ANOTHER),
        ),
    ):
        refused = told_to_end(first, wrong)
        said = (refused.status_code, refused.headers.get("Cache-Control"))
        assert said in ((400, "no-store"), (422, "private, no-cache")), wrong
    assert (first.whoami(), second.whoami(), other.whoami()) == ("ben", "ben", "ben")
    done = told_to_end(first, logout_token(sid="s-1", sub="1"))
    assert (done.status_code, done.headers["Cache-Control"]) == (200, "no-store")
    assert (first.whoami(), second.whoami(), other.whoami()) == (None, None, "ben")
    assert told_to_end(first, logout_token(sid="s-1")).status_code == 200, "there is none any more"
    assert told_to_end(first, logout_token("JWT", sub="1")).status_code == 200
    assert other.whoami() is None
    ended = plain.execute(
        "SELECT facts FROM audit_log WHERE operation = 'sign_out_by_the_issuer' AND allowed"
    ).fetchall()
    assert ended == [({"sessions": 2},), ({"sessions": 1},)]
