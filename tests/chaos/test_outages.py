"""What goes on over a restart of PostgreSQL."""

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pytest

from chaos.plant import PATIENCE, Plant, until
from chaos.test_stops import attempts, ended, ledger, slept, status, submit

HOW = pytest.mark.parametrize("how", ["fast", "immediate", "kill"])
# The connection of whoever comes first to its end is cut there.
CUT = """
CREATE SEQUENCE cuts;
CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('cuts') = 1 THEN
        PERFORM pg_terminate_backend(pg_backend_pid());
        PERFORM pg_sleep(1);
    END IF;
    RETURN NEW;
END $$;
"""
AT_THE_COMMIT = """
CREATE CONSTRAINT TRIGGER cut AFTER UPDATE OF status ON notebook_executions DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.status = 'success') EXECUTE FUNCTION cut()
"""
AT_THE_JOB = "CREATE TRIGGER cut BEFORE INSERT ON procrastinate_jobs FOR EACH ROW EXECUTE FUNCTION cut()"


def _restart(plant: Plant, how: str) -> None:
    plant.stop_database(how)
    plant.start_database()


@HOW
def test_an_execution_that_runs_while_postgresql_restarts_ends_once_as_success(
    plant: Plant, http: httpx.Client, how: str
) -> None:
    worker = plant.working()
    execution = submit(http, plant, 2)
    until(lambda: slept(plant, execution), PATIENCE, "it does not run")
    _restart(plant, how)
    assert ended(plant, execution) == "success"
    assert attempts(plant, execution) == [(1, worker.name, None)]
    assert ledger(plant) == [f"{execution} 1 t"]


def test_an_execution_that_ends_while_postgresql_is_away_is_told_of_afterwards(
    plant: Plant, http: httpx.Client
) -> None:
    worker = plant.working()
    execution = submit(http, plant, 0.5)
    until(lambda: slept(plant, execution), PATIENCE, "it does not run")
    plant.stop_database("fast")
    until(lambda: ledger(plant), PATIENCE, "it does not go on")
    until(lambda: f"the end of execution {execution} waits" in worker.text(), 30, "it has not ended")
    plant.start_database()
    assert ended(plant, execution) == "success"
    assert attempts(plant, execution) == [(1, worker.name, None)]
    assert worker.process.poll() is None


def test_a_worker_that_is_idle_while_postgresql_restarts_takes_executions_afterwards(
    plant: Plant, http: httpx.Client
) -> None:
    worker = plant.working()
    assert ended(plant, submit(http, plant, 0)) == "success"
    for how in ("fast", "immediate", "kill"):
        _restart(plant, how)
        until(plant.answers, 30, "the API does not answer")
        execution = submit(http, plant, 0)
        assert ended(plant, execution) == "success"
        assert attempts(plant, execution) == [(1, worker.name, None)]


@HOW
def test_a_waiting_call_and_an_event_stream_go_on_over_a_restart_of_postgresql(
    plant: Plant, http: httpx.Client, how: str
) -> None:
    plant.working()
    body = {"input_path": str(plant.users / "ana" / "plain.ipynb"), "parameters": {"token": "t", "seconds": 3}}
    caller = ThreadPoolExecutor()
    calling = caller.submit(httpx.post, f"{plant.url}/execute", json=body, timeout=2 * PATIENCE)
    caller.shutdown(wait=False)
    until(lambda: plant.rows("SELECT FROM notebook_executions WHERE cells_completed >= 1"), PATIENCE, "it does not run")
    [(execution,)] = plant.rows("SELECT id FROM notebook_executions")
    lines: list[str] = []
    with httpx.stream("GET", f"{plant.url}/db/executions/{execution}/events", timeout=PATIENCE) as stream:
        coming = stream.iter_lines()
        until(lambda: lines.append(next(coming)) or lines[-1] == "event: cell_finished", PATIENCE, "no cell is told of")
        _restart(plant, how)
        lines.extend(coming)
    answer = calling.result()
    assert answer.status_code == 200, answer.text
    assert status(plant, int(str(execution))) == "success"
    assert [event["number"] for event in _told(lines, "cell_finished")] == [1, 2, 3, 4]
    assert [event["status"] for event in _told(lines, "status")] == ["running", "success"]


def _told(lines: list[str], kind: str) -> list[Any]:
    """The data of the events of a kind."""
    pairs = pairwise(lines)
    return [json.loads(data.removeprefix("data: ")) for name, data in pairs if name == f"event: {kind}"]


def test_an_output_in_its_place_is_kept_when_the_end_of_its_attempt_is_said_again(
    plant: Plant, http: httpx.Client
) -> None:
    plant.run(CUT + AT_THE_COMMIT)
    worker = plant.working()
    execution = submit(http, plant, 0)
    assert ended(plant, execution) == "success"
    assert f"the end of execution {execution} waits" in worker.text()
    [(output,)] = plant.rows("SELECT output_path FROM notebook_executions")
    notebook = nbformat.reads(Path(str(output)).read_text(), as_version=4)
    assert notebook.cells[-1].outputs[0].text == f"written: {execution} 1 t\n"


def test_an_outage_in_the_middle_of_a_submission_is_said_to_be_one(plant: Plant, http: httpx.Client) -> None:
    plant.run(CUT + AT_THE_JOB)
    body = {"input_path": str(plant.users / "ana" / "plain.ipynb"), "parameters": {"token": "t", "seconds": 0}}
    answer = http.post("/execute", json=body, headers={"Prefer": "respond-async"})
    assert answer.status_code == 503, answer.text
    assert plant.rows("SELECT count(*) FROM notebook_executions") == [(0,)]
    submit(http, plant, 0)
