"""Callers who bring an access token of a real Keycloak."""

import base64
import hmac
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import time_machine
from joserfc import jwt
from joserfc.jwk import RSAKey

from keycloak import Realm
from pressroom.errors import NotAuthenticated
from pressroom.identity.issuer import Issuer
from pressroom.identity.oidc import OidcTokens
from pressroom.identity.principal import PERSON, Scope
from pressroom.settings import Settings

Service = pytest.Service  # type: ignore[attr-defined]


def tokens_of(realm: Realm, http: httpx.AsyncClient, **changes: Any) -> OidcTokens:
    """What checks the tokens of a realm, and asks for keys as soon as one is not known."""
    settings = Settings(auth=["oidc"], **{"oidc_issuer": realm.issuer} | changes)
    return OidcTokens(settings, Issuer(realm.issuer, http, again_seconds=0))


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30) as http:
        yield http


@pytest.fixture
def tokens(realm: Realm, client: httpx.AsyncClient) -> OidcTokens:
    return tokens_of(realm, client)


def header_of(token: str) -> dict[str, Any]:
    part = token.split(".", maxsplit=1)[0]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


async def test_a_token_says_who_calls_with_roles_and_groups(realm: Realm, tokens: OidcTokens) -> None:
    ana, ben = await tokens.principal(realm.token("ana")), await tokens.principal(realm.token("ben"))
    assert ana is not None
    assert ben is not None
    assert (ana.username, ana.source, ana.groups) == ("ana", "oidc", {"finance"})
    assert "admin" in ana.roles
    assert ana.scopes == set(Scope)
    assert (ben.username, ben.groups) == ("ben", {"analysts"})
    assert "admin" not in ben.roles
    assert ben.scopes == {Scope.READ}  # a viewer


async def test_a_program_calls_as_itself(realm: Realm, tokens: OidcTokens) -> None:
    program = await tokens.principal(realm.machine_token())
    assert program is not None
    assert program.username == "service-account-pressroom-machine"
    assert program.scopes == PERSON


async def test_another_role_can_make_an_administrator(realm: Realm, client: httpx.AsyncClient) -> None:
    tokens = tokens_of(realm, client, oidc_admin_role="viewer")
    ana, ben = await tokens.principal(realm.token("ana")), await tokens.principal(realm.token("ben"))
    assert ana is not None
    assert ben is not None
    assert "admin" not in ana.roles
    assert "admin" in ben.roles


async def test_only_an_access_token_is_taken(realm: Realm, tokens: OidcTokens) -> None:
    given = realm.user_tokens("ana")
    assert await tokens.principal(given["access_token"]) is not None
    for other in ("id_token", "refresh_token"):
        with pytest.raises(NotAuthenticated, match="token") as refused:
            await tokens.principal(given[other])
        assert given[other] not in str(refused.value.problem())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"oidc_audience": "reports"}, "not for this service"),
        ({"oidc_authorized_parties": ["pressroom-machine"]}, "azp"),
        ({"oidc_algorithms": ["ES256"]}, "not signed in a way"),
        ({"oidc_username_claim": "nickname"}, "nickname cannot be the name"),
    ],
)
async def test_what_the_settings_do_not_take_is_refused(
    realm: Realm, client: httpx.AsyncClient, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(NotAuthenticated, match=why):
        await tokens_of(realm, client, **changes).principal(realm.token("ana"))


async def test_the_issuer_is_the_one_of_the_settings_to_the_letter(realm: Realm, tokens: OidcTokens) -> None:
    """Keycloak signs with the same key under whichever name it was asked."""
    elsewhere = Realm(realm.url.replace("127.0.0.1", "localhost"), realm.name, realm.admin_password)
    with pytest.raises(NotAuthenticated, match="another issuer"):
        await tokens.principal(elsewhere.token("ana"))


async def test_another_realms_token_is_refused(realm: Realm, shipped_realm: Realm, tokens: OidcTokens) -> None:
    with pytest.raises(NotAuthenticated, match="key"):
        await tokens.principal(shipped_realm.machine_token())


async def test_a_token_that_was_changed_is_refused(realm: Realm, tokens: OidcTokens) -> None:
    token = realm.token("ben")
    head, _, signature = token.split(".")
    forged = claims_of(token) | {"preferred_username": "ana", "realm_access": {"roles": ["admin"]}}
    with pytest.raises(NotAuthenticated, match="signature"):
        await tokens.principal(f"{head}.{part(forged)}.{signature}")
    with pytest.raises(NotAuthenticated, match="signature"):
        await tokens.principal(token[:-8] + ("A" * 8 if token[-8:] != "A" * 8 else "B" * 8))
    none = f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(forged)}."
    with pytest.raises(NotAuthenticated, match="not signed"):
        await tokens.principal(none)


