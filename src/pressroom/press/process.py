"""The caller's side of the press: starts the runner's process, reads its events, and leaves nothing behind."""

import asyncio
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager

from pressroom.press.descendants import kill_descendants
from pressroom.press.events import CellStarted, Event, Finished, Reason, from_json
from pressroom.press.reports import KernelReport

MARGIN_SECONDS = 30.0
"""How much longer than its time limit and grace a runner may take before it is taken for stuck."""
_LINE_LIMIT = 8 * 2**20
"""Bytes of an event at most: what the runner tells of a failure is cut to fit. Twice as many are read ahead."""
_TAIL = 4096


@dataclass(frozen=True, slots=True)
class Request:
    """What to execute.

    ``input_path`` and ``output_path`` name the files in messages and metadata. ``input_fd``, ``working_fd`` and
    ``output_fd`` are the input, the kernel's working directory and the output's folder, already open; where one is
    ``None``, the path is opened (the working directory is the input's folder). ``timeout_seconds`` covers the kernel's
    start. ``kernel_name``: the notebook's own if ``None``. ``environment`` is added to the press's own. ``marks`` are
    written into the output's metadata, under ``pressroom``, for whoever reads it to know it by.

    ``memory_mb`` (MiB), ``cpu_seconds`` (of processor time) and ``max_processes`` (processes and threads of the
    kernel's account) limit the kernel and what it starts; an execution that goes over one fails with that reason.

    With a ``staged_name``, the output is written under that name into the output's folder, for the caller to put it in
    its place with :func:`pressroom.press.saving.publish`, or to take it away.
    """

    input_path: Path
    output_path: Path
    parameters: Mapping[str, Any]
    kernel_name: str | None = None
    timeout_seconds: float | None = None
    input_fd: int | None = None
    working_fd: int | None = None
    output_fd: int | None = None
    staged_name: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    memory_mb: int | None = None
    cpu_seconds: float | None = None
    max_processes: int | None = None
    marks: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Stop:
    """The handle by which the caller of an execution asks it to stop."""

    def __init__(self) -> None:
        self.reason: Reason | None = None
        self._asked = asyncio.Event()

    def set(self, reason: Reason) -> None:
        """Ask for the stop. The first reason counts."""
        if self.reason is None:
            self.reason = reason
            self._asked.set()

    async def wait(self) -> Reason:
        """Wait until the stop is asked for."""
        await self._asked.wait()
        assert self.reason is not None
        return self.reason


