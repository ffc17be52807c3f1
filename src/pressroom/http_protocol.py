"""Uvicorn's HTTP with two limits that it leaves to proxies: how large what is no body of a request may be, and how long
a head may take to come. Without them, whoever connects may fill the memory by one header, and hold connections by
sending none.
"""

from asyncio import TimerHandle
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_SECONDS = 30.0
"""How long the head of a request may take: from a connection on, or from the first byte after the last answer."""


class BoundedHttp(HttpToolsProtocol):
    """Answers 431 to a head over ``head_bytes`` and closes the connection; 408, where it does not come in time.

    Headers that follow a chunked body are none of the request's: they came after the head by which it was judged.
    """

    head_bytes = 64 * 1024
    head_seconds = HEAD_SECONDS
    _in_head = False
    _heard = False
    """Whether what came last brought a whole head, a part of a body, or its end."""
    _unheard = 0
    """Bytes since then that brought none of these."""
    _late: TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:  # noqa: D102
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:  # noqa: D102
        self._heard = False
        super().data_received(data)
        if self.transport.is_closing():
            return
        # The parser tells of a header when it is whole: what it holds back is known by what it was given.
        self._unheard = 0 if self._heard else self._unheard + len(data)
        if self._unheard > self.head_bytes:
            self._refuse(431)
        elif self._late is None and self._all_answered:
            self._wait_for_head()

    def on_message_begin(self) -> None:  # noqa: D102
        super().on_message_begin()
        self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: D102
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:  # noqa: D102
        self._heard = True
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.head_bytes:
            self._refuse(431)
            return
        self._head_came()
        if not self.transport.is_closing():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:  # noqa: D102
        self._heard = True
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:  # noqa: D102
        self._heard = True
        if not self.transport.is_closing():
            super().on_message_complete()

    def on_response_complete(self) -> None:  # noqa: D102
        super().on_response_complete()
        if self._in_head and self._all_answered and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._wait_for_head()

    @property
    def _all_answered(self) -> bool:
        """Whether no answer is on its way: requests are answered in the order in which they came."""
        return getattr(self.cycle, "response_complete", True)  # there is none before the first request

    def _wait_for_head(self) -> None:
        self._late = self.loop.call_later(self.head_seconds, self._refuse, 408)

    def _head_came(self) -> None:
        self._in_head = False
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _refuse(self, status: int) -> None:
        begun = self._in_head or not self.cycle
        self._head_came()
        if self.transport.is_closing():
            return
        if begun and self._all_answered:  # else the answer before is still on its way, or was the last
            self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()


def bounded_http(head_kb: int) -> type[BoundedHttp]:
    """The protocol whose heads may have so many KiB."""
    return type("BoundedHttp", (BoundedHttp,), {"head_bytes": head_kb * 1024})
