"""Tokens that people made for their programs."""

from datetime import datetime

from sqlalchemy import Index, LargeBinary, String, func
from sqlalchemy.orm import Mapped, mapped_column

from pressroom.database.models.base import Base


class AccessToken(Base):
    """A personal access token, without its secret."""

    __tablename__ = "access_tokens"
    __table_args__ = (Index("ix_access_tokens_username_id", "username", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(100))
    name: Mapped[str] = mapped_column(String(255))
    hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    """SHA-256 of the secret."""
    scopes: Mapped[list[str]]
    groups: Mapped[list[str]]
    """Those of its user when it was made, as ``roles`` are."""
    roles: Mapped[list[str]]
    created_by: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    """To the minute."""
    revoked_at: Mapped[datetime | None]
