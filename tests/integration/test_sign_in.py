"""What the door makes of a browser that comes back from an issuer of the test's own: each wrong turn.

``test_browser_sign_in.py`` goes the right way, with a real Keycloak and a real browser.
"""

import base64
import time
from typing import Any

import httpx
import pytest
import time_machine
from hypothesis import given, strategies

from own_issuer import ANOTHER, OwnIssuer, at_hash
from pressroom.errors import Invalid, NotAuthenticated, Unavailable
from pressroom.identity.attempt import Attempt, next_path_of
from pressroom.identity.cookies import Site
from pressroom.identity.issuer import Issuer
from pressroom.identity.oidc import OidcTokens
from pressroom.identity.oidc_sign_in import OidcSignIn, SignedIn
from pressroom.settings import Settings
from sign_ins import EVIL

SITE = Site("http://127.0.0.1:8002")


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
    assert next_path_of(path, "") == path
    assert next_path_of(f"/hub/p{path}", "/hub/p") == path


@pytest.mark.parametrize("path", EVIL)
def test_nobody_is_sent_elsewhere(path: str) -> None:
    with pytest.raises(Invalid, match="path of a page of this service"):
        next_path_of(path, "")


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
    with time_machine.travel(attempt.began / 1000 + 599):
        Attempt.under_way(attempt.cookie, attempt.state)
    with time_machine.travel(attempt.began / 1000 + 602), pytest.raises(NotAuthenticated):
        Attempt.under_way(attempt.cookie, attempt.state)


@given(strategies.text(), strategies.text())
def test_any_text_at_all_is_no_attempt(cookie: str, state: str) -> None:
    secret, _, path = Attempt.new("/docs").cookie.split(".")
    for sent in (cookie, f"{secret}.{cookie}.{path}", f"{secret}.1.{cookie}"):
        with pytest.raises(NotAuthenticated):
            Attempt.under_way(sent, state)


def test_a_time_that_is_none_is_over() -> None:
    attempt = Attempt("A" * 43, 10**400, "/docs")
    with pytest.raises(NotAuthenticated):
        Attempt.under_way(attempt.cookie, attempt.state)


@given(strategies.text(alphabet=strategies.characters(max_codepoint=255)))
def test_any_cookie_header_at_all_can_be_read(sent: str) -> None:
    scope = {"headers": [(b"cookie", sent.encode("latin-1"))]}
    try:
        found = SITE.secret(scope)
    except NotAuthenticated:
        found = None
    assert found is None or found in sent
