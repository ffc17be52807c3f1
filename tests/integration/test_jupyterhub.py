"""Callers who bring a token of a real JupyterHub, whose users sign in at a real Keycloak."""

import asyncio
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import URL

from hub import Hub
from hub_accounts import Account, account
from hub_outside import outside
from keycloak import Realm
from pressroom.client import Client
from pressroom.database.shared_read import SharedReads
from pressroom.errors import NotAllowed, NotAuthenticated, Unavailable
from pressroom.identity.jupyterhub import HubTokens
from pressroom.identity.principal import PERSON, Principal, Scope
from pressroom.settings import Settings

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
ACCESS = "access:services!service=pressroom"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that every account of this machine may enter."""
    made = Path(tempfile.mkdtemp(prefix="pressroom-hub-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def homes(folder: Path) -> Path:
    made = folder / "home"
    made.mkdir()
    return made


@pytest.fixture(scope="module")
def ana(homes: Path) -> Iterator[Account]:
    with account("ana", homes) as made:
        yield made


@pytest.fixture(scope="module")
def hub(
    realm: Realm,
    folder: Path,
    homes: Path,
    ana: Account,
    module_database_url: URL,
    another_module_database_url: URL,
) -> Iterator[Hub]:
    """A Hub that has started Pressroom, and serves another that it has not, in which an analyst has signed in who is an
    account of this machine, `ana` and some digits, and `boss`, a member of the group of Pressroom's administrators."""
    realm.add_user(ana.name, groups=("analysts",))
    realm.add_user("boss", groups=("pressroom-admins",))
    either = {"PRESSROOM_USERS_ROOT": str(homes), "PRESSROOM_WORKERS": "1", "PRESSROOM_PRELOAD": "none"}
    environment = {
        "DATABASE_URL": module_database_url.render_as_string(hide_password=False),
        "PRESSROOM_AUTH": "oidc,jupyterhub",
        "PRESSROOM_OIDC_ISSUER": realm.issuer,
    }
    made = Hub(folder, realm, either | environment)
    made.configure()
    database = {"DATABASE_URL": another_module_database_url.render_as_string(hide_password=False)}
    with outside(made, either | database):
        try:
            made.start()
            for username in (ana.name, "boss"):
                with made.sign_in(username):
                    pass
            yield made
        finally:
            made.stop()


class Counting(httpx.AsyncHTTPTransport):
    """Counts what is asked."""

    asked = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        return await super().handle_async_request(request)


@pytest.fixture
async def transport() -> AsyncIterator[Counting]:
    async with Counting() as made:
        yield made


@pytest.fixture
async def tokens_of(hub: Hub, transport: Counting) -> AsyncIterator[Callable[..., HubTokens]]:
    """Makes what asks the Hub, about every token each time unless the settings say otherwise."""
    async with httpx.AsyncClient(timeout=30, transport=transport) as client:

        def made(**changes: Any) -> HubTokens:
            given = {"jupyterhub_api_url": hub.api, "jupyterhub_cache_seconds": 0} | changes
            return HubTokens(Settings(auth=["jupyterhub"], **given), client, SharedReads(), again_seconds=0)

        yield made


async def principal(tokens: HubTokens, token: str) -> Principal:
    found = await tokens.principal(token)
    assert found is not None
    return found


def test_a_notebook_in_a_users_server_calls_without_any_argument(hub: Hub, realm: Realm, ana: Account) -> None:
    write_notebook(ana.home / "sales.ipynb", "print(region)", parameters='region = "EMEA"')
    hub.spawn(ana.name)
    code = (
        "import os, pressroom\n"
        "done = pressroom.Client().execute('sales.ipynb', {'region': 'APAC'})\n"
        "print(os.getuid(), done.username, done.status, done.id)"
    )
    uid, username, status, execution_id = hub.run(ana.name, code).split()
    assert (int(uid), username, status) == (ana.uid, ana.name, "success")
    # Through the other door, the same person sees the same.
    with Client(hub.service, token=realm.token(ana.name)) as client:
        [execution] = client.executions()
        assert (execution.id, execution.username) == (int(execution_id), ana.name)
        assert execution.parameters_used == {"region": "APAC"}
    with Client(hub.service, token=realm.token("ben")) as client:
        assert list(client.executions()) == []
    with Client(hub.service, token=realm.token("boss")) as client:
        assert [each.id for each in client.executions()] == [execution.id], "an administrator by either door"


