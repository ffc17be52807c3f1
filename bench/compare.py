"""The comparison of 10,000 executions of 20 columns beside MLflow's search of the same 10,000 runs, in one run.

Run it as ``python bench/compare.py [--rows 10000] [--tries 5]``. Both have the same values in databases of one embedded
PostgreSQL: ours as executions of a notebook with 10 parameters and 10 results, MLflow's as runs of an experiment with
10 parameters and 10 metrics. Ours is asked over HTTP, of ``pressroom serve`` in a process of its own, by
``Client.compare``; MLflow's is ``mlflow.search_runs`` on its own SQLAlchemy store, in this process, without a server
between. Both end in a pandas data frame. Each figure is the median of tries that are taken in turns. MLflow's rows are
copied by SQL from one run that its own client has logged. It leaves nothing behind.
"""

import sys

sys.path.append(sys.path.pop(0))  # beside this file, `queue` would not be the standard library's

import argparse
import os
import time

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import mlflow
import psycopg
from rich.console import Console
from rich.table import Table

from pressroom.client import Client
from stand import create, libpq, median, server, serving

NAMES = range(10)
NOTEBOOK = "INSERT INTO notebooks (name, file_path, username) VALUES ('n', '/home/bench/n.ipynb', 'bench')"
OURS = """
INSERT INTO notebook_executions (
    notebook_id, username, input_path, output_path, parameters_used, results, status, execution_time_seconds,
    submitted_at, started_at, completed_at, submitted_by, attempt, cells_total, cells_completed
)
SELECT 1, 'bench', '/home/bench/n.ipynb', '/home/bench/executions/n-' || g || '.ipynb', p, r, 'success', 2,
    now() - interval '2 s', now() - interval '2 s', now(), 'bench', 1, 2, 2
FROM (
    SELECT g, jsonb_object_agg('p' || n, (g * (n + 3)) %% 997 / 10.0) AS p,
        jsonb_object_agg('m' || n, ((g * (n + 7)) %% 9973)::float8 / 9973) AS r
    FROM generate_series(1, %(rows)s::int) AS g, generate_series(0, 9) AS n GROUP BY g ORDER BY g
) AS made
"""
THEIRS = """
CREATE TEMPORARY TABLE made AS SELECT g, md5('run' || g) AS id FROM generate_series(2, %(rows)s::int) AS g;
INSERT INTO runs SELECT (jsonb_populate_record(runs, jsonb_build_object('run_uuid', made.id))).* FROM runs, made;
INSERT INTO tags SELECT (jsonb_populate_record(t, jsonb_build_object('run_uuid', made.id))).* FROM tags AS t, made;
INSERT INTO params SELECT (jsonb_populate_record(p, jsonb_build_object('run_uuid', made.id,
    'value', ((g * (right(p.key, 1)::int + 3)) %% 997 / 10.0)::float8::text))).* FROM params AS p, made;
INSERT INTO metrics SELECT (jsonb_populate_record(m, jsonb_build_object('run_uuid', made.id,
    'value', ((g * (right(m.key, 1)::int + 7)) %% 9973)::float8 / 9973))).* FROM metrics AS m, made;
INSERT INTO latest_metrics SELECT (jsonb_populate_record(m, jsonb_build_object('run_uuid', made.id,
    'value', ((g * (right(m.key, 1)::int + 7)) %% 9973)::float8 / 9973))).* FROM latest_metrics AS m, made;
"""


def fill_ours(url, rows):
    with psycopg.connect(libpq(url), autocommit=True) as connection:
        connection.execute(NOTEBOOK)
        connection.execute(OURS, {"rows": rows})
        connection.execute("VACUUM ANALYZE")


def fill_theirs(url, rows):
    """The first run by MLflow's own client, the others like it. Answers the experiment's id."""
    mlflow.set_tracking_uri(url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False))
    experiment = mlflow.set_experiment("bench").experiment_id
    with mlflow.start_run():
        mlflow.log_params({f"p{n}": (n + 3) % 997 / 10 for n in NAMES})
        mlflow.log_metrics({f"m{n}": (n + 7) % 9973 / 9973 for n in NAMES})
    with psycopg.connect(libpq(url), autocommit=True) as connection:
        for statement in THEIRS.split(";\n"):
            if statement.strip():
                connection.execute(statement, {"rows": rows} if "%(" in statement else {"rows": 0})
        connection.execute("VACUUM ANALYZE")
    return experiment


def cases(client, experiment, rows):
    """What is asked, of ours and of MLflow's."""

    def ours(**asked):
        return lambda: client.compare(1, **{"limit": rows} | asked)

    def theirs(most=rows, where="", order=()):
        return lambda: mlflow.search_runs([experiment], where, max_results=most, order_by=list(order))

    return {
        f"all {rows:,}, newest first": (ours(), theirs()),
        f"all {rows:,}, by a result": (ours(sort="results.m1"), theirs(order=["metrics.m1"])),
        "those under a tenth of a result, by another": (
            ours(where="results.m0 < 0.1", sort="-results.m1"),
            theirs(where="metrics.m0 < 0.1", order=["metrics.m1 DESC"]),
        ),
        "the best 100 by a result": (
            ours(sort="results.m1", limit=100),
            theirs(100, order=["metrics.m1"]),
        ),
    }


def timed(ask):
    began = time.perf_counter()
    frame = ask()
    return time.perf_counter() - began, frame


def require_same(name, ours, theirs):
    """Both must have answered the same values, whatever else they tell."""
    for column, other in [(f"results.m{n}", f"metrics.m{n}") for n in NAMES]:
        if sorted(ours[column]) != sorted(theirs[other]):
            sys.exit(f"{name}: the answers differ in {column}")
    wanted = [f"{group}.{letter}{n}" for group, letter in (("parameters", "p"), ("results", "m")) for n in NAMES]
    if missing := [column for column in wanted if column not in ours]:
        sys.exit(f"{name}: {missing} are missing")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--tries", type=int, default=5)
    given = parser.parse_args()
    with server() as (url, home):
        mine, other = create(url, "ours"), create(url, "mlflow", migrated=False)
        fill_ours(mine, given.rows)
        experiment = fill_theirs(other, given.rows)
        with (
            serving(mine, home, "--workers", "0") as (port, _),
            Client(f"http://127.0.0.1:{port}", timeout=120) as client,
        ):
            table = Table(
                "asked", "ours (s)", "MLflow (s)", "MLflow / ours", title=f"{given.rows:,} executions, 20 columns"
            )
            for name, (ours, theirs) in cases(client, experiment, given.rows).items():
                require_same(name, ours(), theirs())
                tries = [(timed(ours)[0], timed(theirs)[0]) for _ in range(given.tries)]
                took = [median([pair[side] for pair in tries]) for side in (0, 1)]
                table.add_row(name, f"{took[0]:.3f}", f"{took[1]:.3f}", f"{took[1] / took[0]:.1f}")
        mlflow.set_tracking_uri("")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
