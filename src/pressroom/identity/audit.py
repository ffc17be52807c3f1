"""Who did what, to what, when and from where; and what was refused.

A change and its entry are of one transaction, so neither is there without the other. Values of parameters, bodies and
query strings are in none.
"""

import asyncio
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import AuditEntry
from pressroom.errors import Unavailable, shown
from pressroom.identity.audit_schemas import AuditOut
from pressroom.identity.principal import Principal

log = logging.getLogger("pressroom.audit")
_ROWS = TypeAdapter(list[AuditOut])


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, before it is written: the columns of :class:`AuditEntry` that the database does not fill in."""

    username: str | None
    source: str | None
    token_id: int | None
    address: str | None
    operation: str
    method: str
    path: str
    facts: dict[str, Any]
    allowed: bool
    status: int | None

    @classmethod
    def of(cls, scope: Mapping[str, Any], caller: Principal | None, refused: int | None = None) -> "Entry":
        """What the request of an ASGI scope did, or the status with which it was ``refused``."""
        client = scope.get("client")
        return cls(
            username=caller and caller.username[:100],
            source=caller and caller.source,
            token_id=caller and caller.token_id,
            address=client[0][:100] if client else None,
            operation=getattr(scope.get("route"), "name", "")[:100],
            method=scope["method"][:10],
            path=shown(scope["path"], 500)[:500],
            facts=dict(facts(scope)),
            allowed=refused is None,
            status=refused,
        )

    @classmethod
    def of_command(
        cls, caller: Principal, command: str, operation: str, account: str, facts: dict[str, Any]
    ) -> "Entry":
        """What a command of the shell did, called by whoever has that ``account`` of the system."""
        return cls(
            username=caller.username[:100],
            source="cli",
            token_id=None,
            address=None,
            operation=operation,
            method="CLI",
            path=command,
            facts={"account": account, **facts},
            allowed=True,
            status=None,
        )


def facts(scope: Any) -> dict[str, Any]:
    """What a request is done to, for its entry; whoever knows more than the path says puts it in."""
    return scope.setdefault("pressroom.facts", {})


def begun(scope: Mapping[str, Any]) -> bool:
    """Whether a request came to an endpoint that needs a right."""
    return "pressroom.facts" in scope


async def record(session: AsyncSession, entry: Entry) -> None:
    """Write an entry in the transaction of ``session``."""
    await session.execute(insert(AuditEntry).values(**asdict(entry)))


async def page(
    session: AsyncSession, username: str | None, allowed: bool | None, after: int | None, limit: int
) -> tuple[bytes, list[int]]:
    """The newest entries, or those before the entry ``after``: their JSON, and their ids."""
    wanted = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    if username is not None:
        wanted = wanted.where(AuditEntry.username == username)
    if allowed is not None:
        wanted = wanted.where(AuditEntry.allowed.is_(allowed))
    if after is not None:
        wanted = wanted.where(AuditEntry.id < after)
    rows = (await session.scalars(wanted)).all()
    return _ROWS.dump_json(_ROWS.validate_python(rows)), [row.id for row in rows]


class AuditFile:
    """The same entries as lines of JSON in a file, where one is set. A line is one write, so processes share a file."""

    def __init__(self, path: Path | None) -> None:
        self._file: int | None = None
        if path is not None:
            try:
                self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise Unavailable("audit file", str(error)) from error

    async def tell(self, entry: Entry) -> None:
        """Add the line of an entry that was committed."""
        if self._file is None:
            return
        line = json.dumps({"at": datetime.now(UTC).isoformat().replace("+00:00", "Z")} | asdict(entry)) + "\n"
        try:
            await asyncio.to_thread(os.write, self._file, line.encode())
        except OSError as error:
            log.error("an entry is in the database and not in the audit file: %s", error)  # noqa: TRY400 - no news

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