async def test_the_hub_says_who_calls_and_what_the_token_is_good_for(
    hub: Hub, ana: Account, tokens_of: Callable[..., HubTokens]
) -> None:
    tokens = tokens_of()
    whole = await principal(tokens, hub.user_token(ana.name, "inherit"))
    assert (whole.username, whole.source, whole.groups) == (ana.name, "jupyterhub", {"analysts"})
    assert (whole.scopes, whole.roles) == (PERSON, set())
    boss = await principal(tokens, hub.user_token("boss", "inherit"))
    assert (boss.username, boss.scopes, boss.roles) == ("boss", set(Scope), {"admin"})
    narrow = await principal(tokens, hub.user_token("boss", ACCESS, "custom:pressroom:execute"))
    assert (narrow.scopes, narrow.roles) == ({Scope.READ, Scope.EXECUTE}, set())


async def test_what_access_alone_gives_is_set(hub: Hub, ana: Account, tokens_of: Callable[..., HubTokens]) -> None:
    token = hub.user_token(ana.name, ACCESS)
    for given, scopes in (("read", {Scope.READ}), ("none", set()), ("execute,write", PERSON)):
        tokens = tokens_of(jupyterhub_access_gives=given)
        assert (await principal(tokens, token)).scopes == scopes, given


async def test_a_token_that_is_not_for_this_service_is_refused(
    hub: Hub, ana: Account, tokens_of: Callable[..., HubTokens]
) -> None:
    other = hub.user_token(ana.name, "read:users:name!user", "custom:pressroom:execute")
    with pytest.raises(NotAllowed, match="lacks the Hub's scope access:services!service=pressroom"):
        await tokens_of().principal(other)
    with pytest.raises(NotAllowed, match="service=reports"):
        await tokens_of(jupyterhub_service_name="reports").principal(hub.user_token(ana.name, ACCESS))


async def test_what_is_none_of_the_hubs_tokens_is_not_asked_about(
    hub: Hub, transport: Counting, tokens_of: Callable[..., HubTokens]
) -> None:
    tokens = tokens_of()
    for other in ("a.b.c", "two words", "\u00e4", "", "x" * 513, "line\n"):
        assert await tokens.principal(other) is None
    assert transport.asked == 0
    with pytest.raises(NotAuthenticated, match="the Hub does not take it"):
        await tokens.principal("0" * 32)


async def test_a_service_of_the_hub_calls_as_itself(hub: Hub, tokens_of: Callable[..., HubTokens]) -> None:
    program = await principal(tokens_of(), hub.reports)
    assert (program.username, program.groups) == ("service-reports", set())
    assert program.scopes == {Scope.READ, Scope.EXECUTE, Scope.ACT}
    with pytest.raises(NotAllowed):
        await tokens_of().principal(hub.token)


async def test_nobody_is_taken_for_a_service(hub: Hub, tokens_of: Callable[..., HubTokens]) -> None:
    hub.ask("POST", "/users/service-reports")
    with pytest.raises(NotAuthenticated, match="cannot be the name of a user"):
        await tokens_of().principal(hub.user_token("service-reports", ACCESS))


async def test_the_hubs_administrators_are_ours_only_where_the_settings_say_so(
    hub: Hub, tokens_of: Callable[..., HubTokens]
) -> None:
    token = hub.user_token("root-of-the-hub", ACCESS)
    assert (await principal(tokens_of(), token)).scopes == {Scope.READ}
    assert (await principal(tokens_of(jupyterhub_admins=True), token)).roles == {"admin"}


