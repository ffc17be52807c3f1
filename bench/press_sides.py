"""Who executes notebooks in the press's bench, each warm in processes of its own; their processor time and memory."""

import json
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from stand import create, server, serving

LIMIT_SECONDS = 150
"""How long one execution may take: somebody who hangs must not hold up the others."""
_SIGCHLD_IGNORED = 1 << 16


class Failed(Exception):
    """An execution was not what it should have been."""


@dataclass(frozen=True)
class Job:
    """A notebook to execute, and where its output belongs."""

    input: Path
    output: Path
    parameters: dict[str, Any] = field(default_factory=dict)


class Warm:
    """A process that has everything loaded and executes what it is told (``press_warm.py``)."""

    def __init__(self, name: str) -> None:
        command = [sys.executable, "-P", Path(__file__).with_name("press_warm.py"), name]
        self._written = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close(); kernels warn at each start
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._written, text=True
        )
        self._answer(LIMIT_SECONDS)

    @property
    def roots(self) -> list[int]:
        return [self._process.pid]

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def execute(self, job: Job, limit: float = LIMIT_SECONDS) -> float:
        """How many seconds it took, as the process itself saw it."""
        self.send(job)
        return self.receive(limit)

    def at_once(self, jobs: list[Job]) -> None:
        for job in jobs:
            self.send(job)
        failed = None
        for _ in jobs:  # all of them, so that no answer is left for the next question
            try:
                self.receive()
            except Failed as error:
                failed = error
        if failed:
            raise failed

    def send(self, job: Job) -> None:
        line = json.dumps({"input": str(job.input), "output": str(job.output), "parameters": job.parameters})
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Failed("its process is gone") from None

    def receive(self, limit: float = LIMIT_SECONDS) -> float:
        return self._answer(limit)["seconds"]

    def _answer(self, limit: float) -> dict[str, Any]:
        timer = threading.Timer(limit, self._process.kill)
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            with suppress(subprocess.TimeoutExpired):  # what it writes last is its traceback
                self._process.wait(10)
            self._written.seek(0)
            tail = self._written.read()[-2000:].decode(errors="replace")
            raise Failed(f"its process ended, or gave no answer within {limit:.0f} seconds. It wrote:\n{tail}")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"].strip())
        return answer

    def close(self) -> None:
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._written.close()


class Several:
    """Processes that share the work: each takes the next notebook when it is done with one."""

    def __init__(self, name: str, count: int) -> None:
        with ThreadPoolExecutor(count) as threads:
            self._sides = list(threads.map(Warm, [name] * count))

    @property
    def roots(self) -> list[int]:
        return [root for side in self._sides for root in side.roots]

    @property
    def alive(self) -> bool:
        return all(side.alive for side in self._sides)

    def at_once(self, jobs: list[Job]) -> None:
        left, taking = list(jobs), threading.Lock()

        def work(side):
            while True:
                with taking:
                    if not left:
                        return
                    job = left.pop()
                side.execute(job)

        with ThreadPoolExecutor(len(self._sides)) as threads:
            list(threads.map(work, self._sides))

    def close(self) -> None:
        for side in self._sides:
            side.close()


class Served:
    """``pressroom serve`` on an embedded server, asked over HTTP: from the POST to the answer that it is done.

    The processor time is that of the service and of the database, not of who asks.
    """

    def __init__(self) -> None:
        with ExitStack() as stack:
            url, self.home = stack.enter_context(server())
            data = self.home.parent.parent / "data"
            [written] = data.rglob("postmaster.pid")
            self._postmaster = int(written.read_text().split()[0])
            port, self._service = stack.enter_context(serving(create(url, "press"), self.home))
            limits = httpx.Limits(max_connections=None)
            client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=LIMIT_SECONDS, limits=limits)
            self._client = stack.enter_context(client)
            self._stack = stack.pop_all()

    @property
    def roots(self) -> list[int]:
        return [self._service, self._postmaster]

    @property
    def alive(self) -> bool:
        return psutil.pid_exists(self._service)

    def execute(self, job: Job, limit: float = LIMIT_SECONDS) -> float:
        body = {"input_path": str(job.input), "parameters": job.parameters}
        began = time.perf_counter()
        try:
            answer = self._client.post("/execute", json=body, timeout=limit)
        except httpx.HTTPError as error:
            raise Failed(f"{type(error).__name__}: {error}") from error
        took = time.perf_counter() - began
        if answer.status_code != 200 or answer.json()["status"] != "success":
            raise Failed(f"{answer.status_code}: {answer.text[:2000]}")
        Path(answer.json()["output_notebook"]).rename(job.output)
        return took

    def at_once(self, jobs: list[Job]) -> None:
        with ThreadPoolExecutor(len(jobs)) as threads:
            list(threads.map(self.execute, jobs))

    def close(self) -> None:
        self._stack.close()


def processes(roots: list[int]) -> list[psutil.Process]:
    """The processes, and all that descend from them."""
    found = {}
    for root in roots:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(root)
            found |= {p.pid: p for p in (process, *process.children(recursive=True))}
    return list(found.values())


def cpu_seconds(roots: list[int]) -> float:
    """The processor time of the processes, of their descendants, and of those that ended and were waited for."""
    total = 0.0
    for process in processes(roots):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def unaccounted(roots: list[int]) -> list[str]:
    """Descendants that ignore SIGCHLD: the system forgets the processor time of what they started and that ended."""
    found = []
    for process in processes(roots):
        with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            ignored = next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn"))
            if ignored & _SIGCHLD_IGNORED:
                found.append(f"{process.name()} ({process.pid})")
    return found


def pss_mib(roots: list[int]) -> float:
    """The memory of the processes and their descendants, where what n processes share counts an n-th in each."""
    total = 0
    for process in processes(roots):
        with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def settled_pss_mib(roots: list[int]) -> float:
    """The same, as soon as it stays within 1 MiB for half a second."""
    last = pss_mib(roots)
    for _ in range(20):
        time.sleep(0.5)
        before, last = last, pss_mib(roots)
        if abs(last - before) < 1:
            break
    return last
