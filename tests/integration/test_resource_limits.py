"""Limits of memory, processor time and processes: said, held under the service's ceilings, kept, given to the press.

That a kernel is held to them is the press's own to show.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from pressroom.database.models import Execution
from pressroom.database.session import Database
from pressroom.executions import service as executions
from pressroom.executions.following import open_following
from pressroom.executions.options import HowToExecute
from pressroom.executions.orders import Intake, Order
from pressroom.executions.tasks import Runs, Workshop
from pressroom.identity.principal import Principal
from pressroom.metrics import Metrics
from pressroom.notebooks.files import ValidFiles
from pressroom.notebooks.places import Places
from pressroom.press import Event, Finished, Press, Reason, Request, Stop
from pressroom.settings import Settings
from pressroom.worker import Staffing, open_crew

Service = pytest.Service  # type: ignore[attr-defined]
write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
ASYNC = {"Prefer": "respond-async"}
ANA = Principal.local("ana")
LIMITS = ("memory_mb", "cpu_seconds", "max_processes")
NOTEBOOKS = {"memory_mb": 512, "cpu_seconds": 60.0, "max_processes": 64}
CEILINGS = {"max_memory_mb": 1024, "max_cpu_seconds": 90.5, "max_processes": 100}
NONE = dict.fromkeys(LIMITS)


def limits(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in LIMITS}


def submit(http: httpx.Client, address: str, **body: Any) -> dict[str, Any]:
    answer = http.post(address, json=body, headers=ASYNC)
    assert answer.status_code == 202, answer.text
    return answer.json()


def seen(http: httpx.Client, execution_id: int) -> dict[str, Any]:
    return limits(http.get(f"/db/executions/{execution_id}").json())


def register(http: httpx.Client, path: Path, **defaults: Any) -> int:
    body = {"name": path.stem, "file_path": str(path), "username": "ana", "execution_defaults": defaults}
    answer = http.post("/db/notebooks", json=body)
    assert answer.status_code == 201, answer.text
    assert answer.json()["execution_defaults"] == defaults
    return answer.json()["id"]


def test_what_a_caller_says_stands_with_the_execution(http: httpx.Client, notebook: Path) -> None:
    said = {"memory_mb": 256, "cpu_seconds": 1.5, "max_processes": 32}
    for address in ("/execute", "/run-notebook", "/execute-notebook"):
        row = submit(http, address, input_path=str(notebook), **said)
        assert limits(row) == seen(http, row["id"]) == said
    assert limits(submit(http, "/execute", input_path=str(notebook))) == NONE, "nobody says any"


def test_a_notebooks_defaults_hold_where_the_caller_says_nothing(http: httpx.Client, notebook: Path) -> None:
    notebook_id = register(http, notebook, **NOTEBOOKS)
    of_it = f"/db/notebooks/{notebook_id}/executions"
    assert limits(submit(http, "/execute", input_path=str(notebook))) == NOTEBOOKS
    assert limits(submit(http, of_it)) == NOTEBOOKS
    assert limits(submit(http, of_it, memory_mb=2048)) == NOTEBOOKS | {"memory_mb": 2048}
    items = [{"notebook_id": notebook_id}, {"input_path": str(notebook), "cpu_seconds": 5}]
    ids = submit(http, "/db/executions/bulk", executions=items)["ids"]
    assert [seen(http, found) for found in ids] == [NOTEBOOKS, NOTEBOOKS | {"cpu_seconds": 5}]


def test_a_repeated_execution_has_the_limits_of_the_first(http: httpx.Client, notebook: Path) -> None:
    said = {"memory_mb": 256, "cpu_seconds": 30.0, "max_processes": 50}
    done = http.post("/execute", json={"input_path": str(notebook)} | said).json()
    again = http.post(f"/db/executions/{done['execution_id']}/retry")
    assert (again.status_code, limits(again.json())) == (202, said)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("memory_mb", 63),
        ("memory_mb", 16 * 1024**2 + 1),
        ("memory_mb", 512.5),
        ("memory_mb", "much"),
        ("cpu_seconds", 0.5),
        ("cpu_seconds", 10**9),
        ("max_processes", 15),
        ("max_processes", 10**7),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_by_name(
    http: httpx.Client, notebook: Path, field: str, value: Any
) -> None:
    body = {"input_path": str(notebook), field: value}
    for answer in (
        http.post("/execute", json=body),
        http.post("/db/executions/bulk", json={"executions": [body]}),
        http.post(
            "/db/notebooks",
            json={"name": "n", "file_path": str(notebook), "username": "ana", "execution_defaults": {field: value}},
        ),
    ):
        assert answer.status_code == 422
        assert field in answer.json()["detail"]


@pytest.fixture
def ceilings(settings: Settings) -> Settings:
    return settings.model_copy(update=CEILINGS)


def test_what_is_over_a_ceiling_is_refused_naming_it(ceilings: Settings, notebook: Path) -> None:
    over = {"memory_mb": 1025, "cpu_seconds": 91, "max_processes": 101}
    with Service(ceilings) as running, httpx.Client(base_url=running.url) as http:
        notebook_id = register(http, notebook)
        for (name, value), (setting, ceiling) in zip(over.items(), CEILINGS.items(), strict=True):
            path = {"input_path": str(notebook)}
            defaults = {"execution_defaults": {name: value}}
            for answer in (
                http.post("/execute", json=path | {name: value}),
                http.post("/run-notebook", json=path | {name: value}),
                http.post(f"/db/notebooks/{notebook_id}/executions", json={name: value}),
                http.post("/db/executions/bulk", json={"executions": [path, path | {name: value}]}),
                http.put(f"/db/notebooks/{notebook_id}", json=defaults),
                http.post("/db/notebooks", json={"name": "n", "file_path": "/n", "username": "ana"} | defaults),
            ):
                assert answer.status_code == 422, answer.text
                problem = answer.json()
                variable = f"PRESSROOM_{setting.upper()}"
                facts = {"field": name, "value": value, "limit": ceiling, "setting": variable}
                assert {fact: problem[fact] for fact in facts} == facts
                allowed = f"{value} is more than {ceiling}, the most that this service allows ({variable})."
                place = "executions[1]." if "errors" in problem else ""
                assert problem["detail"] == f"{place}{name}: {allowed}"
        assert http.get("/db/executions").json() == [], "what is refused is not there"


def test_a_ceiling_is_the_limit_of_who_says_nothing(ceilings: Settings, notebook: Path) -> None:
    with Service(ceilings) as running, httpx.Client(base_url=running.url) as http:
        just = {"memory_mb": 1024, "cpu_seconds": 90.5, "max_processes": 100}
        assert limits(submit(http, "/execute", input_path=str(notebook))) == just
        assert limits(submit(http, "/execute", input_path=str(notebook), **just)) == just
        lower = {"memory_mb": 64, "cpu_seconds": 1.0, "max_processes": 16}
        assert limits(submit(http, "/execute", input_path=str(notebook), **lower)) == lower


def test_what_was_said_before_there_was_a_ceiling_is_held_under_it(
    settings: Settings, ceilings: Settings, notebook: Path
) -> None:
    much = {"memory_mb": 4096, "cpu_seconds": 3600.0, "max_processes": 50}
    with Service(settings) as running, httpx.Client(base_url=running.url, timeout=60) as http:
        notebook_id = register(http, notebook, **much)
        first = http.post(f"/db/notebooks/{notebook_id}/executions", json={}).json()["execution_id"]
        assert seen(http, first) == much
    held = {"memory_mb": 1024, "cpu_seconds": 90.5, "max_processes": 50}
    with Service(ceilings) as running, httpx.Client(base_url=running.url) as http:
        assert limits(submit(http, f"/db/notebooks/{notebook_id}/executions")) == held
        assert limits(http.post(f"/db/executions/{first}/retry").json()) == held


class Watched:
    """A press that remembers what it is asked, and says that ``reason`` was the end where there is one."""

    def __init__(self, press: Press) -> None:
        self._press = press
        self.requests: list[Request] = []
        self.reason: Reason | None = None

    async def execute(self, request: Request, stop: Stop | None = None) -> AsyncIterator[Event]:
        self.requests.append(request)
        async for event in self._press.execute(request, stop):
            if isinstance(event, Finished) and self.reason is not None:
                yield replace(event, reason=self.reason, message=f"The kernel went over its limit: {self.reason}.")
            else:
                yield event


async def executed(database: Database, settings: Settings, press: Runs, path: Path, **how: Any) -> Execution:
    """The end of an execution by a worker that has this press."""
    places = Places(settings.users_root, ())
    shop = Workshop(database, places, settings, Metrics(settings.worker_lost_seconds), press)
    async with open_following(database) as following, open_crew(shop, Staffing(1, grace_seconds=0)) as crew:
        intake = Intake(places, settings, crew.jobs, ValidFiles(2**20))
        order = Order(parameters={}, input_path=str(path), how=HowToExecute(**how))
        async with database.transaction() as session:
            [execution_id] = await executions.submit(session, intake, ANA, [order])
        await following.wait(execution_id)
    async with database.transaction() as session:
        return await executions.get(session, execution_id)


@pytest.fixture
async def press() -> AsyncIterator[Watched]:
    """The real press, watched."""
    real = Press(environment={"PATH": "/usr/bin:/bin", "HOME": "/tmp"})
    yield Watched(real)
    await real.close()


async def test_the_press_is_given_the_limits(
    database: Database, settings: Settings, press: Watched, notebook: Path
) -> None:
    done = await executed(database, settings, press, notebook, memory_mb=8192, cpu_seconds=60, max_processes=5000)
    assert done.status == "success"
    [request] = press.requests
    assert (request.memory_mb, request.cpu_seconds, request.max_processes) == (8192, 60, 5000)


@pytest.mark.parametrize(
    "reason", [Reason.MEMORY_EXCEEDED, Reason.CPU_TIME_EXCEEDED, Reason.PROCESSES_EXCEEDED], ids=str
)
async def test_going_over_a_limit_is_a_failure_with_that_reason(
    database: Database, settings: Settings, press: Watched, notebook: Path, reason: Reason
) -> None:
    press.reason = reason
    again = {"max_attempts": 2, "retry_on": ["any_failure"], "retry_delay_seconds": 0}
    row = await executed(database, settings, press, notebook, **again)
    assert (row.status, row.failure, row.attempt) == ("failed", {"reason": reason.value}, 2)
    assert reason.value in str(row.error_message)
    async with database.transaction() as session:
        assert [a.reason for a in await executions.attempts(session, ANA, row.id)] == [reason.value] * 2
    with pytest.raises(executions.ExecutionFailed) as failed:
        executions.raise_for_status(row)
    assert (failed.value.status, failed.value.reason) == (422, reason.value)
