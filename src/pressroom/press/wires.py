# jupyter_client ships few types: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""A kernel that the stock launcher or another provisioner started, and the ZeroMQ sockets over which it speaks."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from typing import Any, cast

import zmq
import zmq.asyncio
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.util import ensure_async

from pressroom.press import fork_server
from pressroom.press.descendants import die_with_parent
from pressroom.press.kernel import Deliver, KernelDied, how

STARTUP_SECONDS = 60
"""How long a kernel may take until it answers."""
_SOCKET_PATH = 100
"""How long the path of a socket may be, in bytes; the system takes 107."""


class Wires:
    """A kernel of any kind. ``scratch``: a folder that only this user can enter, for its connection file;
    ``startup_seconds``: how long it may take until it answers."""

    ahead = False

    def __init__(
        self, kernel_name: str, scratch: str, limits: dict[str, Any], startup_seconds: float = STARTUP_SECONDS
    ) -> None:
        self._limits, self._startup = limits, startup_seconds
        self._manager = _Manager(kernel_name=kernel_name)
        self._manager.connection_file = str(Path(scratch, "kernel.json"))
        spec = self._manager.kernel_spec
        if len(os.fsencode(scratch)) < _SOCKET_PATH and spec is not None and _takes_sockets(spec):
            # Sockets in a folder that only this user can enter, instead of ports that everybody on the machine can.
            self._manager.transport = "ipc"
            self._manager.ip = str(Path(scratch, "k"))
        self._client: AsyncKernelClient | None = None
        self._process: Popen[bytes] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, deliver: Deliver, died: Callable[[], None]) -> None:
        """Start it, and wait until it answers."""
        try:
            await self._manager.start_kernel(preexec_fn=self._before)
            self._process = getattr(self._manager.provisioner, "process", None)
            client = self._client = cast("AsyncKernelClient", self._manager.client())
            client.start_channels()
            await ensure_async(client.wait_for_ready(timeout=self._startup))
        except Exception as error:  # whatever a kernel's launcher raises, the kernel did not start
            await self.kill()
            raise KernelDied(str(error) or type(error).__name__) from error
        for name, channel in (("iopub", client.iopub_channel), ("shell", client.shell_channel)):
            self._tasks.append(asyncio.create_task(self._listen(name, channel, deliver), name=name))
        self._tasks.append(asyncio.create_task(self._watch(died), name="death"))

    def _before(self) -> None:
        die_with_parent()
        fork_server.limit(self._limits)

    async def _listen(self, name: str, channel: Any, deliver: Deliver) -> None:
        while True:
            deliver(name, await channel.get_msg(timeout=None))

    async def _watch(self, died: Callable[[], None]) -> None:
        provisioner = self._manager.provisioner
        assert provisioner is not None
        pid = getattr(provisioner, "pid", None)
        if pid is not None and hasattr(os, "pidfd_open"):
            ended, loop = asyncio.Event(), asyncio.get_running_loop()
            try:
                fd = os.pidfd_open(pid)
            except ProcessLookupError:
                ended.set()
            else:
                loop.add_reader(fd, ended.set)
                try:
                    await ended.wait()
                finally:
                    loop.remove_reader(fd)
                    os.close(fd)
        await provisioner.wait()
        # What it said before lies in the sockets.
        await self._settled()
        died()

    async def _settled(self) -> None:
        client = self._client
        while client is not None:
            sockets = (client.iopub_channel.socket, client.shell_channel.socket)
            if not any(sock.getsockopt(zmq.EVENTS) & zmq.POLLIN for sock in sockets):
                return
            await asyncio.sleep(0.01)

    def send(self, kind: str, content: dict[str, Any], metadata: dict[str, Any] | None = None) -> str:
        """Send a request, and give its ``msg_id``."""
        client = self._client
        if client is None:
            return ""
        message = client.session.msg(kind, content, metadata=metadata)
        client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    async def interrupt(self) -> None:
        """Interrupt what is executed."""
        if self._manager.has_kernel:
            await self._manager.interrupt_kernel()

    async def end(self, patience: float) -> None:
        """Let it end by itself, and after ``patience`` seconds kill it."""
        self._hang_up(but_client=True)
        if self._manager.has_kernel:
            self._manager.shutdown_wait_time = patience
            with suppress(RuntimeError):
                await ensure_async(self._manager.shutdown_kernel(now=False))
        await self.kill()

    async def kill(self) -> None:
        """End it at once."""
        self._hang_up(but_client=False)
        if self._manager.has_kernel:
            await ensure_async(self._manager.shutdown_kernel(now=True))
        else:
            await ensure_async(self._manager.cleanup_resources())
        self._manager.client_context.destroy(linger=0)

    def _hang_up(self, *, but_client: bool) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        if not but_client and self._client is not None:
            self._client.stop_channels()
            self._client = None

    def how_it_died(self) -> KernelDied:
        """How it ended."""
        code = self._process.poll() if self._process is not None else None
        if code is None:
            return KernelDied("died")
        if -code == signal.SIGXCPU and "cpu_seconds" in self._limits:
            return KernelDied("was killed when it had used its processor time", "cpu_seconds")
        return KernelDied(how(code))


def _takes_sockets(spec: KernelSpec) -> bool:
    """Whether a kernel can do without ports. Those that are Python programs are made with ipykernel, which can."""
    program = Path(spec.argv[0]).name if spec.argv else ""
    return spec.language == "python" or program.startswith("python")


class _Manager(AsyncKernelManager):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Above its high-water mark ZeroMQ throws messages away in silence: the outputs of a busy cell, or its end.
        self.client_context = zmq.asyncio.Context()
        self.client_context.setsockopt(zmq.RCVHWM, 0)

    def client(self, **kwargs: Any) -> Any:
        return super().client(context=self.client_context, **kwargs)
