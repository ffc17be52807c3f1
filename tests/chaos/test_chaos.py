"""Nothing that was accepted is lost, forgotten or run twice without a trace, whatever breaks meanwhile.

``PRESSROOM_CHAOS_ROUNDS`` (5), ``PRESSROOM_CHAOS_EXECUTIONS`` (30) of each, and ``PRESSROOM_CHAOS_SEED`` (the first
round's; drawn and printed if left out) say how much. A round that failed is repeated with its seed and
``PRESSROOM_CHAOS_ROUNDS=1``: the same blows at the same times, though not the same interleaving of processes. The logs
are kept in the folder ``PRESSROOM_CHAOS_KEEP``, if it is named.
"""

import os
import random
import secrets
import threading
import time

import pytest

from chaos.plant import Plant
from chaos.schedule import Storm, drawn
from chaos.verdict import Verdict
from chaos.work import Caller, orders, write_notebooks

ROUNDS = int(os.environ.get("PRESSROOM_CHAOS_ROUNDS", "5"))
EXECUTIONS = int(os.environ.get("PRESSROOM_CHAOS_EXECUTIONS", "30"))
# The same in every process that pytest-xdist starts.
_RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID", secrets.token_hex(8))
FIRST = int(os.environ.get("PRESSROOM_CHAOS_SEED", str(int(_RUN[:6], 16))))
WORKERS = 3
STORM_SECONDS = 14.0 + EXECUTIONS / 3
_UNDER_WAY = """
SELECT (SELECT count(*) FROM notebook_executions WHERE status IN ('pending', 'running'))
    + (SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'pressroom.discard_artifacts')
"""


def _all_ended(plant: Plant, seconds: float) -> None:
    """Wait until every execution has ended, told by the database, and what was lost is taken away; what breaks down is
    started again meanwhile."""
    deadline = time.monotonic() + seconds
    with plant.connection() as connection:
        connection.execute("LISTEN pressroom_executions")
        while (left := connection.execute(_UNDER_WAY).fetchone()[0]) > 0:  # type: ignore[index]
            assert time.monotonic() < deadline, f"{left} executions or chores have not ended: {_stuck(plant)}"
            for _ in connection.notifies(timeout=0.5, stop_after=1):
                pass
            plant.supervise()


def _stuck(plant: Plant) -> object:
    return plant.rows(
        "SELECT e.id, e.status, e.attempt, e.not_before, a.worker, a.reason, w.last_heartbeat, now() "
        "FROM notebook_executions AS e LEFT JOIN execution_attempts AS a ON a.execution_id = e.id "
        "AND a.number = e.attempt LEFT JOIN procrastinate_workers AS w ON w.id = a.worker_id "
        "WHERE e.status IN ('pending', 'running')"
    ) + plant.rows("SELECT id, task_name, status::text, attempts, scheduled_at, args FROM procrastinate_jobs")


@pytest.mark.parametrize("seed", range(FIRST, FIRST + ROUNDS))
def test_every_accepted_execution_ends_once_and_leaves_nothing_behind(plant: Plant, seed: int) -> None:
    rng = random.Random(seed)
    blows = drawn(rng, STORM_SECONDS, plant.lost_seconds or 20)
    print(f"PRESSROOM_CHAOS_SEED={seed}, {EXECUTIONS} executions", *blows, sep="\n")
    wanted = orders(rng, EXECUTIONS)
    write_notebooks(plant.users)
    began = time.monotonic()
    for number in range(WORKERS):
        plant.start_worker(off_time=number == 0)
    plant.serving().close()
    caller = Caller(plant.url, plant.users, time.monotonic() + STORM_SECONDS + 120)
    calling = threading.Thread(target=caller.submit, args=(wanted, STORM_SECONDS * 0.8))
    calling.start()
    try:
        Storm(plant, rng, blows).rage()
        while calling.is_alive():
            plant.supervise()
            calling.join(0.1)
    finally:
        calling.join()
    assert not caller.failures, caller.failures
    assert len(caller.accepted) == EXECUTIONS
    _all_ended(plant, 60 + EXECUTIONS)
    plant.stop_all()
    plant.supervise(replace=False)
    verdict = Verdict(plant, caller.accepted)
    wrong = verdict.reached()
    took = time.monotonic() - began
    print(f"seed {seed}: {took:.0f} s, {plant.started} starts, {caller.sent_again} sent again, {verdict.summary()}")
    assert not wrong, "\n".join(wrong)
