"""Browsers in which somebody is signed in."""

from datetime import datetime

from sqlalchemy import Index, LargeBinary, String, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from pressroom.database.models.base import Base


class BrowserSession(Base):
    """A browser in which somebody is signed in, without the secret that its cookie holds."""

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions_expires_at", "expires_at"),
        Index("ix_sessions_subject", "subject"),
        Index("ix_sessions_issuer_session", "issuer_session"),
    )

    hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    """SHA-256 of the secret."""
    username: Mapped[str] = mapped_column(String(100))
    groups: Mapped[list[str]]
    """Those of the user at the sign-in, as ``roles`` and ``scopes`` are."""
    roles: Mapped[list[str]]
    scopes: Mapped[list[str]]
    source: Mapped[str] = mapped_column(String(20))
    """By what the user was known at the sign-in."""
    subject: Mapped[str | None] = mapped_column(String(255))
    """What the issuer calls the user (``sub``), and ``issuer_session`` the user's session there (``sid``)."""
    issuer_session: Mapped[str | None] = mapped_column(String(255))
    sealed: Mapped[str | None] = mapped_column(Text)
    """What the sign-in needs again when it ends, encrypted with a key that is made of the secret."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime] = mapped_column(server_default=func.now())
    """To the minute."""
