# nbformat, nbclient and Papermill ship few types: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The notebook while it is executed: a kernel's messages become outputs, as nbclient has it, and Papermill's marks."""

import json
from collections.abc import Callable
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from nbclient.exceptions import CellExecutionComplete
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NotebookExecutionManager
from papermill.log import logger

from pressroom.press.events import Result
from pressroom.press.kernel import Kernel
from pressroom.press.masks import Masks
from pressroom.press.results import Results

_MESSAGES = frozenset({"stream", "display_data", "execute_result", "update_display_data", "error"})
_DISPLAYS = frozenset({"display_data", "execute_result", "update_display_data"})
_ERROR_BYTES = 2**18
"""Of an error that is told although the outputs are over their limit."""
MEBIBYTE = 2**20


class Marks(NotebookExecutionManager):
    """Papermill's marks in the metadata, by the kernel's clock, and without a file rewritten after each cell."""

    def __init__(self, notebook: NotebookNode) -> None:
        super().__init__(notebook, progress_bar=False)
        self._began: dict[int, datetime] = {}

    def save(self, **_: Any) -> None:
        """Nothing: the press saves in its own time."""

    def autosave_cell(self) -> None:
        """Nothing, likewise."""

    def began(self, index: int, at: datetime) -> None:
        """A cell began."""
        self._began[index] = at
        marks = self.nb.cells[index].metadata.papermill
        marks["start_time"] = at.isoformat()
        marks["status"] = self.RUNNING
        marks["exception"] = False

    def ended(self, index: int, at: datetime, *, failed: bool = False, raised: bool = False) -> None:
        """A cell ended; ``failed``: it did not do its work; ``raised``: because it raised."""
        marks = self.nb.cells[index].metadata.papermill
        marks["end_time"] = at.isoformat()
        if index in self._began:
            marks["duration"] = (at - self._began[index]).total_seconds()
        marks["status"] = self.FAILED if failed else self.COMPLETED
        if raised:
            marks["exception"] = True
            self.nb.metadata.papermill["exception"] = True

    def notebook_complete(self, **kwargs: Any) -> None:
        """Papermill's, but a cell that was never reached stays pending."""
        statuses = [cell.metadata.papermill.get("status") for cell in self.nb.cells]
        super().notebook_complete(**kwargs)
        for cell, status in zip(self.nb.cells, statuses, strict=True):
            cell.metadata.papermill["status"] = status


def _ignore(index: int, stream: str, text: str) -> None:
    """Nobody listens."""


def _drop(result: Result) -> None:
    """Nobody keeps it."""


