"""Who did what."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Identity, Index, String, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from pressroom.database.models.base import Base


class AuditEntry(Base):
    """What somebody changed or was refused. A trigger refuses to change or to delete one."""

    __tablename__ = "audit_log"
    __table_args__ = (Index("ix_audit_log_username_id", "username", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    username: Mapped[str | None] = mapped_column(String(100))
    """``None`` where nobody was known."""
    source: Mapped[str | None] = mapped_column(String(20))
    """By what the caller was known."""
    token_id: Mapped[int | None]
    address: Mapped[str | None] = mapped_column(String(100))
    operation: Mapped[str] = mapped_column(String(100))
    """The name of the operation in the API."""
    method: Mapped[str] = mapped_column(String(10))
    path: Mapped[str] = mapped_column(String(500))
    """Without the query."""
    facts: Mapped[dict[str, Any]] = mapped_column(JSONB)
    """What it was done to, where the path does not say."""
    allowed: Mapped[bool]
    status: Mapped[int | None]
    """Of the answer, where it was refused."""
