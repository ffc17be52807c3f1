"""How workers stop, are killed and come back, one at a time."""

import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from chaos.plant import PATIENCE, Plant, Started, until

ATTEMPTS = "SELECT number, worker, reason FROM execution_attempts WHERE execution_id = %s ORDER BY number"


def submit(http: httpx.Client, plant: Plant, seconds: float, kind: str = "plain", **how: Any) -> int:
    """Have a notebook executed; it takes ``seconds``."""
    body = {"input_path": str(plant.users / "ana" / f"{kind}.ipynb"), "parameters": {"token": "t", "seconds": seconds}}
    answer = http.post("/execute", json=body | how, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def attempts(plant: Plant, execution_id: int) -> list[tuple[Any, ...]]:
    return plant.rows(ATTEMPTS, execution_id)


def status(plant: Plant, execution_id: int) -> Any:
    return plant.rows("SELECT status FROM notebook_executions WHERE id = %s", execution_id)[0][0]


def slept(plant: Plant, execution_id: int) -> bool:
    """Whether the cell that sleeps has begun."""
    return bool(plant.rows("SELECT FROM notebook_executions WHERE id = %s AND cells_completed >= 1", execution_id))


def ended(plant: Plant, execution_id: int, seconds: float = 120) -> Any:
    until(lambda: status(plant, execution_id) not in {"pending", "running"}, seconds, f"{execution_id} has not ended")
    return status(plant, execution_id)


def ledger(plant: Plant) -> list[str]:
    return plant.ledger.read_text().splitlines()


class TestWithTheDefaults:
    """A worker counts as lost after the product's own time."""

    @pytest.fixture
    def lost_seconds(self) -> None:
        return None

    def test_what_a_killed_worker_ran_is_tried_again_by_another_within_30_seconds(
        self, plant: Plant, http: httpx.Client
    ) -> None:
        killed = plant.working()
        execution = submit(http, plant, 600)
        until(lambda: slept(plant, execution), PATIENCE, "it does not run")
        other = plant.working()
        killed.send(signal.SIGKILL)
        until(lambda: len(attempts(plant, execution)) == 2, 30, "nobody tries again")
        assert attempts(plant, execution) == [(1, killed.name, "worker_lost"), (2, other.name, None)]


def test_a_terminated_worker_puts_back_what_its_grace_does_not_suffice_for(plant: Plant, http: httpx.Client) -> None:
    stopped = plant.working(grace=0.3)
    execution = submit(http, plant, 3, max_attempts=1)
    until(lambda: slept(plant, execution), PATIENCE, "it does not run")
    stopped.send(signal.SIGTERM)
    assert stopped.process.wait(20) == 0
    other = plant.working()
    assert ended(plant, execution) == "success"
    assert attempts(plant, execution) == [(1, stopped.name, "interrupted"), (2, other.name, None)]


def test_a_worker_that_stops_with_a_long_grace_is_not_taken_for_lost(plant: Plant, http: httpx.Client) -> None:
    assert plant.lost_seconds is not None
    stopped = plant.working(grace=60)
    execution = submit(http, plant, 3 * plant.lost_seconds)
    until(lambda: slept(plant, execution), PATIENCE, "it does not run")
    stopped.send(signal.SIGTERM)
    plant.working()
    assert ended(plant, execution) == "success"
    assert attempts(plant, execution) == [(1, stopped.name, None)]
    assert stopped.process.wait(20) == 0


def _held_up(plant: Plant, http: httpx.Client) -> tuple[Started, int, Path]:
    """A worker that was held up until another one succeeded with what it ran, the execution, and its output."""
    zombie = plant.working()
    execution = submit(http, plant, 10, "slow_at_first", retry_delay_seconds=0)
    until(lambda: slept(plant, execution), PATIENCE, "it does not run")
    zombie.send(signal.SIGSTOP)
    plant.working()
    assert ended(plant, execution) == "success"
    [(output,)] = plant.rows("SELECT output_path FROM notebook_executions WHERE id = %s", execution)
    return zombie, execution, Path(str(output))


def test_a_worker_that_was_taken_for_dead_and_comes_back_changes_nothing(plant: Plant, http: httpx.Client) -> None:
    zombie, execution, output = _held_up(plant, http)
    kept = "SELECT to_jsonb(e) FROM notebook_executions AS e"
    left = output.with_name(f".pressroom-{execution}-1.tmp")
    # What is saved while it is executed has the same name, so the last cell is waited for.
    until(lambda: len(ledger(plant)) == 2, PATIENCE, "the runner of the worker that is held up did not come to its end")
    until(left.exists, PATIENCE, "the runner of the worker that is held up wrote no output")
    row, tries, written = plant.rows(kept), attempts(plant, execution), output.read_bytes()
    zombie.send(signal.SIGCONT)
    until(lambda: "another worker has the execution now" in zombie.text(), 30, "it does not notice")
    assert plant.rows(kept) == row
    assert attempts(plant, execution) == tries
    assert output.read_bytes() == written
    assert not left.exists()
    assert sorted(line.split()[:2] for line in ledger(plant)) == [[str(execution), "1"], [str(execution), "2"]]
    again = submit(http, plant, 0)
    assert ended(plant, again) == "success"


def test_what_a_worker_was_given_without_hearing_of_it_is_tried_again(plant: Plant, http: httpx.Client) -> None:
    worker = plant.working()
    worker.send(signal.SIGSTOP)  # shorter than the time after which it is lost
    execution = submit(http, plant, 0, retry_delay_seconds=0)
    with plant.connection() as connection:
        connection.execute("SELECT claim_execution(NULL, id) FROM workers")
    worker.send(signal.SIGCONT)
    assert ended(plant, execution) == "success"
    assert attempts(plant, execution) == [(1, worker.name, "worker_lost"), (2, worker.name, None)]