class Press:
    """Executes notebooks, each in a process of its own.

    ``environment`` is the whole environment of the kernel. ``grace_seconds`` lie between the interrupt and the kill of
    a kernel that is stopped.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        grace_seconds: float = 5.0,
        max_output_bytes: int = 100 * 2**20,
        max_notebook_bytes: int = 32 * 2**20,
        *,
        preload: Sequence[str] | None = None,  # noqa: ARG002
    ) -> None:
        self.environment, self.grace_seconds = environment, grace_seconds
        self.max_output_bytes, self.max_notebook_bytes = max_output_bytes, max_notebook_bytes

    async def execute(self, request: Request, stop: Stop | None = None) -> AsyncIterator[Event]:
        """Execute a notebook: its events, the last of them ``Finished``, whatever happened.

        Where the iteration is given up, everything that was started is killed before it ends.
        """
        stop = stop or Stop()
        began = time.monotonic()
        # Named here and made by the runner, which outlives a killed caller for as long as it takes to remove it.
        scratch = str(Path(tempfile.gettempdir(), f"pressroom-{secrets.token_urlsafe(6)}"))
        opened: list[int] = []
        try:
            try:
                fds = [
                    _fd(request.input_fd, request.input_path, os.O_RDONLY, opened),
                    _fd(request.working_fd, request.input_path.parent, os.O_RDONLY | os.O_DIRECTORY, opened),
                    _fd(request.output_fd, request.output_path.parent, os.O_RDONLY | os.O_DIRECTORY, opened),
                ]
            except OSError as error:
                sentence = f"{error.filename} cannot be opened: {error.strerror}."
                yield Finished(Reason.NOTEBOOK_INVALID, sentence, time.monotonic() - began, written=False)
                return
            run = _Run(self, request, stop, scratch, fds)
            try:
                try:
                    await run.start()
                except OSError as error:
                    yield _not_started(error, began)
                    return
                async for event in run.events():
                    yield event
            finally:
                await run.end()
        finally:
            for fd in opened:
                os.close(fd)
            shutil.rmtree(scratch, ignore_errors=True)

    def preload(self, modules: Sequence[str]) -> None:
        """Have fork servers import these modules ahead, in place of those named before."""

    async def reports(self) -> list[KernelReport]:
        """How the kernels of each kernel spec of this machine are started."""
        names = await asyncio.to_thread(KernelSpecManager().find_kernel_specs)
        why_not = "This version starts every kernel by the stock launcher."
        return [
            KernelReport(name, "bash" if name == "bash" else "python", False, why_not, (), {}, None, 0)
            for name in sorted(names)
        ]

    async def close(self) -> None:
        """End what the press keeps beyond an execution."""


def _not_started(error: OSError, began: float) -> Finished:
    sentence = f"The execution could not be started: {error.strerror or error}."
    return Finished(Reason.RUNNER_DIED, sentence, time.monotonic() - began, written=False)


def _fd(given: int | None, path: Path, flags: int, opened: list[int]) -> int:
    if given is not None:
        return given
    opened.append(os.open(path, flags | os.O_CLOEXEC))
    return opened[-1]


class _Run:
    """One runner's process."""

    def __init__(self, press: Press, request: Request, stop: Stop, scratch: str, fds: list[int]) -> None:
        self._press, self._request, self._stop, self._scratch, self._fds = press, request, stop, scratch, fds
        self._began = time.monotonic()
        self._cell: CellStarted | None = None
        self._tail = b""
        self._stuck = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        read, write = os.pipe2(os.O_CLOEXEC)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "pressroom.press.runner", str(write)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                cwd="/",
                env={**self._press.environment, **self._request.environment},
                pass_fds=(write, *self._fds),
                start_new_session=True,
            )
        except BaseException:
            os.close(read)
            raise
        finally:
            os.close(write)
        self._reader = asyncio.StreamReader(limit=_LINE_LIMIT)
        protocol = asyncio.StreamReaderProtocol(self._reader)
        pipe = os.fdopen(read, "rb")
        self._pipe, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
        self._tasks = [asyncio.create_task(self._drain()), asyncio.create_task(self._supervise())]
        await self._send(
            {
                "input_path": str(self._request.input_path),
                "output_path": str(self._request.output_path),
                "staged_name": self._request.staged_name,
                "parameters": dict(self._request.parameters),
                "marks": dict(self._request.marks),
                "kernel_name": self._request.kernel_name,
                "timeout_seconds": self._request.timeout_seconds,
                "grace_seconds": self._press.grace_seconds,
                "max_output_bytes": self._press.max_output_bytes,
                "max_notebook_bytes": self._press.max_notebook_bytes,
                "scratch": self._scratch,
                "fds": self._fds,
            }
        )

    async def events(self) -> AsyncIterator[Event]:
        finished: Finished | None = None
        # The last line of a runner that is killed may lack its end.
        while (line := await self._reader.readline()).endswith(b"\n"):
            event = from_json(json.loads(line))
            if isinstance(event, CellStarted):
                self._cell = event
            if isinstance(event, Finished):
                finished = event
            else:
                yield event
        code = await self._process.wait()
        # What it wrote last may still be in the pipe, which something that it started may keep open.
        await asyncio.wait(self._tasks[:1], timeout=1 if finished is None or finished.reason else 0)
        if finished is None:
            finished = self._died(code)
        elif finished.reason is Reason.KERNEL_UNAVAILABLE and self._tail.strip():
            tail = self._tail.decode(errors="replace").strip()
            finished = replace(finished, message=f"{finished.message} It wrote:\n{tail}")
        yield finished

    async def end(self) -> None:
        """Leave no process behind."""
        if not hasattr(self, "_process"):
            return
        if self._process.returncode is None:
            # EOF on its standard input tells the runner to kill all that it started; a stuck one is killed with them.
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                await asyncio.wait_for(asyncio.shield(self._process.wait()), 2)
            except TimeoutError:
                await asyncio.to_thread(self._kill)
                await self._process.wait()
        for task in self._tasks:
            task.cancel()
        if hasattr(self, "_pipe"):
            self._pipe.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _kill(self) -> None:
        kill_descendants(self._process.pid)
        with suppress(ProcessLookupError):
            self._process.kill()

    async def _send(self, message: dict[str, Any]) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        # A runner that is gone is noticed by its exit.
        with suppress(BrokenPipeError, ConnectionResetError):
            stdin.write(json.dumps(message).encode() + b"\n")
            await stdin.drain()

    async def _drain(self) -> None:
        """Keep the end of what the runner and the kernel write to the standard error."""
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(65536):
            self._tail = (self._tail + data)[-_TAIL:]

    async def _supervise(self) -> None:
        """Pass a stop on, and kill a runner that does not end in time."""
        try:
            async with asyncio.timeout(self._limit(self._request.timeout_seconds)):
                reason = await self._stop.wait()
            await self._send({"stop": reason.value})
            await asyncio.sleep(self._press.grace_seconds + MARGIN_SECONDS)
        except TimeoutError:
            pass
        self._stuck = True
        await asyncio.to_thread(self._kill)

    def _limit(self, seconds: float | None) -> float | None:
        return None if seconds is None else seconds + self._press.grace_seconds + MARGIN_SECONDS

    def _died(self, code: int) -> Finished:
        seconds = time.monotonic() - self._began
        where = f" in cell {self._cell.number}" if self._cell else ""
        if self._stuck:
            reason = self._stop.reason or Reason.TIMED_OUT
            return Finished(
                reason, f"The execution did not stop when asked{where}; it was killed.", seconds, written=False
            )
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        sentence = f"The process that drove the kernel {how}{where}; its output is lost."
        if code > 0 and self._tail:
            sentence += " It wrote:\n" + self._tail.decode(errors="replace").strip()
        return Finished(Reason.RUNNER_DIED, sentence, seconds, written=False)