async def test_the_hub_is_asked_once_about_a_token_that_many_requests_bring(
    hub: Hub, ana: Account, transport: Counting, tokens_of: Callable[..., HubTokens]
) -> None:
    tokens, token = tokens_of(jupyterhub_cache_seconds=30), hub.user_token(ana.name, ACCESS)
    await asyncio.gather(*(tokens.principal(token) for _ in range(50)))
    await tokens.principal(token)
    assert transport.asked == 1
    wrong = await asyncio.gather(*(tokens.principal("0" * 32) for _ in range(50)), return_exceptions=True)
    assert {type(error) for error in wrong} == {NotAuthenticated}
    assert transport.asked == 2


async def test_a_token_that_was_revoked_counts_for_as_long_as_the_settings_say(
    hub: Hub, ana: Account, tokens_of: Callable[..., HubTokens]
) -> None:
    made = hub.ask("POST", f"/users/{ana.name}/tokens", {"scopes": [ACCESS]})
    asking, keeping = tokens_of(), tokens_of(jupyterhub_cache_seconds=3600)
    for tokens in (asking, keeping):
        await principal(tokens, made["token"])
    hub.ask("DELETE", f"/users/{ana.name}/tokens/{made['id']}")
    with pytest.raises(NotAuthenticated):
        await asking.principal(made["token"])
    await principal(keeping, made["token"])


def test_the_service_stands_under_the_hubs_prefix(hub: Hub, ana: Account) -> None:
    notebook = write_notebook(ana.home / "prefix.ipynb", "1 + 1")
    headers = {"Authorization": f"token {hub.user_token(ana.name, 'inherit')}"}
    with httpx.Client(base_url=hub.service, headers=headers, timeout=60) as http:
        assert http.get("/").json()["service"] == "pressroom"
        [script] = re.findall(r'src="([^"]+\.js)"', http.get("/docs").text)
        assert script.startswith("/services/pressroom/")
        assert httpx.get(f"{hub.url}{script}").status_code == 200
        assert http.get("/openapi.json").json()["servers"] == [{"url": "/services/pressroom"}]
        prefer = {"Prefer": "respond-async"}
        accepted = http.post("/execute", json={"path": str(notebook), "username": ana.name}, headers=prefer)
        assert accepted.status_code == 202, accepted.text
        assert httpx.get(f"{hub.url}{accepted.headers['location']}", headers=headers).json()["username"] == ana.name
        missing = http.get("/db/notebooks/1")
        assert missing.json()["type"] == "/services/pressroom/problems/not-found"
        assert httpx.get(f"{hub.url}{missing.json()['type']}", headers=headers).json()["status"] == 404
    with Client(hub.service, token=hub.user_token(ana.name, "inherit")) as client:
        assert client.wait(accepted.json()["id"]).status == "success"  # by events


def test_a_browser_signs_in_by_the_hub(hub: Hub, ana: Account) -> None:
    with hub.sign_in(ana.name) as browser:
        asked = browser.get("/services/pressroom/login")
        assert "by=jupyterhub" in asked.text
        assert "by=oidc" in asked.text
        session = browser.get("/services/pressroom/login", params={"by": "jupyterhub", "next": "/session"})
        assert session.url.path == "/services/pressroom/session"
        told = session.json()
        assert (told["username"], told["groups"], told["source"]) == (ana.name, ["analysts"], "jupyterhub")
        assert told["scopes"] == sorted(PERSON)
        logout = "/services/pressroom/logout"
        assert browser.post(logout).status_code == 403
        headers = {"X-CSRF-Token": told["csrf_token"], "Origin": hub.url}
        left = browser.post(logout, headers=headers)
        assert left.json()["continue_at"] == f"{hub.url}/hub/logout"
        assert browser.get("/services/pressroom/session").status_code == 401
    with hub.sign_in("boss") as browser:
        session = browser.get("/services/pressroom/login", params={"by": "jupyterhub", "next": "/session"})
        assert session.json()["roles"] == ["admin"]


