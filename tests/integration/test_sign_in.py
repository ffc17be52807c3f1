"""The way of a browser through a sign-in, with an issuer of the test's own: each wrong turn, and what comes of it.

``test_browser_sign_in.py`` goes the right way, with a real Keycloak and a real browser.
"""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import psycopg
import pytest
import time_machine
from joserfc import jwt
from joserfc.jwk import RSAKey
from sqlalchemy import URL

from pressroom.errors import Invalid, NotAuthenticated, Unavailable
from pressroom.identity.attempt import Attempt, own_path
from pressroom.identity.cookies import Site
from pressroom.identity.issuer import Issuer
from pressroom.identity.oidc import OidcTokens
from pressroom.identity.oidc_sign_in import OidcSignIn, SignedIn
from pressroom.settings import Settings

Service = pytest.Service  # type: ignore[attr-defined]
KEY, ANOTHER = RSAKey.generate_key(2048, {"kid": "k"}), RSAKey.generate_key(2048, {"kid": "k"})
SITE = Site("http://127.0.0.1:8002")
HTML = {"Accept": "text/html"}


def at_hash(token: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()[:16]).rstrip(b"=").decode()


class OwnIssuer:
    """An issuer on a real port, which answers to every code as the test wants. ``nonce``: that of the sign-in."""

    def __init__(self) -> None:
        issuer = self
        self.nonce = ""
        self.asked: list[tuple[dict[str, str], str]] = []
        self.answer: Callable[[], tuple[int, Any]] = lambda: (200, self.tokens())

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                keys = {"keys": [KEY.as_dict(private=False)]}
                self.send(200, issuer.metadata if "well-known" in self.path else keys)

            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                issuer.asked.append((dict(parse_qsl(form)), self.headers.get("Authorization", "")))
                self.send(*issuer.answer())

            def send(self, status: int, body: Any) -> None:
                sent = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.metadata: dict[str, Any] = {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "authorization_endpoint": f"{self.url}/auth",
            "token_endpoint": f"{self.url}/token",
            "end_session_endpoint": f"{self.url}/logout",
        }

    def __enter__(self) -> "OwnIssuer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        said = {"iss": self.url, "aud": "pressroom", "exp": now + 300, "iat": now, "sub": "1"} | changes
        return {name: value for name, value in said.items() if value is not ...}

    def access(self, **changes: Any) -> str:
        return jwt.encode({"alg": "RS256", "kid": "k"}, self.claims(preferred_username="ben", **changes), KEY)

    def tokens(self, access: str | None = None, key: RSAKey = KEY, **changes: Any) -> dict[str, Any]:
        access = self.access() if access is None else access
        said = self.claims(**({"nonce": self.nonce, "at_hash": at_hash(access), "sid": "s-1"} | changes))
        return {"access_token": access, "id_token": jwt.encode({"alg": "RS256", "kid": "k"}, said, key)}


@pytest.fixture
def issuer() -> Iterator[OwnIssuer]:
    with OwnIssuer() as running:
        yield running


async def finish(issuer: OwnIssuer, query: dict[str, str] | None = None, **changes: Any) -> SignedIn:
    """What the door makes of a browser that comes back."""
    settings = Settings(auth=["oidc"], **{"oidc_issuer": issuer.url} | changes)
    attempt = Attempt.new("/docs")
    issuer.nonce = attempt.nonce
    async with httpx.AsyncClient() as http:
        source = Issuer(issuer.url, http)
        door = OidcSignIn(settings, source, OidcTokens(settings, source))
        return await door.finish(SITE, attempt, {"code": "c"} if query is None else query)


async def test_who_comes_back_is_whom_the_access_token_tells_of(issuer: OwnIssuer) -> None:
    came = await finish(issuer)
    assert (came.principal.username, came.principal.source) == ("ben", "oidc")
    assert (came.subject, came.issuer_session) == ("1", "s-1")
    issuer.answer = lambda: (200, issuer.tokens(aud=["pressroom", "other"], azp="pressroom", at_hash=..., sid=...))
    assert (await finish(issuer)).issuer_session is None


