"""Who is told of what, and every telling."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Identity,
    Index,
    String,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from pressroom.database.models.base import Base


class Notification(Base):
    """Somebody to be told of how executions end: a webhook or an e-mail address, of one notebook or of all."""

    __tablename__ = "notifications"
    __table_args__ = (Index("ix_notifications_notebook_id", "notebook_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    notebook_id: Mapped[int | None] = mapped_column(ForeignKey("notebooks.id", ondelete="CASCADE"))
    """``None``: the executions of every notebook."""
    username: Mapped[str] = mapped_column(String(100))
    """Who made it."""
    channel: Mapped[str] = mapped_column(String(20))
    target: Mapped[str] = mapped_column(String(2000))
    """A URL, or an e-mail address."""
    events: Mapped[list[str]]
    secret: Mapped[str | None] = mapped_column(String(200))
    """The key that a webhook is signed with."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Delivery(Base):
    """One telling of one event of an execution to one :class:`Notification`."""

    __tablename__ = "notification_deliveries"
    __table_args__ = (
        UniqueConstraint("notification_id", "execution_id", "event"),
        Index("ix_notification_deliveries_execution_id", "execution_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    notification_id: Mapped[int] = mapped_column(ForeignKey("notifications.id", ondelete="CASCADE"))
    execution_id: Mapped[int] = mapped_column(ForeignKey("notebook_executions.id", ondelete="CASCADE"))
    event: Mapped[str] = mapped_column(String(50))
    status: Mapped[str] = mapped_column(String(20), server_default="pending", default="pending")
    """``pending``, ``delivered`` or ``failed``."""
    attempts: Mapped[int] = mapped_column(server_default="0", default=0)
    detail: Mapped[str | None] = mapped_column(Text)
    """Why the last try failed."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    delivered_at: Mapped[datetime | None]
