"""Parameters whose values are secrets, and where those of an execution are kept, encrypted."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the columns. What is there has no secrets."""
    secret = sa.Column("secret", sa.Boolean, nullable=False, server_default=sa.text("false"))
    op.add_column("notebook_parameters", secret)
    op.add_column("notebook_executions", sa.Column("secrets", sa.Text))
