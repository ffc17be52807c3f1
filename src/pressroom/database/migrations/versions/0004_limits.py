"""What an execution may use at most, what each worker's kernels are, and functions of the queue that outlast more."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Add the columns, and replace the functions. What is there has no limits, and its workers tell of their kernels
    when they are next at it."""
    for column in (
        sa.Column("memory_mb", sa.Integer),
        sa.Column("cpu_seconds", sa.Float),
        sa.Column("max_processes", sa.Integer),
    ):
        op.add_column("notebook_executions", column)
    op.add_column("workers", sa.Column("kernels", JSONB))
    # By the driver, since it holds many statements.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute((_SQL / "queue_0004.sql").read_text())
