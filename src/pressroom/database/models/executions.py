"""Executions, their attempts and their events."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Identity,
    Index,
    String,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from pressroom.database.models.base import Base

TERMINAL = ("success", "failed", "cancelled")


class Execution(Base):
    """One execution of a notebook, registered or not."""

    __tablename__ = "notebook_executions"
    __table_args__ = (
        # A page of history walks one of these backwards, newest first. The first column alone serves as its index.
        Index("ix_notebook_executions_username_id", "username", "id"),
        Index("ix_notebook_executions_status_id", "status", "id"),
        Index("ix_notebook_executions_notebook_id_id", "notebook_id", "id"),
        Index("ix_notebook_executions_queue_id", "queue", "id"),
        # Two executions that are under way never write to the same file.
        Index(
            "uq_notebook_executions_output_path_under_way",
            "output_path",
            unique=True,
            postgresql_where="status IN ('pending', 'running')",
        ),
        # What a worker looks through for its next execution: see claim_execution() in migrations/sql/queue_0012.sql.
        Index(
            "ix_notebook_executions_pending",
            "queue",
            "username",
            text("claim_group(input_path, batch_id, batch_limit, in_order)"),
            text("(-priority)"),
            "id",
            postgresql_where=text("status = 'pending'"),
        ),
        Index("ix_notebook_executions_running", "queue", postgresql_where=text("status = 'running'")),
        Index(
            "ix_notebook_executions_limited",
            "queue",
            postgresql_where=text(
                "status = 'pending' AND "
                "(notebook_limit IS NOT NULL OR user_limit IS NOT NULL OR queue_limit IS NOT NULL "
                "OR batch_limit IS NOT NULL OR in_order)"
            ),
        ),
        Index(
            "ix_notebook_executions_not_before",
            "not_before",
            postgresql_where=text("status = 'pending' AND not_before IS NOT NULL"),
        ),
        Index(
            "ix_notebook_executions_late_at",
            "late_at",
            postgresql_where=text("status IN ('pending', 'running') AND late_at IS NOT NULL AND NOT late_told"),
        ),
        Index(
            "ix_notebook_executions_expires_at",
            "expires_at",
            postgresql_where=text("status = 'pending' AND expires_at IS NOT NULL"),
        ),
        Index(
            "uq_notebook_executions_idempotency_key",
            "submitted_by",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
        Index("ix_notebook_executions_submitted_at", "submitted_at"),
        # What pruning asks of each execution: the newest of its notebook, and who else names its files. Paths are long,
        # so their hashes are kept. Without the last one, each deleted row would search the table for its repetitions.
        Index("ix_notebook_executions_input_path_id", text("hashtextextended(input_path, 0)"), "id"),
        Index("ix_notebook_executions_output_path", "output_path", postgresql_using="hash"),
        Index("ix_notebook_executions_retry_of", "retry_of", postgresql_where=text("retry_of IS NOT NULL")),
        # How a batch stands, and which of its executions come before another.
        Index(
            "ix_notebook_executions_batch_id_status_id",
            "batch_id",
            "status",
            "id",
            postgresql_where=text("batch_id IS NOT NULL"),
        ),
        Index("ix_notebook_executions_batch_id_id", "batch_id", "id", postgresql_where=text("batch_id IS NOT NULL")),
        Index(
            "ix_notebook_executions_schedule_id_id",
            "schedule_id",
            "id",
            postgresql_where=text("schedule_id IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    notebook_id: Mapped[int | None] = mapped_column(ForeignKey("notebooks.id", ondelete="SET NULL"))
    username: Mapped[str] = mapped_column(String(100))
    input_path: Mapped[str] = mapped_column(String(512))
    output_path: Mapped[str | None] = mapped_column(String(512))
    parameters_used: Mapped[dict[str, Any] | None]
    status: Mapped[str] = mapped_column(String(50))
    error_message: Mapped[str | None] = mapped_column(Text)
    execution_time_seconds: Mapped[int | None]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    completed_at: Mapped[datetime | None]

    # Beside the contract.
    kernel_name: Mapped[str | None] = mapped_column(String(255))
    timeout_seconds: Mapped[float | None]
    memory_mb: Mapped[int | None]
    """In MiB; of processor time and of processes and threads, likewise: what its kernel may use at most."""
    cpu_seconds: Mapped[float | None]
    max_processes: Mapped[int | None]
    failure: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """Why it did not succeed: ``reason``, and ``cell_index``, ``ename``, ``evalue`` where a cell raised."""
    cells_total: Mapped[int | None]
    cells_completed: Mapped[int] = mapped_column(server_default="0", default=0)
    in_place: Mapped[bool] = mapped_column(server_default=text("false"), default=False)
    submitted_by: Mapped[str | None] = mapped_column(String(100))
    """Who asked for it; ``username`` is whom it acts for."""
    submitted_at: Mapped[datetime] = mapped_column(server_default=func.now())
    job_id: Mapped[int | None] = mapped_column(BigInteger)
    """Procrastinate's job. No foreign key: the job is deleted when the execution ends."""
    attempt: Mapped[int] = mapped_column(server_default="0", default=0)
    """The number of the current attempt, or of the last one; 0 before the first."""
    queue: Mapped[str] = mapped_column(String(100), server_default="default", default="default")
    priority: Mapped[int] = mapped_column(server_default="0", default=0)
    max_attempts: Mapped[int] = mapped_column(server_default="1", default=1)
    retry_on: Mapped[list[str]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"), default=list)
    retry_delay_seconds: Mapped[float] = mapped_column(server_default="10", default=10.0)
    """Before the second attempt; twice as long before each later one."""
    notebook_limit: Mapped[int | None]
    """It starts only while fewer executions of its notebook run; likewise of its user and in its queue."""
    user_limit: Mapped[int | None]
    queue_limit: Mapped[int | None]
    not_before: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    late_at: Mapped[datetime | None]
    """When it is late, if it has not ended by then."""
    late_told: Mapped[bool] = mapped_column(server_default=text("false"), default=False)
    cancel_requested_at: Mapped[datetime | None]
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    idempotency_digest: Mapped[str | None] = mapped_column(String(64))
    retry_of: Mapped[int | None] = mapped_column(ForeignKey("notebook_executions.id", ondelete="SET NULL"))
    """The execution that this one repeats, at somebody's request."""
    trace: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """The trace that its submission belongs to, as W3C trace context, where traces are configured."""
    secrets: Mapped[str | None] = mapped_column(Text)
    """The values of its parameters that are secret, encrypted: see :mod:`pressroom.parameters.sealing`."""
    results: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """What its notebook recorded that is small, by name; the rest is in :class:`ExecutionResult`."""
    batch_id: Mapped[int | None] = mapped_column(ForeignKey("batches.id", ondelete="SET NULL"))
    batch_index: Mapped[int | None]
    """Its place in the batch, from 0."""
    batch_limit: Mapped[int | None]
    """It starts only while fewer executions of its batch run."""
    in_order: Mapped[bool] = mapped_column(server_default=text("false"), default=False)
    """It starts only when all that come before it in its batch have ended."""
    schedule_id: Mapped[int | None] = mapped_column(ForeignKey("schedules.id", ondelete="SET NULL"))
    scheduled_at: Mapped[datetime | None]
    """The tick of its schedule that it was made for."""


class Attempt(Base):
    """One try at an execution by one worker. Ended without a ``reason``, it succeeded."""

    __tablename__ = "execution_attempts"

    execution_id: Mapped[int] = mapped_column(
        ForeignKey("notebook_executions.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    worker: Mapped[str] = mapped_column(String(255))
    worker_id: Mapped[int] = mapped_column(BigInteger)
    host: Mapped[str] = mapped_column(String(255))
    process_id: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    ended_at: Mapped[datetime | None]
    reason: Mapped[str | None] = mapped_column(String(50))
    message: Mapped[str | None] = mapped_column(Text)


class ExecutionEvent(Base):
    """What an execution told while it went on, in order of ``id``: changes of status, cells, output."""

    __tablename__ = "execution_events"
    __table_args__ = (Index("ix_execution_events_execution_id_id", "execution_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    execution_id: Mapped[int] = mapped_column(ForeignKey("notebook_executions.id", ondelete="CASCADE"))
    attempt: Mapped[int]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    kind: Mapped[str] = mapped_column(String(30))
    data: Mapped[dict[str, Any]]
