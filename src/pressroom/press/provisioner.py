# jupyter_client ships few types: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The kernel provisioner: any Jupyter program starts its Python kernels by a fork."""

import asyncio
import logging
import os
import select
import signal
import socket
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets import Bool

from pressroom.press import fork_server
from pressroom.press.forking import fork_kernel, open_folder, standard
from pressroom.press.launch import CannotFork, Launch
from pressroom.press.shared import shared_servers

log = logging.getLogger("pressroom.press")

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SOCKET_PATH = 100
"""How long the path of a socket may be, in bytes; the system takes 107."""
_UNDERSTOOD = {"cwd", "env", "stdin", "stdout", "stderr", "independent", "extra_arguments", "kernel_id"}
"""What may be said about a launch; a fork takes nothing else that ``subprocess.Popen`` does."""
_told: set[tuple[str, str]] = set()


class PressroomProvisioner(LocalProvisioner):
    """Python kernels by a fork; all others, and those that cannot be forked, by the stock launcher.

    A forked kernel ends with the process that asked for it, and with the kernel all that it started.
    """

    private_sockets = Bool(
        default_value=True,
        config=True,
        help="""Whether kernels speak over sockets in a folder that only their user can enter, where the kernel manager
        was not told of ports, instead of ports that everybody on the machine can reach.""",
    )

    _forked: "Forked | None" = None
    _folder: Path | None = None

    @property
    def has_process(self) -> bool:
        """Whether there is a kernel that was not waited for."""
        return self._forked is not None or super().has_process

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """The stock launcher's; before it, the manager is given sockets instead of ports."""
        manager = self.parent
        if manager is not None and self._folder is None and self._is_free(manager):
            folder = Path(tempfile.gettempdir(), f"pressroom-{os.urandom(6).hex()}")
            if len(os.fsencode(folder / "k-00")) <= _SOCKET_PATH:
                self._folder = folder
                manager.transport, manager.ip, manager.cache_ports = "ipc", str(folder / "k"), False
                # Also where nobody cleans up.
                weakref.finalize(self, rmtree, folder, ignore_errors=True)
        if self._folder is not None:
            self._folder.mkdir(mode=0o700, exist_ok=True)
        return await super().pre_launch(**kwargs)

    def _is_free(self, manager: Any) -> bool:
        """Whether it is left to the provisioner how a kernel is reached, and the kernel is one that can be forked."""
        ports = (manager.shell_port, manager.iopub_port, manager.stdin_port, manager.control_port, manager.hb_port)
        if not self.private_sockets or manager.transport != "tcp" or any(ports):
            return False
        if manager.ip not in LOOPBACK or (manager.connection_file and Path(manager.connection_file).exists()):
            return False
        try:
            Launch.of(self._name(), self.kernel_spec, {}).interpreter()
        except CannotFork:
            return False
        return True

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork a kernel; where that cannot be, start it as the stock launcher does."""
        try:
            launch, argv = self._planned(cmd, kwargs)
        except CannotFork as error:
            self._tell(error)
            return await super().launch_kernel(cmd, **kwargs)
        try:
            forked = await _in_thread(_fork, launch, argv, kwargs)
            try:
                pid = await forked.pid()
            except BaseException:
                forked.close()
                raise
        except CannotFork:  # whose reason is logged
            return await super().launch_kernel(cmd, **kwargs)
        self._forked, self.process = forked, None
        self.pid = self.pgid = pid
        self.cwd = kwargs.get("cwd") or Path.cwd()
        return self.connection_info

    def _planned(self, cmd: list[str], kwargs: dict[str, Any]) -> tuple[Launch, list[str]]:
        """What to fork, and what to say to ipykernel. Raises :class:`CannotFork`."""
        manager, name = self.parent, self._name()
        if manager is None:
            raise CannotFork("they have no manager")
        if unknown := sorted(kwargs.keys() - _UNDERSTOOD):
            raise CannotFork(f"they are launched with {', '.join(unknown)}")
        if kwargs.get("independent"):
            raise CannotFork("they are to outlive the process that asks for them")
        if subprocess.PIPE in (kwargs.get("stdout"), kwargs.get("stderr")):
            raise CannotFork("what they write is to be piped")
        file = os.path.realpath(manager.connection_file)
        argv = [word.replace(file, "{connection_file}") for word in cmd]
        spec = self.kernel_spec
        full = Launch(name, (os.path.expanduser(argv[0]), *argv[1:]), kwargs["env"], str(spec.language))  # noqa: PTH111 - as jupyter_client has it
        python, rest = full.interpreter()
        # One server for all that is said to ipykernel: it is said after the fork.
        kind = (*python, "-m", "ipykernel_launcher", "-f", "{connection_file}")
        # It has a parent that minds it, and need not tell a terminal how to connect.
        said = [
            "-f",
            file,
            "--IPKernelApp.parent_handle=1",
            *(word.replace("{connection_file}", file) for word in rest),
        ]
        return Launch(name, kind, kwargs["env"], full.language), said

    def _name(self) -> str:
        return str(getattr(self.parent, "kernel_name", "") or self.kernel_spec.display_name)

    def _tell(self, error: CannotFork) -> None:
        if (self._name(), str(error)) not in _told:
            _told.add((self._name(), str(error)))
            log.info("Kernels %r are started by the stock launcher: %s.", self._name(), error)

    async def poll(self) -> int | None:
        """``None`` while the kernel lives, then its exit code."""
        return await super().poll() if self._forked is None else self._forked.poll()

    async def wait(self) -> int | None:
        """Wait for the kernel's end: its exit code."""
        if (forked := self._forked) is None:
            return await super().wait()
        code = await forked.wait()
        if self._forked is forked:
            self._forked = None
            forked.close()
        return code

    async def send_signal(self, signum: int) -> None:
        """Send a signal to the kernel and what it has started in its group."""
        if self._forked is None:
            await super().send_signal(signum)
        else:
            self._forked.signal(signum)

    async def kill(self, restart: bool = False) -> None:
        """End the kernel at once."""
        if self._forked is None:
            await super().kill(restart)
        else:
            self._forked.signal(signal.SIGKILL)

    async def terminate(self, restart: bool = False) -> None:
        """Ask the kernel to end, by SIGTERM."""
        if self._forked is None:
            await super().terminate(restart)
        else:
            self._forked.signal(signal.SIGTERM)

    async def cleanup(self, restart: bool = False) -> None:
        """Give back ports, and remove the sockets."""
        await super().cleanup(restart)
        if not restart and self._folder is not None:
            rmtree(self._folder, ignore_errors=True)


