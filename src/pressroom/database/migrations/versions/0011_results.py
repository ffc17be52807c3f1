"""What executions record: results, and the files that they leave."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the column and the tables. What is there has recorded nothing."""
    op.add_column("notebook_executions", sa.Column("results", JSONB))
    op.create_table(
        "execution_results",
        sa.Column("execution_id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("media_type", sa.String(255), nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "name", name="pk_execution_results"),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["notebook_executions.id"],
            name="fk_execution_results_execution_id_notebook_executions", ondelete="CASCADE",
        ),
    )  # fmt: skip
    op.create_table(
        "execution_artifacts",
        sa.Column("execution_id", sa.Integer, nullable=False),
        sa.Column("path", sa.String(512), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("media_type", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "path", name="pk_execution_artifacts"),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["notebook_executions.id"],
            name="fk_execution_artifacts_execution_id_notebook_executions", ondelete="CASCADE",
        ),
    )  # fmt: skip
