"""The runner's side of its caller: events go to it, and its answers come."""

import asyncio
import json
import os
import shutil
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from pressroom.press import fork_server
from pressroom.press.events import Event, Output, Reason, to_json
from pressroom.press.launch import Launch
from pressroom.press.saving import unstage

_PIECE = 65536
Kernels = asyncio.Future[tuple[dict[str, Any], list[int]]]


class Caller:
    """Who asked for the execution: events go to it, and its answers come."""

    def __init__(self, gate: int, events: int, request: dict[str, Any]) -> None:
        self._gate, self._file = socket.socket(fileno=gate), os.fdopen(events, "wb")
        self._request = request
        self._pending: list[bytes] = []
        self._answer: Kernels | None = None
        self.ending = Ending()

    def listen(self) -> None:
        """Begin to hear it."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._gate.fileno(), self._hear)

    def close(self) -> None:
        """Hear and tell it no more."""
        self.flush()
        self._loop.remove_reader(self._gate.fileno())
        self._gate.close()
        self._file.close()

    def emit(self, event: Event) -> None:
        """Send an event, together with those that come at the same time."""
        if isinstance(event, Output) and len(event.text) > _PIECE:
            pieces = range(0, len(event.text), _PIECE) if event.stream != "result" else range(1)
            for start in pieces:
                self.emit(Output(event.index, event.stream, event.text[start : start + _PIECE]))
            return
        self._write(to_json(event))

    def _write(self, message: dict[str, Any]) -> None:
        if not self._pending:
            self._loop.call_soon(self.flush)
        self._pending.append(json.dumps(message).encode() + b"\n")

    def flush(self) -> None:
        """Send what waits. Where the caller is slow, it is waited for."""
        if self._pending:
            data = b"".join(self._pending)
            self._pending.clear()
            self._file.write(data)
            self._file.flush()

    def kernel(self, launch: Launch) -> Kernels:
        """Ask for a forked kernel. The answer says whether there is one, and brings its line and the control of its
        keeper."""
        self._answer = self._loop.create_future()
        self._write({"kind": "need", "launch": asdict(launch)})
        self.flush()
        return self._answer

    def _hear(self) -> None:
        said, fds = fork_server.receive(self._gate)
        if said is None:
            # The caller is gone: its keeper kills what this process started; a forked kernel's keeper hears it, too.
            if self._request["staged_name"] is not None:
                with suppress(OSError):
                    unstage(self._request["fds"][2], self._request["staged_name"])
            shutil.rmtree(self._request["scratch"], ignore_errors=True)
            os._exit(1)
        if "stop" in said:
            self.ending.ask(Reason(said["stop"]))
        else:
            self._answered(said, fds)

    def _answered(self, said: dict[str, Any], fds: list[int]) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((said, fds))


@dataclass
class Ending:
    """Why an execution ends before its last cell: the first that was said."""

    reason: Reason | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def ask(self, reason: Reason) -> None:
        """Ask for the end."""
        if self.reason is None:
            self.reason = reason
            self.asked.set()
