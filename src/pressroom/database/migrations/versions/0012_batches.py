"""Batches: one notebook executed over many sets of parameters."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0012"
down_revision = "0011"

_SQL = Path(__file__).parent.parent / "sql"
_NOW = sa.text("now()")


def _time(name: str, default: sa.TextClause | None = None) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=default is None, server_default=default)


def upgrade() -> None:
    """Add the table, and what an execution says of its batch."""
    op.create_table(
        "batches",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("notebook_id", sa.Integer),
        sa.Column("username", sa.String(100), nullable=False),
        sa.Column("created_by", sa.String(100), nullable=False),
        sa.Column("name", sa.String(255)),
        sa.Column("source", sa.String(20), nullable=False),
        sa.Column("plan", JSONB, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("batch_limit", sa.Integer),
        sa.Column("in_order", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("stop_after_failures", sa.Integer),
        sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
        sa.Column("schedule_id", sa.Integer),
        sa.Column("retry_of", sa.Integer),
        sa.Column("idempotency_key", sa.String(255)),
        sa.Column("idempotency_digest", sa.String(64)),
        _time("created_at", _NOW),
        _time("stopping_at"),
        sa.Column("stop_reason", sa.String(50)),
        sa.Column("stopped_by", sa.String(100)),
        _time("ended_at"),
        sa.Column("counts", JSONB),
        sa.PrimaryKeyConstraint("id", name="pk_batches"),
        sa.ForeignKeyConstraint(
            ["notebook_id"], ["notebooks.id"], name="fk_batches_notebook_id_notebooks", ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["retry_of"], ["batches.id"], name="fk_batches_retry_of_batches", ondelete="SET NULL"
        ),
    )  # fmt: skip
    op.create_index("ix_batches_username_id", "batches", ["username", "id"])
    op.create_index("ix_batches_notebook_id_id", "batches", ["notebook_id", "id"])
    op.create_index("ix_batches_retry_of", "batches", ["retry_of"], postgresql_where=sa.text("retry_of IS NOT NULL"))
    op.create_index("ix_batches_under_way", "batches", ["id"], postgresql_where=sa.text("ended_at IS NULL"))
    op.create_index(
        "uq_batches_idempotency_key",
        "batches",
        ["created_by", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    for column in (
        sa.Column("batch_id", sa.Integer),
        sa.Column("batch_index", sa.Integer),
        sa.Column("batch_limit", sa.Integer),
        sa.Column("in_order", sa.Boolean, nullable=False, server_default=sa.text("false")),
    ):
        op.add_column("notebook_executions", column)
    op.create_foreign_key(
        "fk_notebook_executions_batch_id_batches",
        "notebook_executions", "batches", ["batch_id"], ["id"], ondelete="SET NULL",
    )  # fmt: skip
    op.create_index(
        "ix_notebook_executions_batch_id_status_id",
        "notebook_executions",
        ["batch_id", "status", "id"],
        postgresql_where=sa.text("batch_id IS NOT NULL"),
    )
    op.create_index(
        "ix_notebook_executions_batch_id_id",
        "notebook_executions",
        ["batch_id", "id"],
        postgresql_where=sa.text("batch_id IS NOT NULL"),
    )
    # By the driver, since it holds many statements.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute((_SQL / "queue_0012.sql").read_text())
    _replace_indexes()


def _replace_indexes() -> None:
    """Those that the claim reads, and who wakes workers: what is pending is parted by batches that have limits, too."""
    op.drop_index("ix_notebook_executions_pending", "notebook_executions")
    op.create_index(
        "ix_notebook_executions_pending",
        "notebook_executions",
        [
            "queue",
            "username",
            sa.text("claim_group(input_path, batch_id, batch_limit, in_order)"),
            sa.text("(-priority)"),
            "id",
        ],
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.drop_index("ix_notebook_executions_limited", "notebook_executions")
    op.create_index(
        "ix_notebook_executions_limited",
        "notebook_executions",
        ["queue"],
        postgresql_where=sa.text(
            "status = 'pending' AND (notebook_limit IS NOT NULL OR user_limit IS NOT NULL OR queue_limit IS NOT NULL "
            "OR batch_limit IS NOT NULL OR in_order)"
        ),
    )