async def test_a_token_signed_by_somebody_else_is_refused_whatever_key_it_names(
    realm: Realm, tokens: OidcTokens, client: httpx.AsyncClient
) -> None:
    token = realm.token("ana")
    kid, claims = header_of(token)["kid"], claims_of(token)
    own = RSAKey.generate_key(2048)
    with pytest.raises(NotAuthenticated, match="signature"):
        await tokens.principal(jwt.encode({"alg": "RS256", "kid": kid}, claims, own))
    with pytest.raises(NotAuthenticated, match="key"):
        await tokens.principal(
            jwt.encode({"alg": "RS256", "kid": "mine", "jku": "http://127.0.0.1:9/keys"}, claims, own)
        )
    [public] = [key for key in (await client.get(f"{realm.endpoint}/certs")).json()["keys"] if key["kid"] == kid]
    # The library does not take a public key for a shared secret, so the forger does without it.
    signed = f"{part({'alg': 'HS256', 'kid': kid, 'typ': 'JWT'})}.{part(claims)}"
    digest = hmac.digest(RSAKey.import_key(public).as_pem(private=False), signed.encode(), "sha256")
    with pytest.raises(NotAuthenticated, match="not signed"):
        await tokens.principal(f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}")


async def test_a_token_ends_when_it_says_and_a_leeway_later(realm: Realm, tokens: OidcTokens) -> None:
    token = realm.token("ana")
    end = claims_of(token)["exp"]
    with time_machine.travel(end + 57):
        assert await tokens.principal(token) is not None
    with time_machine.travel(end + 61), pytest.raises(NotAuthenticated, match="expired"):
        await tokens.principal(token)


@pytest.mark.parametrize("minutes", [-2, 2])
async def test_a_clock_two_minutes_off_keeps_nobody_out_who_just_signed_in(
    realm: Realm, tokens: OidcTokens, minutes: int
) -> None:
    token = realm.token("ana")
    with time_machine.travel(claims_of(token)["iat"] + 60 * minutes):
        assert await tokens.principal(token) is not None


async def test_new_keys_are_found_and_old_ones_forgotten(realm: Realm, client: httpx.AsyncClient) -> None:
    own = realm.copy()
    own.add_password_client()
    own.add_user("ana")
    tokens = tokens_of(own, client)
    before = own.token("ana")
    assert await tokens.principal(before) is not None
    own.rotate_keys()
    assert await tokens.principal(before) is not None  # the issuer was not asked again
    after = own.token("ana")
    assert header_of(before)["kid"] != header_of(after)["kid"]
    assert await tokens.principal(after) is not None
    with pytest.raises(NotAuthenticated, match="no more"):
        await tokens.principal(before)
    own.delete()


async def test_the_issuer_is_asked_about_unknown_keys_now_and_then_only(realm: Realm) -> None:
    asked: list[str] = []

    async def note(request: httpx.Request) -> None:
        asked.append(request.url.path)

    async with httpx.AsyncClient(event_hooks={"request": [note]}) as http:
        tokens = OidcTokens(Settings(auth=["oidc"], oidc_issuer=realm.issuer), Issuer(realm.issuer, http))
        token = realm.token("ana")
        for _ in range(5):
            assert await tokens.principal(token) is not None
        own = RSAKey.generate_key(2048)
        for number in range(5):
            with pytest.raises(NotAuthenticated, match="key"):
                await tokens.principal(jwt.encode({"alg": "RS256", "kid": str(number)}, claims_of(token), own))
    assert len(asked) == 2  # the metadata and the keys, once


@pytest.fixture
def guarded(settings: Settings, realm: Realm) -> Iterator[httpx.Client]:
    """A client of a service that takes the realm's tokens."""
    changes = {"auth": ["oidc"], "oidc_issuer": realm.issuer, "workers": 0}
    with (
        Service(settings.model_copy(update=changes)) as running,
        httpx.Client(base_url=running.url, timeout=60) as http,
    ):
        yield http


def test_over_http(guarded: httpx.Client, realm: Realm) -> None:
    def status(token: str | None, method: str = "GET", path: str = "/db/notebooks", **more: Any) -> int:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        answer = guarded.request(method, path, headers=headers, **more)
        if answer.status_code == 401:
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert token is None or token not in answer.text
        return answer.status_code

    ana, ben = realm.token("ana"), realm.token("ben")
    assert status(ana) == status(ben) == status(realm.machine_token()) == 200
    assert status(None) == status("nonsense") == status(ana[:-8] + "A" * 8) == 401
    notebook = {"name": "n", "file_path": "/home/ben/n.ipynb", "username": "ben"}
    assert status(ben, "POST", json=notebook) == 403  # a viewer
    assert status(ben, path="/list-notebooks/ana") == 403
    assert status(ana, path="/list-notebooks/ana") == 200


async def test_a_service_that_starts_before_its_issuer_says_that_it_cannot_be_reached(settings: Settings) -> None:
    changes = {"auth": ["oidc"], "oidc_issuer": "http://127.0.0.1:9/realms/pressroom", "workers": 0}
    token = jwt.encode({"alg": "RS256", "kid": "k"}, {"sub": "ana"}, RSAKey.generate_key(2048))
    with Service(settings.model_copy(update=changes)) as running:
        answer = httpx.get(f"{running.url}/db/notebooks", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 503
    assert answer.json()["type"] == "/problems/unavailable"