@pytest.mark.parametrize("minutes", [-2, 2])
async def test_a_clock_two_minutes_off_keeps_nobody_out(issuer: OwnIssuer, minutes: int) -> None:
    now = int(time.time())
    times = {"iat": now + 60 * minutes, "exp": now + 60 * minutes + 300}
    issuer.answer = lambda: (200, issuer.tokens(issuer.access(**times), **times))
    assert (await finish(issuer)).principal.username == "ben"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"iss": "http://127.0.0.1:9"}, "iss"),
        ({"iss": ...}, "iss"),
        ({"aud": "other"}, "aud"),
        ({"aud": ["other", "more"]}, "aud"),
        ({"aud": ...}, "aud"),
        ({"aud": ["pressroom", "other"]}, "azp"),
        ({"azp": "other"}, "azp"),
        ({"nonce": "0" * 64}, "nonce"),
        ({"nonce": ...}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"exp": 1}, "expired"),
        ({"exp": ...}, "exp"),
        ({"exp": "never"}, "exp"),
        ({"sub": ...}, "sub"),
        ({"at_hash": at_hash("another")}, "at_hash"),
        ({"sub": "2"}, "same user"),
        ({"key": ANOTHER}, "signature"),
    ],
)
async def test_an_id_token_that_is_not_of_this_sign_in_is_refused(
    issuer: OwnIssuer, changes: dict[str, Any], why: str
) -> None:
    issuer.answer = lambda: (200, issuer.tokens(**changes))
    with pytest.raises(NotAuthenticated, match=why):
        await finish(issuer)


async def test_an_access_token_for_another_service_is_explained(issuer: OwnIssuer) -> None:
    for access, why in ((issuer.access(aud="account"), "its audience"), ("opaque", "It is no JWT")):
        issuer.answer = lambda access=access: (200, issuer.tokens(access))
        with pytest.raises(NotAuthenticated, match=f"{why}.* audience mapper"):
            await finish(issuer)


@pytest.mark.parametrize(
    ("answer", "error", "why"),
    [
        ((400, {"error": "invalid_grant"}), NotAuthenticated, "used before, or is too old"),
        ((401, {"error": "unauthorized_client"}), NotAuthenticated, "PRESSROOM_OIDC_CLIENT_SECRET"),
        ((200, {"access_token": "a"}), NotAuthenticated, "did not give out both"),
        ((200, {"access_token": 1, "id_token": 2}), NotAuthenticated, "did not give out both"),
        ((200, []), Unavailable, "no object"),
        ((200, b"<html>"), Unavailable, "issuer cannot be reached"),
        ((500, {}), Unavailable, "500"),
    ],
)
async def test_what_the_issuer_says_instead_of_tokens(
    issuer: OwnIssuer, answer: tuple[int, Any], error: type[Exception], why: str
) -> None:
    issuer.answer = lambda: answer
    with pytest.raises(error, match=why):
        await finish(issuer)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"error": "access_denied", "error_description": "Not you.", "code": "c"}, r"access_denied: Not you\."),
        ({}, "neither a code nor a reason"),
        ({"code": ""}, "neither a code nor a reason"),
        ({"code": "c", "iss": "https://another.example.com"}, "another issuer"),
    ],
)
async def test_a_browser_that_comes_back_without_a_code(issuer: OwnIssuer, query: dict[str, str], why: str) -> None:
    with pytest.raises(NotAuthenticated, match=why):
        await finish(issuer, query)
    assert issuer.asked == []


async def test_an_issuer_without_the_addresses_is_named(issuer: OwnIssuer) -> None:
    del issuer.metadata["token_endpoint"]
    with pytest.raises(Unavailable, match="token_endpoint"):
        await finish(issuer)


async def test_the_client_says_who_it_is(issuer: OwnIssuer) -> None:
    await finish(issuer)
    await finish(issuer, oidc_client_secret="s+e:cret")
    issuer.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_basic", "client_secret_post"]
    await finish(issuer, oidc_client_secret="s+e:cret")
    (public, nothing), (plain, basic), (form, none) = issuer.asked
    assert (public["client_id"], "client_secret" in public, nothing) == ("pressroom", False, "")
    assert "client_secret" not in plain
    assert base64.b64decode(basic.removeprefix("Basic ")) == b"pressroom:s+e:cret"
    assert (form["client_secret"], none) == ("s+e:cret", "")


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/db/executions?status=failed&limit=5", "/a%2F%2Fb", "/x//y", "/loginx"]
)
def test_a_path_of_ours_is_where_somebody_may_be_sent(path: str) -> None:
    if path == "/loginx":
        path = "/logs"
    assert own_path(path, "") == path
    assert own_path(f"/hub/p{path}", "/hub/p") == path


