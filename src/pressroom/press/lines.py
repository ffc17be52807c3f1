"""A forked kernel, and the socket pair over which Jupyter's messages go to it and come from it."""

import asyncio
import base64
import json
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast

from pressroom.press import fork_server
from pressroom.press.kernel import Deliver, KernelDied, how


class Line(asyncio.Protocol):
    """A kernel that was forked for one client. ``line``: where its messages go; ``control``: to its keeper;
    ``most_bytes``: of one message; a larger one is not taken in, and told as ``too_large`` with its size."""

    ahead = True

    def __init__(self, line: socket.socket, control: socket.socket, most_bytes: int) -> None:
        self._line, self._control, self._most = line, control, most_bytes
        self._rest: list[bytes] = []
        self._waiting = 0
        self._count = 0
        self._code: int | None = None
        self._out_of_memory = False
        self._transport: asyncio.Transport | None = None
        self._closed = False
        self._told = False
        self._gone = asyncio.Event()

    async def start(self, deliver: Deliver, died: Callable[[], None]) -> None:
        """Begin to talk to it; it need not be up."""
        self._deliver, self._died = deliver, died
        loop = asyncio.get_running_loop()
        self._line.setblocking(False)
        loop.add_reader(self._control.fileno(), self._heard)
        await loop.create_connection(lambda: self, sock=self._line)

    def send(self, kind: str, content: dict[str, Any], metadata: dict[str, Any] | None = None) -> str:
        """Send a request, and give its ``msg_id``."""
        self._count += 1
        name = f"c{self._count}"
        message = {
            "header": {"msg_id": name, "msg_type": kind},
            "parent_header": {},
            "metadata": metadata or {},
            "content": content,
        }
        if self._transport is not None and not self._closed:
            self._transport.write(json.dumps(message).encode() + b"\n")
        return name

    async def interrupt(self) -> None:
        """Interrupt what is executed, and drop what was sent after it."""
        # In this order: a kernel that is interrupted between two cells finds the word before it begins the second.
        self.send("abort_request", {})
        self._ask({"signal": int(signal.SIGINT)})

    async def end(self, patience: float) -> None:
        """Let it end by itself, and after ``patience`` seconds kill it."""
        self.send("shutdown_request", {"restart": False})
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._gone.wait()
        await self.kill()

    async def kill(self) -> None:
        """End it at once; returns when it and all that it started is gone."""
        self._ask({"signal": int(signal.SIGKILL)})
        await self._gone.wait()

    def how_it_died(self) -> KernelDied:
        """How it ended."""
        if self._code is None:
            return KernelDied("was killed together with its keeper")
        if self._out_of_memory and -self._code == signal.SIGKILL:
            return KernelDied("was killed when it went over its limit of memory", "memory_mb")
        if -self._code == signal.SIGXCPU:
            return KernelDied("was killed when it had used its processor time", "cpu_seconds")
        return KernelDied(how(self._code))

    def _ask(self, message: dict[str, Any]) -> None:
        # A keeper that is gone has nothing left to do.
        with suppress(OSError):
            fork_server.send(self._control, message)

    # --- what the event loop calls -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The line is open."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take in what the kernel sent."""
        if b"\n" not in data:
            self._keep(data)
            return
        first, _, rest = data.partition(b"\n")
        self._keep(first)
        self._complete()
        *lines, last = rest.split(b"\n")
        for line in lines:
            self._take(line)
        self._keep(last)

    def _keep(self, piece: bytes) -> None:
        """Keep a part of a message, unless it grows too large."""
        self._waiting += len(piece)
        if self._waiting > self._most:
            self._rest.clear()
        elif piece:
            self._rest.append(piece)

    def _complete(self) -> None:
        size, self._waiting = self._waiting, 0
        line = b"".join(self._rest)
        self._rest.clear()
        if size > self._most:
            self._deliver("too_large", {"size": size})
        else:
            self._take(line)

    def _take(self, line: bytes) -> None:
        message = json.loads(line)
        header = message["header"]
        message["msg_type"] = header["msg_type"]
        header["date"] = datetime.fromtimestamp(header["date"], UTC)
        if "buffers" in message:
            message["buffers"] = [base64.b64decode(piece) for piece in message["buffers"]]
        self._deliver(message["channel"], message)

    def connection_lost(self, exc: Exception | None) -> None:
        """The kernel has closed the line: all that it said is known. One that says what nobody understands is ended."""
        self._closed = True
        if exc is not None and not isinstance(exc, OSError):
            self._ask({"signal": int(signal.SIGKILL)})
        self._tell()

    def _heard(self) -> None:
        """The keeper said how the kernel ended, or has itself ended."""
        said, _ = fork_server.receive(self._control)
        if said is not None and "pid" in said:
            return
        if said is not None:
            self._code, self._out_of_memory = said["exit"], said.get("oom", False)
        asyncio.get_running_loop().remove_reader(self._control.fileno())
        self._control.close()
        self._gone.set()
        self._tell()

    def _tell(self) -> None:
        if self._closed and self._gone.is_set() and not self._told:
            self._told = True
            self._died()
