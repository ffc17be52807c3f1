"""What a client needs of a kernel, however that was started."""

import signal
from collections.abc import Callable
from typing import Any, Protocol

Deliver = Callable[[str, dict[str, Any]], None]
"""Takes a message: its channel (``iopub`` or ``shell``) and itself, with ``msg_type``, ``header``, ``parent_header``,
``content``, ``metadata`` and ``buffers``; or ``too_large`` and the ``size`` in bytes of one that was not taken in."""


class KernelDied(Exception):
    """The kernel is gone, or could not be started; the sentence completes "the kernel ...". ``limit``: the limit that
    it went over, if that is why."""

    def __init__(self, how: str, limit: str | None = None) -> None:
        super().__init__(how)
        self.how, self.limit = how, limit


class Kernel(Protocol):
    """A kernel, and the one client that it has."""

    ahead: bool
    """Whether requests may be sent before those before them are done: after an error it drops all that follow."""

    async def start(self, deliver: Deliver, died: Callable[[], None]) -> None:
        """Begin to talk to it. From now on its messages are delivered, and its death is told, once, after them. Raises
        :class:`KernelDied` where it does not come up."""
        ...

    def send(self, kind: str, content: dict[str, Any], metadata: dict[str, Any] | None = None) -> str:
        """Send a request, and give its ``msg_id``. Where the kernel is gone, nothing happens."""
        ...

    async def interrupt(self) -> None:
        """Interrupt what is executed, and drop what was sent to be executed after it."""
        ...

    async def end(self, patience: float) -> None:
        """Let it end by itself, and after ``patience`` seconds kill it, with all that it started."""
        ...

    async def kill(self) -> None:
        """End it at once, with all that it started."""
        ...

    def how_it_died(self) -> KernelDied:
        """How it ended."""
        ...


def how(code: int) -> str:
    """What the end of a process was, to complete "the kernel ...". ``code``: as subprocess has it."""
    if code >= 0:
        return f"ended by itself, with exit code {code},"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    hint = ", as happens when memory runs out," if -code == signal.SIGKILL else ""
    return f"was killed by signal {-code} ({name}){hint}"
