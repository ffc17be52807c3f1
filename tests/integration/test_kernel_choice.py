"""Which kernel an execution gets, and that one which is gone is refused when it is asked for."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from line import ANA, Line, open_line
from pressroom.database.models import Notebook
from pressroom.database.session import Database
from pressroom.errors import KernelNotThere
from pressroom.executions import service
from pressroom.executions.kernels import require_defaults
from pressroom.executions.options import ExecutionDefaults, HowToExecute
from pressroom.executions.orders import Order, own_queue, repeated
from pressroom.settings import Settings

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pressroom.executions.kernels.KNOWN_SECONDS", 0)


@pytest.fixture
async def line(database: Database, settings: Settings, home: Path) -> AsyncIterator[Line]:
    async with open_line(database, settings, home) as opened:
        yield opened


async def tell(line: Line, kernels: str | None, queues: str | None = None) -> None:
    """Have the line's worker say which kernels it has and which queues it serves, both as JSON."""
    said = "UPDATE workers SET kernels = CAST(:kernels AS jsonb), queues = CAST(:queues AS jsonb) WHERE id = :id"
    async with line.database.transaction() as session:
        await session.execute(text(said), {"kernels": kernels, "queues": queues, "id": line.worker_id})


async def kernel_of(line: Line, execution_id: int) -> str | None:
    async with line.database.transaction() as session:
        return (await service.get(session, execution_id)).kernel_name


async def register(line: Line, path: Path, **defaults: Any) -> int:
    async with line.database.transaction() as session:
        notebook = Notebook(name=path.stem, file_path=str(path), username="ana", execution_defaults=defaults)
        session.add(notebook)
    return notebook.id


async def order(line: Line, *orders: Order) -> list[int]:
    async with line.database.transaction() as session:
        return await service.submit(session, line.intake, ANA, orders)


BASH_AND_R = '[{"name": "bash"}, {"name": "ir"}]'


async def test_the_callers_kernel_comes_before_the_notebooks_default_and_that_before_the_files(
    line: Line, home: Path
) -> None:
    await tell(line, BASH_AND_R)
    notebook = await register(line, write_notebook(home / "n.ipynb", "1", kernel="python3"), kernel_name="ir")
    by_default, by_caller = await order(
        line,
        Order(parameters={}, notebook_id=notebook),
        Order(parameters={}, notebook_id=notebook, how=HowToExecute(kernel_name="bash")),
    )
    assert [await kernel_of(line, one) for one in (by_default, by_caller)] == ["ir", "bash"]
    plain = write_notebook(home / "plain.ipynb", "1", kernel="bash")
    [of_the_file] = await order(line, Order(parameters={}, input_path=str(plain)))
    assert await kernel_of(line, of_the_file) is None


@pytest.mark.parametrize("asked", ["caller", "default", "file"])
async def test_a_kernel_that_is_gone_is_refused_whoever_names_it(line: Line, home: Path, asked: str) -> None:
    await tell(line, BASH_AND_R)
    kernel = "cobol" if asked == "file" else "bash"
    defaults = {"kernel_name": "cobol"} if asked == "default" else {}
    notebook = await register(line, write_notebook(home / "n.ipynb", "1", kernel=kernel), **defaults)
    how = HowToExecute(kernel_name="cobol") if asked == "caller" else HowToExecute()
    with pytest.raises(KernelNotThere) as refused:
        await order(line, Order(parameters={}, notebook_id=notebook, how=how))
    assert refused.value.where == ("kernel_name",)
    assert refused.value.detail == (
        "There is no kernel named 'cobol' at the workers of queue 'default'; those that exist: bash, ir."
    )
    assert not await line.count("notebook_executions")
    [mended] = await order(line, Order(parameters={}, notebook_id=notebook, how=HowToExecute(kernel_name="ir")))
    assert await kernel_of(line, mended) == "ir", "a caller gets by with one that is there"


async def test_a_file_that_names_another_kernel_now_is_looked_at_again(line: Line, home: Path) -> None:
    await tell(line, BASH_AND_R)
    path = write_notebook(home / "n.ipynb", "1", kernel="bash")
    await order(line, Order(parameters={}, input_path=str(path)))
    write_notebook(path, "1", kernel="cobol")
    with pytest.raises(KernelNotThere):
        await order(line, Order(parameters={}, input_path=str(path)))


async def test_what_is_not_known_to_be_gone_is_queued(line: Line, home: Path) -> None:
    path = str(write_notebook(home / "n.ipynb", "1", kernel="cobol"))
    [untold] = await order(line, Order(parameters={}, input_path=path))
    await tell(line, BASH_AND_R, '["reports"]')
    await order(line, Order(parameters={}, input_path=path))
    with pytest.raises(KernelNotThere, match="'reports'"):
        await order(line, Order(parameters={}, input_path=path, how=HowToExecute(queue="reports")))
    await tell(line, BASH_AND_R)
    await order(line, Order(parameters={}, input_path=path, private_queue=own_queue()))
    async with line.database.transaction() as session:
        again = repeated(await service.get(session, untold))
    with pytest.raises(KernelNotThere):
        await order(line, again)
    async with line.database.transaction() as session:
        await session.execute(text("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'"))
    assert await order(line, again), "a lost worker says nothing of what there is"


async def test_what_is_remembered_may_accept_and_never_refuses(
    line: Line, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pressroom.executions.kernels.KNOWN_SECONDS", 3600)
    path = str(write_notebook(home / "n.ipynb", "1", kernel="bash"))
    await tell(line, '[{"name": "ir"}]')
    with pytest.raises(KernelNotThere):
        await order(line, Order(parameters={}, input_path=path))
    await tell(line, BASH_AND_R)  # it has just been installed
    await order(line, Order(parameters={}, input_path=path))
    await tell(line, '[{"name": "ir"}]')
    await order(line, Order(parameters={}, input_path=path))


async def test_of_many_orders_each_whose_kernel_is_gone_is_named(line: Line, home: Path) -> None:
    await tell(line, BASH_AND_R)
    path = str(write_notebook(home / "n.ipynb", "1", kernel="bash"))
    named = [None, "cobol", "ir", "apl"]
    orders = [
        Order(
            parameters={}, input_path=path, place=("executions", n), how=HowToExecute.model_validate({"kernel_name": k})
        )
        for n, k in enumerate(named)
    ]
    with pytest.raises(KernelNotThere) as refused:
        await order(line, *orders)
    assert [entry["loc"] for entry in refused.value.facts["errors"]] == [
        ["body", "executions", n, "kernel_name"] for n in (1, 3)
    ]


async def test_a_notebook_cannot_be_given_a_kernel_that_is_gone(line: Line, settings: Settings) -> None:
    await tell(line, BASH_AND_R)
    async with line.database.transaction() as session:
        await require_defaults(session, settings, ExecutionDefaults(kernel_name="bash"))
        await require_defaults(session, settings, ExecutionDefaults())
        with pytest.raises(KernelNotThere, match="'gpu'|'default'"):
            await require_defaults(session, settings, ExecutionDefaults(kernel_name="cobol"))