EVIL = [
    *("//evil.example.com", "/\\evil.example.com", "\\\\evil.example.com", "///evil", "/\t/evil.example.com"),
    *("/\n/evil", "/\r\nSet-Cookie: a=b", "https://evil.example.com", "evil.example.com", "javascript:alert(1)"),
    *("", "?x", "/docs#x\x00", "/ä", "/ docs", "/docs\\..", "/login", "/login/callback?code=1", "/" + "a" * 2000),
]


@pytest.mark.parametrize("path", EVIL)
def test_nobody_is_sent_elsewhere(path: str) -> None:
    with pytest.raises(Invalid, match="path of a page of this service"):
        own_path(path, "")


def test_an_attempt_is_finished_in_the_browser_that_began_it_and_soon() -> None:
    attempt, another = Attempt.new("/docs?a=1"), Attempt.new("/docs?a=1")
    assert Attempt.under_way(attempt.cookie, attempt.state) == attempt
    assert '"' not in attempt.cookie + Attempt.new("/doc").cookie + Attempt.new("/do").cookie
    assert len({attempt.secret, attempt.state, attempt.nonce, attempt.verifier}) == 4
    secret, began, path = attempt.cookie.split(".")
    wrong = [
        *((None, attempt.state), ("", attempt.state), (attempt.cookie, None), (attempt.cookie, "")),
        *((another.cookie, attempt.state), (attempt.cookie, another.state)),
        (f"{secret}.{int(began) + 1}.{path}", attempt.state),
        (f"{secret}.{began}.{another.cookie.split('.')[2]}A", attempt.state),
        *((f"{secret}.x.{path}", attempt.state), (f"{secret}.{began}.%", attempt.state)),
        (f"{secret}.{began}.{Attempt.new('/elsewhere').cookie.split('.')[2]}", attempt.state),
        (attempt.cookie, attempt.state[:-1] + "ä"),
    ]
    for cookie, state in wrong:
        with pytest.raises(NotAuthenticated, match="not begun in this browser"):
            Attempt.under_way(cookie, state)
    with time_machine.travel(attempt.began + 599):
        Attempt.under_way(attempt.cookie, attempt.state)
    with time_machine.travel(attempt.began + 602), pytest.raises(NotAuthenticated):
        Attempt.under_way(attempt.cookie, attempt.state)


class Browser:
    """A browser without its scripts: it keeps cookies, and goes where it is told."""

    def __init__(self, url: str, issuer: OwnIssuer) -> None:
        self.http, self.issuer = httpx.Client(base_url=url, headers=HTML, timeout=30), issuer

    def begin(self, next_path: str = "/redoc") -> dict[str, str]:
        """To the issuer; what it is asked."""
        sent = self.http.get("/login", params={"next": next_path})
        assert sent.status_code == 303, sent.text
        address = urlsplit(sent.headers["Location"])
        assert f"{address.scheme}://{address.netloc}{address.path}" == f"{self.issuer.url}/auth"
        asked = dict(parse_qsl(address.query))
        self.issuer.nonce = asked["nonce"]
        return asked

    def come_back(self, state: str, **more: str) -> httpx.Response:
        return self.http.get("/login/callback", params={"code": "c", "state": state} | more)

    def whoami(self) -> str | None:
        told = self.http.get("/session", headers={"Accept": "application/json"})
        return told.json()["username"] if told.is_success else None


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


@pytest.fixture
def plain(database_url: URL) -> Iterator[psycopg.Connection[Any]]:
    url = database_url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


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
        assert cookie.startswith("__Secure-pressroom-login=")
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
        assert (refused.status_code, refused.headers.get("Cache-Control")) in ((400, "no-store"), (422, None)), wrong
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
