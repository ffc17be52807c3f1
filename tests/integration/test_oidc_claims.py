"""Tokens that Keycloak would not sign, from an issuer of the test's own: each wrong claim, and any text at all."""

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given, settings, strategies
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.util import urlsafe_b64encode

from own_issuer import OwnIssuer
from pressroom.errors import NotAuthenticated, Unavailable
from pressroom.identity.issuer import Issuer
from pressroom.identity.oidc import OidcTokens
from pressroom.identity.principal import Principal, Scope
from pressroom.settings import Settings

RSA = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})
CURVE = ECKey.generate_key("P-256", {"kid": "ec"})
EDWARDS = OKPKey.generate_key("Ed25519", {"kid": "ed", "alg": "Ed25519"})
SHARED = OctKey.generate_key(256, {"kid": "shared"})
ENCRYPTING = RSAKey.generate_key(2048, {"kid": "enc", "use": "enc"})
OF_ANOTHER_USE = RSAKey.import_key(ENCRYPTING.as_pem(private=True), {"kid": "enc"})
PUBLISHED = [
    *(key.as_dict(private=False) for key in (RSA, CURVE, EDWARDS, ENCRYPTING)),
    *(SHARED.as_dict(), {"kty": "PQ"}, 7),
]


TRUSTED = httpx.create_ssl_context()
"""Read once: a client that is made without it reads it each time."""


def ask(issuer: OwnIssuer, token: str, *, beside_a_hub: bool = False, **changes: Any) -> Principal | None:
    async def asked() -> Principal | None:
        async with httpx.AsyncClient(verify=TRUSTED) as http:
            chosen = Settings(auth=["oidc"], oidc_issuer=issuer.url, **changes)
            return await OidcTokens(chosen, Issuer(issuer.url, http), beside_a_hub=beside_a_hub).principal(token)

    return asyncio.run(asked())


@pytest.fixture(scope="module")
def issuer() -> Iterator[OwnIssuer]:
    with OwnIssuer("/") as running:
        running.keys = PUBLISHED
        yield running


def signed(claims: dict[str, Any], key: Any = RSA, algorithm: str = "RS256", **header: Any) -> str:
    head = {"alg": algorithm, "kid": key.kid} | header
    return jwt.encode({k: v for k, v in head.items() if v is not ...}, claims, key, algorithms=[algorithm])


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "PS256"), (CURVE, "ES256"), (EDWARDS, "Ed25519")])
def test_other_algorithms_with_a_key_of_two_halves_are_taken(issuer: OwnIssuer, key: Any, algorithm: str) -> None:
    found = ask(issuer, signed(issuer.claims(), key, algorithm))
    assert found is not None
    assert found.username == "ana"


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["other", "pressroom"]},
        {"typ": "Bearer"},
        {"nbf": timedelta(seconds=30)},
        {"exp": timedelta(seconds=-30)},
        {"iat": timedelta(seconds=300)},
        {"azp": "somebody"},
        {"realm_access": ["no", "object"], "resource_access": {"pressroom": 5}, "groups": "text", "roles": None},
    ],
)
def test_what_is_right_is_taken(issuer: OwnIssuer, claims: dict[str, Any]) -> None:
    found = ask(issuer, signed(issuer.claims(**claims)))
    assert found is not None
    assert found.roles == found.groups == frozenset()


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"iss": "http://127.0.0.1:9/"}, "another issuer"),
        ({"iss": ...}, "lacks iss"),
        ({"aud": "pressroom2"}, "audience"),
        ({"aud": ["account"]}, "audience"),
        ({"aud": {"pressroom": 1}}, "audience"),
        ({"aud": ...}, "lacks aud"),
        ({"exp": timedelta(seconds=-3600)}, "expired"),
        ({"exp": "never"}, "form"),
        ({"exp": ...}, "lacks exp"),
        ({"nbf": timedelta(seconds=3600)}, "not valid yet"),
        ({"sub": ...}, "lacks sub"),
        ({"typ": "ID"}, "not an access token"),
        ({"typ": "Refresh"}, "not an access token"),
        ({"typ": ["Bearer"]}, "not an access token"),
        ({"at_hash": "x"}, "ID token"),
        ({"azp": 5}, "azp"),
        ({"cnf": {"jkt": "x"}}, "bound to a key"),
        ({"preferred_username": ...}, "name of a user"),
        ({"preferred_username": ""}, "name of a user"),
        ({"preferred_username": "../root"}, "name of a user"),
        ({"preferred_username": "a/b"}, "name of a user"),
        ({"preferred_username": "ana\n"}, "name of a user"),
        ({"preferred_username": "ﬁn"}, "name of a user"),
        ({"preferred_username": ["ana"]}, "name of a user"),
        ({"preferred_username": "a" * 101}, "name of a user"),
    ],
)
def test_each_claim_that_is_wrong_is_refused_and_named(issuer: OwnIssuer, claims: dict[str, Any], why: str) -> None:
    with pytest.raises(NotAuthenticated, match=why):
        ask(issuer, signed(issuer.claims(**claims)))


