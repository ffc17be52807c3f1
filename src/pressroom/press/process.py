"""The caller's side of the press: has the runner and the kernel forked, reads the events, and leaves nothing behind."""

import asyncio
import json
import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager

from pressroom.press import fork_server
from pressroom.press.control_groups import control_group
from pressroom.press.events import CellStarted, Event, Finished, Reason, from_json
from pressroom.press.reports import KernelReport
from pressroom.press.saving import staged
from pressroom.press.servers import CannotFork, ForkServer, Launch, Servers
from pressroom.press.shared import shared_servers

log = logging.getLogger("pressroom.press")
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
    a kernel that is stopped. Outputs over ``max_output_bytes`` are cut, with a notice. ``preload``: modules that fork
    servers load ahead of need, at most until they take ``server_memory_mb``; a press that is given some has servers of
    its own, and is closed by whoever made it; others use those that the whole process shares. With ``fork=False``,
    kernels are started by the stock launcher.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        grace_seconds: float = 5.0,
        max_output_bytes: int = 100 * 2**20,
        max_notebook_bytes: int = 32 * 2**20,
        *,
        preload: Sequence[str] | None = None,
        server_memory_mb: int = 1024,
        fork: bool = True,
    ) -> None:
        self.environment, self.grace_seconds, self.fork = environment, grace_seconds, fork
        self.max_output_bytes, self.max_notebook_bytes = max_output_bytes, max_notebook_bytes
        self._own = Servers(preload, server_memory_mb) if preload is not None else None
        self._umask = _umask()

    @property
    def servers(self) -> Servers:
        """Its fork servers."""
        return self._own or shared_servers()

    def preload(self, modules: Sequence[str]) -> None:
        """Load other modules ahead from now on; running executions are not touched. Only for a press with servers of
        its own."""
        if self._own is not None:
            self._own.preload(modules)
        elif modules:
            raise ValueError("a press without `preload` uses servers that are not its own")

    async def reports(self) -> list[KernelReport]:
        """How the kernels of each kernel spec of this machine are started."""
        return await asyncio.to_thread(self._reports)

    def _reports(self) -> list[KernelReport]:
        manager, found = KernelSpecManager(), list[KernelReport]()
        for name in sorted(manager.find_kernel_specs()):
            try:
                # Specs hold keys that jupyter_client does not know; traitlets warns of each.
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)
                    spec = manager.get_kernel_spec(name)
                launch = Launch.of(name, spec, self.environment)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with a spec, the others can be told of
                why = f"their spec cannot be read: {str(error) or type(error).__name__}"
                found.append(KernelReport(name, "", False, why, (), {}, None, 0))
            else:
                found.append(self._report(launch))
        return found

    def _report(self, launch: Launch) -> KernelReport:
        def told(why: str | None, server: ForkServer | None = None, forks: int = 0) -> KernelReport:
            return KernelReport(
                launch.name,
                launch.language,
                why is None,
                why,
                server.preloaded if server is not None else (),
                dict(server.refused) if server is not None else {},
                server.memory_bytes() if server is not None else None,
                forks,
            )

        if not self.fork:
            return told("forking is turned off")
        try:
            server, forks = self.servers.of(launch)
        except CannotFork as error:
            return told(str(error))
        return told(server.why_not if server is not None else None, server, forks)

    async def close(self) -> None:
        """End its fork servers, if they are its own. Executions that are under way go on."""
        if self._own is not None:
            await asyncio.to_thread(self._own.close)

    async def execute(self, request: Request, stop: Stop | None = None) -> AsyncIterator[Event]:
        """Execute a notebook: its events, the last of them ``Finished``, whatever happened.

        Where the iteration is given up, everything that was started is killed before it ends.
        """
        stop = stop or Stop()
        began = time.monotonic()
        # Named here and made by the runner where it is needed.
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
            run = _Run(self, self._umask, request, stop, scratch, fds)
            try:
                try:
                    await run.start()
                except (OSError, CannotFork) as error:
                    sentence = f"The execution could not be started: {getattr(error, 'strerror', None) or error}."
                    yield Finished(Reason.RUNNER_DIED, sentence, time.monotonic() - began, written=False)
                    return
                async for event in run.events():
                    yield event
            finally:
                await run.end()
        finally:
            for fd in opened:
                os.close(fd)
            shutil.rmtree(scratch, ignore_errors=True)


def _umask() -> int:
    # It can only be read by setting it, which other threads would see.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1], 8) for line in lines if line.startswith("Umask:"))


def _fd(given: int | None, path: Path, flags: int, opened: list[int]) -> int:
    if given is not None:
        return given
    opened.append(os.open(path, flags | os.O_CLOEXEC))
    return opened[-1]


