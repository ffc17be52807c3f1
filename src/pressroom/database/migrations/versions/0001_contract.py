"""The contract's tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

_NOW = sa.text("now()")


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=None if nullable else _NOW)


def upgrade() -> None:
    """Make the three tables."""
    op.create_table(
        "notebooks",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("file_path", sa.String(512), nullable=False),
        sa.Column("username", sa.String(100), nullable=False),
        _time("created_at"),
        _time("updated_at"),
        sa.Column("tags", JSONB),
        sa.Column("metadata", JSONB),
        sa.PrimaryKeyConstraint("id", name="pk_notebooks"),
        sa.UniqueConstraint("file_path", name="uq_notebooks_file_path"),
        sa.UniqueConstraint("name", "username", name="uq_notebooks_name_username"),
    )
    op.create_index("ix_notebooks_name", "notebooks", ["name"])
    op.create_index("ix_notebooks_username", "notebooks", ["username"])
    op.create_index(
        "ix_notebooks_tags", "notebooks", ["tags"], postgresql_using="gin", postgresql_ops={"tags": "jsonb_path_ops"}
    )
    op.create_table(
        "notebook_parameters",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("notebook_id", sa.Integer, nullable=False),
        sa.Column("param_name", sa.String(100), nullable=False),
        sa.Column("param_type", sa.String(50), nullable=False),
        sa.Column("default_value", JSONB),
        sa.Column("description", sa.Text),
        sa.Column("required", sa.Integer, nullable=False),
        sa.Column("validation_rules", JSONB),
        _time("created_at"),
        _time("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_notebook_parameters"),
        sa.ForeignKeyConstraint(
            ["notebook_id"], ["notebooks.id"], name="fk_notebook_parameters_notebook_id_notebooks", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("notebook_id", "param_name", name="uq_notebook_parameters_notebook_id_param_name"),
    )
    op.create_index("ix_notebook_parameters_param_name", "notebook_parameters", ["param_name"])
    op.create_table(
        "notebook_executions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("notebook_id", sa.Integer),
        sa.Column("username", sa.String(100), nullable=False),
        sa.Column("input_path", sa.String(512), nullable=False),
        sa.Column("output_path", sa.String(512)),
        sa.Column("parameters_used", JSONB),
        sa.Column("status", sa.String(50), nullable=False),
        sa.Column("error_message", sa.Text),
        sa.Column("execution_time_seconds", sa.Integer),
        _time("started_at"),
        _time("completed_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_notebook_executions"),
        sa.ForeignKeyConstraint(
            ["notebook_id"], ["notebooks.id"], name="fk_notebook_executions_notebook_id_notebooks", ondelete="SET NULL"
        ),
    )
    op.create_index("ix_notebook_executions_username_id", "notebook_executions", ["username", "id"])
