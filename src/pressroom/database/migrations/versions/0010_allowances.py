"""How many executions each caller may still start."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "execution_allowances",
        sa.Column("username", sa.String(100), nullable=False),
        sa.Column("unused", sa.Double, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("username", name="pk_execution_allowances"),
    )
