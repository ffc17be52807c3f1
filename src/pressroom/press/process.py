"""The press, and what is asked of it."""

import asyncio
import os
import secrets
import shutil
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager

from pressroom.press.account import Account
from pressroom.press.events import Event, Finished, Reason
from pressroom.press.launch import CannotFork, Launch
from pressroom.press.reports import KernelReport
from pressroom.press.run import Run
from pressroom.press.server import ForkServer
from pressroom.press.servers import Servers
from pressroom.press.shared import shared_servers


@dataclass(frozen=True, slots=True)
class Request:
    """What to execute.

    ``input_path`` and ``output_path`` name the files in messages and metadata. ``input_fd``, ``working_fd`` and
    ``output_fd`` are the input, the kernel's working directory and the output's folder, already open; where one is
    ``None``, the path is opened (the working directory is the input's folder). ``timeout_seconds`` covers the kernel's
    start. ``kernel_name``: the notebook's own if ``None``. ``environment`` is added to the press's own. ``marks`` are
    written into the output's metadata, under ``pressroom``, for whoever reads it to know it by.

    ``secrets`` are parameters, too, that only the kernel is given: the output and the events show ``********`` in place
    of them, also where the notebook prints them (see :mod:`pressroom.press.masks`).

    ``memory_mb`` (MiB), ``cpu_seconds`` (of processor time) and ``max_processes`` (processes and threads of the
    kernel's account) limit the kernel and what it starts; an execution that goes over one fails with that reason.

    With an ``account``, the kernel and what drives it become that account, for good, before they touch anything of it;
    needs root, and the open files. Kernels are forked for the kernel specs that this process itself has; of others, and
    those that the account has changed, they are started by the stock launcher, as that account too.

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
    account: Account | None = None
    marks: Mapping[str, Any] = field(default_factory=dict[str, Any])
    secrets: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)


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
    a kernel that is stopped. Outputs over ``max_output_bytes`` are cut, with a notice; results over
    ``max_results_bytes`` in all are not told, likewise. ``preload``: modules that fork
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
        max_results_bytes: int = 32 * 2**20,
    ) -> None:
        self.environment, self.grace_seconds, self.fork = environment, grace_seconds, fork
        self.max_output_bytes, self.max_notebook_bytes = max_output_bytes, max_notebook_bytes
        self.max_results_bytes = max_results_bytes
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

        Where the iteration is given up, everything that was started is killed before it ends. Raises ``ValueError`` for
        an account without the open files.
        """
        if request.account is not None and None in (request.input_fd, request.working_fd, request.output_fd):
            raise ValueError("files of an account are opened by whoever acts as that account")
        stop = stop or Stop()
        began = time.monotonic()
        # Named here and made by the runner where it is needed.
        account = request.account
        folder = tempfile.gettempdir() if account is None else "/tmp"  # noqa: S108 - its name is nobody's to guess
        scratch = str(Path(folder, f"pressroom-{secrets.token_urlsafe(6)}"))
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
            umask = self._umask if account is None else account.umask
            run = Run(self, umask, request, stop, scratch, fds)
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
            if account is None:
                shutil.rmtree(scratch, ignore_errors=True)
            else:
                await asyncio.to_thread(_remove_as, account, scratch)


def _remove_as(account: Account, folder: str) -> None:
    with account.files():
        shutil.rmtree(folder, ignore_errors=True)


def _umask() -> int:
    # It can only be read by setting it, which other threads would see.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1], 8) for line in lines if line.startswith("Umask:"))


def _fd(given: int | None, path: Path, flags: int, opened: list[int]) -> int:
    if given is not None:
        return given
    opened.append(os.open(path, flags | os.O_CLOEXEC))
    return opened[-1]
