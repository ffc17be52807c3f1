"""The press where it is hard: floods, errors of any size, a folder for an input, no room to begin."""

import asyncio
import os
import resource
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from pressroom.press import CellFinished, Event, Finished, Output, Press, Reason, Request
from pressroom.press.environment import kernel_environment
from pressroom.press.shared import shared_servers

PATIENCE = 120
Watch = Callable[[Event], Awaitable[None]]


async def ignore(_: Event) -> None:
    return


async def run(folder: Path, *sources: str, watch: Watch = ignore, press: Any = None, **options: Any) -> list[Event]:
    path = pytest.write_notebook(folder / "in.ipynb", *sources)  # type: ignore[attr-defined]
    request = Request(path, folder / "out.ipynb", {}, **options)
    events: list[Event] = []
    async with asyncio.timeout(PATIENCE):
        async for event in Press(kernel_environment(os.environ), 1.0, **(press or {})).execute(request):
            events.append(event)
            await watch(event)
    assert [type(event) for event in events].count(Finished) == 1
    return events


def end(events: list[Event]) -> Finished:
    assert isinstance(events[-1], Finished)
    return events[-1]


def written(folder: Path) -> Any:
    return nbformat.read(folder / "out.ipynb", as_version=4)


async def test_no_output_of_a_cell_that_is_faster_than_the_runner_is_lost(tmp_path: Path) -> None:
    source = "for i in range(6_000): display({'text/plain': str(i)}, raw=True)"
    events = await run(tmp_path, source, "print('after')")
    assert (end(events).reason, end(events).message) == (None, "")
    expected = [str(i) for i in range(6_000)]
    assert [e.text for e in events if isinstance(e, Output) and e.stream == "result"] == expected
    assert [output.data["text/plain"] for output in written(tmp_path).cells[0].outputs] == expected


async def test_lines_that_are_flushed_one_by_one_become_one_output(tmp_path: Path) -> None:
    await run(tmp_path, "for i in range(300): print(i, flush=True)")
    outputs = written(tmp_path).cells[0].outputs
    assert [(o.name, o.text) for o in outputs] == [("stdout", "".join(f"{i}\n" for i in range(300)))]


async def test_a_single_output_of_500_mb_is_cut_and_does_not_reach_the_caller(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    source = "from IPython.display import display\ndisplay({'text/plain': 'x' * 500_000_000}, raw=True)"
    events = await run(tmp_path, "print('kept')", source, "print('after')")
    assert end(events).reason is None
    assert end(events).cut_bytes >= 500_000_000
    first, second, third = written(tmp_path).cells
    assert first.outputs[0].text == "kept\n"
    assert [output.name for output in second.outputs] == ["stderr"]
    assert "over 100 MiB, the limit, are not kept" in second.outputs[0].text
    assert third.outputs == [], "what comes after a cut is cut"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 50 * 1024, "kilobytes"


async def test_the_size_of_outputs_is_counted_in_bytes(tmp_path: Path) -> None:
    press = {"max_output_bytes": 100_000}
    assert end(await run(tmp_path, "print('€' * 50_000, end='')", press=press)).cut_bytes == 50_000
    assert end(await run(tmp_path, "print('e' * 50_000)", press=press)).cut_bytes == 0


async def test_an_error_of_any_size_is_told_in_part_and_written_whole(tmp_path: Path) -> None:
    # A control character takes six bytes as JSON.
    finished = end(await run(tmp_path, r"raise ValueError('\x01' * 5_000_000)"))
    assert finished.reason is Reason.CELL_ERROR
    assert finished.ename == "ValueError"
    assert finished.evalue == "\x01" * 65536
    assert 0 < sum(map(len, finished.traceback)) <= 2**18
    assert len(finished.message) < 1000
    assert written(tmp_path).cells[0].outputs[-1].evalue == "\x01" * 5_000_000


async def test_a_cell_that_goes_on_after_its_interrupt_does_not_make_a_success_of_a_time_out(tmp_path: Path) -> None:
    source = "import time\ntry: time.sleep(600)\nexcept KeyboardInterrupt: print('went on')"
    finished = end(await run(tmp_path, source, timeout_seconds=5))
    assert finished.reason is Reason.TIMED_OUT
    assert finished.written
    assert written(tmp_path).cells[0].outputs[0].text == "went on\n"


async def test_a_cell_that_asks_for_input_is_refused_in_words(tmp_path: Path) -> None:
    events = await run(tmp_path, "input('name? ')")
    assert end(events).ename == "StdinNotImplementedError"
    assert end(events).reason is Reason.CELL_ERROR


async def test_an_error_that_a_cell_is_tagged_for_does_not_end_the_notebook(tmp_path: Path) -> None:
    path = pytest.write_notebook(tmp_path / "tagged.ipynb", "1 / 0", "print('after')")  # type: ignore[attr-defined]
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].metadata.tags = ["raises-exception"]
    nbformat.write(notebook, path)
    events = [
        event
        async for event in Press(kernel_environment(os.environ)).execute(Request(path, tmp_path / "out.ipynb", {}))
    ]
    assert end(events).reason is None
    assert [event.failed for event in events if isinstance(event, CellFinished)] == [False, False]
    first, second = written(tmp_path).cells
    assert first.outputs[-1].ename == "ZeroDivisionError"
    assert second.outputs[0].text == "after\n"


async def test_a_runner_killed_in_the_middle_of_a_line_fails_the_execution_in_words(tmp_path: Path) -> None:
    runner = 0

    async def kill(event: Event) -> None:
        nonlocal runner
        if isinstance(event, Output) and not runner:
            server = shared_servers().runners({}, "pressroom.press.runner:main")
            below = psutil.Process(server.pid).children(recursive=True)
            runner = next(process.pid for process in below if process.name() == "pressroom-run")
            # The event loop is held up on purpose: nobody reads, so the runner comes to wait with a line half written.
            for _ in range(300):
                if "pipe" in Path(f"/proc/{runner}/wchan").read_text():
                    break
                time.sleep(0.01)
            os.kill(runner, signal.SIGKILL)

    source = "while True: print('x' * 60_000, flush=True)"
    finished = end(await run(tmp_path, source, watch=kill))
    assert finished.reason is Reason.RUNNER_DIED
    assert "was killed by SIGKILL in cell 1" in finished.message
    assert not (tmp_path / "out.ipynb").exists()


async def test_a_folder_for_an_input_is_refused_in_words(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        finished = end(await run(tmp_path, "1", input_fd=folder))
    finally:
        os.close(folder)
    assert finished.reason is Reason.NOTEBOOK_INVALID
    assert finished.message == f"{tmp_path / 'in.ipynb'} cannot be read: Is a directory."


async def test_an_execution_that_cannot_begin_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    finished = end(await run(tmp_path, "1", press={"fork": False}))
    assert finished.reason is Reason.RUNNER_DIED
    assert finished.message == "The execution could not be started: No such file or directory."


async def test_a_long_path_for_temporary_files_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    finished = end(await run(tmp_path, "1", press={"fork": False}))
    assert (finished.reason, finished.message) == (None, "")
    assert list(deep.iterdir()) == []