class Forked:
    """A forked kernel, as its keeper tells of it. Its methods may be called from any thread and event loop: a manager
    that blocks has one of its own."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._lock = threading.Lock()
        self._pid: int | None = None
        self._code: int | None = None

    def poll(self) -> int | None:
        """``None`` while it lives, then its exit code, as ``subprocess.Popen`` has it."""
        with self._lock:
            while self._code is None and self._has_news():
                said, _ = fork_server.receive(self._control)
                if said is None:
                    self._code = -signal.SIGKILL  # with its keeper
                elif "pid" in said:
                    self._pid = said["pid"]
                else:
                    self._code = said["exit"]
            return self._code

    def _has_news(self) -> bool:
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        return bool(poll.poll(0))

    async def pid(self) -> int:
        """Its process. Raises :class:`CannotFork` where it ended before that was told."""
        while self._pid is None:
            if self.poll() is not None:
                raise CannotFork("they end before they begin")
            if self._pid is None:
                await self._news()
        return self._pid

    async def wait(self) -> int:
        """Wait for its end: the exit code."""
        while (code := self.poll()) is None:
            await self._news()
        return code

    async def _news(self) -> None:
        """Wait until the keeper has said something that was not read."""
        loop, came = asyncio.get_running_loop(), asyncio.Event()
        # A copy, since an event loop knows one reader for each file.
        fd = os.dup(self._control.fileno())
        loop.add_reader(fd, came.set)
        try:
            await came.wait()
        finally:
            loop.remove_reader(fd)
            os.close(fd)

    def signal(self, number: int) -> None:
        """Have its keeper send a signal to it and its group."""
        with suppress(OSError):  # a keeper that is gone has nothing left to do
            fork_server.send(self._control, {"signal": int(number), "all": True})

    def close(self) -> None:
        """Let go of it: it is killed if it lives."""
        self._control.close()


def _fork(launch: Launch, argv: list[str], kwargs: dict[str, Any]) -> Forked:
    """Fork a kernel. Raises :class:`CannotFork`, or ``OSError`` where its working directory cannot be entered."""
    opened = [open_folder(kwargs.get("cwd") or os.curdir)]
    try:
        opened.append(_output(kwargs.get("stdout"), 1))
        joined = kwargs.get("stderr") == subprocess.STDOUT
        opened.insert(1, os.dup(opened[1]) if joined else _output(kwargs.get("stderr"), 2))
        return Forked(fork_kernel(shared_servers("zmq"), launch, {"argv": argv}, opened))
    finally:
        for fd in opened:
            os.close(fd)


async def _in_thread(function: Callable[..., Forked], *arguments: Any) -> Forked:
    """Call a function that blocks in a thread of its own: those that an event loop keeps for that are gone where a
    process was forked with the loop in it, as ``multiprocessing`` does."""
    pool = ThreadPoolExecutor(1, "pressroom-fork")
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)
    finally:
        pool.shutdown(wait=False)


def _output(given: Any, number: int) -> int:
    """Where a kernel's output goes, as ``subprocess.Popen`` has it; a copy."""
    if given is None:
        return standard(number)
    if given == subprocess.DEVNULL:
        return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    return os.dup(given if isinstance(given, int) else given.fileno())
