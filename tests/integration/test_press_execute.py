"""``execute``: the press in a few lines of Python."""

import asyncio
import inspect
import os
import tempfile
import textwrap
from contextlib import aclosing
from pathlib import Path

import nbformat
import pytest

from pressroom.press import CellFinished, CellStarted, Event, Finished, Output, Reason, Started, Stop, execute


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    made = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell("import os; print(x, os.getcwd(), os.environ.get('GIVEN'))"),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(made, tmp_path / "in.ipynb")
    return tmp_path / "in.ipynb"


async def test_it_tells_what_happens_and_writes_the_output(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIVEN", "by the caller")
    (tmp_path / "work").mkdir()
    events = [e async for e in execute(notebook, tmp_path / "out.ipynb", {"x": 5}, cwd=tmp_path / "work")]

    kinds = [type(event) for event in events]
    assert kinds == [Started, *[CellStarted, CellFinished] * 2, CellStarted, Output, CellFinished, Finished]
    text = f"5 {tmp_path / 'work'} by the caller\n"
    assert [event.text for event in events if isinstance(event, Output)] == [text]
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert (finished.reason, finished.written) == (None, True)
    assert nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[-1].outputs[0].text == text


async def test_without_an_output_nothing_is_kept(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="pt-") as temporary:
        monkeypatch.setattr(tempfile, "tempdir", temporary)
        monkeypatch.chdir(tmp_path)
        events = [event async for event in execute("in.ipynb")]
        assert [event.text for event in events if isinstance(event, Output)] == [f"1 {tmp_path} None\n"]
        assert os.listdir(temporary) == []
    assert os.listdir(tmp_path) == ["in.ipynb"]


async def test_it_raises_nothing_for_what_fails_and_can_be_stopped(notebook: Path, tmp_path: Path) -> None:
    async def end(*arguments: object, **options: object) -> Event:
        return [event async for event in execute(*arguments, **options)][-1]  # type: ignore[arg-type]

    finished = await end(tmp_path / "nothing.ipynb")
    assert isinstance(finished, Finished)
    assert finished.reason is Reason.NOTEBOOK_INVALID
    finished = await end(notebook, kernel_name="nothing")
    assert isinstance(finished, Finished)
    assert finished.reason is Reason.KERNEL_UNAVAILABLE

    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import time; time.sleep(600)")])
    nbformat.write(made, notebook)
    finished = await end(notebook, timeout_seconds=2)
    assert isinstance(finished, Finished)
    assert finished.reason is Reason.TIMED_OUT
    stop = Stop()
    async with aclosing(execute(notebook, stop=stop)) as events:
        async for event in events:
            if isinstance(event, CellStarted):
                stop.set(Reason.CANCELLED)
    assert isinstance(event, Finished)
    assert event.reason is Reason.CANCELLED


async def test_the_example_of_its_docstring_works(
    notebook: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    notebook.rename(tmp_path / "report.ipynb")
    documented = inspect.getdoc(execute)
    assert documented is not None
    example = documented.partition("::\n\n")[2].partition("\nRaises")[0]
    code = compile(textwrap.dedent(example), "docstring", "exec")
    # Not in this loop: the example begins one.
    await asyncio.to_thread(exec, code, {})
    assert "done in" in capsys.readouterr().out
    assert (tmp_path / "out.ipynb").exists()
