"""Schedules, and what became of each of their ticks."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from pressroom.database.models.base import Base


class Schedule(Base):
    """A notebook that is executed at certain times."""

    __tablename__ = "schedules"
    __table_args__ = (
        UniqueConstraint("username", "name"),
        Index("ix_schedules_notebook_id", "notebook_id"),
        Index("ix_schedules_fire_at", "fire_at", postgresql_where=text("NOT paused")),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    notebook_id: Mapped[int] = mapped_column(ForeignKey("notebooks.id", ondelete="CASCADE"))
    username: Mapped[str] = mapped_column(String(100))
    """Whose it is: its executions are submitted by them, with the groups and roles of when it was last changed."""
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    cron: Mapped[str] = mapped_column(String(255))
    timezone: Mapped[str] = mapped_column(String(100))
    """A name of the IANA time zone database."""
    parameters: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"), default=dict)
    """Texts in them may be templates of the tick. In place of a secret there is a mark."""
    secrets: Mapped[str | None] = mapped_column(Text)
    """The values of its parameters that are secret, encrypted: see :mod:`pressroom.parameters.sealing`."""
    how: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"), default=dict)
    """How its executions are queued, limited and retried, where the notebook's defaults are not wanted."""
    starts_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    missed: Mapped[str] = mapped_column(String(20))
    """What becomes of the ticks of an outage: ``skip``, ``last`` or ``all``."""
    missed_limit: Mapped[int]
    overlap: Mapped[str] = mapped_column(String(20))
    """What becomes of a tick while the execution of an earlier one is under way: ``queue``, ``skip`` or
    ``cancel_running``."""
    jitter_seconds: Mapped[float] = mapped_column(server_default="0", default=0.0)
    paused: Mapped[bool] = mapped_column(server_default=text("false"), default=False)
    next_at: Mapped[datetime | None]
    """Its next tick; ``None`` when there is none any more, or while it is paused."""
    fire_at: Mapped[datetime | None]
    """When the next tick fires: then, or later by some of the jitter."""
    owner_groups: Mapped[list[str]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"), default=list)
    owner_roles: Mapped[list[str]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"), default=list)
    created_by: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.clock_timestamp())


class ScheduleTick(Base):
    """What became of one tick: the execution that was made for it, or why there is none."""

    __tablename__ = "schedule_ticks"
    __table_args__ = (
        Index("ix_schedule_ticks_execution_id", "execution_id", postgresql_where=text("execution_id IS NOT NULL")),
        Index("ix_schedule_ticks_at", "at", postgresql_where=text("execution_id IS NULL")),
    )

    schedule_id: Mapped[int] = mapped_column(ForeignKey("schedules.id", ondelete="CASCADE"), primary_key=True)
    scheduled_at: Mapped[datetime] = mapped_column(primary_key=True)
    outcome: Mapped[str] = mapped_column(String(20))
    """``fired``, ``missed``, ``skipped`` or ``refused``."""
    execution_id: Mapped[int | None] = mapped_column(ForeignKey("notebook_executions.id", ondelete="SET NULL"))
    message: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
