"""What running adds beside the contract: how an execution is run and why it failed, and the totals of the history."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"

# Of several executions under way that name one output, which the index no longer allows, the newest may still be
# running; the others were left by a service that was killed.
_END_DUPLICATES = """
UPDATE notebook_executions AS older
SET status = 'failed',
    completed_at = now(),
    error_message = 'The service stopped while the execution was under way.'
WHERE status IN ('pending', 'running')
  AND EXISTS (
    SELECT FROM notebook_executions AS newer
    WHERE newer.output_path = older.output_path
      AND newer.status IN ('pending', 'running')
      AND newer.id > older.id
  )
"""

# One writer at a time folds; the others need not, so none waits. A transaction that sees an older state would fail on
# rows that another has folded since, and the caller's work with it: it leaves folding to others. Rows are deleted and
# their sums inserted in one statement, so a reader sees the ones or the others, never both.
_FOLD = """
CREATE FUNCTION fold_execution_counts() RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')
        OR NOT pg_try_advisory_xact_lock(4851201702) THEN
        RETURN;
    END IF;
    WITH folded AS (DELETE FROM execution_counts RETURNING username, status, notebook_id, change)
    INSERT INTO execution_counts (username, status, notebook_id, change)
    SELECT username, status, notebook_id, sum(change) FROM folded GROUP BY 1, 2, 3 HAVING sum(change) <> 0;
END $$
"""

# TRUNCATE empties a table whatever its transaction sees of it, so the totals are emptied by TRUNCATE too.
# Of a thousand statements about five fold.
_COUNT = """
CREATE FUNCTION count_executions() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO execution_counts (username, status, notebook_id, change)
        SELECT username, status, notebook_id, count(*) FROM added GROUP BY 1, 2, 3;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO execution_counts (username, status, notebook_id, change)
        SELECT username, status, notebook_id, -count(*) FROM removed GROUP BY 1, 2, 3;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO execution_counts (username, status, notebook_id, change)
        SELECT username, status, notebook_id, sum(n) FROM (
            SELECT username, status, notebook_id, 1 AS n FROM added
            UNION ALL SELECT username, status, notebook_id, -1 FROM removed
        ) AS both_sides GROUP BY 1, 2, 3 HAVING sum(n) <> 0;
    ELSE
        TRUNCATE execution_counts;
        RETURN NULL;
    END IF;
    IF FOUND AND random() < 0.005 THEN
        PERFORM fold_execution_counts();
    END IF;
    RETURN NULL;
END $$
"""
_TRIGGERS = {
    "insert": "AFTER INSERT ON notebook_executions REFERENCING NEW TABLE AS added",
    "update": "AFTER UPDATE ON notebook_executions REFERENCING OLD TABLE AS removed NEW TABLE AS added",
    "delete": "AFTER DELETE ON notebook_executions REFERENCING OLD TABLE AS removed",
    "truncate": "AFTER TRUNCATE ON notebook_executions",
}


def upgrade() -> None:
    """Add the columns, the indexes and the counting."""
    # Nobody writes an execution until all is in place, so none is counted twice or not at all.
    op.execute("LOCK TABLE notebook_executions IN ACCESS EXCLUSIVE MODE")
    for column in (
        sa.Column("kernel_name", sa.String(255)),
        sa.Column("timeout_seconds", sa.Float),
        sa.Column("service_id", sa.BigInteger),
        sa.Column("failure", JSONB),
        sa.Column("cells_total", sa.Integer),
        sa.Column("cells_completed", sa.Integer, nullable=False, server_default="0"),
    ):
        op.add_column("notebook_executions", column)
    op.create_index("ix_notebook_executions_status_id", "notebook_executions", ["status", "id"])
    op.create_index("ix_notebook_executions_notebook_id_id", "notebook_executions", ["notebook_id", "id"])
    op.execute(_END_DUPLICATES)
    op.create_index(
        "uq_notebook_executions_output_path_under_way",
        "notebook_executions",
        ["output_path"],
        unique=True,
        postgresql_where=sa.text("status IN ('pending', 'running')"),
    )
    op.create_table(
        "execution_counts",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("username", sa.String(100), nullable=False),
        sa.Column("status", sa.String(50), nullable=False),
        sa.Column("notebook_id", sa.Integer),
        sa.Column("change", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_execution_counts"),
    )
    op.execute(_FOLD)
    op.execute(_COUNT)
    for name, when in _TRIGGERS.items():
        op.execute(
            f"CREATE TRIGGER count_executions_{name} {when} FOR EACH STATEMENT EXECUTE FUNCTION count_executions()"
        )
    op.execute(
        "INSERT INTO execution_counts (username, status, notebook_id, change) "
        "SELECT username, status, notebook_id, count(*) FROM notebook_executions GROUP BY 1, 2, 3"
    )
