"""Batches by the clients and by command, with real workers and real notebooks."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import pressroom
from pressroom.errors import BatchEnded, NotFound, ParameterInvalid
from pressroom.settings import Settings

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
COMMAND = [sys.executable, "-m", "pressroom.cli", "batches"]


@pytest.fixture
def client(service: Any) -> Iterator[pressroom.Client]:
    with pressroom.Client(service.url) as made:
        yield made


@pytest.fixture
def notebook_id(client: pressroom.Client, home: Path) -> int:
    """A notebook that fails in the third month, and sleeps in the twelfth."""
    cells = ("if months == 3: raise ValueError(region)", "import time; time.sleep(600 if months == 12 else 0)")
    path = write_notebook(home / "sales.ipynb", *cells, parameters='region = "EMEA"\nmonths = 1')
    made = client.register("Sales", path, "ana")
    months = {"param_name": "months", "param_type": "integer", "validation_rules": {"min": 1, "max": 12}}
    client.define(made.id, {"param_name": "region", "param_type": "string"}, months)
    return made.id


def test_a_batch_is_begun_waited_for_and_what_failed_repeated(client: pressroom.Client, notebook_id: int) -> None:
    begun = client.batch(notebook_id, grid={"months": [1, 2, 3]}, parameters={"region": "APAC"}, concurrency_limit=2)
    done = client.wait_batch(begun.id, progress=True)
    assert (done.status, done.counts.success, done.counts.failed, done.done) == ("finished", 2, 1, 3)
    states = list(client.follow_batch(begun.id))
    assert [state.ended for state in states] == [True]
    again = client.wait_batch(client.retry_batch(begun.id).id)
    assert (again.retry_of, again.total, again.counts.failed) == (begun.id, 1, 1)
    [repeated] = client.executions(batch_id=again.id)
    assert repeated.parameters_used == {"region": "APAC", "months": 3}
    with pytest.raises(BatchEnded):
        client.cancel_batch(begun.id)
    with pytest.raises(NotFound):
        client.show_batch(77)
    assert [batch.id for batch in client.batches(notebook_id=notebook_id)] == [again.id, begun.id]


def test_tables_files_and_samples_are_sets_too(client: pressroom.Client, notebook_id: int, tmp_path: Path) -> None:
    frame = pd.DataFrame({"months": pd.array([1, None], dtype="Int64"), "region": ["EMEA", None]})
    frame.to_csv(tmp_path / "sets.csv", index=False)
    batches = [client.batch(notebook_id, sets=frame), client.batch_of_file(notebook_id, tmp_path / "sets.csv")]
    for batch in batches:
        used = [each.parameters_used for each in client.executions(batch_id=batch.id, oldest=True)]
        assert used == [{"region": "EMEA", "months": 1}, {}]
    drawn = client.batch(notebook_id, sample={"method": "halton", "count": 3}, name="few", idempotency_key="k")
    again = client.batch(notebook_id, sample={"method": "halton", "count": 3}, name="few", idempotency_key="k")
    assert (drawn.total, drawn.id, drawn.plan["method"]) == (3, again.id, "halton")
    with pytest.raises(ParameterInvalid) as refused:
        client.batch(notebook_id, sets=[{"months": 1}, {"months": 13}])
    assert [each["loc"] for each in refused.value.errors] == [["body", "sets", 1, "months"]]
    with pytest.raises(ValueError, match="one of grid, sets and sample"):
        client.batch(notebook_id, grid={"months": [1]}, sets=[])


async def test_the_asynchronous_client_stops_a_batch(service: Any, client: pressroom.Client, notebook_id: int) -> None:
    async with pressroom.AsyncClient(service.url) as other:
        begun = await other.batch(notebook_id, sets=[{"months": 12}] * 5, concurrency_limit=1)
        async for state in other.follow_batch(begun.id):
            if state.counts.running:
                stopping = await other.cancel_batch(begun.id)
                assert stopping.status == "stopping"
                break
        done = await other.wait_batch(begun.id)
        assert (done.status, done.counts.cancelled) == ("cancelled", 5)
        few = await other.batch(notebook_id, grid={"months": [3, 3, 3, 3]}, in_order=True, stop_after_failures=2)
        done = await other.wait_batch(few.id)
        assert (done.status, done.counts.failed, done.counts.cancelled) == ("stopped", 2, 2)
        assert (await other.retry_batch(few.id, cancelled=True)).total == 4
        assert [batch.id async for batch in other.batches(username="ana")][-1] == begun.id


def test_the_commands_begin_show_and_leave_a_batch(
    settings: Settings, client: pressroom.Client, notebook_id: int, home: Path
) -> None:
    assert settings.database_url is not None
    ours = {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "PRESSROOM_USERS_ROOT": str(settings.users_root),
        "PRESSROOM_LOCAL_USER": "ana",
        "NO_COLOR": "1",
    }

    def pressroom_batches(*words: str | int, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *map(str, words)], env=os.environ | ours, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    path = home / "sales.ipynb"
    followed = pressroom_batches("run", path, "--grid", "months=1,3", "--set", "region=APAC", "--follow", code=1)
    assert "finished" in followed.stderr
    shown = json.loads(pressroom_batches("show", followed.stdout.strip(), "--json").stdout)
    assert (shown["counts"]["success"], shown["counts"]["failed"]) == (1, 1)
    (home / "sets.json").write_text('[{"months": "2"}, {"months": 13}]')
    refused = pressroom_batches("run", notebook_id, "--sets", home / "sets.json", code=2)
    # JSON has types: a text is no integer.
    assert "sets[0].months" in refused.stderr
    assert "sets[1].months" in refused.stderr
    wrong = pressroom_batches("run", notebook_id, "--grid", "months=1", "--sample", "random", code=2)
    assert "one of --grid, --sets and --sample" in wrong.stderr
    sample = ("--sample", "sobol", "--count", "2", "--seed", "7", "--range", "months=12..12")
    with subprocess.Popen(
        [*COMMAND, "run", str(notebook_id), *sample, "--limit", "1", "--follow", "--json"],
        env=os.environ | ours, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as watching:  # fmt: skip
        assert watching.stdout is not None
        assert watching.stderr is not None
        batch = json.loads(watching.stdout.readline())
        watching.send_signal(signal.SIGINT)
        assert f"pressroom batches watch {batch['id']}" in watching.stderr.read()
        assert watching.wait(30) == 130
    assert client.show_batch(batch["id"]).status == "running"
    pressroom_batches("cancel", batch["id"])
    pressroom_batches("watch", batch["id"], code=130)
    assert client.show_batch(batch["id"]).status == "cancelled"
