"""Executions by the million, generated in SQL, for :mod:`history` and for whoever wants a long history.

They have 200 users of very different diligence with up to 9 notebooks each, statuses in the proportions of a team's
work, three queues, and parameters of which some have a few values (``region``, 25% each), some follow the time
(``month``), and some are nearly unique (``ticket``: 10 executions a value, far apart). One execution is submitted every
9 seconds, the last one now.
"""

import psycopg

ROWS = """
INSERT INTO notebook_executions (
    notebook_id, username, input_path, output_path, parameters_used, status, execution_time_seconds,
    submitted_at, started_at, completed_at, submitted_by, queue, cells_total, cells_completed, attempt
)
SELECT n, u, '/home/' || u || '/reports/n' || n || '.ipynb',
    '/home/' || u || '/reports/executions/n' || n || '-20260101T000000Z-' || g || '.ipynb',
    jsonb_build_object('region', (ARRAY['EMEA', 'APAC', 'LATAM', 'NA'])[1 + (random() * 4)::int %% 4],
        'month', to_char(t, 'YYYY-MM'), 'ticket', 'T' || g %% greatest(%(rows)s::int / 10, 1), 'weeks', g %% 52),
    s, CASE WHEN s IN ('success', 'failed') THEN (random() * 600)::int END,
    t, t + interval '2 s', CASE WHEN s NOT IN ('pending', 'running') THEN t + interval '60 s' END,
    u, CASE WHEN g %% 1000 = 7 THEN 'gpu' WHEN g %% 20 = 3 THEN 'reports' ELSE 'default' END, 12, 12, 1
FROM (
    SELECT g, now() - (%(rows)s::int - g) * interval '9 s' AS t,
        'user' || v AS u, 1 + (v * 37 + (8 * power(random(), 2))::int) %% 500 AS n,
        CASE WHEN g > %(rows)s::int - 5 THEN 'running' WHEN g > %(rows)s::int - 20 THEN 'pending'
            WHEN random() < 0.01 THEN 'cancelled' WHEN random() < 0.08 THEN 'failed' ELSE 'success' END AS s
    FROM (
        SELECT g, (200 * power(random(), 3))::int AS v FROM generate_series(%(first)s::int, %(last)s::int) AS g
    ) AS numbers
) AS rows
"""
NOTEBOOKS = """
INSERT INTO notebooks (name, file_path, username)
SELECT 'n' || g, '/shared/n' || g || '.ipynb', 'user1' FROM generate_series(1, 500) AS g
"""
COUNTS = """
INSERT INTO execution_counts (username, status, notebook_id, change)
SELECT username, status, notebook_id, count(*) FROM notebook_executions GROUP BY 1, 2, 3
"""
HOURS = """
INSERT INTO execution_hours (hour, block)
SELECT DISTINCT date_trunc('hour', submitted_at, 'UTC'), id >> 10 FROM notebook_executions
"""
PARAMETERS = """
INSERT INTO execution_parameters (parameter, execution_id)
SELECT p.parameter, e.id FROM notebook_executions AS e CROSS JOIN parameters_of(e.parameters_used) AS p
"""
INDEXES = """
SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index AS i
WHERE i.indrelid = 'notebook_executions'::regclass AND NOT i.indisprimary
"""
BATCH = 500_000


def generate(connection: psycopg.Connection, rows: int, said=print) -> None:
    """Fill an empty, migrated database with ``rows`` executions.

    The triggers, which keep the totals, are off and the indexes away only meanwhile; the totals are then filled by SQL.
    """
    connection.autocommit = True
    connection.execute("SET maintenance_work_mem = '1GB'")
    connection.execute("SET synchronous_commit = off")
    connection.execute("SELECT setseed(0.42)")
    connection.execute(NOTEBOOKS)
    indexes = connection.execute(INDEXES).fetchall()
    connection.execute("ALTER TABLE notebook_executions DISABLE TRIGGER USER")
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    for first in range(1, rows + 1, BATCH):
        last = min(first + BATCH - 1, rows)
        connection.execute(ROWS, {"first": first, "last": last, "rows": rows})
        said(f"{last:,} of {rows:,} rows")
    for _, definition in indexes:
        connection.execute(definition)
        said(definition.split(" ON ")[0].lower())
    connection.execute("ALTER TABLE notebook_executions ENABLE TRIGGER USER")
    connection.execute(COUNTS)
    connection.execute(HOURS)
    said("the parameters")
    connection.execute("DROP INDEX ix_execution_parameters_parameter_execution_id")
    connection.execute(PARAMETERS)
    connection.execute(
        "CREATE INDEX ix_execution_parameters_parameter_execution_id ON execution_parameters (parameter, execution_id)"
    )
    connection.execute("VACUUM (ANALYZE) notebook_executions")
    connection.execute("VACUUM (ANALYZE) execution_counts")
    connection.execute("VACUUM (ANALYZE) execution_hours")
    connection.execute("VACUUM (ANALYZE) execution_parameters")
