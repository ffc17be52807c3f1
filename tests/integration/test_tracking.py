"""Executions as runs of MLflow, at a real MLflow server."""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr
from sqlalchemy import text

from line import ANA, Line, open_line, until, working
from pressroom.database.models import Notebook, Parameter
from pressroom.database.session import Database
from pressroom.executions import service as executions
from pressroom.executions.orders import Order
from pressroom.press.masks import MARK
from pressroom.settings import Settings
from pressroom.tracking import runs, service, tasks
from pressroom.tracking.facts import run_facts
from pressroom.tracking.tasks import NotTracked
from pressroom.tracking.threads import Deadline
from tracked import away, over, say, state

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
PATIENCE = 60
LOGS = "import mlflow\nmlflow.log_metric('loss', 0.25)\nmlflow.log_param('region', 'ours')"
RECORDS = """
from IPython.display import display
display({"application/vnd.pressroom.result+json": {"name": "revenue", "value": 12.5}}, raw=True)
display({"application/vnd.pressroom.result+json": {"name": "curve", "value": [1, 2]}}, raw=True)
"""


class Mlflow:
    """An MLflow server, and what is asked of it by its REST API."""

    def __init__(self, url: str, http: httpx.Client) -> None:
        self.url, self._http = url, http

    def ask(self, what: str, **body: Any) -> dict[str, Any]:
        return self._http.post(what, json=body).raise_for_status().json()

    def runs(self, experiment: str) -> list[dict[str, Any]]:
        """The runs of an experiment, each with its facts by name."""
        found = self._http.get("experiments/get-by-name", params={"experiment_name": experiment}).raise_for_status()
        wanted = [found.json()["experiment"]["experiment_id"]]
        runs = self.ask("runs/search", experiment_ids=wanted).get("runs", [])
        for run in runs:
            for kind in ("params", "metrics", "tags"):
                run[kind] = {fact["key"]: fact["value"] for fact in run["data"].get(kind, [])}
        return runs

    def files(self, run: dict[str, Any]) -> list[str]:
        answer = self._http.get("artifacts/list", params={"run_id": run["info"]["run_id"]}).raise_for_status()
        return [file["path"] for file in answer.json().get("files", [])]

    def file(self, run: dict[str, Any], path: str) -> str:
        wanted = {"run_uuid": run["info"]["run_id"], "path": path}
        return httpx.get(f"{self.url}/get-artifact", params=wanted, timeout=30).raise_for_status().text


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/runs.sqlite", "--artifacts-destination", str(folder)]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        url, until_moment = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE
        while not _healthy(url):
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until_moment, "it does not answer"
            time.sleep(0.1)
        with httpx.Client(base_url=f"{url}/api/2.0/mlflow", timeout=PATIENCE) as http:
            yield Mlflow(url, http)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(PATIENCE)


def _healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def settings(settings: Settings, mlflow: Mlflow) -> Settings:
    """Those of a service that tracks, and keeps secrets."""
    told = {"mlflow_tracking_uri": SecretStr(mlflow.url), "secret_key": SecretStr(Fernet.generate_key().decode())}
    return settings.model_copy(update=told)


@pytest.fixture
async def line(database: Database, settings: Settings, home: Path) -> AsyncIterator[Line]:
    async with open_line(database, settings, home) as opened:
        yield opened


async def register(line: Line, name: str, *sources: str, **cell: Any) -> int:
    path = write_notebook(line.home / f"{name}.ipynb", *sources, **cell)
    async with line.database.transaction() as session:
        notebook = Notebook(name=name, file_path=str(path), username="ana", tags=[], metadata_={})
        session.add(notebook)
    return notebook.id


async def test_an_execution_is_a_run_with_parameters_results_tags_and_output(line: Line, mlflow: Mlflow) -> None:
    notebook = await register(
        line, "whole", LOGS, RECORDS, "print(password)", parameters="region = 'EMEA'\npassword = ''"
    )
    async with line.database.transaction() as session:
        for name, secret in (("region", False), ("password", True)):
            known = {"notebook_id": notebook, "param_name": name, "param_type": "string", "required": 0}
            session.add(Parameter(**known, secret=secret))
    async with working(line) as work:
        await until(lambda: line.count("mlflow_tracking"))
        order = Order(parameters={"region": "APAC", "password": "s3cret-word"}, notebook_id=notebook)
        async with line.database.transaction() as session:
            [execution_id] = await executions.submit(session, line.intake, ANA, [order])
        assert await work.end(PATIENCE) == execution_id
        await until(lambda: line.count("mlflow_runs WHERE status <> 'pending'"))
    assert not logging.getLogger("sqlalchemy.engine").handlers, "MLflow has taken a log of the service's for its own"
    [run] = mlflow.runs("whole")
    assert run["info"]["status"] == "FINISHED"
    assert run["metrics"] == {"loss": 0.25, "revenue": 12.5}, "what the notebook logs goes to the same run"
    assert run["params"] == {"region": "ours", "password": MARK}, "a parameter of a run cannot be changed"
    assert (run["tags"]["pressroom.status"], run["tags"]["pressroom.notebook"]) == ("success", "whole")
    assert run["tags"]["pressroom.execution_id"] == str(execution_id)
    folder, output = sorted(mlflow.files(run))
    assert (folder, mlflow.file(run, "results/curve.json")) == ("results", "[1,2]")
    kept = mlflow.file(run, output)
    assert '"injected-parameters"' in kept
    assert "s3cret-word" not in kept
    assert not await line.count("procrastinate_jobs")


