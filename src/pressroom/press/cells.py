# nbformat ships no types: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The cells of a notebook, sent to a kernel, and what comes of them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nbformat import NotebookNode

from pressroom.press.book import Book
from pressroom.press.events import CellFinished, CellStarted, Event
from pressroom.press.kernel import Kernel, KernelDied

_LINE = 200


@dataclass
class Cell:
    """A code cell on its way. ``number``: 1-based, among those that are executed."""

    index: int
    number: int
    node: NotebookNode
    began: datetime | None = None
    ended: datetime | None = None
    reply: dict[str, Any] | None = None


class CellRaised(Exception):
    """A cell raised, and the notebook ends there."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell
        content = (cell.reply or {}).get("content", {})
        self.ename, self.evalue = str(content.get("ename", "")), str(content.get("evalue", ""))

    def exited(self) -> bool:
        """Whether the cell ended the notebook on purpose, without an error, as Papermill has it."""
        return self.ename == "SystemExit" and self.evalue in ("", "0", "None")


class Cells:
    """The executable cells of a book, executed one after the other.

    ``marks`` is told when each begins and ends (see :class:`pressroom.press.book.Marks`), ``emit`` gets their events,
    and ``on_change`` is called whenever the notebook has changed.
    """

    def __init__(self, book: Book, kernel: Kernel, marks: Any, emit: Callable[[Event], None]) -> None:
        self._book, self._kernel, self._marks, self._emit = book, kernel, marks, emit
        nodes = [(index, node) for index, node in enumerate(book.nb.cells) if book.executes(node)]
        self.cells = [Cell(index, number, node) for number, (index, node) in enumerate(nodes, 1)]
        self.on_change: Callable[[], None] = lambda: None
        self._by_request: dict[str, Cell] = {}
        self._replies: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._at = 0
        self._sent = 0
        self._over: asyncio.Future[None] | None = None
        self._dead: KernelDied | None = None

    @property
    def current(self) -> Cell | None:
        """The cell that is executed, or was the last."""
        return self.cells[min(self._at, len(self.cells) - 1)] if self.cells else None

    async def start(self) -> None:
        """Have the kernel up. Raises :class:`KernelDied`."""
        self._book.talks_to(self._kernel)
        await self._kernel.start(self._take, self._die)

    async def run(self) -> None:
        """Execute all cells. Raises :class:`CellRaised` or :class:`KernelDied`."""
        self._over = asyncio.get_running_loop().create_future()
        if self._dead is not None:
            raise self._dead
        if not self.cells:
            return
        self._send()
        await self._over

    async def language(self) -> dict[str, Any] | None:
        """What the kernel says of its language. Raises :class:`KernelDied`."""
        if self._dead is not None:
            raise self._dead
        name = self._kernel.send("kernel_info_request", {})
        reply = self._replies[name] = asyncio.get_running_loop().create_future()
        return (await reply)["content"].get("language_info")

    def _send(self) -> None:
        """Send the cells that may be sent now: all where the kernel drops what follows an error, else the next."""
        until = len(self.cells) if self._kernel.ahead else self._at + 1
        for cell in self.cells[self._sent : until]:
            if not self._kernel.ahead:
                self._book.begin(cell.node)
            content = self._book.asked(cell.node, cell.index)
            metadata = {"cellId": cell.node["id"]} if "id" in cell.node else {}
            self._by_request[self._kernel.send("execute_request", content, metadata)] = cell
        self._sent = until

    # --- what the kernel calls ---------------------------------------------------------------------------------------

    def _take(self, channel: str, message: dict[str, Any]) -> None:
        try:
            self._taken(channel, message)
        except Exception as error:  # noqa: BLE001 - the event loop would drop it with the connection
            self._fail(error)

    def _taken(self, channel: str, message: dict[str, Any]) -> None:
        if channel == "too_large":
            if self.current is not None:
                self._book.lost(message["size"], self.current.node)
            return
        parent = message["parent_header"].get("msg_id")
        if (reply := self._replies.get(parent)) is not None:
            if channel == "shell" and not reply.done():
                reply.set_result(message)
        elif (cell := self._by_request.get(parent)) is not None and not self._is_dropped(cell):
            self._told_of(cell, channel, message)
            self.on_change()

    def _is_dropped(self, cell: Cell) -> bool:
        """Whether a cell comes after the one with which the notebook ended."""
        return self._over is not None and self._over.done() and cell.number > self._at + 1

    def _told_of(self, cell: Cell, channel: str, message: dict[str, Any]) -> None:
        kind = message["msg_type"]
        if channel == "shell":
            if kind != "execute_reply":
                return
            cell.reply = self._book.replied(message, cell.node, cell.index)
        else:
            state = message["content"].get("execution_state") if kind == "status" else None
            if cell.ended is None and cell.began is None and (state == "busy" or kind == "execute_input"):
                self._begin(cell, message["header"]["date"])
            # Output of a thread that outlives its cell belongs to the cell still.
            self._book.take(message, cell.node, cell.index)
            if state == "idle":
                cell.ended = message["header"]["date"]
        if cell.reply is not None and cell.ended is not None and cell is self.current:
            self._end(cell)

    def _begin(self, cell: Cell, at: datetime) -> None:
        cell.began = at
        if self._kernel.ahead:
            # Not when it is sent: it may never be reached.
            self._book.begin(cell.node)
        self._marks.began(cell.index, at)
        lines = (text.strip() for text in cell.node.source.splitlines())
        self._emit(CellStarted(cell.index, cell.number, next(line for line in lines if line)[:_LINE]))

    def _end(self, cell: Cell) -> None:
        assert cell.reply is not None
        assert cell.ended is not None
        status = cell.reply["content"].get("status")
        if status in ("aborted", "abort"):
            # It was not begun: the cell before it was interrupted, and went on as if it had not been.
            if self._over is not None and not self._over.done():
                self._over.set_result(None)
            return
        if cell.began is None:
            self._begin(cell, cell.ended)
        raised = status == "error" and not self._book.may_raise(cell.node)
        error = CellRaised(cell) if raised else None
        stops = error is not None and not error.exited()
        self._marks.ended(cell.index, cell.ended, failed=raised, raised=raised)
        self._finish(cell, cell.ended, failed=stops)
        assert self._over is not None
        if error is not None:
            self._fail(error)
        elif self._at + 1 < len(self.cells):
            self._at += 1
            self._send()
        elif not self._over.done():
            self._over.set_result(None)

    def _finish(self, cell: Cell, at: datetime, *, failed: bool) -> None:
        assert cell.began is not None
        self._emit(CellFinished(cell.index, cell.number, max(0.0, (at - cell.began).total_seconds()), failed=failed))

    def _die(self) -> None:
        """The kernel is gone."""
        self._book.seal()
        self._dead = self._kernel.how_it_died()
        cell = self.current
        if cell is not None and cell.began is not None and cell.ended is None:
            cell.ended = datetime.now(UTC)
            self._marks.ended(cell.index, cell.ended, failed=True)
            self._finish(cell, cell.ended, failed=True)
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(self._dead)
        self._fail(self._dead)

    def _fail(self, error: Exception) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_exception(error)

    def stopped(self) -> None:
        """The cells are given up: mark the one that was executed."""
        self._book.seal()
        cell = self.current
        if cell is not None and cell.began is not None and cell.ended is None:
            cell.ended = datetime.now(UTC)
            self._marks.ended(cell.index, cell.ended, failed=True)