def by_a_clock(issuer: OwnIssuer, off: int, *, not_before: bool, seconds: int = 300) -> str:
    """A token that was made just now for so many seconds, by a clock that is ``off`` by some."""
    now = int(time.time()) + off
    return signed(issuer.claims(iat=now, exp=now + seconds, **({"nbf": now} if not_before else {})))


def test_an_issuers_clock_that_is_two_minutes_ahead_or_behind(issuer: OwnIssuer) -> None:
    """Whoever just got a token is let in, but where the token says that it is not valid before a time yet to come:
    that is said, and a larger leeway takes it."""
    for off in (-120, -60, 0, 60, 120):
        assert ask(issuer, by_a_clock(issuer, off, not_before=False)) is not None
    for off in (-120, -60, 0, 55):
        assert ask(issuer, by_a_clock(issuer, off, not_before=True)) is not None
    with pytest.raises(NotAuthenticated, match="do the clocks differ"):
        ask(issuer, by_a_clock(issuer, 120, not_before=True))
    assert ask(issuer, by_a_clock(issuer, 120, not_before=True), oidc_leeway_seconds=150) is not None
    with pytest.raises(NotAuthenticated, match="expired"):  # it was over before it was made
        ask(issuer, by_a_clock(issuer, -120, not_before=False, seconds=30))
    assert ask(issuer, by_a_clock(issuer, -120, not_before=False, seconds=30), oidc_leeway_seconds=150) is not None


@pytest.mark.parametrize(
    "make",
    [
        lambda claims: signed(claims, SHARED, "HS256"),
        lambda claims: signed(claims, OF_ANOTHER_USE),
        lambda claims: signed(claims, kid="ec"),
        lambda claims: signed(claims, EDWARDS, "Ed25519", kid="rsa"),
        lambda claims: signed(claims, RSA, "RS384"),
        lambda claims: signed(claims, typ="logout+jwt"),
    ],
)
def test_a_signature_by_a_key_that_is_not_for_it_is_refused(issuer: OwnIssuer, make: Any) -> None:
    with pytest.raises(NotAuthenticated):
        ask(issuer, make(issuer.claims()))


def test_roles_of_the_realm_and_of_our_client_count_and_no_others(issuer: OwnIssuer) -> None:
    claims = issuer.claims(
        realm_access={"roles": ["one"]},
        resource_access={"pressroom": {"roles": ["two"]}, "account": {"roles": ["admin"]}},
        groups=["/a/b", "c", 7],
    )
    found = ask(issuer, signed(claims))
    assert found is not None
    assert found.roles == {"one", "two"}
    assert found.groups == {"a/b", "c"}
    assert Scope.ADMIN not in found.scopes


@pytest.mark.parametrize("name", ["Ana", "service-culler", "ANA"])
def test_beside_a_hub_a_name_that_would_be_somebody_elses_there_is_refused(issuer: OwnIssuer, name: str) -> None:
    token = signed(issuer.claims(preferred_username=name))
    assert ask(issuer, token) is not None
    with pytest.raises(NotAuthenticated, match="Beside a JupyterHub"):
        ask(issuer, token, beside_a_hub=True)
    ours = signed(issuer.claims(preferred_username="service-account-machine"))
    assert ask(issuer, ours, beside_a_hub=True) is not None


