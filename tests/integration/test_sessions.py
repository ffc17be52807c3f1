"""Sessions of browsers: good for their time, for one browser, and for changes from our own pages only."""

from typing import Any

import pytest
from sqlalchemy import select, text
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
    # A name that browsers take for their own machine, and nobody else's.
    assert Site.of(scope, "http://hub.localhost:8000/p") == Site("http://hub.localhost:8000", "/p")
    assert Site.of({"scheme": "http", "headers": [(b"host", b"hub.localhost")]}, None) is None
    assert Site.of(scope, "http://notlocalhost") is None


def test_our_own_pages_are_told_by_their_origin() -> None:
    site, secret = Site("https://p.example.com"), "s"

    def sent(*headers: tuple[bytes, bytes]) -> None:
        site.require_own_page({"headers": [*headers, (b"x-csrf-token", csrf_token(secret).encode())]}, secret)

    sent((b"origin", b"https://p.example.com"))
    for origin in (b"http://p.example.com", b"https://p.example.com:8443", b"https://p.example.com.evil.net"):
        with pytest.raises(NotAllowed):
            sent((b"origin", origin))
