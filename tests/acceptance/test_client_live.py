"""The Python client and executions that go on, against the running product."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nbformat
import pytest
from sqlalchemy import URL

import pressroom
from ports import free_port
from pressroom.client.options import BulkOrder
from pressroom.client.stream import Frames
from pressroom.errors import (
    AlreadyEnded,
    ExecutionCancelled,
    ExecutionFailed,
    IdempotencyConflict,
    NotEnded,
    NotFound,
    ParameterInvalid,
    Unavailable,
)
from pressroom.executions.event_schemas import CellFinished, CellStarted, Output, Standing, Started, StatusChanged

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
COMMAND = [sys.executable, "-m", "pressroom.cli"]


@pytest.fixture
def client(service: Any) -> Iterator[pressroom.Client]:
    with pressroom.Client(service.url) as made:
        yield made


@pytest.fixture
def slow(home: Path) -> Path:
    return write_notebook(home / "slow.ipynb", 'print("be" "gan", flush=True)', "import time; time.sleep(600)")


def test_a_registered_notebook_is_executed_with_everything_that_may_be_said(
    client: pressroom.Client, notebook: Path
) -> None:
    made = client.register("Sales", notebook, "ana")
    client.define(made.id, {"param_name": "months", "param_type": "integer"})
    expires = datetime.now(UTC) + timedelta(hours=1)
    done = client.execute_notebook(
        made.id,
        {"months": 2},
        queue="reports",
        priority=7,
        max_attempts=2,
        retry_on=["timed_out", "any_failure"],
        retry_delay_seconds=1.5,
        notebook_limit=3,
        user_limit=4,
        queue_limit=5,
        timeout_seconds=60,
        late_after_seconds=600,
        expires_at=expires,
        idempotency_key="monthly",
    )
    assert (done.status, done.notebook_id, done.parameters_used) == ("success", made.id, {"months": 2})
    assert (done.queue, done.priority, done.max_attempts, done.retry_on) == (
        *("reports", 7, 2),
        ["any_failure", "timed_out"],
    )
    assert (done.retry_delay_seconds, done.notebook_limit, done.user_limit, done.queue_limit) == (1.5, 3, 4, 5)
    assert (done.timeout_seconds, done.expires_at) == (60, expires)
    with pytest.raises(ValueError, match="either output_path or in_place"):
        client.submit(notebook, output_path="out.ipynb", in_place=True)


def test_a_key_gives_the_execution_of_before_however_it_ended(
    client: pressroom.Client, notebook: Path, home: Path
) -> None:
    done = client.execute(notebook, {"months": 1}, idempotency_key="k")
    assert client.submit(notebook, {"months": 1}, idempotency_key="k") == done
    with pytest.raises(IdempotencyConflict):
        client.submit(notebook, {"months": 2}, idempotency_key="k")
    bad = write_notebook(home / "bad.ipynb", "1/0")
    for _ in range(2):
        with pytest.raises(ExecutionFailed) as failed:
            client.execute(bad, idempotency_key="bad")
    again = client.submit(bad, idempotency_key="bad")
    assert (again.id, again.status) == (failed.value.execution_id, "failed")


def test_many_are_submitted_at_once_or_none(client: pressroom.Client, notebook: Path) -> None:
    made = client.register("Sales", notebook, "ana")
    client.define(made.id, {"param_name": "months", "param_type": "integer"})
    ids = client.submit_many(
        [{"notebook_id": made.id, "parameters": {"months": n}, "queue": "later", "priority": n} for n in range(5)]
    )
    assert [client.wait(one).parameters_used for one in ids] == [{"months": n} for n in range(5)]
    with pytest.raises(ParameterInvalid):
        client.submit_many([{"input_path": notebook}, {"notebook_id": made.id, "parameters": {"months": "x"}}])
    assert len(list(client.executions())) == 5


def test_many_with_a_key_are_submitted_once(client: pressroom.Client, notebook: Path) -> None:
    orders: list[BulkOrder] = [{"input_path": notebook, "parameters": {"months": n}} for n in range(3)]
    ids = client.submit_many(orders, idempotency_key="k")
    assert client.submit_many(orders, idempotency_key="k") == ids
    with pytest.raises(IdempotencyConflict):
        client.submit_many(orders[:2], idempotency_key="k")


def test_events_come_typed_and_in_order_and_go_on_after_an_id(client: pressroom.Client, notebook: Path) -> None:
    execution = client.submit(notebook, {"months": 2})
    events = list(client.follow(execution.id))
    told = [event for event in events if not isinstance(event, Standing)]
    assert [type(event) for event in told if not isinstance(event, StatusChanged)] == [
        *(Started, CellStarted, CellFinished, CellStarted, CellFinished, CellStarted),
        *(Output, CellFinished),
    ]
    assert [(e.number, e.of) for e in told if isinstance(e, CellFinished)] == [(1, 3), (2, 3), (3, 3)]
    assert [e.status for e in told if isinstance(e, StatusChanged)] == ["running", "success"]
    last = events[-1]
    assert isinstance(last, Standing)
    assert (last.ended, last.cells_completed, last.expected_end) == (True, 3, None)
    rest = [e for e in client.follow(execution.id, told[3].id) if not isinstance(e, Standing)]
    assert rest == told[4:]
    assert list(client.follow(execution.id, told[-1].id)) == []
    with pytest.raises(NotFound):
        list(client.follow(99))


def test_a_running_execution_is_cancelled_repeated_and_its_attempts_are_seen(
    client: pressroom.Client, slow: Path
) -> None:
    first = client.submit(slow)
    events = client.follow(first.id)
    assert any(isinstance(event, Output) for event in events)
    with pytest.raises(NotEnded):
        client.retry(first.id)
    [worker] = client.workers()
    assert (worker.alive, worker.running) == (True, [first.id])
    [queue] = client.queues()
    assert (queue.name, queue.running) == ("default", 1)
    assert client.cancel(first.id).cancel_requested_at is not None
    with pytest.raises(ExecutionCancelled):
        client.wait(first.id)
    assert nbformat.reads(client.output(first.id).decode(), 4).cells[0].outputs[0].text == "began\n"
    [attempt] = client.attempts(first.id)
    assert (attempt.number, attempt.reason, attempt.worker) == (1, "cancelled", worker.name)
    again = client.retry(first.id)
    assert again.retry_of == first.id
    client.cancel(again.id)
    with pytest.raises(ExecutionCancelled):
        client.wait(again.id)
    done = client.execute(write_notebook(slow.with_name("quick.ipynb"), "1"))
    with pytest.raises(AlreadyEnded):
        client.cancel(done.id)


def test_the_output_is_read_as_a_page_with_or_without_its_source(client: pressroom.Client, notebook: Path) -> None:
    done = client.execute(notebook)
    assert "EMEA: 6" in client.html(done.id)
    assert "months" in client.html(done.id).split("<body", 1)[1]
    hidden = client.html(done.id, hide_input=True)
    assert "EMEA: 6" in hidden
    assert "months" not in hidden.split("<body", 1)[1]


def test_the_log_is_the_text_as_it_was_put_out(client: pressroom.Client, home: Path) -> None:
    text = "a\u2028b\x85c\r\nd"
    path = write_notebook(
        home / "log.ipynb",
        f"import os; print('x', end=''); print('y'); print({text!r}, end='')",
        "41 + 1",
        "assert os.environ['PRESSROOM_ATTEMPT'] == '2'",
    )
    how: Any = {"max_attempts": 2, "retry_on": ["any_failure"], "retry_delay_seconds": 0}
    execution = client.submit(path, **how)
    followed = "".join(client.log(execution.id, follow=True))
    once = f"xy\n{text}42\n"
    assert followed == f"{once}--- attempt 2 ---\n{once}"
    assert "".join(client.log(execution.id)) == followed


def test_frames_are_read_whatever_pieces_they_come_in() -> None:
    sent = (
        'retry: 1\n\n: \n\nid: 7\nevent: output\ndata: {"text": "a\u2028é"}\r\n\r\nevent: late\ndata: {}\n\n'.encode()
    )
    for size in (1, 2, 3, 7, len(sent)):
        frames = Frames()
        found = [f for start in range(0, len(sent), size) for f in frames.take(sent[start : start + size])]
        assert found == [("output", {"text": "a\u2028é"}, 7), ("late", {}, None)]


@contextmanager
def _process(words: list[str], shell: dict[str, str], until: str) -> Iterator[subprocess.Popen[str]]:
    """A process of the product that has said ``until``; it is stopped at the end, if it was not before."""
    with subprocess.Popen([*COMMAND, *words], env=shell, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            assert any(until in line for line in process.stderr)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.stderr.read()


@pytest.fixture
def shell(database_url: URL, home: Path) -> dict[str, str]:
    url = database_url.render_as_string(hide_password=False)
    return {
        **os.environ,
        "DATABASE_URL": url,
        "PRESSROOM_LOCAL_USER": "ana",
        "PRESSROOM_USERS_ROOT": str(home.parent),
        "PRESSROOM_WORKERS": "0",
        "PRESSROOM_LOG_FORMAT": "console",
    }


def _gate(home: Path) -> tuple[Path, Path]:
    """A notebook that waits for a reader of a pipe, and the pipe."""
    pipe = home / "gate"
    os.mkfifo(pipe)
    return write_notebook(home / "gate.ipynb", "print('waits', flush=True)", f"open({str(pipe)!r}).read()"), pipe


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_a_client_that_waits_outlives_a_restart_of_the_service(shell: dict[str, str], home: Path, how: str) -> None:
    path, pipe = _gate(home)
    port = free_port()
    serve = ["serve", "--port", str(port)]
    with (
        _process(["worker", "--concurrency", "1"], shell, "Worker "),
        pressroom.Client(f"http://127.0.0.1:{port}", give_up_seconds=60) as client,
    ):
        with _process(serve, shell, "Uvicorn running") as first:
            execution = client.submit(path)
            events = client.follow(execution.id)
            before = []
            for event in events:
                before.append(event)
                if isinstance(event, Output):
                    break
            first.send_signal(getattr(signal, how))
            first.wait(30)
        with _process(serve, shell, "Uvicorn running"):
            pipe.write_text("go")
            after = list(events)
            ended = client.wait(execution.id)
    ids = [event.id for event in [*before, *after] if not isinstance(event, Standing)]
    assert ids == sorted(set(ids)), "no event is told twice"
    finished = [event.number for event in [*before, *after] if isinstance(event, CellFinished)]
    assert finished == [1, 2]
    assert (ended.status, ended.attempt) == ("success", 1)


def test_a_client_gives_up_on_a_service_that_stays_away(shell: dict[str, str], slow: Path) -> None:
    port = free_port()
    with pressroom.Client(f"http://127.0.0.1:{port}", give_up_seconds=1) as client:
        with _process(["serve", "--port", str(port)], shell, "Uvicorn running"):
            execution = client.submit(slow)
            events = client.follow(execution.id)
            assert isinstance(next(events), Standing)
        began = datetime.now(UTC)
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port}"):
            list(events)
        assert datetime.now(UTC) - began < timedelta(seconds=10)


async def test_the_asynchronous_client_does_all_of_it_too(service: Any, notebook: Path, slow: Path) -> None:
    async with pressroom.AsyncClient(service.url) as client:
        made = await client.register("Sales", notebook, "ana")
        running = await client.submit(slow, queue="slow")
        done, other = await asyncio.gather(
            client.execute_notebook(made.id, idempotency_key="k", progress=True), client.execute(notebook, priority=3)
        )
        assert (done.status, other.priority) == ("success", 3)
        assert await client.submit_notebook(made.id, idempotency_key="k") == done
        [many] = await client.submit_many([{"notebook_id": made.id}], idempotency_key="many")
        assert await client.submit_many([{"notebook_id": made.id}], idempotency_key="many") == [many]
        assert [e.status async for e in client.follow(many) if isinstance(e, StatusChanged)] == ["running", "success"]
        assert "".join([text async for text in client.log(many, follow=True)]) == "EMEA: 6\n"
        assert "".join([text async for text in client.log(many)]) == "EMEA: 6\n"
        assert json.loads(await client.output(many))["nbformat"] == 4
        assert "EMEA: 6" in await client.html(many, hide_input=True)
        assert [a.number for a in await client.attempts(many)] == [1]
        assert [w.alive for w in await client.workers()] == [True]
        await client.cancel(running.id)
        with pytest.raises(ExecutionCancelled):
            await client.wait(running.id)
        assert await client.queues() == []
        assert (await client.retry(many)).retry_of == many
