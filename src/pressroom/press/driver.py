# nbformat, nbclient and Papermill ship few types: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Papermill's client, driven from an event loop that can also hear a stop."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq
import zmq.asyncio
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellExecutionError
from nbclient.util import ensure_async
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NotebookExecutionManager
from papermill.log import logger

_SOCKET_PATH = 100
"""How long the path of a socket may be, in bytes; the system takes 107."""
_BACKLOG_SECONDS = 24 * 3600
"""How long outputs that were sent before a cell's end may take to be read; a kernel that dies meanwhile is noticed."""
_COUNTED = frozenset({"stream", "display_data", "execute_result", "update_display_data", "error"})


def _ignore(_: int, __: str, ___: str) -> None:
    """Nobody listens."""


class Manager(NotebookExecutionManager):
    """Papermill's book-keeping of cells, without a file rewritten after each of them."""

    def __init__(self, notebook: NotebookNode) -> None:
        super().__init__(notebook, progress_bar=False)

    def save(self, **_: Any) -> None:
        """Nothing: the output is written once, at the end."""

    def autosave_cell(self) -> None:
        """Nothing, likewise."""

    def notebook_complete(self, **kwargs: Any) -> None:
        """Papermill's, but a cell that was never reached stays pending."""
        statuses = [cell.metadata.papermill.get("status") for cell in self.nb.cells]
        super().notebook_complete(**kwargs)
        for cell, status in zip(self.nb.cells, statuses, strict=True):
            cell.metadata.papermill["status"] = status


class Driver:
    """One kernel, and the cells sent to it."""

    def __init__(self, manager: Manager, kernel_name: str, scratch: str, max_output_bytes: int) -> None:
        self.kernel_name = kernel_name
        self.on_output: Callable[[int, str, str], None] = _ignore
        self.on_too_much: Callable[[], None] = lambda: None
        self._manager = manager
        self._room = max_output_bytes
        kernel = _Kernel(kernel_name=kernel_name)
        kernel.connection_file = str(Path(scratch, "kernel.json"))
        short = len(os.fsencode(scratch)) < _SOCKET_PATH
        if short and kernel.kernel_spec is not None and kernel.kernel_spec.language == "python":
            # Sockets in a folder that only this user can enter, instead of ports that everybody on the machine can.
            kernel.transport = "ipc"
            kernel.ip = str(Path(scratch, "k"))
        self._kernel = kernel
        self._client = _Client(manager, kernel, kernel_name, self._take)

    async def start(self, before_exec: Callable[[], None]) -> None:
        """Start the kernel and wait until it answers. Raises whatever its launcher raises."""
        self._client.reset_execution_trackers()
        await self._client.async_start_new_kernel(preexec_fn=before_exec)
        await self._client.async_start_new_kernel_client()

    def executes(self, cell: NotebookNode) -> bool:
        """Whether a cell is sent to the kernel."""
        skipped = self._client.skip_cells_with_tag in cell.metadata.get("tags", [])
        return cell.cell_type == "code" and bool(cell.source.strip()) and not skipped

    async def execute(self, cell: NotebookNode, index: int) -> None:
        """Execute one cell. Raises ``CellExecutionError`` or ``DeadKernelError``."""
        self._manager.cell_start(cell, index)
        try:
            await self._client.async_execute_cell(cell, index)
        except CellExecutionError as error:
            self._manager.cell_exception(cell, cell_index=index, exception=error)
            raise
        except BaseException:
            cell.metadata.papermill["status"] = Manager.FAILED
            raise
        finally:
            self._manager.cell_complete(cell, cell_index=index)

    async def describe_language(self) -> None:
        """Note the kernel's language and the state of its widgets in the notebook, as Papermill does."""
        client = self._client
        assert client.kc is not None
        message = await client.async_wait_for_reply(client.kc.kernel_info())
        if message is not None:
            client.nb.metadata["language_info"] = message["content"]["language_info"]
        client.set_widgets_metadata()

    async def interrupt(self) -> None:
        """Interrupt the cell that is being executed."""
        if self._kernel.has_kernel:
            await self._kernel.interrupt_kernel()

    async def kill(self) -> None:
        """End the kernel at once."""
        if self._client.kc is not None:
            self._client.kc.stop_channels()
            self._client.kc = None
        if self._kernel.has_kernel:
            await ensure_async(self._kernel.shutdown_kernel(now=True))

    def how_it_died(self) -> str:
        """How the kernel's process ended, to complete "the kernel ..."."""
        process = getattr(self._kernel.provisioner, "process", None)
        code = process.poll() if process is not None else None
        if code is None:
            return "died"
        if code >= 0:
            return f"ended by itself, with exit code {code},"
        name = signal.Signals(-code).name
        hint = ", as happens when memory runs out," if -code == signal.SIGKILL else ""
        return f"was killed by signal {-code} ({name}){hint}"

    def _take(self, message: dict[str, Any], index: int) -> bool:
        """Count a message's output; whether there is still room for it."""
        kind, content = message["msg_type"], message["content"]
        if kind in _COUNTED:
            if kind == "stream":
                size = _size(content["text"])
            elif kind == "error":
                size = sum(_size(line) for line in content["traceback"])
            else:
                size = sum(_size(v if isinstance(v, str) else json.dumps(v)) for v in content["data"].values())
            self._room -= size
            if self._room < 0:
                self.on_too_much()
                return False
            if kind == "stream":
                self.on_output(index, content["name"], content["text"])
            elif kind in ("display_data", "execute_result") and "text/plain" in content["data"]:
                self.on_output(index, "result", str(content["data"]["text/plain"]))
        return True


def _size(text: str) -> int:
    """Bytes of a text in a file."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


class _Kernel(AsyncKernelManager):
    def client(self, **kwargs: Any) -> Any:
        # Above its high-water mark ZeroMQ throws messages away in silence: the outputs of a busy cell, or its end.
        context = zmq.asyncio.Context()
        context.setsockopt(zmq.RCVHWM, 0)
        return super().client(context=context, **kwargs)


class _Client(PapermillNotebookClient):
    def __init__(
        self,
        manager: Manager,
        kernel: AsyncKernelManager,
        kernel_name: str,
        take: Callable[[dict[str, Any], int], bool],
    ) -> None:
        super().__init__(
            manager,
            km=kernel,
            kernel_name=kernel_name,
            timeout=None,
            iopub_timeout=_BACKLOG_SECONDS,
            log=logger,
            startup_timeout=60,
        )
        self._take = take

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        if self._take(msg, cell_index):
            return super().process_message(msg, cell, cell_index)
        return None