class _Run:
    """One runner's process, and its kernel's, as seen by the caller."""

    def __init__(self, press: Press, umask: int, request: Request, stop: Stop, scratch: str, fds: list[int]) -> None:
        self._press, self._request, self._stop, self._scratch, self._fds = press, request, stop, scratch, fds
        self._umask = umask
        self._began = time.monotonic()
        self._cell: CellStarted | None = None
        self._tail = b""
        self._stuck = False
        self._environment = {**press.environment, **request.environment}
        self._tasks: list[asyncio.Task[None]] = []
        self._ended: asyncio.Future[int | None] | None = None
        self._kernel_gone = asyncio.Event()
        self._kernel_gone.set()
        self._pipe: asyncio.ReadTransport | None = None
        self._tail_pipe: asyncio.ReadTransport | None = None
        self._kernels_pipe: asyncio.ReadTransport | None = None
        self._giving: asyncio.Task[None] | None = None
        self._errors = -1

    async def start(self) -> None:
        """Have the runner forked, and begin to listen. Raises ``OSError`` or :class:`CannotFork`."""
        servers = self._press.servers
        call = (self._environment, "pressroom.press.runner:main")
        loop = asyncio.get_running_loop()
        gate, theirs = socket.socketpair()
        control, keepers = socket.socketpair()
        events, their_events = os.pipe2(os.O_CLOEXEC)
        errors, self._errors = os.pipe2(os.O_CLOEXEC)
        root = os.open("/", os.O_RDONLY | os.O_CLOEXEC)
        self._gate, self._control = gate, control
        given = [keepers.fileno(), root, self._errors, theirs.fileno(), their_events, *self._fds]
        told = {"request": self._told(), "env": self._environment, "umask": self._umask, "title": "pressroom-run"}
        try:
            server = servers.ready_runners() or await asyncio.to_thread(servers.runners, *call)
            try:
                server.fork(told, given)
            except OSError:
                # It was killed: another takes its place.
                server = await asyncio.to_thread(servers.runners, *call)
                server.fork(told, given)
        except BaseException:
            for sock in (gate, control):
                sock.close()
            for fd in (events, errors, self._errors):
                os.close(fd)
            self._errors = -1
            raise
        finally:
            theirs.close()
            keepers.close()
            os.close(their_events)
            os.close(root)
        self._ended = loop.create_future()
        loop.add_reader(control.fileno(), self._heard)
        self._reader, self._pipe = await _reading(events)
        tail, self._tail_pipe = await _reading(errors)
        self._tasks = [asyncio.create_task(self._drain(tail)), asyncio.create_task(self._supervise())]

    def _told(self) -> dict[str, Any]:
        request, press = self._request, self._press
        return {
            "input_path": str(request.input_path),
            "output_path": str(request.output_path),
            "staged_name": request.staged_name,
            "parameters": dict(request.parameters),
            "marks": dict(request.marks),
            "kernel_name": request.kernel_name,
            "timeout_seconds": request.timeout_seconds,
            "memory_mb": request.memory_mb,
            "cpu_seconds": request.cpu_seconds,
            "processes": request.max_processes,
            "grace_seconds": press.grace_seconds,
            "max_output_bytes": press.max_output_bytes,
            "max_notebook_bytes": press.max_notebook_bytes,
            "fork": press.fork,
            "scratch": self._scratch,
        }

    def _heard(self) -> None:
        """The keeper of the runner said something, or is gone."""
        said, _ = fork_server.receive(self._control)
        if said is not None and "pid" in said:
            return
        asyncio.get_running_loop().remove_reader(self._control.fileno())
        assert self._ended is not None
        if not self._ended.done():
            self._ended.set_result(said["exit"] if said is not None else None)

    async def events(self) -> AsyncIterator[Event]:
        """The events of the runner, and the end that it told, or that it came to."""
        assert self._ended is not None
        finished: Finished | None = None
        # The last line of a runner that is killed may lack its end.
        while (line := await self._reader.readline()).endswith(b"\n"):
            said = json.loads(line)
            if said["kind"] == "need":
                # A server that loads its libraries holds up no other event.
                self._giving = asyncio.create_task(self._give_kernel(said))
                continue
            event = from_json(said)
            if isinstance(event, CellStarted):
                self._cell = event
            if isinstance(event, Finished):
                finished = event
            else:
                yield event
        code = await asyncio.shield(self._ended)
        await self._kernel_gone.wait()
        self._close_errors()
        # What it wrote last may still be in the pipe, which something that it started may keep open.
        await asyncio.wait(self._tasks[:1], timeout=1 if finished is None or finished.reason else 0)
        if finished is None:
            finished = await asyncio.to_thread(self._died, code)
        elif finished.reason is Reason.KERNEL_UNAVAILABLE and self._tail.strip():
            tail = self._tail.decode(errors="replace").strip()
            finished = replace(finished, message=f"{finished.message} It wrote:\n{tail}")
        yield finished

    async def _give_kernel(self, said: dict[str, Any]) -> None:
        """Have a kernel forked for the runner, or tell it that none can be had."""
        launch, servers = Launch(**said["launch"]), self._press.servers
        for _ in range(2):
            try:
                server = servers.ready_kernels(launch) or await asyncio.to_thread(servers.kernels, launch)
                await self._fork_kernel(server, launch, said["limits"])
            except CannotFork:
                break
            except OSError:
                continue  # it was killed: another takes its place
            except Exception:
                log.exception("A kernel could not be forked.")
                break
            return
        with suppress(OSError):
            fork_server.send(self._gate, {"kernel": False})

    async def _fork_kernel(self, server: ForkServer, launch: Launch, limits: dict[str, Any]) -> None:
        line, kernels = socket.socketpair()
        control, keepers = socket.socketpair()
        alive, held = os.pipe2(os.O_CLOEXEC)
        try:
            if (group := control_group(limits)) is not None:
                limits = limits | {"group": group}
                fork_server.send(control, {"group": group})
            told = {"env": dict(launch.environment), "umask": self._umask, "limits": limits, "keepers": 2}
            server.fork(told, [keepers.fileno(), held, self._fds[1], self._errors, kernels.fileno()])
            with suppress(OSError):  # a runner that is gone is noticed by its end
                fork_server.send(self._gate, {"kernel": True}, [line.fileno(), control.fileno()])
        except BaseException:
            os.close(alive)
            if limits.get("group") is not None:
                with suppress(OSError):
                    os.rmdir(limits["group"])  # noqa: PTH106 - as quick as any, and asynchronous for nobody
            raise
        finally:
            for sock in (line, kernels, control, keepers):
                sock.close()
            os.close(held)
        # Whoever asked waits for the keeper's end, too, so that nothing is left when it is told of the execution's.
        self._kernel_gone.clear()
        self._kernels_pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: _Watch(self._kernel_gone), os.fdopen(alive, "rb")
        )

    async def end(self) -> None:
        """Leave no process behind."""
        if self._ended is None:
            return
        # The end of the gate tells the runner to end at once; one that is stuck is killed.
        with suppress(OSError):
            self._gate.shutdown(socket.SHUT_RDWR)
        if not self._ended.done():
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._ended), 2)
        if not self._ended.done():
            self._kill()
            await asyncio.shield(self._ended)
        await self._kernel_gone.wait()
        if self._giving is not None:
            self._giving.cancel()
            await asyncio.gather(self._giving, return_exceptions=True)
            await self._kernel_gone.wait()
        for task in self._tasks:
            task.cancel()
        self._close_errors()
        if self._kernels_pipe is not None:
            self._kernels_pipe.close()
        for pipe in (self._pipe, self._tail_pipe):
            if pipe is not None:
                pipe.close()
        asyncio.get_running_loop().remove_reader(self._control.fileno())
        self._gate.close()
        self._control.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _close_errors(self) -> None:
        if self._errors != -1:
            os.close(self._errors)
            self._errors = -1

    def _kill(self) -> None:
        with suppress(OSError):
            fork_server.send(self._control, {"signal": int(signal.SIGKILL)})

    async def _drain(self, errors: asyncio.StreamReader) -> None:
        """Keep the end of what the runner and the kernel write to the standard error."""
        while data := await errors.read(65536):
            self._tail = (self._tail + data)[-_TAIL:]

    async def _supervise(self) -> None:
        """Pass a stop on, and kill a runner that does not end in time."""
        try:
            async with asyncio.timeout(self._limit(self._request.timeout_seconds)):
                reason = await self._stop.wait()
            with suppress(OSError):
                fork_server.send(self._gate, {"stop": reason.value})
            await asyncio.sleep(self._press.grace_seconds + MARGIN_SECONDS)
        except TimeoutError:
            pass
        self._stuck = True
        self._kill()

    def _limit(self, seconds: float | None) -> float | None:
        return None if seconds is None else seconds + self._press.grace_seconds + MARGIN_SECONDS

    def _died(self, code: int | None) -> Finished:
        seconds = time.monotonic() - self._began
        where = f" in cell {self._cell.number}" if self._cell else ""
        kept = self._request.staged_name is not None and staged(self._fds[2], self._request.staged_name)
        if self._stuck:
            reason = self._stop.reason or Reason.TIMED_OUT
            return Finished(
                reason, f"The execution did not stop when asked{where}; it was killed.", seconds, written=kept
            )
        how = "was killed with its keeper" if code is None else f"ended with exit code {code}"
        if code is not None and code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
        lost = "its output is lost" if self._request.staged_name is not None else "what it put out last is lost"
        rest = "its output is kept as it was some time before" if kept else lost
        sentence = f"The process that drove the kernel {how}{where}; {rest}."
        if code is not None and code > 0 and self._tail:
            sentence += " It wrote:\n" + self._tail.decode(errors="replace").strip()
        return Finished(Reason.RUNNER_DIED, sentence, seconds, written=kept)


class _Watch(asyncio.Protocol):
    """Notes the end of a pipe into which nothing is written."""

    def __init__(self, ended: asyncio.Event) -> None:
        self._ended = ended

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self._ended.set()


async def _reading(fd: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    reader = asyncio.StreamReader(limit=_LINE_LIMIT)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(fd, "rb"))
    return reader, transport
