"""The walk along an execution's events, over as many connections as it takes. The clients differ only in how they read
and wait."""

import random
import time
from json import loads
from typing import Any

import httpx

from pressroom.client.calls import raise_for_problem
from pressroom.errors import Unavailable
from pressroom.executions.event_schemas import ExecutionEvent, Standing, event_of

GIVE_UP_SECONDS = 300.0
"""How long a service may be away while its executions are followed, unless the client says."""
SILENT_SECONDS = 45.0
"""A stream says something every 15 s; after so long it counts as lost."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_AWAY = (502, 503, 504)


class Frames:
    """Takes a stream of Server-Sent Events apart. Lines end with LF or CRLF, and with nothing else: texts may hold the
    other characters that end lines in Python."""

    def __init__(self) -> None:
        self._rest = b""
        self._fields: dict[str, list[str]] = {}

    def take(self, chunk: bytes) -> list[tuple[str, dict[str, Any], int | None]]:
        """The kind, the data and the id of each event that ``chunk`` completes."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        found: list[tuple[str, dict[str, Any], int | None]] = []
        for line in lines:
            text = line.decode().removesuffix("\r")
            if text:
                name, _, value = text.partition(":")
                self._fields.setdefault(name, []).append(value.removeprefix(" "))
                continue
            fields, self._fields = self._fields, {}
            if "data" in fields:
                event_id = int(fields["id"][-1]) if "id" in fields else None
                found.append((fields.get("event", ["message"])[-1], loads("\n".join(fields["data"])), event_id))
        return found


class Walk:
    """One walk: where it is, whether it is over, and how long to wait before the next connection.

    ``give_up_seconds``: how long the service may be away. ``after``: the id of the last event that is known already.
    """

    def __init__(self, execution_id: int, after: int | None, give_up_seconds: float) -> None:
        self.path = f"/db/executions/{execution_id}/events"
        self.over = False
        self._after, self._give_up = after, give_up_seconds
        self._frames = Frames()
        self._ended = False
        self._heard = time.monotonic()
        self._pause = _FIRST_PAUSE
        self._lost: Unavailable | None = None

    def request(self, timeout: float) -> dict[str, Any]:
        """The keyword arguments of ``httpx.Client.stream``; ``timeout`` is that of other requests, in seconds."""
        headers = {"Accept": "text/event-stream"}
        if self._after is not None:
            headers["Last-Event-ID"] = str(self._after)
        silent = httpx.Timeout(timeout, read=SILENT_SECONDS)
        return {"method": "GET", "url": self.path, "headers": headers, "timeout": silent}

    def opened(self, response: httpx.Response) -> None:
        """A connection was answered; of an answer that is no success the body was read.

        Raises the error of a problem document, and :class:`Unavailable` where the service is away for a while.
        """
        if response.status_code in _AWAY:
            raise Unavailable("service", f"{response.url.host} answers {response.status_code}")
        raise_for_problem(response)
        self._heard = time.monotonic()
        self._frames = Frames()
        self.over = response.status_code == 204

    def take(self, chunk: bytes) -> list[ExecutionEvent]:
        """The events that ``chunk`` completes."""
        found: list[ExecutionEvent] = []
        for kind, data, event_id in self.frames(chunk):
            if event_id is not None:
                self._after, self._pause = event_id, _FIRST_PAUSE
            event = event_of(kind, data, event_id)
            if isinstance(event, Standing):
                self._ended = event.ended
            if event is not None:
                found.append(event)
        return found

    def frames(self, chunk: bytes) -> list[tuple[str, dict[str, Any], int | None]]:
        """The kind, the data and the id of each event that ``chunk`` completes, whatever the stream is of."""
        self._heard = time.monotonic()
        return self._frames.take(chunk)

    def progressed(self, *, ended: bool) -> None:
        """Something was told: the next connection need not wait long. ``ended``: it was the last thing."""
        self._ended, self._pause = ended, _FIRST_PAUSE

    def closed(self) -> None:
        """The service ended the stream: since the execution has ended, or since it stops itself."""
        self.over = self.over or self._ended
        self._lost = Unavailable("service", "it ended the stream before the execution ended")

    def lost(self, error: Unavailable) -> None:
        """The connection failed."""
        self._lost = error

    def pause(self) -> float:
        """Seconds to wait before the next connection. Raises :class:`Unavailable` where it was away for too long."""
        left = self._heard + self._give_up - time.monotonic()
        if left <= 0:
            raise self._lost or Unavailable("service", "it was away for too long")
        pause = min(self._pause * random.uniform(0.5, 1.0), left)  # noqa: S311 - it spreads clients, it guards nothing
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        return pause
