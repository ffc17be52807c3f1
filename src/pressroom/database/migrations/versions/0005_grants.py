"""What others may do with a notebook, and as whom they execute it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the table and the column. What is there is its owner's alone, as it was."""
    op.add_column("notebooks", sa.Column("run_as", sa.String(10), nullable=False, server_default="caller"))
    op.create_table(
        "notebook_grants",
        sa.Column("notebook_id", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("grantee", sa.String(100), nullable=False),
        sa.Column("level", sa.String(10), nullable=False),
        sa.Column("granted_by", sa.String(100), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("notebook_id", "kind", "grantee", name="pk_notebook_grants"),
        sa.ForeignKeyConstraint(
            ["notebook_id"], ["notebooks.id"], name="fk_notebook_grants_notebook_id_notebooks", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_notebook_grants_grantee_kind", "notebook_grants", ["grantee", "kind"])
