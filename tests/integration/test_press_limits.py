"""Limits of memory, processor time and processes: going over one is a failure with that reason."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from pressroom.press import Finished, Press, Reason, Request
from pressroom.press.environment import kernel_environment

BOTH = pytest.mark.parametrize("fork", [True, False], ids=["forked", "stock"])


async def end(folder: Path, *sources: str, fork: bool = True, **limits: Any) -> Finished:
    path = pytest.write_notebook(folder / "in.ipynb", *sources)  # type: ignore[attr-defined]
    request = Request(path, folder / "out.ipynb", {}, **limits)
    events: AsyncIterator[Any] = Press(kernel_environment(os.environ), fork=fork).execute(request)
    last = [event async for event in events][-1]
    assert isinstance(last, Finished)
    assert last.written
    return last


@BOTH
async def test_a_notebook_that_takes_more_memory_than_it_may_fails_saying_so(tmp_path: Path, fork: bool) -> None:
    finished = await end(tmp_path, "print('kept', flush=True)", "x = bytearray(3 * 2**30)", fork=fork, memory_mb=1024)
    assert finished.reason is Reason.MEMORY_EXCEEDED
    assert finished.message.endswith("The execution's limit is 1024 MiB of memory.")
    assert finished.ename == "MemoryError"
    assert nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[0].outputs[0].text == "kept\n"


async def test_what_the_libraries_take_is_not_the_notebooks(tmp_path: Path) -> None:
    source = "import numpy, pandas\nx = numpy.ones(100 * 2**17)\nprint(x.sum())"
    assert (await end(tmp_path, source, memory_mb=2048)).reason is None


@BOTH
async def test_a_notebook_that_computes_for_longer_than_it_may_fails_saying_so(tmp_path: Path, fork: bool) -> None:
    finished = await end(tmp_path, "print('kept', flush=True)", "while True: pass", fork=fork, cpu_seconds=4)
    assert finished.reason is Reason.CPU_TIME_EXCEEDED
    assert finished.message == "The kernel was killed in cell 2 when it went over its limit of 4 s of processor time."


async def test_waiting_is_no_processor_time(tmp_path: Path) -> None:
    assert (await end(tmp_path, "import time; time.sleep(2)", cpu_seconds=1)).reason is None


async def test_limits_of_one_execution_are_not_those_of_the_next(tmp_path: Path) -> None:
    await end(tmp_path, "1", memory_mb=64, cpu_seconds=1)
    source = "import resource\nprint([resource.getrlimit(k)[0] for k in (resource.RLIMIT_AS, resource.RLIMIT_CPU)])"
    await end(tmp_path, source)
    outputs = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[0].outputs
    assert outputs[0].text == "[-1, -1]\n"


def test_a_notebook_that_starts_more_processes_than_it_may_fails_saying_so(tmp_path: Path) -> None:
    """By an account that is not root's: the system does not hold root to this limit."""
    pytest.write_notebook(  # type: ignore[attr-defined]
        tmp_path / "in.ipynb", "import subprocess\nchildren = [subprocess.Popen(['sleep', '60']) for _ in range(60)]"
    )
    script = tmp_path / "caller.py"
    script.write_text(
        "import asyncio, os, sys\n"
        "from pathlib import Path\n"
        "from pressroom.press import Press, Request\n"
        "async def main():\n"
        "    folder = Path(sys.argv[1])\n"
        "    request = Request(folder / 'in.ipynb', folder / 'out.ipynb', {}, max_processes=20)\n"
        "    async for event in Press({'PATH': os.environ['PATH'], 'HOME': str(folder)}).execute(request): pass\n"
        "    print(event.reason, event.message)\n"
        "asyncio.run(main())\n"
    )
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        folder.chmod(0o777)
    command = [sys.executable, str(script), str(tmp_path)]
    if os.geteuid() == 0:
        # The interpreter may lie where only root may read, so that right is kept.
        right = "+dac_read_search"
        account = ["setpriv", "--reuid=64123", "--regid=64123", "--clear-groups"]
        command = [*account, f"--inh-caps={right}", f"--ambient-caps={right}", *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("processes_exceeded Cell 1 raised BlockingIOError")
    assert "The execution's limit is 20 of processes and threads." in done.stdout
