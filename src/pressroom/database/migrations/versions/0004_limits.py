"""What an execution may use at most, and what each worker's kernels are."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns; what is there has no limits, and its workers tell of their kernels when they are next at it."""
    for column in (
        sa.Column("memory_mb", sa.Integer),
        sa.Column("cpu_seconds", sa.Float),
        sa.Column("max_processes", sa.Integer),
    ):
        op.add_column("notebook_executions", column)
    op.add_column("workers", sa.Column("kernels", JSONB))
