"""Many executions in a row by one press leave nothing behind: no process, descriptor, file, thread or memory.

``PRESSROOM_ENDURANCE`` says how many (300); ``make endurance`` takes 2,000.
"""

import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from presses import execute, opened, succeeded
from pressroom.press.environment import kernel_environment
from pressroom.press.fork_server import KEPT

EXECUTIONS = int(os.environ.get("PRESSROOM_ENDURANCE", "300"))
WARM = min(50, EXECUTIONS // 4)
SAMPLES = 5
"""States looked at before and after: a fork server may have the next kernel ready, or not yet."""
MEBIBYTE = 2**20
SOURCE = """
import json, os, threading
print(json.dumps([os.getpid(), len(os.listdir("/proc/self/fd")), threading.active_count()]))
"""


@dataclass(frozen=True)
class State:
    """What this process and its descendants hold; memory in bytes."""

    counts: dict[str, int]
    descriptors: dict[tuple[int, float], int]
    memory: dict[tuple[int, float], int]


def state(temporary: Path) -> State:
    """The state now."""
    gc.collect()
    me = psutil.Process()
    descriptors: dict[tuple[int, float], int] = {}
    memory: dict[tuple[int, float], int] = {}
    for process in [me, *me.children(recursive=True)]:
        # One that has ended in this moment is not left.
        with suppress(psutil.NoSuchProcess):
            key = (process.pid, process.create_time())
            memory[key] = process.memory_info().rss
            descriptors[key] = process.num_fds() if process.status() != psutil.STATUS_ZOMBIE else 0
    counts = {
        "processes": len(memory),
        "threads": me.num_threads(),
        "temporary files": sum(1 for _ in temporary.rglob("*")),
        # PostgreSQL's are those of other tests.
        "shared memory": sum(not name.startswith("PostgreSQL.") for name in os.listdir("/dev/shm")),
    }
    return State(counts, descriptors, memory)


def left(before: list[State], after: list[State]) -> list[str]:
    """What has grown: the least seen afterwards is more than the most seen before."""
    grown = [
        f"{name}: {least} after {most}"
        for name in before[0].counts
        if (least := min(s.counts[name] for s in after)) > (most := max(s.counts[name] for s in before))
    ]
    for key in set.intersection(*(set(s.memory) for s in [*before, *after])):
        most, least = max(s.descriptors[key] for s in before), min(s.descriptors[key] for s in after)
        if least > most:
            grown.append(f"descriptors of process {key[0]}: {least} after {most}")
        most, least = max(s.memory[key] for s in before), min(s.memory[key] for s in after)
        if least > most * 1.05 + 2 * MEBIBYTE:
            grown.append(f"memory of process {key[0]}: {least / MEBIBYTE:.1f} MiB after {most / MEBIBYTE:.1f}")
    return grown


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short folder for temporary files, which no other test uses."""
    with tempfile.TemporaryDirectory(prefix="pt-") as made:
        monkeypatch.setattr(tempfile, "tempdir", made)
        yield Path(made)


async def test_executions_in_a_row_leave_nothing(tmp_path: Path, temporary: Path) -> None:
    environment = kernel_environment(os.environ) | {"TMPDIR": str(temporary)}
    before: list[State] = []
    after: list[State] = []
    kernels: list[list[int]] = []
    folders = [tmp_path / str(number) for number in range(2 * KEPT)]
    for folder in folders:
        folder.mkdir()
    async with opened(environment=environment, preload=("numpy",)) as press:
        # As many at once as there are keepers that stay afterwards, so that their number does not depend on chance.
        await asyncio.gather(*(execute(press, folder, SOURCE) for folder in folders))
        for number in range(1, EXECUTIONS + 1):
            executed = succeeded(await execute(press, folders[0], SOURCE))
            kernels.append(json.loads(executed.text()))
            del executed
            if WARM - SAMPLES < number <= WARM:
                before.append(state(temporary))
            if number > EXECUTIONS - SAMPLES:
                after.append(state(temporary))
    assert left(before, after) == []
    pids, descriptors, threads = zip(*kernels, strict=True)
    assert len(set(pids)) > EXECUTIONS // 2, "each has a process of its own (numbers of processes may come again)"
    assert min(descriptors[-SAMPLES:]) <= max(descriptors[:WARM]), "no kernel inherits what earlier ones left"
    assert min(threads[-SAMPLES:]) <= max(threads[:WARM])
    assert {path.name for path in tmp_path.glob("*/*")} == {"in.ipynb", "out.ipynb"}


async def test_a_closed_press_leaves_nothing(tmp_path: Path, temporary: Path) -> None:
    environment = kernel_environment(os.environ) | {"TMPDIR": str(temporary)}
    # What the first use of asyncio's processes takes for good.
    async with opened(environment=environment) as press:
        succeeded(await execute(press, tmp_path, "1"))
    before = state(temporary)
    async with opened(environment=environment, preload=("numpy",)) as press:
        for _ in range(3):
            succeeded(await execute(press, tmp_path, "1"))
    after = state(temporary)
    assert left([before], [after]) == []
    assert list(temporary.iterdir()) == []
    assert [p for p in psutil.Process().children(recursive=True) if (p.pid, p.create_time()) not in before.memory] == []


def test_what_is_left_is_seen(temporary: Path) -> None:
    before = state(temporary)
    ballast = os.urandom(int(before.memory[next(iter(before.memory))] * 0.05) + 3 * MEBIBYTE)
    descriptor = os.open("/dev/null", os.O_RDONLY)
    (temporary / "pressroom-left").touch()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        grown = " ".join(left([before], [state(temporary)]))
        assert process.stdin is not None
        process.stdin.close()
    os.close(descriptor)
    assert ballast
    for name in ("processes", "temporary files", "descriptors", "memory"):
        assert name in grown
