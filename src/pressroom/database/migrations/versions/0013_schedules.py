"""Schedules, and what became of each of their ticks."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0013"
down_revision = "0012"

_NOW = sa.text("now()")


def _time(name: str, default: sa.TextClause | None = None) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=default is None, server_default=default)


def upgrade() -> None:
    """Add the tables, and what an execution says of its schedule."""
    op.create_table(
        "schedules",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("notebook_id", sa.Integer, nullable=False),
        sa.Column("username", sa.String(100), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("cron", sa.String(255), nullable=False),
        sa.Column("timezone", sa.String(100), nullable=False),
        sa.Column("parameters", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")),
        sa.Column("secrets", sa.Text),
        sa.Column("how", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")),
        _time("starts_at"),
        _time("ends_at"),
        sa.Column("missed", sa.String(20), nullable=False),
        sa.Column("missed_limit", sa.Integer, nullable=False),
        sa.Column("overlap", sa.String(20), nullable=False),
        sa.Column("jitter_seconds", sa.Float, nullable=False, server_default="0"),
        sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.text("false")),
        _time("next_at"),
        _time("fire_at"),
        sa.Column("owner_groups", JSONB, nullable=False, server_default=sa.text("'[]'::jsonb")),
        sa.Column("owner_roles", JSONB, nullable=False, server_default=sa.text("'[]'::jsonb")),
        sa.Column("created_by", sa.String(100), nullable=False),
        _time("created_at", _NOW),
        _time("updated_at", _NOW),
        sa.PrimaryKeyConstraint("id", name="pk_schedules"),
        sa.UniqueConstraint("username", "name", name="uq_schedules_username_name"),
        sa.ForeignKeyConstraint(
            ["notebook_id"], ["notebooks.id"], name="fk_schedules_notebook_id_notebooks", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_schedules_notebook_id", "schedules", ["notebook_id"])
    op.create_index("ix_schedules_fire_at", "schedules", ["fire_at"], postgresql_where=sa.text("NOT paused"))
    op.create_table(
        "schedule_ticks",
        sa.Column("schedule_id", sa.Integer, nullable=False),
        sa.Column("scheduled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.String(20), nullable=False),
        sa.Column("execution_id", sa.Integer),
        sa.Column("message", sa.Text),
        _time("at", _NOW),
        sa.PrimaryKeyConstraint("schedule_id", "scheduled_at", name="pk_schedule_ticks"),
        sa.ForeignKeyConstraint(
            ["schedule_id"], ["schedules.id"], name="fk_schedule_ticks_schedule_id_schedules", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["notebook_executions.id"],
            name="fk_schedule_ticks_execution_id_notebook_executions", ondelete="SET NULL",
        ),
    )  # fmt: skip
    op.create_index(
        "ix_schedule_ticks_execution_id",
        "schedule_ticks",
        ["execution_id"],
        postgresql_where=sa.text("execution_id IS NOT NULL"),
    )
    op.create_index("ix_schedule_ticks_at", "schedule_ticks", ["at"], postgresql_where=sa.text("execution_id IS NULL"))
    for column in (sa.Column("schedule_id", sa.Integer), _time("scheduled_at")):
        op.add_column("notebook_executions", column)
    op.create_foreign_key(
        "fk_notebook_executions_schedule_id_schedules",
        "notebook_executions", "schedules", ["schedule_id"], ["id"], ondelete="SET NULL",
    )  # fmt: skip
    op.create_foreign_key(
        "fk_batches_schedule_id_schedules", "batches", "schedules", ["schedule_id"], ["id"], ondelete="SET NULL"
    )
    op.create_index(
        "ix_notebook_executions_schedule_id_id",
        "notebook_executions",
        ["schedule_id", "id"],
        postgresql_where=sa.text("schedule_id IS NOT NULL"),
    )
    op.create_index(
        "ix_batches_schedule_id", "batches", ["schedule_id"], postgresql_where=sa.text("schedule_id IS NOT NULL")
    )