def test_a_client_may_be_named_whose_tokens_are_taken(issuer: OwnIssuer) -> None:
    mine = {"oidc_authorized_parties": ["a", "b"]}
    assert ask(issuer, signed(issuer.claims(azp="b")), **mine) is not None
    assert ask(issuer, signed(issuer.claims(client_id="a"), typ="at+jwt"), **mine) is not None
    for claims in ({"azp": "c"}, {}, {"azp": "c", "client_id": "a"}):
        with pytest.raises(NotAuthenticated, match="azp"):
            ask(issuer, signed(issuer.claims(**claims)), **mine)


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        (b"<html>", "issuer"),
        (b"[]", "object"),
        (b'{"issuer": "http://elsewhere/"}', "elsewhere"),
        (b"{}", "about the issuer None"),
    ],
)
def test_an_issuer_that_is_not_what_it_should_be_is_unavailable(metadata: bytes, why: str) -> None:
    with OwnIssuer() as wrong:
        wrong.metadata = metadata
        with pytest.raises(Unavailable, match=why):
            ask(wrong, signed(wrong.claims()))


async def test_with_the_issuer_away_a_key_that_is_known_holds_on(caplog: pytest.LogCaptureFixture) -> None:
    async with httpx.AsyncClient() as http:
        with OwnIssuer() as own:
            token = own.access()
            issuer = Issuer(own.url, http, again_seconds=0)
            tokens = OidcTokens(Settings(auth=["oidc"], oidc_issuer=own.url), issuer)
            assert await tokens.principal(token) is not None
        assert await tokens.principal(token) is not None
        issuer._fetched_at = float("-inf")  # the keys are old, too
        assert await tokens.principal(token) is not None
        assert issuer._refreshing is not None
        await issuer._refreshing
        assert "hold on" in caplog.text
        assert await tokens.principal(token) is not None
        with pytest.raises(Unavailable, match="issuer of the token cannot be reached"):
            await tokens.principal(signed(own.claims()))


def test_an_issuer_without_keys_is_unavailable() -> None:
    with OwnIssuer() as wrong:
        for keys in ([], None, [{"kty": "RSA", "n": "?"}]):
            wrong.keys = keys
            with pytest.raises(Unavailable, match="no key"):
                ask(wrong, signed(wrong.claims()))


JSON = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats()
    | strategies.text(max_size=9),
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.text(max_size=9), inner),
    max_leaves=6,
)
NAMES = strategies.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "cty", "x"])
ALGORITHMS = strategies.sampled_from(["RS256", "ES256", "HS256", "none", "EdDSA"])
HEADERS = JSON | strategies.builds(
    lambda more, algorithm: {**more, "alg": algorithm}, strategies.dictionaries(NAMES, JSON), ALGORITHMS
)
PARTS = strategies.one_of(
    strategies.text(max_size=20),
    HEADERS.map(lambda value: urlsafe_b64encode(json.dumps(value).encode()).decode()),
    strategies.binary(max_size=40).map(lambda value: urlsafe_b64encode(value).decode()),
)
TEXTS = strategies.text() | strategies.lists(PARTS, min_size=3, max_size=3).map(".".join)


@given(TEXTS)
@settings(max_examples=200, deadline=None)
def test_any_text_at_all_is_nobodys(issuer: OwnIssuer, text: str) -> None:
    try:
        assert ask(issuer, text) is None
    except NotAuthenticated as error:
        assert len(text) < 20 or text not in error.detail


CLAIMS = strategies.sampled_from(
    ["iss", "aud", "exp", "nbf", "iat", "sub", "typ", "azp", "cnf", "at_hash", "preferred_username", "groups", "roles"]
)


@given(strategies.dictionaries(CLAIMS, JSON, max_size=4))
@settings(max_examples=200, deadline=None)
def test_any_claims_that_the_issuer_signs_are_somebodys_or_nobodys(issuer: OwnIssuer, claims: dict[str, Any]) -> None:
    try:
        found = ask(issuer, signed(issuer.claims(**claims)))
    except NotAuthenticated:
        return
    assert found is not None
    assert Scope.ADMIN not in found.scopes or "admin" in json.dumps(claims)
