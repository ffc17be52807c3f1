"""Batches: one notebook executed over many sets of parameters."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from pressroom.database.models.base import Base


class Batch(Base):
    """A batch. Its executions say which one they belong to, and how it stands is counted from them, until it has ended:
    see settle_batch() in migrations/sql/queue_0012.sql."""

    __tablename__ = "batches"
    __table_args__ = (
        Index("ix_batches_username_id", "username", "id"),
        Index("ix_batches_notebook_id_id", "notebook_id", "id"),
        # Without it, each batch that is deleted would search the table for its repetitions.
        Index("ix_batches_retry_of", "retry_of", postgresql_where=text("retry_of IS NOT NULL")),
        Index("ix_batches_under_way", "id", postgresql_where=text("ended_at IS NULL")),
        Index("ix_batches_schedule_id", "schedule_id", postgresql_where=text("schedule_id IS NOT NULL")),
        Index(
            "uq_batches_idempotency_key",
            "created_by",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    notebook_id: Mapped[int | None] = mapped_column(ForeignKey("notebooks.id", ondelete="SET NULL"))
    username: Mapped[str] = mapped_column(String(100))
    """As whom its executions run."""
    created_by: Mapped[str] = mapped_column(String(100))
    name: Mapped[str | None] = mapped_column(String(255))
    source: Mapped[str] = mapped_column(String(20))
    """What its sets of parameters came from: ``sets``, ``file``, ``grid``, ``sample``, ``backfill``, ``retry``."""
    plan: Mapped[dict[str, Any]]
    """What was asked for, where that is short: the grid, or the sample with its seed."""
    total: Mapped[int]
    batch_limit: Mapped[int | None]
    """How many of its executions run at once at most."""
    in_order: Mapped[bool] = mapped_column(server_default=text("false"), default=False)
    stop_after_failures: Mapped[int | None]
    failures: Mapped[int] = mapped_column(server_default=text("0"), default=0)
    """How many have failed, where it is to be stopped after some."""
    schedule_id: Mapped[int | None] = mapped_column(ForeignKey("schedules.id", ondelete="SET NULL"))
    retry_of: Mapped[int | None] = mapped_column(ForeignKey("batches.id", ondelete="SET NULL"))
    """The batch whose failed executions it repeats."""
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    idempotency_digest: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    stopping_at: Mapped[datetime | None]
    """Since when nothing of it starts any more: it was cancelled, or too many failed."""
    stop_reason: Mapped[str | None] = mapped_column(String(50))
    """``cancelled``, or ``failures``."""
    stopped_by: Mapped[str | None] = mapped_column(String(100))
    """Who cancelled it."""
    ended_at: Mapped[datetime | None]
    """When the last of its executions ended."""
    counts: Mapped[dict[str, int] | None] = mapped_column(JSONB(none_as_null=True))
    """How they ended, by status, since then."""
