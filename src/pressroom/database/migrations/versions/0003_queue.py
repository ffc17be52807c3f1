"""The queue: Procrastinate's schema, what an execution in a queue needs, attempts, events, workers, notifications."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"

_SQL = Path(__file__).parent.parent / "sql"
_NOW = sa.text("now()")
_CLOCK = sa.text("clock_timestamp()")
_LIMITED = "status = 'pending' AND (notebook_limit IS NOT NULL OR user_limit IS NOT NULL OR queue_limit IS NOT NULL)"


def _time(name: str, default: sa.TextClause | None = None) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=default is None, server_default=default)


def _run(name: str) -> None:
    """Run a file of statements: by the driver, since it holds many, and percent signs that stand for themselves."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute((_SQL / name).read_text())


def upgrade() -> None:
    """Add all of it, and end what no queue knows of."""
    op.execute("LOCK TABLE notebook_executions IN ACCESS EXCLUSIVE MODE")
    # What is under way belongs to services of the version before, which had no queue.
    op.execute(
        "UPDATE notebook_executions SET status = 'failed', completed_at = now(), "
        """failure = '{"reason": "interrupted"}', """
        "error_message = 'The service stopped while the execution was under way.' "
        "WHERE status IN ('pending', 'running')"
    )
    _run("procrastinate_3_10.sql")
    op.add_column(
        "notebooks", sa.Column("execution_defaults", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb"))
    )
    op.drop_column("notebook_executions", "service_id")
    for column in (
        sa.Column("in_place", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("submitted_by", sa.String(100)),
        _time("submitted_at", _NOW),
        sa.Column("job_id", sa.BigInteger),
        sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
        sa.Column("queue", sa.String(100), nullable=False, server_default="default"),
        sa.Column("priority", sa.Integer, nullable=False, server_default="0"),
        sa.Column("max_attempts", sa.Integer, nullable=False, server_default="1"),
        sa.Column("retry_on", JSONB, nullable=False, server_default=sa.text("'[]'::jsonb")),
        sa.Column("retry_delay_seconds", sa.Float, nullable=False, server_default="10"),
        sa.Column("notebook_limit", sa.Integer),
        sa.Column("user_limit", sa.Integer),
        sa.Column("queue_limit", sa.Integer),
        _time("not_before"),
        _time("expires_at"),
        _time("late_at"),
        sa.Column("late_told", sa.Boolean, nullable=False, server_default=sa.text("false")),
        _time("cancel_requested_at"),
        sa.Column("idempotency_key", sa.String(255)),
        sa.Column("idempotency_digest", sa.String(64)),
        sa.Column("retry_of", sa.Integer),
        sa.Column("trace", JSONB),
    ):
        op.add_column("notebook_executions", column)
    op.execute("UPDATE notebook_executions SET submitted_at = started_at")
    op.create_foreign_key(
        "fk_notebook_executions_retry_of_notebook_executions",
        "notebook_executions", "notebook_executions", ["retry_of"], ["id"], ondelete="SET NULL",
    )  # fmt: skip
    _indexes()
    _tables()
    _run("queue.sql")
    _run("history.sql")


def _indexes() -> None:
    def index(name: str, columns: Sequence[str | sa.TextClause], where: str | None = None, **options: Any) -> None:
        clause = sa.text(where) if where else None
        op.create_index(name, "notebook_executions", columns, postgresql_where=clause, **options)

    pending = ["queue", "username", sa.text("hashtextextended(input_path, 0)"), sa.text("priority DESC"), "id"]
    index("ix_notebook_executions_pending", pending, "status = 'pending'")
    index("ix_notebook_executions_running", ["queue"], "status = 'running'")
    index("ix_notebook_executions_limited", ["queue"], _LIMITED)
    late = "status IN ('pending', 'running') AND late_at IS NOT NULL AND NOT late_told"
    index("ix_notebook_executions_late_at", ["late_at"], late)
    index("ix_notebook_executions_not_before", ["not_before"], "status = 'pending' AND not_before IS NOT NULL")
    index("ix_notebook_executions_expires_at", ["expires_at"], "status = 'pending' AND expires_at IS NOT NULL")
    index(
        "uq_notebook_executions_idempotency_key",
        ["submitted_by", "idempotency_key"],
        "idempotency_key IS NOT NULL",
        unique=True,
    )
    index("ix_notebook_executions_submitted_at", ["submitted_at"])
    index("ix_notebook_executions_queue_id", ["queue", "id"])
    index("ix_notebook_executions_input_path_id", [sa.text("hashtextextended(input_path, 0)"), "id"])
    index("ix_notebook_executions_output_path", ["output_path"], postgresql_using="hash")
    index("ix_notebook_executions_retry_of", ["retry_of"], "retry_of IS NOT NULL")


def _tables() -> None:
    op.create_table(
        "execution_hours",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("block", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_execution_hours"),
    )
    op.create_index("ix_execution_hours_hour_block", "execution_hours", ["hour", "block"])
    op.create_table(
        "execution_parameters",
        sa.Column("parameter", sa.Integer, nullable=False),
        sa.Column("execution_id", sa.Integer, nullable=False),
    )
    parameter = ["parameter", "execution_id"]
    op.create_index("ix_execution_parameters_parameter_execution_id", "execution_parameters", parameter)
    op.create_table(
        "execution_attempts",
        sa.Column("execution_id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("worker", sa.String(255), nullable=False),
        sa.Column("worker_id", sa.BigInteger, nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("process_id", sa.Integer, nullable=False),
        _time("started_at", _CLOCK),
        _time("ended_at"),
        sa.Column("reason", sa.String(50)),
        sa.Column("message", sa.Text),
        sa.PrimaryKeyConstraint("execution_id", "number", name="pk_execution_attempts"),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["notebook_executions.id"],
            name="fk_execution_attempts_execution_id_notebook_executions", ondelete="CASCADE",
        ),
    )  # fmt: skip
    op.create_table(
        "execution_events",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("execution_id", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        _time("at", _CLOCK),
        sa.Column("kind", sa.String(30), nullable=False),
        sa.Column("data", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_execution_events"),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["notebook_executions.id"],
            name="fk_execution_events_execution_id_notebook_executions", ondelete="CASCADE",
        ),
    )  # fmt: skip
    op.create_index("ix_execution_events_execution_id_id", "execution_events", ["execution_id", "id"])
    op.create_table(
        "execution_turns",
        sa.Column("queue", sa.String(100), nullable=False),
        sa.Column("username", sa.String(100), nullable=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("queue", "username", name="pk_execution_turns"),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("process_id", sa.Integer, nullable=False),
        sa.Column("queues", JSONB),
        sa.Column("concurrency", sa.Integer, nullable=False),
        sa.Column("version", sa.String(50), nullable=False),
        _time("started_at", _NOW),
        sa.PrimaryKeyConstraint("id", name="pk_workers"),
    )
    op.create_table(
        "notifications",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("notebook_id", sa.Integer),
        sa.Column("username", sa.String(100), nullable=False),
        sa.Column("channel", sa.String(20), nullable=False),
        sa.Column("target", sa.String(2000), nullable=False),
        sa.Column("events", JSONB, nullable=False),
        sa.Column("secret", sa.String(200)),
        _time("created_at", _NOW),
        sa.PrimaryKeyConstraint("id", name="pk_notifications"),
        sa.ForeignKeyConstraint(
            ["notebook_id"], ["notebooks.id"], name="fk_notifications_notebook_id_notebooks", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_notifications_notebook_id", "notifications", ["notebook_id"])
    op.create_table(
        "notification_deliveries",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("notification_id", sa.Integer, nullable=False),
        sa.Column("execution_id", sa.Integer, nullable=False),
        sa.Column("event", sa.String(50), nullable=False),
        sa.Column("status", sa.String(20), nullable=False, server_default="pending"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("detail", sa.Text),
        _time("created_at", _NOW),
        _time("delivered_at"),
        sa.PrimaryKeyConstraint("id", name="pk_notification_deliveries"),
        sa.UniqueConstraint(
            "notification_id", "execution_id", "event",
            name="uq_notification_deliveries_notification_id_execution_id_event",
        ),
        sa.ForeignKeyConstraint(
            ["notification_id"], ["notifications.id"],
            name="fk_notification_deliveries_notification_id_notifications", ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["notebook_executions.id"],
            name="fk_notification_deliveries_execution_id_notebook_executions", ondelete="CASCADE",
        ),
    )  # fmt: skip
    op.create_index("ix_notification_deliveries_execution_id", "notification_deliveries", ["execution_id"])
