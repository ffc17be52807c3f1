"""Uvicorn's HTTP with two limits that it leaves to proxies: how large the head of a request may be, and how long it may
take to come. Without them, whoever connects may fill the memory by one header, and hold connections by sending none.
"""

from asyncio import TimerHandle
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_SECONDS = 30.0
"""How long the head of a request may take, from its first byte on, and from a connection to its first byte."""


class BoundedHttp(HttpToolsProtocol):
    """Answers 431 to a head over ``head_bytes`` and closes the connection; 408, where it does not come in time."""

    head_bytes = 64 * 1024
    head_seconds = HEAD_SECONDS
    _head = 0
    """Bytes of a head that has not come to its end, those aside that it began with."""
    _in_head = False
    _late: TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:  # noqa: D102
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:  # noqa: D102
        before = self._in_head
        super().data_received(data)
        # The parser tells of a header when it is whole: what it holds back is known by what it was given.
        if before and self._in_head and not self.transport.is_closing():
            self._head += len(data)
            if self._head > self.head_bytes:
                self._refuse(431)

    def on_message_begin(self) -> None:  # noqa: D102
        super().on_message_begin()
        self._in_head = True
        if self._late is None:  # another request on the same connection
            self._wait_for_head()

    def on_headers_complete(self) -> None:  # noqa: D102
        self._head_came()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.head_bytes:
            self._refuse(431)
        elif not self.transport.is_closing():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:  # noqa: D102
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:  # noqa: D102
        if not self.transport.is_closing():
            super().on_message_complete()

    def _wait_for_head(self) -> None:
        self._late = self.loop.call_later(self.head_seconds, self._refuse, 408)

    def _head_came(self) -> None:
        self._in_head, self._head = False, 0
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _refuse(self, status: int) -> None:
        self._head_came()
        if self.transport.is_closing():
            return
        if getattr(self.cycle, "response_complete", True):  # else the answer before is still on its way
            self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()


def bounded_http(head_kb: int) -> type[BoundedHttp]:
    """The protocol whose heads may have so many KiB."""
    return type("BoundedHttp", (BoundedHttp,), {"head_bytes": head_kb * 1024})
