"""Browsers in which somebody is signed in."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "sessions",
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("username", sa.String(100), nullable=False),
        sa.Column("groups", JSONB, nullable=False),
        sa.Column("roles", JSONB, nullable=False),
        sa.Column("scopes", JSONB, nullable=False),
        sa.Column("source", sa.String(20), nullable=False),
        sa.Column("subject", sa.String(255)),
        sa.Column("issuer_session", sa.String(255)),
        sa.Column("sealed", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("hash", name="pk_sessions"),
    )
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    op.create_index("ix_sessions_subject", "sessions", ["subject"])
    op.create_index("ix_sessions_issuer_session", "sessions", ["issuer_session"])
