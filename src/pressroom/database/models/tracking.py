"""Executions that are runs of MLflow."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, String, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from pressroom.database.models.base import Base


class MlflowTracking(Base):
    """One row, once a worker has tracked: which installation this is, so that several can share an MLflow server, and
    when a worker said last that it tracks. Executions that end within a day of that are noted, by a trigger."""

    __tablename__ = "mlflow_tracking"
    __table_args__ = (CheckConstraint("sole", name="sole"),)

    sole: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    installation: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())


class MlflowRun(Base):
    """An execution that has ended, and the run that it is or is to be."""

    __tablename__ = "mlflow_runs"

    execution_id: Mapped[int] = mapped_column(
        ForeignKey("notebook_executions.id", ondelete="CASCADE"), primary_key=True
    )
    status: Mapped[str] = mapped_column(String(20), server_default="pending", default="pending")
    """``pending``, ``written`` or ``failed``."""
    run_id: Mapped[str | None] = mapped_column(String(64))
    attempts: Mapped[int] = mapped_column(server_default="0", default=0)
    detail: Mapped[str | None] = mapped_column(Text)
    """Why the last try failed."""
    claimed_until: Mapped[datetime | None]
    """Until when a worker may be at it."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    written_at: Mapped[datetime | None]