class Book(PapermillNotebookClient):
    """A notebook and the outputs of its cells.

    ``on_output`` is told of text as it comes: the cell's index, ``stdout``, ``stderr`` or ``result``, the text. Outputs
    of more than ``max_output_bytes`` are cut; ``cut_bytes`` counts what was cut. ``masks`` keep secrets out of all.
    ``on_result`` is told of what the notebook records, of at most ``max_results_bytes``; what is over that is told as
    text of ``stderr``.
    """

    def __init__(
        self,
        marks: NotebookExecutionManager,
        max_output_bytes: int,
        masks: Masks | None = None,
        max_results_bytes: int = 32 * MEBIBYTE,
        **options: Any,
    ) -> None:
        options.setdefault("log", logger)
        super().__init__(marks, **options)
        self.on_output: Callable[[int, str, str], None] = _ignore
        self.on_result: Callable[[Result], None] = _drop
        self.cut_bytes = 0
        self._masks, self._results = masks, Results(max_results_bytes, masks)
        self._limit = self._room = max_output_bytes
        self._notice: NotebookNode | None = None
        self._shrunk = False
        self._open: tuple[NotebookNode, list[str]] | None = None
        self.clear_before_next_output = False
        self.reset_execution_trackers()

    @property
    def kept_bytes(self) -> int:
        """How many bytes of outputs there are."""
        return self._limit - self._room

    def talks_to(self, kernel: Kernel) -> None:
        """Where the front end that widgets expect sends its messages."""

        class Channel:
            def send(self, message: dict[str, Any]) -> None:
                kernel.send(message["msg_type"], message["content"], message["metadata"])

        def message(kind: str, content: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
            return {"msg_type": kind, "content": content or {}, "metadata": given.get("metadata") or {}}

        self.kc = SimpleNamespace(session=SimpleNamespace(msg=message), shell_channel=Channel())  # pyright: ignore[reportAttributeAccessIssue]

    def executes(self, cell: NotebookNode) -> bool:
        """Whether a cell is sent to the kernel."""
        skipped = self.skip_cells_with_tag in cell.metadata.get("tags", [])
        return cell.cell_type == "code" and bool(cell.source.strip()) and not skipped

    def may_raise(self, cell: NotebookNode) -> bool:
        """Whether the notebook goes on after an error of this cell."""
        tagged = "raises-exception" in cell.metadata.get("tags", [])
        return (self.allow_errors or tagged) and not self.force_raise_errors

    def asked(self, cell: NotebookNode, index: int) -> dict[str, Any]:
        """What is asked of the kernel for a cell. Code that holds secrets is kept in no history."""
        code = self._masks.code if self._masks is not None and index == self._masks.index else None
        return {
            "code": cell.source if code is None else code,
            "silent": False,
            "store_history": code is None,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": not self.may_raise(cell),
        }

    def begin(self, cell: NotebookNode) -> None:
        """A cell is sent to the kernel."""
        if self.record_timing:
            cell.metadata["execution"] = {}
        cell.outputs = []

    def take(self, message: dict[str, Any], cell: NotebookNode, index: int) -> None:
        """Take in a message about a cell."""
        for each in [message] if self._masks is None else self._masks.passed(message, index):
            self._take(each, cell, index)

    def complete(self) -> None:
        """Take in what was held back: no message follows."""
        if self._masks is not None:
            for index, cell in enumerate(self.nb.cells):
                for each in self._masks.rest(index):
                    self._take(each, cell, index)
        for result in self._results.rest():
            self.on_result(result)
        self.seal()

    def _take(self, message: dict[str, Any], cell: NotebookNode, index: int) -> None:
        kind, content = message["msg_type"], message["content"]
        if kind in _DISPLAYS:
            self._record(content, index)
        if kind in _MESSAGES:
            size = _bytes(kind, content)
            kept = self._fit(kind, content, size)
            if kept and kind == "stream":
                self.on_output(index, content["name"], content["text"])
            elif kept and kind in ("display_data", "execute_result") and "text/plain" in content["data"]:
                self.on_output(index, "result", str(content["data"]["text/plain"]))
            if kept or not size:
                self._shrunk = self._shrunk or kind == "update_display_data"
                self.process_message(message, cell, index)
            if kept < size:
                self._cut(size - kept, cell)
            return
        self._shrunk = self._shrunk or kind == "clear_output"
        try:
            self.process_message(message, cell, index)
        except CellExecutionComplete:
            self.seal()
            self.clear_before_next_output = False

    def _record(self, content: dict[str, Any], index: int) -> None:
        """Tell of the results in what is displayed."""
        for found in self._results.take(content):
            if isinstance(found, Result):
                self.on_result(found)
            else:
                self.on_output(index, "stderr", found)

    def replied(self, message: dict[str, Any], cell: NotebookNode, index: int) -> dict[str, Any]:
        """Note when the kernel replied. Answers the reply, without secrets."""
        if self.record_timing:
            cell.metadata["execution"]["shell.execute_reply"] = message["header"]["date"].strftime(
                "%Y-%m-%dT%H:%M:%S.%fZ"
            )
        return message if self._masks is None else message | {"content": self._masks.raised(message["content"], index)}

    def lost(self, size: int, cell: NotebookNode) -> None:
        """A message was too large to be taken in."""
        self._room = 0
        self._cut(size, cell)

    def _fit(self, kind: str, content: dict[str, Any], size: int) -> int:
        """Make an output fit into what is left of the limit: how many bytes of it are kept."""
        if size <= self._room:
            self._room -= size
            return size
        if self._shrunk:
            # What was cleared or replaced since is not in the notebook any more.
            self._shrunk = False
            self._recount()
            if size <= self._room:
                self._room -= size
                return size
        left, self._room = max(0, self._room), 0
        if kind == "error" and size <= _ERROR_BYTES:
            return size
        if kind != "stream":
            return 0
        content["text"] = content["text"].encode("utf-8", "surrogatepass")[:left].decode("utf-8", "ignore")
        return left

    def _recount(self) -> None:
        self.seal()
        outputs = [output for cell in self.nb.cells for output in cell.get("outputs", [])]
        self._room = self._limit - sum(_bytes(output.output_type, output) for output in outputs)
        if self._notice is not None and not any(output is self._notice for output in outputs):
            self._notice = None

    def _cut(self, size: int, cell: NotebookNode) -> None:
        self.cut_bytes += size
        if self._notice is None:
            self.seal()
            self._notice = NotebookNode(output_type="stream", name="stderr", text="")
            cell.outputs.append(self._notice)
        limit, cut = self._limit / MEBIBYTE, self.cut_bytes / MEBIBYTE
        self._notice.text = f"Outputs over {limit:g} MiB, the limit, are not kept: {cut:.3g} MiB were cut.\n"

    def output(self, outs: list[NotebookNode], msg: dict[str, Any], display_id: str | None, cell_index: int) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """nbclient's, but text of one stream is joined as it comes."""
        parent = msg["parent_header"].get("msg_id")
        hooked = bool(self.output_hook_stack[parent]) if parent in self.output_hook_stack else False
        if msg["msg_type"] != "stream" or hooked or self.clear_before_next_output:
            self.seal()
            out = super().output(outs, msg, display_id, cell_index)
            if out is not None and msg["msg_type"] == "stream":
                self._open = (out, [out.text])
            return out
        content = msg["content"]
        if self._open is not None and outs and outs[-1] is self._open[0] and outs[-1].name == content["name"]:
            self._open[1].append(content["text"])
            return NotebookNode(output_type="stream", name=content["name"], text=content["text"])
        self.seal()
        out = NotebookNode(output_type="stream", name=content["name"], text=content["text"])
        if outs and outs[-1].output_type == "stream" and outs[-1].name == content["name"] and out is not self._notice:
            self._open = (outs[-1], [outs[-1].text, content["text"]])
            return out
        outs.append(out)
        self._open = (out, [content["text"]])
        return out

    def seal(self) -> None:
        """Join the pieces of text that have come."""
        if self._open is not None:
            out, pieces = self._open
            out.text = "".join(pieces)
            self._open = None


def _bytes(kind: str, content: dict[str, Any]) -> int:
    """How much an output takes in a file."""
    if kind == "stream":
        return _size(content["text"])
    if kind == "error":
        return sum(_size(line) for line in content["traceback"]) + _size(str(content.get("evalue", "")))
    return sum(_size(v if isinstance(v, str) else json.dumps(v)) for v in content["data"].values())


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
