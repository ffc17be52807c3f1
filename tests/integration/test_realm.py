"""The realm that we ship, as a real Keycloak has imported it."""

import base64
import json
from typing import Any

import httpx
import pytest

from keycloak import Realm


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def test_a_program_gets_a_token_for_pressroom(shipped_realm: Realm) -> None:
    token = claims(shipped_realm.machine_token())
    assert "pressroom" in token["aud"]
    assert token["azp"] == "pressroom-machine"
    assert token["preferred_username"] == "service-account-pressroom-machine"
    assert "admin" not in token["realm_access"]["roles"]


@pytest.mark.parametrize("secret", ["", "${PRESSROOM_MACHINE_CLIENT_SECRET}", "secret", "pressroom"])
def test_no_secret_is_the_one_of_the_file(shipped_realm: Realm, secret: str) -> None:
    given = {"grant_type": "client_credentials", "client_id": "pressroom-machine", "client_secret": secret}
    assert httpx.post(f"{shipped_realm.endpoint}/token", data=given).status_code == 401


def test_a_persons_token_says_what_they_may_do_and_to_which_groups_they_belong(realm: Realm) -> None:
    ana, ben = claims(realm.token("ana")), claims(realm.token("ben"))
    assert {"admin"} == {"admin", "viewer"} & set(ana["realm_access"]["roles"])
    assert {"viewer"} == {"admin", "viewer"} & set(ben["realm_access"]["roles"])
    assert (ana["groups"], ben["groups"]) == (["/finance"], ["/analysts"])
    assert "pressroom" in ana["aud"]


def test_browsers_need_pkce_and_come_back_to_us_only(shipped_realm: Realm) -> None:
    asked = {"client_id": "pressroom", "response_type": "code", "scope": "openid"}
    ours = "http://127.0.0.1:8002/login/callback"
    challenge = {"code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256"}
    address = f"{shipped_realm.endpoint}/auth"
    assert httpx.get(address, params=asked | challenge | {"redirect_uri": ours}).status_code == 200
    without = httpx.get(address, params=asked | {"redirect_uri": ours})
    assert "code_challenge_method" in without.headers["Location"]
    for elsewhere in ("http://127.0.0.1:8002/", "http://evil.example.com/login/callback", f"{ours}/x"):
        assert httpx.get(address, params=asked | challenge | {"redirect_uri": elsewhere}).status_code == 400
    for client in ("pressroom", "jupyterhub"):
        facts = shipped_realm.client(client)
        assert not facts["directAccessGrantsEnabled"]
        assert not facts["implicitFlowEnabled"]
        assert not facts["serviceAccountsEnabled"]


def test_nobody_is_in_it_yet(shipped_realm: Realm) -> None:
    assert shipped_realm.admin("GET", "/users") == []
    assert {group["name"] for group in shipped_realm.admin("GET", "/groups")} == {
        *("analysts", "finance", "jupyterhub-admins", "pressroom-admins")
    }
