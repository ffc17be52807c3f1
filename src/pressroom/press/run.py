"""One execution, as its caller sees it: the runner and the kernel that are forked for it, their events, their end."""

import asyncio
import json
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pressroom.press import fork_server
from pressroom.press.control_groups import control_group
from pressroom.press.ends import Watch, pair, pipe, reading, remove
from pressroom.press.events import CellStarted, Event, Finished, Reason, from_json
from pressroom.press.launch import CannotFork, Launch, own_launch
from pressroom.press.masks import Masks
from pressroom.press.saving import staged
from pressroom.press.server import ForkServer

if TYPE_CHECKING:
    from pressroom.press.process import Press, Request, Stop

log = logging.getLogger("pressroom.press")
MARGIN_SECONDS = 30.0
"""How much longer than its time limit and grace a runner may take before it is taken for stuck."""
_TAIL = 4096


class Run:
    """One runner's process, and its kernel's, as seen by the caller."""

    def __init__(
        self, press: "Press", umask: int, request: "Request", stop: "Stop", scratch: str, fds: list[int]
    ) -> None:
        self._press, self._request, self._stop, self._scratch, self._fds = press, request, stop, scratch, fds
        self._umask = umask
        self._began = time.monotonic()
        self._cell: CellStarted | None = None
        self._tail = b""
        self._masks = Masks(request.secrets) if request.secrets else None
        self._most_of_tail = _TAIL + (self._masks.longest_bytes if self._masks is not None else 0)
        self._stuck = False
        self._account = request.account
        base = press.environment if self._account is None else self._account.environment(press.environment)
        self._environment = {**base, **request.environment}
        if request.secrets:
            self._environment["HISTFILE"] = ""  # Bash writes what its kernel is sent into a file of its user's else
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
        # What runs as root reads nothing in the home of an account.
        read = self._environment if self._account is None else self._press.environment
        call = (read, "pressroom.press.runner:main")
        loop = asyncio.get_running_loop()
        with ExitStack() as kept, ExitStack() as given:
            self._gate, theirs = pair(kept, given)
            self._control, keepers = pair(kept, given)
            events, their_events = pipe(kept, given)
            errors, self._errors = os.pipe2(os.O_CLOEXEC)
            kept.callback(os.close, errors)
            if self._account is not None:
                os.fchown(self._errors, self._account.uid, self._account.gid)  # else /dev/stderr could not be opened
            kept.callback(self._close_errors)
            root = os.open("/", os.O_RDONLY | os.O_CLOEXEC)
            given.callback(os.close, root)
            fds = [keepers.fileno(), root, self._errors, theirs.fileno(), their_events, *self._fds]
            told = {"request": self._told(), "env": self._environment, "title": "pressroom-run"}
            server = servers.ready_runners() or await asyncio.wrap_future(servers.waiting(servers.runners, *call))
            try:
                server.fork(self._becoming(), told, fds)
            except OSError:
                # It was killed: another takes its place.
                server = await asyncio.wrap_future(servers.waiting(servers.runners, *call))
                server.fork(self._becoming(), told, fds)
            kept.pop_all()
        self._ended = loop.create_future()
        loop.add_reader(self._control.fileno(), self._heard)
        try:
            self._reader, self._pipe = await reading(events)
        except BaseException:
            os.close(errors)
            raise
        tail, self._tail_pipe = await reading(errors)
        self._tasks = [asyncio.create_task(self._drain(tail)), asyncio.create_task(self._supervise())]

    def _becoming(self) -> dict[str, Any]:
        """As whom its processes run."""
        account = {"account": self._account.told()} if self._account is not None else {}
        return {"umask": self._umask, **account}

    def _told(self) -> dict[str, Any]:
        request, press = self._request, self._press
        return {
            "input_path": str(request.input_path),
            "output_path": str(request.output_path),
            "staged_name": request.staged_name,
            "parameters": dict(request.parameters),
            "secrets": dict(request.secrets),
            "marks": dict(request.marks),
            "kernel_name": request.kernel_name,
            "timeout_seconds": request.timeout_seconds,
            "memory_mb": request.memory_mb,
            "cpu_seconds": request.cpu_seconds,
            "processes": request.max_processes,
            "grace_seconds": press.grace_seconds,
            "max_output_bytes": press.max_output_bytes,
            "max_results_bytes": press.max_results_bytes,
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
                if self._giving is not None:
                    raise RuntimeError("The runner asked for a second kernel.")
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
        elif finished.reason is Reason.KERNEL_UNAVAILABLE and (wrote := self._wrote()):
            finished = replace(finished, message=f"{finished.message} It wrote:\n{wrote}")
        if self._masks is not None:
            finished = replace(finished, message=self._masks.text(finished.message))
        yield finished

    async def _give_kernel(self, said: dict[str, Any]) -> None:
        """Have a kernel forked for the runner, or tell it that none can be had."""
        wanted, servers = Launch.from_json(said["launch"]), self._press.servers
        for _ in range(2):
            try:
                launch = wanted
                if self._account is not None:
                    known = (self._press.environment, self._environment)
                    launch = await asyncio.to_thread(own_launch, wanted, *known)
                ready = servers.ready_kernels(launch)
                server = ready or await asyncio.wrap_future(servers.waiting(servers.kernels, launch))
                await self._fork_kernel(server, wanted.environment)
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

    def _limits(self) -> dict[str, Any]:
        request = self._request
        limits = {
            "memory_mb": request.memory_mb,
            "cpu_seconds": request.cpu_seconds,
            "processes": request.max_processes,
        }
        return {name: limit for name, limit in limits.items() if limit is not None}

    async def _fork_kernel(self, server: ForkServer, environment: Mapping[str, str]) -> None:
        if self._errors == -1:
            raise CannotFork("the execution has ended")
        with ExitStack() as kept, ExitStack() as given:
            line, kernels = pair(given, given)
            control, keepers = pair(given, given)
            alive, held = pipe(kept, given)
            limits = self._limits()
            if (group := control_group(limits)) is not None:
                kept.callback(remove, group)
                limits |= {"group": group}
            told, private = self._becoming() | {"limits": limits, "keepers": 2}, {"env": dict(environment)}
            server.fork(told, private, [keepers.fileno(), held, self._fds[1], self._errors, kernels.fileno()])
            with suppress(OSError):  # a runner that is gone is noticed by its end
                fork_server.send(self._gate, {"kernel": True}, [line.fileno(), control.fileno()])
            kept.pop_all()
        # Whoever asked waits for the keeper's end, too, so that nothing is left when it is told of the execution's.
        self._kernel_gone.clear()
        self._kernels_pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: Watch(self._kernel_gone), os.fdopen(alive, "rb")
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
        for read in (self._pipe, self._tail_pipe):
            if read is not None:
                read.close()
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
            self._tail = (self._tail + data)[-self._most_of_tail :]

    def _wrote(self) -> str:
        """The end of the standard error: masked before it is cut, or the end of a secret would not be known for one."""
        text = self._tail.decode(errors="replace")
        return (text if self._masks is None else self._masks.text(text))[-_TAIL:].strip()

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
        with self._account.files() if self._account is not None else nullcontext():
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
            sentence += f" It wrote:\n{self._wrote()}"
        return Finished(Reason.RUNNER_DIED, sentence, seconds, written=kept)