def test_a_sign_in_that_was_not_begun_here_or_comes_to_nothing_is_refused(hub: Hub, ana: Account) -> None:
    callback = "/services/pressroom/oauth_callback"
    with hub.sign_in(ana.name) as browser, hub.sign_in("boss") as another:
        assert browser.get(callback, params={"code": "x", "state": "y"}).status_code == 401
        browser.follow_redirects = another.follow_redirects = False
        begun = browser.get("/services/pressroom/login", params={"by": "jupyterhub"})
        sent_back = browser.get(begun.headers["location"]).headers["location"]
        # Another browser cannot be signed in with it, and neither can anybody twice.
        assert another.get(sent_back).status_code == 401
        assert browser.get(sent_back).status_code == 303
        assert browser.get(sent_back).status_code == 401
        begun = browser.get("/services/pressroom/login", params={"by": "jupyterhub"})
        state = httpx.URL(begun.headers["location"]).params["state"]
        for query, why in (
            ({"code": "wrong"}, "did not take the browser's code"),
            ({"error": "access_denied"}, "access_denied"),
            ({}, "no code"),
        ):
            refused = browser.get(callback, params={"state": state, **query})
            assert (refused.status_code, why in refused.json()["detail"]) == (401, True), refused.text


def test_a_wrong_token_is_answered_401_and_one_for_something_else_403(hub: Hub, ana: Account) -> None:
    other = hub.user_token(ana.name, "read:users:name!user")
    for scheme in ("token", "Bearer"):
        for token, status in (("0" * 32, 401), (other, 403), (hub.user_token(ana.name, ACCESS), 200)):
            headers = {"Authorization": f"{scheme} {token}"}
            assert httpx.get(f"{hub.service}/db/executions", headers=headers).status_code == status
    assert httpx.get(f"{hub.service}/db/executions").status_code == 401


def test_a_pressroom_that_the_hub_does_not_start_is_served_by_it_all_the_same(hub: Hub, ana: Account) -> None:
    path = urlsplit(hub.outside).path
    with hub.sign_in(ana.name) as browser:
        told = browser.get(f"{path}/login", params={"next": "/session"}).json()
        assert (told["username"], told["groups"], told["source"]) == (ana.name, ["analysts"], "jupyterhub")
        assert told["scopes"] == sorted(PERSON)
        notebook = write_notebook(ana.home / "outside.ipynb", "print(region)", parameters='region = "EMEA"')
        with Client(hub.outside, token=hub.user_token(ana.name, "inherit")) as client:
            done = client.execute(str(notebook), {"region": "APAC"})
            assert (done.username, done.status) == (ana.name, "success")
        [execution] = browser.get(f"{path}/db/executions").json()
        assert (execution["id"], execution["parameters_used"]) == (done.id, {"region": "APAC"})
    for at in (hub.outside, hub.outside_at + path):
        for token, status in (("0" * 32, 401), (hub.user_token(ana.name, ACCESS), 403)):
            assert status_of(at, token) == status
        assert status_of(at, hub.user_token(ana.name, f"{ACCESS}-outside")) == 200


def status_of(service: str, token: str) -> int:
    """How a service answers a request with a token of the Hub's."""
    headers = {"Authorization": f"token {token}"}
    return httpx.get(f"{service}/db/executions", headers=headers, timeout=60).status_code


async def test_while_the_hub_is_away_who_is_known_goes_on(
    hub: Hub, ana: Account, tokens_of: Callable[..., HubTokens]
) -> None:
    first, second = (hub.user_token(ana.name, "inherit") for _ in range(2))
    patient, strict = tokens_of(), tokens_of(jupyterhub_outage_seconds=0)
    before = await principal(patient, first)
    await principal(strict, first)
    path = urlsplit(hub.outside).path
    assert status_of(hub.outside, first) == 200
    hub.stop(signal.SIGKILL)
    try:
        assert [status_of(hub.outside_at + path, token) for token in (first, second)] == [200, 503]
        assert await principal(patient, first) == before
        for tokens, token in ((patient, second), (strict, first), (patient, "0" * 32)):
            with pytest.raises(Unavailable, match="Hub cannot be reached"):
                await tokens.principal(token)
    finally:
        hub.start()
    for token in (first, second):
        assert await principal(strict, token) == before
    with pytest.raises(NotAuthenticated):
        await patient.principal("0" * 32)
    for service in (hub.service, hub.outside):
        assert status_of(service, second) == 200
    with hub.sign_in(ana.name) as browser:
        assert browser.get(f"{path}/login", params={"next": "/session"}).json()["username"] == ana.name
