"""The Python client against the running product."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL

import pressroom
from pressroom.errors import (
    AlreadyExists,
    ExecutionEnded,
    ExecutionFailed,
    ExecutionTimedOut,
    NotFound,
    ParameterInvalid,
    PressroomError,
    Unavailable,
)

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
MONTHS = {"param_name": "months", "param_type": "integer", "default_value": 3, "validation_rules": {"max": 12}}


def test_a_notebook_goes_the_whole_way_through_the_client(service: Any, notebook: Path, home: Path) -> None:
    with pressroom.Client(service.url) as client:
        assert client.health()["status"] == "healthy"
        made = client.register("Sales", notebook, "ana", tags=["report"])
        [months] = client.define(made.id, MONTHS)
        assert client.parameters(made.id) == [months] == client.notebook(made.id).parameters
        assert client.parameter(months.id).default_value == 3
        assert client.update_parameter(months.id, description="How many").description == "How many"
        assert client.schema(made.id)["properties"]["months"]["maximum"] == 12
        assert [p.param_name for p in client.infer(made.id).parameters] == ["region", "months"]
        done = client.execute(notebook, {"months": 2}, timeout_seconds=60)
        assert (done.status, done.parameters_used) == ("success", {"months": 2})
        chosen = client.execute("sales.ipynb", output_path="out.ipynb")
        assert chosen.output_path == str(home / "out.ipynb")
        assert [e.id for e in client.executions(notebook_id=made.id)] == [chosen.id, done.id]
        assert [e.id for e in client.executions(status="success")] == [chosen.id, done.id]
        assert client.update_notebook(made.id, description="Monthly").description == "Monthly"
        assert [n.id for n in client.notebooks(tag="report")] == [made.id]
        assert client.upload("up.ipynb", client.download(notebook_id=made.id)).name == "up.ipynb"
        assert client.from_template(made.id, "filled.ipynb", {"months": 6}).file_path == str(home / "filled.ipynb")
        (home.parent / "bo").mkdir()
        assert client.copy(made.id, "bo").username == "bo"
        assert client.files("bo").notebook_count == 1
        client.delete_parameter(months.id)
        client.delete_notebook(made.id)
        with pytest.raises(NotFound):
            client.notebook(made.id)


def test_errors_are_classes_with_the_problems_facts(service: Any, notebook: Path, home: Path) -> None:
    with pressroom.Client(service.url) as client:
        made = client.register("Sales", notebook, "ana")
        client.define(made.id, MONTHS)
        with pytest.raises(AlreadyExists) as duplicate:
            client.register("Sales", write_notebook(home / "other.ipynb", "1"), "ana")
        assert duplicate.value.field == "name"
        with pytest.raises(ParameterInvalid) as wrong:
            client.execute(notebook, {"months": 13})
        assert (wrong.value.parameter, wrong.value.rule) == ("months", "max")
        with pytest.raises(ExecutionFailed) as failed:
            client.execute(write_notebook(home / "bad.ipynb", "1/0"))
        assert (failed.value.cell_index, failed.value.ename) == (0, "ZeroDivisionError")
        with pytest.raises(ExecutionTimedOut):
            client.execute(write_notebook(home / "slow.ipynb", "while True: pass"), timeout_seconds=3)


def test_a_service_that_is_not_there_is_said_so() -> None:
    with pressroom.Client("http://127.0.0.1:9") as client, pytest.raises(Unavailable, match="127.0.0.1:9"):
        client.health()


async def test_the_asynchronous_client_does_the_same(service: Any, notebook: Path) -> None:
    async with pressroom.AsyncClient(service.url) as client:
        done = await client.execute(notebook, {"region": "APAC"}, progress=True)
        assert done.cells_completed == done.cells_total == 3
        assert [e.id async for e in client.executions(username="ana")] == [done.id]
        with pytest.raises(NotFound):
            await client.execution(99)


def _methods(client: type) -> set[str]:
    return {name for name in dir(client) if not name.startswith("_")}


def test_both_clients_offer_the_same() -> None:
    assert _methods(pressroom.Client) == _methods(pressroom.AsyncClient) >= {"root", "health", "execute", "notebooks"}


def test_the_address_comes_from_the_environment(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESSROOM_URL", service.url)
    with pressroom.Client() as client:
        assert client.root()["service"] == "pressroom"
        assert client.problem("not-found")["status"] == 404
    with pressroom.Client(base_url="http://127.0.0.1:9") as client:
        assert client.url == "http://127.0.0.1:9"


@pytest.mark.parametrize("username", ["a/../../health", "ana?x=y", "ana#x"])
def test_a_username_stays_one_part_of_the_address(service: Any, username: str) -> None:
    with pressroom.Client(service.url) as client, pytest.raises(PressroomError) as refused:
        client.files(username)
    assert refused.value.status in (404, 422)


def test_the_history_is_given_whole_over_several_pages(service: Any, database_url: URL) -> None:
    with psycopg.connect(_conninfo(database_url)) as connection:
        connection.execute(
            "INSERT INTO notebook_executions (username, input_path, status, started_at) "
            "SELECT 'ana', '/home/ana/n' || n || '.ipynb', 'success', now() FROM generate_series(1, 250) AS n"
        )
    with pressroom.Client(service.url) as client:
        ids = [e.id for e in client.executions(username="ana")]
    assert (len(ids), ids) == (250, sorted(set(ids), reverse=True))


def test_a_notebooks_parameters_are_given_whole(service: Any, notebook: Path) -> None:
    with pressroom.Client(service.url) as client:
        made = client.register("Sales", notebook, "ana")
        for start in (0, 700):
            client.define(made.id, *({"param_name": f"p{start + n}", "param_type": "float"} for n in range(700)))
        assert [p.param_name for p in client.parameters(made.id)] == [f"p{n}" for n in range(1400)]


def test_an_unhealthy_service_is_unavailable(service: Any, server: URL, database_url: URL) -> None:
    name = str(database_url.database)
    with psycopg.connect(_conninfo(server), autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
    with pressroom.Client(service.url) as client, pytest.raises(Unavailable) as unhealthy:
        client.health()
    assert unhealthy.value.database["status"] == "unhealthy"


def _conninfo(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.mark.parametrize("status", [503, 504])
def test_a_status_alone_does_not_say_how_an_execution_ended(status: int) -> None:
    assert not isinstance(PressroomError.from_problem({"status": status}), ExecutionEnded)
