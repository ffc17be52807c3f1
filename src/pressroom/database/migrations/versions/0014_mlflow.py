"""Executions that are to be runs of MLflow."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_NOW = sa.text("now()")
# Of an execution that never began there is nothing to track. A worker that tracks says so now and then: when none has
# for a day, ends are noted no more.
_NOTE = """
CREATE FUNCTION note_for_mlflow() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (SELECT FROM mlflow_tracking WHERE seen_at > now() - interval '1 day') THEN
        INSERT INTO mlflow_runs (execution_id) VALUES (NEW.id) ON CONFLICT DO NOTHING;
        PERFORM procrastinate_defer_jobs_v1(ARRAY[CAST(ROW(
            'pressroom:tracking', 'track', 0, NULL, NULL, jsonb_build_object('execution_id', NEW.id), NULL
        ) AS procrastinate_job_to_defer_v1)]);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER note_for_mlflow AFTER UPDATE OF status ON notebook_executions FOR EACH ROW
WHEN (OLD.status = 'running' AND NEW.status IN ('success', 'failed', 'cancelled'))
EXECUTE FUNCTION note_for_mlflow();
"""


def upgrade() -> None:
    """Add the tables, and the trigger that notes what has ended. What has ended before is not tracked."""
    op.create_table(
        "mlflow_tracking",
        sa.Column("sole", sa.Boolean, nullable=False, server_default=sa.text("true")),
        sa.Column("installation", sa.Uuid, nullable=False, server_default=sa.text("gen_random_uuid()")),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW),
        sa.PrimaryKeyConstraint("sole", name="pk_mlflow_tracking"),
        sa.CheckConstraint("sole", name="ck_mlflow_tracking_sole"),
    )
    op.create_table(
        "mlflow_runs",
        sa.Column("execution_id", sa.Integer, nullable=False),
        sa.Column("status", sa.String(20), nullable=False, server_default="pending"),
        sa.Column("run_id", sa.String(64)),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("detail", sa.Text),
        sa.Column("claimed_until", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW),
        sa.Column("written_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("execution_id", name="pk_mlflow_runs"),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["notebook_executions.id"],
            name="fk_mlflow_runs_execution_id_notebook_executions", ondelete="CASCADE",
        ),
    )  # fmt: skip
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute(_NOTE)
