"""The press with real kernels: how an execution ends, what it tells, and that nothing is left of it."""

import asyncio
import json
import os
import stat
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from pressroom.press import CellFinished, CellStarted, Event, Finished, Output, Press, Reason, Request, Started, Stop
from pressroom.press.environment import kernel_environment
from pressroom.press.shared import shared_servers

MARK = "LC_PRESS_TEST"
"""A variable that marks every process of a test; kernels may see ``LC_*``."""
PATIENCE = 90
"""No execution here may take longer, however busy the machine is."""
READY_AND_WAIT = "import time\nprint('ready', flush=True)\ntime.sleep(600)"
SWALLOW = """
import time
print("ready", flush=True)
while True:
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        print("no", flush=True)
"""
GRANDCHILD = """
import subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGHUP, signal.SIG_IGN); time.sleep(600)"],
    start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
)
print("child", child.pid, flush=True)
"""


def forked() -> list[psutil.Process]:
    """All that descends from the fork servers, but for those that wait for work."""
    found: list[psutil.Process] = []
    for pid in shared_servers().pids():
        for process in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                # A keeper ends by itself as soon as it has told of the end of what it kept.
                waits = process.name() in ("pressroom-idle", "pressroom-wait", "pressroom-keep")
                if not waits and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                    found.append(process)
    return found


