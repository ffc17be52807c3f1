"""Sessions of browsers: begun, recognized, ended; whichever way their users signed in.

Of a session's secret, 256 random bits, only the SHA-256 is kept, and what else must be kept secret is encrypted with a
key that is made of it: whoever reads the table gets into no session, and learns nothing that is good elsewhere.
"""

import hashlib
import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from joserfc import jwe
from joserfc.jwk import OctKey
from sqlalchemy import CursorResult, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import BrowserSession
from pressroom.database.session import Database
from pressroom.database.shared_read import SharedReads
from pressroom.errors import NotAuthenticated
from pressroom.identity.cookies import derived
from pressroom.identity.principal import Principal, Scope
from pressroom.session_settings import SessionSettings

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
_ENDED = "The session has ended, or there was none: sign in again."
_FIND = """
SELECT username, groups, roles, scopes, source, last_used_at < now() - interval '1 minute'
FROM sessions WHERE hash = %(hash)s AND expires_at > now() AND last_used_at > now() - %(idle)s
"""
_USED = """
UPDATE sessions SET last_used_at = now() WHERE hash = %(hash)s AND last_used_at < now() - interval '1 minute'
"""
_SEALING = {"alg": "dir", "enc": "A256GCM"}


class Sessions:
    """The sessions of a service's browsers. It asks the database for every request, so one that has ended is
    worthless, in every process."""

    def __init__(self, database: Database, reads: SharedReads, settings: SessionSettings) -> None:
        self._database, self._reads = database, reads
        self._lifetime = timedelta(hours=settings.session_hours)
        self._idle = timedelta(minutes=settings.session_idle_minutes)

    async def start(
        self,
        session: AsyncSession,
        principal: Principal,
        *,
        subject: str | None = None,
        issuer_session: str | None = None,
        kept: str | None = None,
    ) -> str:
        """Begin a session of somebody who just signed in; the secret for the browser's cookie.

        ``subject`` and ``issuer_session`` are what :func:`end_of_issuer` finds it by; ``kept`` is what :meth:`end`
        answers. Sessions whose time is over are deleted on this occasion.
        """
        now = datetime.now(UTC)
        over = or_(BrowserSession.expires_at <= now, BrowserSession.last_used_at <= now - self._idle)
        # Two that sign in at the same time leave each other's rows alone.
        old = select(BrowserSession.hash).where(over).limit(1000).with_for_update(skip_locked=True)
        await session.execute(delete(BrowserSession).where(BrowserSession.hash.in_(old)))
        secret = secrets.token_urlsafe(32)
        session.add(
            BrowserSession(
                hash=_hash(secret),
                username=principal.username,
                groups=sorted(principal.groups),
                roles=sorted(principal.roles),
                scopes=sorted(principal.scopes),
                source=principal.source,
                subject=subject,
                issuer_session=issuer_session,
                sealed=None if kept is None else jwe.encrypt_compact(_SEALING, kept, _key(secret)),
                expires_at=now + self._lifetime,
            )
        )
        await session.flush()
        return secret

    async def principal(self, secret: str) -> Principal:
        """Whose session it is. Raises :class:`NotAuthenticated` where it has ended, and for what never was a secret."""
        if _SECRET.fullmatch(secret) is None:
            raise NotAuthenticated(_ENDED)
        given = _hash(secret)
        return await self._reads.get(("session", given), lambda: self._find(given))

    async def _find(self, given: bytes) -> Principal:
        async with self._database.statements() as connection:
            row = await (await connection.execute(_FIND, {"hash": given, "idle": self._idle})).fetchone()
            if row is None:
                raise NotAuthenticated(_ENDED)
            username, groups, roles, scopes, source, unused = row
            if unused:
                await connection.execute(_USED, {"hash": given})
        return Principal(username, frozenset(groups), frozenset(roles), frozenset(scopes), source)


async def goes_on(session: AsyncSession, secret: str, principal: Principal, seconds: float) -> bool:
    """Whether a session that began at most so many seconds ago is of this principal, and not over."""
    began = BrowserSession.created_at >= func.now() - timedelta(seconds=seconds)
    wanted = select(BrowserSession).where(BrowserSession.hash == _hash(secret), began)
    row = await session.scalar(wanted.where(BrowserSession.expires_at > func.now()))
    return row is not None and principal == Principal(
        row.username, frozenset(row.groups), frozenset(row.roles), frozenset(map(Scope, row.scopes)), row.source
    )


async def end(session: AsyncSession, secret: str) -> str | None:
    """Make a session worthless from this moment on; what was ``kept`` for it."""
    ended = delete(BrowserSession).where(BrowserSession.hash == _hash(secret)).returning(BrowserSession.sealed)
    sealed = (await session.execute(ended)).scalar_one_or_none()
    if sealed is None:
        return None
    return cast("bytes", jwe.decrypt_compact(sealed, _key(secret)).plaintext).decode()


async def end_of_issuer(session: AsyncSession, source: str, *, subject: str | None, issuer_session: str | None) -> int:
    """End the sessions that came of one session at the issuer, or where that is not said all those of one user there;
    how many there were."""
    of_it = (
        BrowserSession.issuer_session == issuer_session
        if issuer_session is not None
        else BrowserSession.subject == subject
    )
    ended = await session.execute(delete(BrowserSession).where(BrowserSession.source == source, of_it))
    return cast("CursorResult[Any]", ended).rowcount


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _key(secret: str) -> OctKey:
    return OctKey.import_key(derived(secret, "kept"))
