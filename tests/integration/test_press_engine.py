"""Papermill's engine, as Papermill's users have it: its options, its metadata, and its errors."""

import asyncio
import io
import json
import logging
import signal
import subprocess
import sys
import time
import venv
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
import papermill
import psutil
import pytest
from jupyter_client.kernelspec import NoSuchKernel
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill import PapermillExecutionError
from papermill.engines import papermill_engines

from pressroom.press.engine import PressroomEngine
from pressroom.press.server import ForkServer
from pressroom.press.shared import shared_servers

TIMES = {
    "start_time", "end_time", "duration", "id", "output_path",
    "iopub.execute_input", "iopub.status.busy", "iopub.status.idle", "shell.execute_reply",
}  # fmt: skip


def running() -> list[int]:
    """The kernels that this process's fork servers have forked and that live."""
    found = []
    for pid in shared_servers().pids():
        children: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):  # a server that died is known until it is needed again
            children = psutil.Process(pid).children(recursive=True)
        for process in children:
            with suppress(psutil.NoSuchProcess):
                waits = process.name() in ("pressroom-idle", "pressroom-wait", "pressroom-keep")
                if not waits and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
    return found


class Desk:
    """A folder, and Papermill with the engine in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.output = folder, folder / "out.ipynb"

    def write(self, *cells: str | NotebookNode) -> Path:
        notebook = nbformat.v4.new_notebook(
            cells=[cell if isinstance(cell, NotebookNode) else nbformat.v4.new_code_cell(cell) for cell in cells]
        )
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, self.folder / "in.ipynb")
        return self.folder / "in.ipynb"

    def run(self, *cells: str | NotebookNode, **options: Any) -> NotebookNode:
        given = {"engine_name": "pressroom", "progress_bar": False} | options
        try:
            return papermill.execute_notebook(str(self.write(*cells)), str(self.output), **given)
        finally:
            assert running() == []

    def written(self) -> NotebookNode:
        return nbformat.read(self.output, as_version=4)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    counted: list[int] = []
    fork = ForkServer.fork
    monkeypatch.setattr(ForkServer, "fork", lambda self, *args: (counted.append(self.pid), fork(self, *args))[1])
    return counted


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: type(v).__name__ if k in TIMES else without_times(v) for k, v in value.items()}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def parameters(source: str) -> NotebookNode:
    return nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]})


def test_papermill_finds_it() -> None:
    assert papermill_engines.get_engine("pressroom") is PressroomEngine


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("end", ["print('end')", "1 / 0", "import sys; sys.exit(0)"])
def test_the_output_is_as_papermills_usual_engine_writes_it(desk: Desk, forks: list[int], end: str) -> None:
    cells = [
        nbformat.v4.new_markdown_cell("# Title"),
        parameters("x = 1"),
        "print(x)\nx",
        "",
        "from IPython.display import HTML, display; display(HTML('<b>b</b>'))",
        nbformat.v4.new_code_cell("1 / 0", metadata={"tags": ["raises-exception"]}),
        end,
        nbformat.v4.new_markdown_cell("after"),
        "print('last')",
    ]
    written = []
    for engine in ("pressroom", None):
        with suppress(PapermillExecutionError):
            desk.run(*cells, parameters={"x": 5}, report_mode=True, engine_name=engine)
        written.append(without_times(json.loads(desk.output.read_text())))
    ours, usual = written
    for notebook in written:
        for cell in notebook["cells"]:
            for output in cell.get("outputs", []):
                output.pop("traceback", None)  # it has the kernel's process in a file name
    assert ours == usual
    assert len(forks) == 1


def test_a_cell_that_raises_is_raised_by_papermill_and_is_in_the_file(desk: Desk) -> None:
    with pytest.raises(PapermillExecutionError, match="ZeroDivisionError"):
        desk.run("print(1)", "1 / 0", "print(3)")
    states = [cell.metadata.papermill.status for cell in desk.written().cells if "papermill" in cell.metadata]
    assert states == ["completed", "failed", "pending"]


def test_the_folder_the_environment_and_the_kernel_are_the_callers(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROM_THE_CALLER", "yes")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    out = desk.run("import os; print(os.getcwd(), os.environ['FROM_THE_CALLER'])", cwd=folder)
    assert out.cells[0].outputs[0].text == f"{folder} yes\n"


def test_what_is_written_goes_to_the_log_and_the_files(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "papermill")
    out, err = io.StringIO(), io.StringIO()
    desk.run(
        "import sys; print('to out'); print('to err', file=sys.stderr); 'a result'",
        log_output=True,
        stdout_file=out,
        stderr_file=err,
    )
    assert (out.getvalue(), err.getvalue()) == ("to out\n", "to err\n")
    messages = [record.getMessage().strip() for record in caplog.records]
    assert [m for m in messages if m in ("to out", "to err", "'a result'")] == ["to out", "to err", "'a result'"]
    assert any(message.startswith("Executing Cell 1---") for message in messages)
    assert any(message.startswith("Ending Cell 1---") for message in messages)


def test_the_progress_is_shown(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    desk.run("print(1)", nbformat.v4.new_markdown_cell("two"), "# papermill_description=THIRD\n3", progress_bar=True)
    shown = capfd.readouterr().err
    assert "3/3" in shown
    assert "Executing THIRD" in shown


def test_a_long_cell_is_saved_while_it_runs(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    write = papermill.engines.write_ipynb

    def noted(notebook: NotebookNode, path: str) -> None:
        texts.append("".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])))
        write(notebook, path)

    monkeypatch.setattr(papermill.engines, "write_ipynb", noted)
    code = "import time\nfor i in range(24):\n    print(i, flush=True); time.sleep(0.1)"
    desk.run(code, autosave_cell_every=1)
    assert any(text and "23" not in text for text in texts), "in the middle, with all that came till then"

    texts.clear()
    desk.run(code, request_save_on_cell_execute=False)
    assert texts == []
    assert "23" in desk.written().cells[0].outputs[0].text


def test_many_short_cells_are_not_saved_one_by_one(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    saves: list[str] = []
    write = papermill.engines.write_ipynb
    monkeypatch.setattr(papermill.engines, "write_ipynb", lambda nb, path: (saves.append(path), write(nb, path)))
    desk.run(*["print(1)"] * 200)
    assert 2 <= len(saves) <= 12, "at the beginning, at the end, and every five seconds"


def test_nothing_is_executed_that_is_only_to_be_prepared(desk: Desk, forks: list[int]) -> None:
    out = desk.run(parameters("x = 1"), "print(x)", parameters={"x": 2}, prepare_only=True)
    assert out.cells[2].outputs == []
    assert forks == []


def test_a_cell_that_takes_too_long_ends_the_notebook(desk: Desk) -> None:
    began = time.monotonic()
    with pytest.raises(CellTimeoutError, match="Cell execution timed out"):
        desk.run("print('quick')", "import time; print('slow', flush=True); time.sleep(600)", execution_timeout=1)
    assert time.monotonic() - began < 60
    assert desk.written().cells[1].outputs[0].text == "slow\n"


def test_the_limit_is_each_cells_own(desk: Desk) -> None:
    desk.run(*["import time; time.sleep(0.7)"] * 4, execution_timeout=2)


def test_a_kernel_that_dies_is_told_and_what_it_said_is_kept(desk: Desk) -> None:
    code = "import os, signal; print('last words', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(DeadKernelError, match="SIGKILL"):
        desk.run("x = 1", code, "print(x)")
    assert desk.written().cells[1].outputs[0].text == "last words\n"


def test_a_kernel_that_there_is_not(desk: Desk) -> None:
    with pytest.raises(NoSuchKernel):
        desk.run("1", kernel_name="nothing")


def test_a_kernel_that_does_not_come_up_in_time(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "slow.py").write_text("import time; time.sleep(600)")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    with pytest.raises(RuntimeError, match="Kernel didn't respond in 1 seconds"):
        desk.run("1", start_timeout=1)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interpreter_without_ipykernel_is_left_to_the_stock_launcher(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    venv.create(tmp_path / "bare", symlinks=True)
    (tmp_path / "kernels" / "bare").mkdir(parents=True)
    argv = [str(tmp_path / "bare" / "bin" / "python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Bare", "language": "python"}
    (tmp_path / "kernels" / "bare" / "kernel.json").write_text(json.dumps(spec))
    caplog.set_level(logging.INFO, "pressroom.press")
    with pytest.raises(RuntimeError, match="Kernel died before replying to kernel_info"):
        desk.run("1", kernel_name="bare")
    assert "Kernels 'bare' are started by the stock launcher" in caplog.text


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:Passing unrecognized arguments:DeprecationWarning")  # what that kernel's spec has
def test_kernels_of_another_language_run_over_the_stock_launcher(desk: Desk, forks: list[int]) -> None:
    out = desk.run("echo from bash", kernel_name="bash", language="bash")
    assert out.cells[0].outputs[0].text == "from bash\n"
    assert forks == []


async def test_it_runs_within_an_event_loop_as_in_a_notebook(desk: Desk) -> None:
    out = desk.run("print(1)")
    assert out.cells[0].outputs[0].text == "1\n"
    one, two = Desk(desk.folder / "one"), Desk(desk.folder / "two")
    for other in (one, two):
        other.folder.mkdir()

    def run(other: Desk) -> NotebookNode:
        given = {"engine_name": "pressroom", "progress_bar": False}
        return papermill.execute_notebook(str(other.write("x = 1", "x")), str(other.output), **given)

    outs = await asyncio.gather(asyncio.to_thread(run, one), asyncio.to_thread(run, two))
    assert [out.cells[1].outputs[0].data["text/plain"] for out in outs] == ["1", "1"]
    assert running() == []


def test_ctrl_c_interrupts_the_cell_and_leaves_no_process(desk: Desk) -> None:
    path = desk.write(
        "import os, time; print(os.getpid(), flush=True)",
        f"try:\n    open({str(desk.folder / 'up')!r}, 'w').write(str(os.getpid()))\n"
        "    time.sleep(600)\n"
        f"except KeyboardInterrupt:\n    open({str(desk.folder / 'interrupted')!r}, 'w').close(); raise",
        "print('never')",
    )
    command = [sys.executable, "-m", "papermill", str(path), str(desk.output), "--engine", "pressroom"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 60
    while not ((desk.folder / "up").exists() and (desk.folder / "up").read_text()):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stdout
        time.sleep(0.02)
    kernel = int((desk.folder / "up").read_text())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert (desk.folder / "interrupted").exists()
    assert not psutil.pid_exists(kernel)
    assert desk.written().cells[0].outputs
    assert not desk.written().cells[2].outputs


def test_nothing_is_left_when_papermill_is_killed(desk: Desk) -> None:
    up = desk.folder / "up"
    path = desk.write(f"import os, time; open({str(up)!r}, 'w').write(str(os.getpid())); time.sleep(600)")
    command = [sys.executable, "-m", "papermill", str(path), str(desk.output), "--engine", "pressroom"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (up.exists() and up.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    while psutil.pid_exists(int(up.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_option_of_nbclients_own_way_to_a_kernel_takes_that_way(desk: Desk, forks: list[int]) -> None:
    heard: list[int] = []
    desk.run("1", on_cell_start=lambda **given: heard.append(given["cell_index"]))
    assert heard == [0]
    assert forks == []
