"""Personal access tokens: made, listed, revoked, and recognized.

A secret is 256 random bits, so nobody finds it by trying, and its SHA-256 is enough to keep: a slow hash protects what
people think up, and would cost every request. The prefix is for scanners that look for secrets that were published.
"""

import hashlib
import hmac
import re
import secrets
from datetime import UTC, datetime, timedelta

from pydantic import TypeAdapter
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import AccessToken
from pressroom.database.session import Database
from pressroom.database.shared_read import SharedReads
from pressroom.errors import Invalid, NotAllowed, NotAuthenticated, NotFound
from pressroom.identity.policy import is_admin, require_admin
from pressroom.identity.principal import ADMIN, Principal, Scope, with_implied
from pressroom.identity.token_schemas import TokenOut, TokenWanted

PREFIX = "prs_"
SOURCE = "token"
OF_PROGRAMS = (SOURCE, "jupyterhub")
"""Sources of tokens that programs have, which end or are revoked somewhere: what they make would outlive them."""
DEFAULT_DAYS, MOST_DAYS = 90, 3653
_SECRET = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")
_ROWS = TypeAdapter(list[TokenOut])
_FIND = """
SELECT id, hash, username, scopes, groups, roles, expires_at <= now(), revoked_at IS NOT NULL,
    last_used_at IS NULL OR last_used_at < now() - interval '1 minute'
FROM access_tokens WHERE hash = %(hash)s
"""
_USED = """
UPDATE access_tokens SET last_used_at = now()
WHERE id = %(id)s AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
"""


async def create(
    session: AsyncSession, principal: Principal, wanted: TokenWanted, *, in_person: bool = False
) -> tuple[AccessToken, str]:
    """Make a token, and answer it with its secret, which is kept nowhere. ``in_person``: the user is signed in with a
    browser, or typed a command.

    Raises :class:`NotAllowed` where it would be good for more than ``principal`` is, or is another's and ``principal``
    no administrator, and :class:`Invalid` for a time that is over or too far away.
    """
    if principal.source in OF_PROGRAMS and not in_person and not is_admin(principal):
        raise NotAllowed("A token makes no other tokens: sign in with a browser to make one.")
    own = wanted.username is None or wanted.username == principal.username
    if not own or wanted.groups:
        require_admin(principal, "make tokens for others, or say their groups")
    if more := with_implied(wanted.scopes) - (principal.scopes if own else principal.scopes - {Scope.ADMIN}):
        raise NotAllowed(f"The token would be good for more than its user: {', '.join(sorted(more))}.")
    now = datetime.now(UTC)
    expires_at = wanted.expires_at or now + timedelta(days=DEFAULT_DAYS)
    if not now < expires_at <= now + timedelta(days=MOST_DAYS):
        raise Invalid("expires_at must lie ahead, ten years at most.")
    secret = PREFIX + secrets.token_urlsafe(32)
    token = AccessToken(
        username=wanted.username or principal.username,
        name=wanted.name,
        hash=_hash(secret),
        scopes=sorted(set(wanted.scopes)),
        groups=sorted(principal.groups if own and not wanted.groups else wanted.groups),
        roles=sorted(principal.roles) if own else [],
        created_by=principal.username,
        expires_at=expires_at,
    )
    session.add(token)
    await session.flush()
    await session.refresh(token)
    return token, secret


async def page(session: AsyncSession, principal: Principal, skip: int, limit: int) -> tuple[bytes, int, int]:
    """A page of the caller's tokens, or of everybody's for an administrator, by id: JSON, its length, the total."""
    mine = [] if is_admin(principal) else [AccessToken.username == principal.username]
    wanted = select(AccessToken).where(*mine).order_by(AccessToken.id).offset(skip).limit(limit)
    rows = (await session.scalars(wanted)).all()
    total = await session.scalar(select(func.count(AccessToken.id)).where(*mine))
    return _ROWS.dump_json(_ROWS.validate_python(rows)), len(rows), int(total or 0)


async def revoke(session: AsyncSession, principal: Principal, token_id: int) -> None:
    """Make a token worthless, from this moment on. Raises :class:`NotFound` for one that is not the caller's to see."""
    token = await session.get(AccessToken, token_id)
    if token is None or not (is_admin(principal) or token.username == principal.username):
        raise NotFound("token", token_id)
    token.revoked_at = token.revoked_at or datetime.now(UTC)
    await session.flush()


class TokenSource:
    """Knows callers by these tokens. It asks the database for every request, so one that was revoked is worthless."""

    def __init__(self, database: Database, reads: SharedReads) -> None:
        self._database, self._reads = database, reads

    async def principal(self, token: str) -> Principal | None:
        """Whom a token stands for; ``None`` where it is of another kind. Raises :class:`NotAuthenticated`."""
        if not token.startswith(PREFIX):
            return None
        if _SECRET.fullmatch(token) is None:
            raise NotAuthenticated("The token is not valid.")
        given = _hash(token)
        return await self._reads.get(("token", given), lambda: self._find(given))

    async def _find(self, given: bytes) -> Principal:
        async with self._database.statements() as connection:
            row = await (await connection.execute(_FIND, {"hash": given})).fetchone()
            if row is None or not hmac.compare_digest(row[1], given):
                raise NotAuthenticated("The token is not valid.")
            token_id, _, username, scopes, groups, roles, expired, revoked, unused = row
            if revoked:
                raise NotAuthenticated("The token was revoked.")
            if expired:
                raise NotAuthenticated("The token has expired.")
            if unused:
                await connection.execute(_USED, {"id": token_id})
        held = frozenset(roles) if Scope.ADMIN in scopes else frozenset(roles) - {ADMIN}
        return Principal(username, frozenset(groups), held, with_implied(scopes), SOURCE, token_id)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