async def test_it_is_one_run_however_often_it_is_written(line: Line, mlflow: Mlflow) -> None:
    await say(line)
    execution = await over(line, "twice", parameters_used={"n": 3}, results={"revenue": 12.5, "best": "tree"})
    path = execution.input_path
    for _ in range(2):
        await tasks.write(line.shop(), execution.id)
        await tasks.write(line.shop(), execution.id)  # it is written, so there is nothing to do
        async with line.database.transaction() as session:
            await session.execute(text("UPDATE mlflow_runs SET status = 'pending'"))
    [run] = mlflow.runs(path)
    known = await state(line, execution)
    assert known is not None
    assert (known.run_id, known.attempts, known.detail) == (run["info"]["run_id"], 2, None)
    assert (run["params"], run["metrics"]) == ({"n": "3"}, {"revenue": 12.5})
    assert run["tags"]["result.best"] == "tree"
    # A worker that was killed in between has begun a run, and said whose it is.
    half = await over(line, "twice")
    marks = {**{t: run["tags"][t] for t in ("pressroom.installation",)}, "pressroom.execution_id": str(half.id)}
    begun = mlflow.ask(
        "runs/create",
        experiment_id=run["info"]["experiment_id"],
        tags=[{"key": key, "value": value} for key, value in marks.items()],
    )["run"]["info"]["run_id"]
    await tasks.write(line.shop(), half.id)
    assert sorted(r["info"]["run_id"] for r in mlflow.runs(path)) == sorted([run["info"]["run_id"], begun])


async def test_an_end_without_success_is_a_run_that_says_so(line: Line, mlflow: Mlflow) -> None:
    await say(line)
    for status in ("failed", "cancelled"):
        await tasks.write(line.shop(), (await over(line, "ends", status, error_message=f"It was {status}.")).id)
    runs = {run["info"]["status"]: run["tags"]["pressroom.error"] for run in mlflow.runs("/home/ana/ends.ipynb")}
    assert runs == {"FAILED": "It was failed.", "KILLED": "It was cancelled."}


async def test_while_mlflow_is_away_it_is_tried_again_and_given_up_in_the_end(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "pressroom")
    await say(line)
    execution = await over(line, "away")
    for tries in range(1, service.TRIES):
        with pytest.raises(NotTracked):
            await tasks.write(away(line), execution.id)
        known = await state(line, execution)
        assert known is not None
        assert (known.status, known.attempts) == ("pending", tries)
    await tasks.write(away(line), execution.id)
    known = await state(line, execution)
    assert known is not None
    assert (known.status, known.attempts, known.run_id) == ("failed", service.TRIES, None)
    assert "Connection refused" in str(known.detail)
    assert "s3cret" not in str(known.detail)
    assert "Connection refused" in caplog.text
    assert "s3cret" not in caplog.text
    await tasks.write(line.shop(), execution.id)
    assert (await state(line, execution)).status == "failed"  # type: ignore[union-attr]


async def test_a_worker_that_stops_asks_mlflow_for_nothing_more_and_lets_another_go_on(line: Line) -> None:
    await say(line)
    execution = await over(line, "once")
    asked, answer, requests = asyncio.Event(), asyncio.Event(), 0

    async def keep(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        requests += 1
        asked.set()
        await answer.wait()
        body = b'{"experiment": {"experiment_id": "1", "name": "n", "lifecycle_stage": "active"}}'
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(keep, "127.0.0.1", 0) as slow:
        uri = "http://127.0.0.1:{1}".format(*slow.sockets[0].getsockname())
        stopping = asyncio.create_task(tasks.write(line.shop(mlflow_tracking_uri=SecretStr(uri)), execution.id))
        await asked.wait()
        waiting = "pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"
        assert not await line.count(waiting), "no transaction waits for MLflow"
        stopping.cancel()
        with pytest.raises(service.Claimed) as claimed:
            await tasks.write(line.shop(), execution.id)
        assert not stopping.done(), "its thread is still waiting"
        assert 0 < claimed.value.seconds < 2 * tasks.WRITE_SECONDS
        answer.set()
        with pytest.raises(asyncio.CancelledError):
            await stopping
    assert requests == 1
    await tasks.write(line.shop(), execution.id)
    known = await state(line, execution)
    assert known is not None
    assert (known.status, known.attempts, known.claimed_until) == ("written", 1, None)


async def test_of_several_runs_that_were_begun_for_an_execution_one_is_left(line: Line, mlflow: Mlflow) -> None:
    await say(line)
    execution = await over(line, "several")
    async with line.database.transaction() as session:
        belongs = await service.experiment(session, None)
    assert belongs is not None
    own = {"pressroom.execution_id": str(execution.id), "pressroom.installation": belongs[1]}
    experiment = mlflow.ask("experiments/create", name=execution.input_path)["experiment_id"]
    # The last one is the notebook's own, of an attempt before.
    for tags in (own, own, own | {"pressroom.attempt": "0"}):
        said = [{"key": key, "value": value} for key, value in tags.items()]
        mlflow.ask("runs/create", experiment_id=experiment, tags=said)
    await tasks.write(line.shop(), execution.id)
    left = [run["tags"]["pressroom.attempt"] for run in mlflow.runs(execution.input_path)]
    assert sorted(left) == ["0", "1"]


async def test_a_file_that_mlflow_refuses_does_not_cost_the_run(
    line: Line, mlflow: Mlflow, caplog: pytest.LogCaptureFixture
) -> None:
    execution = await over(line, "refused")
    facts = run_facts(execution, "refused", "here", None)
    files = {"results/a%23b.txt": b"1", "results/good.txt": b"2"}
    await asyncio.to_thread(runs.write, mlflow.url, facts, files, Deadline(PATIENCE))
    [run] = mlflow.runs("refused")
    assert (run["info"]["status"], mlflow.file(run, "results/good.txt")) == ("FINISHED", "2")
    assert "goes without 'results/a%23b.txt'" in caplog.text
