"""Personal access tokens: made, used, revoked, and never good for more than their user."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import URL, select, text
from typer.testing import CliRunner

import pressroom
from pressroom.cli.main import app
from pressroom.database.models import AccessToken
from pressroom.database.session import Database
from pressroom.database.shared_read import SharedReads
from pressroom.errors import Invalid, NotAllowed, NotAuthenticated, NotFound
from pressroom.identity import tokens
from pressroom.identity.policy import viewer
from pressroom.identity.principal import Principal, Scope
from pressroom.identity.token_schemas import TokenWanted
from pressroom.identity.tokens import TokenSource

BO = Principal.person("bo", groups=["finance"], source="test")
BOSS = Principal.person("boss", roles=["admin", "auditor"], source="test")


async def make(database: Database, principal: Principal, *scopes: str, **fields: Any) -> str:
    async with database.transaction() as session:
        wanted = TokenWanted(scopes=[Scope(scope) for scope in scopes], **fields)
        return (await tokens.create(session, principal, wanted))[1]


async def known(database: Database, secret: str) -> Principal | None:
    return await TokenSource(database, SharedReads()).principal(secret)


async def test_a_token_stands_for_its_user_with_the_scopes_it_was_made_for(database: Database) -> None:
    found = await known(database, await make(database, BO, "execute"))
    assert found == Principal("bo", frozenset({"finance"}), frozenset(), frozenset({"execute", "read"}), "token")


async def test_an_administrators_token_is_one_only_where_it_was_made_for_that(database: Database) -> None:
    plain = await known(database, await make(database, BOSS, "write"))
    assert plain is not None
    assert viewer(plain) is not None, "it does not see everything"
    assert plain.roles == {"auditor"}
    full = await known(database, await make(database, BOSS, "admin"))
    assert full is not None
    assert viewer(full) is None
    assert full.scopes == set(Scope)


@pytest.mark.parametrize("scope", ["admin", "act"])
async def test_nobody_makes_a_token_that_is_good_for_more_than_they_are(database: Database, scope: str) -> None:
    with pytest.raises(NotAllowed, match=scope):
        await make(database, BO, "read", scope)
    reader = Principal("bo", frozenset(), frozenset(), frozenset({"read"}), "test")
    with pytest.raises(NotAllowed, match="execute"):
        await make(database, reader, "execute")


async def test_only_an_administrator_makes_tokens_for_others_and_none_with_their_own_power(database: Database) -> None:
    for fields in ({"username": "cy"}, {"groups": ["board"]}):
        with pytest.raises(NotAllowed, match="for others"):
            await make(database, BO, "read", **fields)
    with pytest.raises(NotAllowed, match="admin"):
        await make(database, BOSS, "admin", username="cy")
    found = await known(database, await make(database, BOSS, "execute", "act", username="hub", groups=["machines"]))
    assert found is not None
    assert (found.username, found.groups, found.roles) == ("hub", {"machines"}, frozenset())
    assert viewer(found) is None, "it acts for everybody"


async def test_a_token_makes_no_tokens(database: Database) -> None:
    found = await known(database, await make(database, BO, "write"))
    assert found is not None
    with pytest.raises(NotAllowed, match="makes no other tokens"):
        await make(database, found, "read")


async def test_a_token_of_the_hub_makes_none_and_its_user_in_a_browser_does(database: Database) -> None:
    of_a_server = Principal.person("bo", source="jupyterhub")
    with pytest.raises(NotAllowed, match="sign in with a browser"):
        await make(database, of_a_server, "read")
    async with database.transaction() as session:
        made, _ = await tokens.create(session, of_a_server, TokenWanted(scopes=[Scope.READ]), in_person=True)
    assert made.username == "bo"


async def test_the_secret_is_256_random_bits_and_kept_nowhere(database: Database) -> None:
    secrets = [await make(database, BO, "read") for _ in range(3)]
    assert len(set(secrets)) == 3
    async with database.transaction() as session:
        kept = (await session.execute(text("SELECT to_jsonb(t)::text, hash FROM access_tokens AS t"))).all()
    for secret in secrets:
        assert secret.startswith("prs_")
        assert len(secret) == 4 + 43
        assert all(secret[4:] not in row[0] for row in kept)
    assert {row[1] for row in kept} == {hashlib.sha256(secret.encode()).digest() for secret in secrets}


async def test_an_expired_and_a_revoked_token_are_refused_and_others_are_not_valid(database: Database) -> None:
    secret = await make(database, BO, "read")
    with pytest.raises(NotAuthenticated, match="not valid"):
        await known(database, secret[:-1] + ("A" if secret[-1] != "A" else "B"))
    for wrong in ("prs_", "prs_short", secret + "x", secret.upper().replace("PRS_", "prs_"), "prs_" + "ä" * 43):
        with pytest.raises(NotAuthenticated, match="not valid"):
            await known(database, wrong)
    assert await known(database, "eyJhbGciOiJub25lIn0.e30.") is None, "another source may know it"
    async with database.transaction() as session:
        await session.execute(text("UPDATE access_tokens SET expires_at = now()"))
    with pytest.raises(NotAuthenticated, match="expired"):
        await known(database, secret)
    async with database.transaction() as session:
        await tokens.revoke(session, BO, 1)
    with pytest.raises(NotAuthenticated, match="revoked"):
        await known(database, secret)


async def test_a_token_expires_within_ten_years(database: Database) -> None:
    async with database.transaction() as session:
        made, _ = await tokens.create(session, BO, TokenWanted(scopes=[Scope.READ]))
        assert abs(made.expires_at - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=1)
    for days in (-1, 3700):
        with pytest.raises(Invalid, match="ten years"):
            await make(database, BO, "read", expires_at=datetime.now(UTC) + timedelta(days=days))


async def test_the_last_use_is_written_once_a_minute(database: Database) -> None:
    secret = await make(database, BO, "read")

    async def used() -> datetime | None:
        async with database.transaction() as session:
            return await session.scalar(select(AccessToken.last_used_at))

    assert await used() is None
    await known(database, secret)
    first = await used()
    await asyncio.gather(*(known(database, secret) for _ in range(5)))
    assert await used() == first is not None
    async with database.transaction() as session:
        await session.execute(text("UPDATE access_tokens SET last_used_at = now() - interval '61 seconds'"))
    await known(database, secret)
    last = await used()
    assert last is not None
    assert last >= first


async def test_a_use_that_is_refused_is_none(database: Database) -> None:
    secret = await make(database, BO, "read")
    async with database.transaction() as session:
        await tokens.revoke(session, BO, 1)
    with pytest.raises(NotAuthenticated):
        await known(database, secret)
    async with database.transaction() as session:
        assert await session.scalar(select(AccessToken.last_used_at)) is None


async def test_tokens_of_others_are_not_there(database: Database) -> None:
    await make(database, BOSS, "read")
    async with database.transaction() as session:
        assert (await tokens.page(session, BO, 0, 10))[1:] == (0, 0)
        assert (await tokens.page(session, BOSS, 0, 10))[1:] == (1, 1)
        with pytest.raises(NotFound):
            await tokens.revoke(session, BO, 1)


def test_a_token_over_http_until_it_is_revoked(http: httpx.Client, service: Any, database_url: URL) -> None:
    made = http.post("/db/tokens", json={"scopes": ["execute"], "username": "bo", "name": "nightly"})
    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    secret = made.json()["token"]
    assert "token" not in http.get("/db/tokens").json()[0]
    with pressroom.Client(service.url, token=secret) as client:
        assert list(client.notebooks()) == []
        with pytest.raises(NotAllowed, match="scope write"):
            client.register("x", "x.ipynb", "bo")
    for scheme in ("Bearer", "bearer", "token"):
        assert http.get("/db/workers", headers={"Authorization": f"{scheme} {secret}"}).status_code == 403
    kept = [http.get("/db/notebooks", headers={"Authorization": f"Bearer {secret}"}) for _ in range(4)]
    assert [answer.status_code for answer in kept] == [200] * 4
    assert http.delete(f"/db/tokens/{made.json()['id']}").status_code == 204
    refused = http.get("/db/notebooks", headers={"Authorization": f"Bearer {secret}"})
    assert refused.status_code == 401, "what is kept of answers is nobody's whose token was revoked"
    assert refused.json()["detail"] == "The token was revoked."


def test_an_answer_that_was_kept_for_one_is_not_sent_to_another(
    http: httpx.Client, notebook: Any, database_url: URL
) -> None:
    assert (
        http.post("/db/notebooks", json={"name": "n", "file_path": str(notebook), "username": "ana"}).status_code == 201
    )
    headers = [{}]
    for username in ("bo", "cy"):
        made = http.post("/db/tokens", json={"scopes": ["read"], "username": username, "groups": ["all"]})
        headers.append({"Authorization": f"Bearer {made.json()['token']}"})

    def seen() -> list[list[int]]:
        return [[row["id"] for row in http.get("/db/notebooks", headers=each).json()] for each in headers]

    for _ in range(4):
        assert seen() == [[1], [], []]
    assert http.put("/db/notebooks/1/grants/user/bo", json={"level": "viewer"}).status_code == 200
    for _ in range(4):
        assert seen() == [[1], [1], []]
    statuses = [http.get("/db/notebooks/1", headers=each).status_code for each in headers * 4]
    assert statuses == [200, 200, 404] * 4
    assert http.delete("/db/notebooks/1/grants/user/bo").status_code == 204
    assert seen() == [[1], [], []]
    assert [http.get("/db/notebooks/1", headers=each).status_code for each in headers] == [200, 404, 404]


def test_the_client_takes_its_token_from_the_environment(
    http: httpx.Client, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRESSROOM_TOKEN", "prs_wrong")
    with pressroom.Client(service.url) as client, pytest.raises(NotAuthenticated):
        list(client.notebooks())
    made = http.post("/db/tokens", json={"scopes": ["read"]}).json()
    with pressroom.Client(service.url, token=made["token"]) as client:
        assert list(client.notebooks()) == []


def test_tokens_on_the_command_line(database_url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url.render_as_string(hide_password=False))
    monkeypatch.setenv("PRESSROOM_LOCAL_USER", "ana")
    run = CliRunner()
    made = run.invoke(app, ["tokens", "create", "--scope", "execute", "--expires", "90d", "--name", "nightly"])
    assert made.exit_code == 0, made.output
    secret = made.stdout.strip()
    assert secret.startswith("prs_")
    assert "not shown again" in made.stderr
    listed = run.invoke(app, ["tokens", "list"])
    assert "nightly" in listed.stdout
    assert secret not in listed.stdout
    assert run.invoke(app, ["tokens", "revoke", "1"]).exit_code == 0
    with psycopg.connect(database_url.set(drivername="postgresql").render_as_string(hide_password=False)) as plain:
        assert plain.execute("SELECT revoked_at IS NOT NULL FROM access_tokens").fetchall() == [(True,)]
    assert run.invoke(app, ["tokens", "revoke", "2"]).exit_code == 2
    assert run.invoke(app, ["tokens", "create", "--scope", "everything"]).exit_code == 2