def marked(mark: str) -> list[psutil.Process]:
    """What was started with a variable in its environment, and is no fork of a server."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.pid != os.getpid():
                found.append(process)
        except psutil.Error:
            continue
    return found


class Bench:
    """A press whose processes and temporary files can be told from all others."""

    def __init__(self, folder: Path, temporary: Path, mark: str) -> None:
        self.folder, self.temporary, self.mark = folder, temporary, mark
        self.environment = kernel_environment(os.environ) | {MARK: mark, "TMPDIR": str(temporary)}
        self.output = folder / "out.ipynb"

    def press(self, **options: Any) -> Press:
        return Press(self.environment, **({"grace_seconds": 10.0} | options))

    def request(self, *sources: str, parameters: str | None = None, **options: Any) -> Request:
        path = pytest.write_notebook(self.folder / "in.ipynb", *sources, parameters=parameters)  # type: ignore[attr-defined]
        return Request(**({"input_path": path, "output_path": self.output, "parameters": {}} | options))

    async def run(
        self,
        request: Request,
        on_event: Callable[[Event, Stop], None] = lambda *_: None,
        stop: Stop | None = None,
        **options: Any,
    ) -> list[Event]:
        stop = stop or Stop()
        events: list[Event] = []
        async with asyncio.timeout(PATIENCE):
            async for event in self.press(**options).execute(request, stop):
                events.append(event)
                on_event(event, stop)
        assert [type(event) for event in events].count(Finished) == 1
        assert isinstance(events[-1], Finished)
        assert self.processes() == [], "all its processes are gone when it says that it has ended"
        return events

    async def end(self, request: Request, **options: Any) -> Finished:
        finished = (await self.run(request, **options))[-1]
        assert isinstance(finished, Finished)
        return finished

    def processes(self) -> list[psutil.Process]:
        found = {process.pid: process for process in (*forked(), *marked(self.mark))}
        return list(found.values())

    def written(self) -> Any:
        notebook = nbformat.read(self.output, as_version=4)
        nbformat.validate(notebook)
        return notebook


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    # Not below tmp_path: the kernel's sockets lie here, and their paths may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="pt-") as temporary:
        monkeypatch.setattr(tempfile, "tempdir", temporary)
        made = Bench(tmp_path, Path(temporary), uuid.uuid4().hex)
        descriptors = len(os.listdir("/proc/self/fd"))
        yield made
        left = made.processes()
        for process in left:
            process.kill()
        assert left == []
        assert list(Path(temporary).iterdir()) == []
        assert [path.name for path in tmp_path.rglob(".pressroom-*")] == []
        assert len(os.listdir("/proc/self/fd")) <= descriptors + 2, "file descriptors are closed (but a loop's own)"


def text_of(events: list[Event], stream: str = "stdout") -> str:
    return "".join(e.text for e in events if isinstance(e, Output) and e.stream == stream)


async def test_a_notebook_gets_its_parameters_and_tells_its_way_in_order(bench: Bench) -> None:
    request = Request(
        pytest.write_notebook(  # type: ignore[attr-defined]
            bench.folder / "in.ipynb", "\nprint(region * 2)", "", "months + 1", parameters='region = "EMEA"\nmonths = 3'
        ),
        bench.output,
        {"region": "APAC"},
    )
    events = await bench.run(request)
    told = [e for e in events if not isinstance(e, Output)]
    assert [type(e) for e in told] == [Started, *([CellStarted, CellFinished] * 4), Finished]
    assert told[0] == Started(cells=4, kernel="python3")
    cells = [e for e in told if isinstance(e, CellStarted)]
    assert [(c.index, c.number) for c in cells] == [(0, 1), (1, 2), (2, 3), (4, 4)]
    assert [c.line for c in cells] == ['region = "EMEA"', "# Parameters", "print(region * 2)", "months + 1"]
    ended = [e for e in told if isinstance(e, CellFinished)]
    assert [(c.index, c.number, c.failed) for c in ended] == [
        (0, 1, False),
        (1, 2, False),
        (2, 3, False),
        (4, 4, False),
    ]
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert (finished.reason, finished.message, finished.written) == (None, "", True)
    assert 0 < finished.seconds < PATIENCE
    assert text_of(events) == "APACAPAC\n"
    assert text_of(events, "result") == "4"
    position = {type(e): i for i, e in enumerate(events) if getattr(e, "index", None) == 2}
    assert position[CellStarted] < position[Output] < position[CellFinished]
    written = bench.written()
    assert written.cells[2].outputs[0].text == "APACAPAC\n"
    assert written.metadata.papermill.parameters == {"region": "APAC"}
    assert [c.metadata.papermill.status for c in written.cells if c.source] == ["completed"] * 4


async def test_parameters_of_every_json_kind_arrive_unchanged_beside_an_untouched_input(bench: Bench) -> None:
    values = {
        "s": "q\"'\\\n\u00e9\U0001f5de",
        "i": -(2**70),
        "f": 1e-300,
        "b": False,
        "n": None,
        "l": [1, [2, {}]],
        "d": {"k": [True]},
    }
    source = f"import json, os\nprint(json.dumps([os.getcwd(), {', '.join(values)}]))"
    path = bench.request(source).input_path
    before = path.read_bytes()
    folder, *arrived = json.loads(text_of(await bench.run(Request(path, bench.output, values))))
    assert arrived == list(values.values())
    assert Path(folder).samefile(path.parent)
    assert path.read_bytes() == before


async def test_a_cell_that_raises_ends_the_execution_with_its_error(bench: Bench) -> None:
    request = bench.request("print('before')", "1 / 0", "print('after')")
    events = await bench.run(request)
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.reason is Reason.CELL_ERROR
    assert finished.message == "Cell 2 raised ZeroDivisionError: division by zero."
    assert (finished.ename, finished.evalue) == ("ZeroDivisionError", "division by zero")
    assert finished.source == "1 / 0"
    assert "ZeroDivisionError" in "".join(finished.traceback)
    assert finished.written
    assert text_of(events) == "before\n"
    assert [c.failed for c in events if isinstance(c, CellFinished)] == [False, True]
    written = bench.written()
    assert finished.cell_index is not None
    assert written.cells[finished.cell_index].outputs[-1].ename == "ZeroDivisionError"
    assert written.cells[-1].metadata.papermill.status == "pending"


async def test_sys_exit_without_an_error_is_success_and_leaves_the_rest(bench: Bench) -> None:
    events = await bench.run(bench.request("import sys; sys.exit()", "print('after')"))
    assert isinstance(events[-1], Finished)
    assert (events[-1].reason, events[-1].written) == (None, True)
    assert text_of(events) == ""


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import os; os._exit(3)", "ended by itself, with exit code 3, in cell 2"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "killed by signal 9 (SIGKILL), as happens when memory runs out, in cell 2",
        ),
    ],
    ids=["os._exit", "SIGKILL"],
)
async def test_a_kernel_that_dies_fails_the_execution_in_words(bench: Bench, source: str, words: str) -> None:
    finished = await bench.end(bench.request("print('kept')", source, "print('after')"))
    assert finished.reason is Reason.KERNEL_DIED
    assert words in finished.message
    assert finished.written
    assert bench.written().cells[0].outputs[0].text == "kept\n"


async def test_a_kernel_killed_from_outside_fails_the_execution_in_words(bench: Bench) -> None:
    def kill(event: Event, _: Stop) -> None:
        if isinstance(event, Output):
            psutil.Process(int(event.text)).kill()

    request = bench.request("import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    events = await bench.run(request, kill)
    assert isinstance(events[-1], Finished)
    assert events[-1].reason is Reason.KERNEL_DIED
    assert "SIGKILL" in events[-1].message


async def test_a_cell_that_kills_its_parent_fails_the_execution_and_leaves_nothing(bench: Bench) -> None:
    bench.output.write_text("older")
    source = f"{GRANDCHILD}\nimport os, signal, time; os.kill(os.getppid(), signal.SIGKILL); time.sleep(600)"
    finished = None
    async for event in bench.press().execute(bench.request("print('kept')", source)):
        finished = event
    # Its fork server, which inherits what the keeper leaves, kills it as soon as it hears of the keeper's death.
    psutil.wait_procs(bench.processes(), timeout=PATIENCE)
    assert bench.processes() == []
    assert isinstance(finished, Finished)
    assert finished.reason is Reason.KERNEL_DIED
    assert finished.message == "The kernel was killed together with its keeper in cell 2."
    assert finished.written
    assert bench.written().cells[0].outputs[0].text == "kept\n"


async def test_a_runner_that_is_killed_fails_the_execution_and_leaves_the_older_output(bench: Bench) -> None:
    bench.output.write_text("older")

    def kill(event: Event, _: Stop) -> None:
        if isinstance(event, Output) and "ready" in event.text:
            next(process for process in forked() if process.name() == "pressroom-run").kill()

    finished = (await bench.run(bench.request(GRANDCHILD + READY_AND_WAIT), kill))[-1]
    assert isinstance(finished, Finished)
    assert finished.reason is Reason.RUNNER_DIED
    assert "was killed by SIGKILL in cell 1" in finished.message
    assert not finished.written
    assert bench.output.read_text() == "older"


async def test_children_of_a_kernel_end_with_the_execution(bench: Bench) -> None:
    events = await bench.run(bench.request(GRANDCHILD))
    assert isinstance(events[-1], Finished)
    assert events[-1].reason is None
    assert text_of(events).startswith("child ")


@pytest.mark.parametrize(
    ("source", "cut"),
    [
        ("for _ in range(500): print('x' * 999)", 500_000),
        ("'x' * 5_000_000", 5_000_002),
        ("print('x' * 5_000_000)", 5_000_001),
    ],
    ids=["many prints", "big result", "big print"],
)
async def test_outputs_over_the_limit_are_cut_with_a_notice_and_counted(bench: Bench, source: str, cut: int) -> None:
    limit = 2**18
    finished = await bench.end(bench.request("print('kept')", source, "print('after')"), max_output_bytes=limit)
    assert (finished.reason, finished.written) == (None, True)
    first, second, third = bench.written().cells
    assert first.outputs[0].text == "kept\n"
    assert third.outputs == []
    kept = sum(
        len(output.text) for output in second.outputs if output.output_type == "stream" and output.name == "stdout"
    )
    assert kept <= limit
    assert finished.cut_bytes == cut + len("kept\nafter\n") - len("kept\n") - kept
    mebibytes = finished.cut_bytes / 2**20
    notice = f"Outputs over 0.25 MiB, the limit, are not kept: {mebibytes:.3g} MiB were cut.\n"
    assert (second.outputs[-1].name, second.outputs[-1].text) == ("stderr", notice)
    assert bench.output.stat().st_size < 2 * limit + 2**16


async def test_an_error_is_told_although_the_outputs_are_over_their_limit(bench: Bench) -> None:
    finished = await bench.end(bench.request("print('x' * 1000); 1 / 0"), max_output_bytes=100)
    assert finished.reason is Reason.CELL_ERROR
    outputs = bench.written().cells[0].outputs
    assert [output.output_type for output in outputs] == ["stream", "stream", "error"]
    assert outputs[0].text == "x" * 100


async def test_outputs_within_the_limit_arrive_whole_and_in_pieces(bench: Bench) -> None:
    events = await bench.run(bench.request("print('x' * 200_000, end='')"), max_output_bytes=200_000)
    assert isinstance(events[-1], Finished)
    assert events[-1].reason is None
    assert text_of(events) == "x" * 200_000
    assert max(len(e.text) for e in events if isinstance(e, Output)) <= 65536
    assert bench.written().cells[0].outputs[0].text == "x" * 200_000


async def test_the_time_limit_interrupts_the_cell_and_keeps_what_it_put_out(bench: Bench) -> None:
    finished = await bench.end(bench.request(READY_AND_WAIT, timeout_seconds=5))
    assert finished.reason is Reason.TIMED_OUT
    assert finished.message == "The execution took longer than its limit of 5 s; it was stopped in cell 1."
    assert 5 <= finished.seconds < 30
    assert finished.written
    outputs = bench.written().cells[0].outputs
    assert outputs[0].text == "ready\n"
    assert outputs[-1].ename == "KeyboardInterrupt"


async def test_a_cell_that_swallows_the_interrupt_is_killed_after_the_grace_period(bench: Bench) -> None:
    finished = await bench.end(bench.request(SWALLOW, timeout_seconds=5), grace_seconds=1.0)
    assert finished.reason is Reason.TIMED_OUT
    assert 6 <= finished.seconds < 30
    assert finished.written
    assert bench.written().cells[0].outputs[0].text == "ready\nno\n"


async def test_a_stop_ends_the_execution_for_the_first_reason_given(bench: Bench) -> None:
    def stop_it(event: Event, stop: Stop) -> None:
        if isinstance(event, Output) and "ready" in event.text:
            stop.set(Reason.CANCELLED)
            stop.set(Reason.INTERRUPTED)

    finished = (await bench.run(bench.request(READY_AND_WAIT, "print('after')"), stop_it))[-1]
    assert isinstance(finished, Finished)
    assert finished.reason is Reason.CANCELLED
    assert finished.message == "The execution was cancelled in cell 1."
    assert finished.written
    written = bench.written()
    assert written.cells[0].outputs[-1].ename == "KeyboardInterrupt"
    assert written.cells[-1].outputs == []


async def test_a_stop_before_the_start_executes_no_cell(bench: Bench) -> None:
    stop = Stop()
    stop.set(Reason.INTERRUPTED)
    events = await bench.run(bench.request("print('never')"), stop=stop)
    assert isinstance(events[-1], Finished)
    assert events[-1].reason is Reason.INTERRUPTED
    assert text_of(events) == ""


def test_the_death_of_the_caller_leaves_no_kernel_and_no_grandchild(bench: Bench) -> None:
    bench.request(GRANDCHILD + SWALLOW)
    caller = bench.folder / "caller.py"
    caller.write_text(
        "import asyncio, os, sys\n"
        "from pathlib import Path\n"
        "from pressroom.press import Output, Press, Request\n"
        "async def main():\n"
        "    request = Request(Path('in.ipynb').absolute(), Path('out.ipynb').absolute(), {})\n"
        "    async for event in Press(dict(os.environ), grace_seconds=1).execute(request):\n"
        "        if isinstance(event, Output): print(event.text, end='', flush=True)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(
        [sys.executable, caller], cwd=bench.folder, env=bench.environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        assert lines[0].startswith("child "), lines
        assert lines[1] == "ready\n"
        living = bench.processes()
        below = psutil.Process(process.pid).children(recursive=True)
        living += [each for each in below if each not in living]
        names = [each.name() for each in living]
        assert names.count("pressroom-run") == names.count("pressroom-krnl") == 1
        assert int(lines[0].split()[1]) in {p.pid for p in living}
        process.kill()
        process.wait()
        _, alive = psutil.wait_procs(living, timeout=10)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_a_full_disk_fails_the_execution_and_keeps_the_older_output(bench: Bench, full_disk: Path) -> None:
    bench.output = full_disk / "out.ipynb"
    bench.output.write_text("older")
    finished = await bench.end(bench.request("print('x' * 3_000_000)"))
    assert finished.reason is Reason.OUTPUT_NOT_WRITTEN
    assert finished.message == f"The output {bench.output} could not be written: No space left on device."
    assert not finished.written
    assert bench.output.read_text() == "older"
    assert [path.name for path in full_disk.iterdir()] == ["out.ipynb"]


async def test_a_full_disk_does_not_hide_the_error_of_a_cell(bench: Bench, full_disk: Path) -> None:
    bench.output = full_disk / "out.ipynb"
    finished = await bench.end(bench.request("print('x' * 3_000_000); 1 / 0"))
    assert finished.reason is Reason.CELL_ERROR
    assert "division by zero" in finished.message
    assert "No space left on device" in finished.message
    assert not finished.written


async def test_a_kernel_sees_the_usual_variables_and_those_allowed_and_no_secret(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ann:hunter2@db/notebook_manager")
    monkeypatch.setenv("MADE_UP_SECRET", "hunter2")
    monkeypatch.setenv("REPORT_BUCKET", "allowed")
    monkeypatch.setenv("TZ", "Europe/Vienna")
    bench.environment = kernel_environment(os.environ, ["REPORT_*"]) | {
        MARK: bench.mark,
        "TMPDIR": str(bench.temporary),
    }
    source = (
        "import json, os, subprocess\n"
        "from contextlib import suppress\n"
        "from pathlib import Path\n"
        "others = []\n"
        "for process in Path('/proc').glob('[0-9]*'):\n"
        "    with suppress(OSError):  # one of another program's that ends meanwhile\n"
        "        if process.joinpath('comm').read_text().startswith('pressroom-'):\n"
        "            others.append(process.joinpath('environ').read_text())\n"
        "print(json.dumps([dict(os.environ), subprocess.check_output('env', text=True), others]))"
    )
    variables, childs, others = json.loads(text_of(await bench.run(bench.request(source))))
    assert variables["REPORT_BUCKET"] == "allowed"
    assert variables["TZ"] == "Europe/Vienna"
    assert variables["PATH"] == os.environ["PATH"]
    assert "DATABASE_URL" not in variables
    assert "MADE_UP_SECRET" not in variables
    assert "REPORT_BUCKET=allowed" in childs
    assert len(others) >= 4, "fork servers, runner, keepers, kernel"
    for text in (json.dumps(variables), childs, *others):
        assert "hunter2" not in text


async def test_an_unknown_kernel_is_refused_with_the_names_of_those_there_are(bench: Bench) -> None:
    finished = await bench.end(bench.request("1", kernel_name="cobol"))
    assert finished.reason is Reason.KERNEL_UNAVAILABLE
    assert finished.message.startswith("There is no kernel named 'cobol'; those that exist: ")
    assert "python3" in finished.message
    assert not bench.output.exists()


async def test_a_kernel_that_does_not_start_says_what_it_wrote(bench: Bench) -> None:
    specs = bench.folder / "jupyter" / "kernels" / "broken"
    specs.mkdir(parents=True)
    argv = [sys.executable, "-c", "import sys; sys.exit('the ink is dry')", "{connection_file}"]
    specs.joinpath("kernel.json").write_text(json.dumps({"argv": argv, "display_name": "b", "language": "python"}))
    bench.environment["JUPYTER_PATH"] = str(bench.folder / "jupyter")
    finished = await bench.end(bench.request("1", kernel_name="broken"))
    assert finished.reason is Reason.KERNEL_UNAVAILABLE
    assert finished.message.startswith("Kernel 'broken' did not start: ")
    assert "the ink is dry" in finished.message


@pytest.mark.parametrize("data", [b"\xff{", b'{"cells": 3}'])
async def test_a_file_that_is_no_notebook_is_refused(bench: Bench, data: bytes) -> None:
    request = bench.request("1")
    request.input_path.write_bytes(data)
    finished = await bench.end(request)
    assert finished.reason is Reason.NOTEBOOK_INVALID
    assert finished.message.startswith(f"{request.input_path} is not a valid notebook: ")


async def test_an_input_that_is_not_there_or_too_large_is_refused(bench: Bench) -> None:
    request = bench.request("1 + 1")
    finished = await bench.end(request, max_notebook_bytes=100)
    assert finished.reason is Reason.NOTEBOOK_INVALID
    assert "is larger than" in finished.message
    request.input_path.unlink()
    finished = await bench.end(request)
    assert finished.message == f"{request.input_path} cannot be opened: No such file or directory."


async def test_an_output_that_is_replaced_keeps_its_mode_and_is_a_new_file(bench: Bench) -> None:
    bench.output.write_text("older")
    bench.output.chmod(0o640)
    other_name = bench.folder / "other.ipynb"
    os.link(bench.output, other_name)
    assert (await bench.end(bench.request("1"))).reason is None
    assert stat.S_IMODE(bench.output.stat().st_mode) == 0o640
    assert bench.written().cells
    assert other_name.read_text() == "older", "a reader of the old file still sees it whole"


async def test_an_output_that_is_a_link_is_replaced_itself(bench: Bench) -> None:
    elsewhere = bench.folder / "precious"
    elsewhere.write_text("precious")
    bench.output.symlink_to(elsewhere)
    assert (await bench.end(bench.request("1"))).written
    assert not bench.output.is_symlink()
    assert elsewhere.read_text() == "precious"


async def test_giving_up_the_iteration_leaves_nothing(bench: Bench) -> None:
    request = bench.request(GRANDCHILD + SWALLOW)
    async with asyncio.timeout(PATIENCE), aclosing(bench.press().execute(request)) as events:  # type: ignore[type-var]
        async for event in events:
            if isinstance(event, Output) and "ready" in event.text:
                break
        assert len(bench.processes()) == 3, "the runner, the kernel, its child"
    assert bench.processes() == []
    assert not bench.output.exists()


async def test_cancelling_the_task_leaves_nothing(bench: Bench) -> None:
    ready = asyncio.Event()

    async def consume() -> None:
        async with aclosing(bench.press().execute(bench.request(GRANDCHILD + READY_AND_WAIT))) as events:  # type: ignore[type-var]
            async for event in events:
                if isinstance(event, Output) and "ready" in event.text:
                    ready.set()

    task = asyncio.create_task(consume())
    await asyncio.wait_for(ready.wait(), PATIENCE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.processes() == []
