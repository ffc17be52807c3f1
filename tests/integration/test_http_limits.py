"""What a request may be made of, and how long it may take to come: tried over a socket."""

import re
import socket
import time
from typing import Any

import pytest

from pressroom.http_protocol import BoundedHttp
from pressroom.settings import Settings

CHUNKED = (
    b"POST /execute HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
)
GET = b"GET /problems/invalid HTTP/1.1\r\nHost: 127.0.0.1\r\n"


class Talk:
    """A connection to the service, on which anything may be said."""

    def __init__(self, service: Any) -> None:
        self._socket = socket.create_connection(("127.0.0.1", int(service.url.rsplit(":", 1)[1])), timeout=20)

    def __enter__(self) -> "Talk":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def say(self, *pieces: bytes) -> bool:
        """Send ``pieces``; whether the service still took the last one."""
        try:
            for piece in pieces:
                self._socket.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def status(self) -> int | None:
        """The status of the next answer; ``None`` where the connection ended before it came."""
        got = b""
        try:
            while b"\r\n\r\n" not in got:
                if not (more := self._socket.recv(65536)):
                    return None
                got += more
            head, _, body = got.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            while length and len(body) < int(length[1]):
                body += self._socket.recv(65536)
        except ConnectionResetError:
            return None
        return int(got.split()[1])

    def statuses(self, count: int) -> list[bytes]:
        """Those of the next ``count`` answers, or of the fewer that came before the connection ended."""
        got = b""
        while len(found := re.findall(rb"HTTP/1.1 (\d+)", got)) < count and (more := self._socket.recv(65536)):
            got += more
        return found

    def ended(self) -> bool:
        """Whether the service closes the connection, within the time-out."""
        try:
            while self._socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True


LARGE = {
    "one header": [GET, b"X-Large: ", b"x" * 70_000, b"\r\n\r\n"],
    "many headers": [GET, *(b"X-%d: some text\r\n" % number for number in range(10_000)), b"\r\n"],
    "a long path": [b"GET /", b"x" * 70_000, b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"],
    "a long query": [b"GET /problems/invalid?", b"x" * 70_000, b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"],
    "a long cookie in pieces": [GET, b"Cookie: ", *[b"x" * 1000] * 70, b"\r\n\r\n"],
}


@pytest.mark.parametrize("what", LARGE)
def test_a_head_over_the_limit_is_refused_and_the_service_goes_on(service: Any, what: str) -> None:
    with Talk(service) as talk:
        talk.say(*LARGE[what])
        # Where it closes the connection while more is on its way, the answer may be lost.
        assert talk.status() in (431, None)
        assert talk.ended()
    with Talk(service) as talk:
        talk.say(b"".join(LARGE[what]))
        assert talk.status() in (431, None)
    with Talk(service) as talk:
        talk.say(GET, b"X-Large: ", b"x" * 60_000, b"\r\n\r\n")
        assert talk.status() == 200


def test_a_head_that_never_ends_fills_no_memory(service: Any) -> None:
    """It is refused after about the limit, however much was to come."""
    with Talk(service) as talk:
        talk.say(GET, b"X-Endless: ")
        taken = 0
        while talk.say(b"x" * 65536) and taken < 2**30:
            taken += 65536
        assert taken < 64 * 2**20  # what the system's own buffers hold


def test_requests_that_follow_each_other_on_a_connection_have_each_a_limit_of_their_own(service: Any) -> None:
    body = b'{"input_path": "' + b"x" * 300_000 + b'"}'
    head = b"POST /execute HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with Talk(service) as talk:
        for _ in range(3):
            assert talk.say(head % len(body) + body)
            assert talk.status() == 422
            assert talk.say(GET + b"X-Large: " + b"x" * 50_000 + b"\r\n\r\n")
            assert talk.status() == 200


@pytest.mark.parametrize(
    "said", [b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n"]
)
def test_what_is_no_http_is_400(service: Any, said: bytes) -> None:
    with Talk(service) as talk:
        talk.say(said)
        assert talk.status() == 400
        assert talk.ended()


@pytest.mark.parametrize(
    "begun", [b"", b"GET /problems/invalid HTTP/1.1\r\nHost: 127", GET], ids=["nothing", "a part", "a line"]
)
def test_a_head_that_does_not_come_in_time_is_waited_for_no_longer(
    service: Any, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    """A byte now and then does not hold the connection either."""
    monkeypatch.setattr(BoundedHttp, "head_seconds", 0.5)
    began = time.monotonic()
    with Talk(service) as talk:
        talk.say(begun)
        while begun and time.monotonic() - began < 0.3 and talk.say(b"x"):
            time.sleep(0.05)
        assert talk.status() == 408
        assert talk.ended()
        assert 0.3 < time.monotonic() - began < 10


def test_who_said_all_in_time_may_be_answered_late(service: Any, monkeypatch: pytest.MonkeyPatch, home: Any) -> None:
    """The time is that of the head: neither an execution nor the time between two requests counts."""
    monkeypatch.setattr(BoundedHttp, "head_seconds", 0.5)
    path = pytest.write_notebook(home / "slow.ipynb", "import time; time.sleep(1)")  # type: ignore[attr-defined]
    body = b'{"input_path": "%s"}' % str(path).encode()
    head = b"POST /execute HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with Talk(service) as talk:
        talk.say(head % len(body) + body)
        assert talk.status() == 200
        time.sleep(0.7)
        talk.say(GET + b"\r\n")
        assert talk.status() == 200


@pytest.fixture
def slow(home: Any) -> bytes:
    """A request whose answer takes longer than a head may."""
    path = pytest.write_notebook(home / "slow.ipynb", "import time; time.sleep(1.5)")  # type: ignore[attr-defined]
    body = b'{"input_path": "%s"}' % str(path).encode()
    head = b"POST /execute HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


@pytest.mark.parametrize("queued", [0, 2])
def test_a_head_that_waits_for_the_answers_before_it_cuts_none(
    service: Any, monkeypatch: pytest.MonkeyPatch, slow: bytes, queued: int
) -> None:
    """Nor does its own time begin before theirs has ended; then it does."""
    monkeypatch.setattr(BoundedHttp, "head_seconds", 1)
    with Talk(service) as talk:
        talk.say(slow + (GET + b"\r\n") * queued + GET)
        assert talk.statuses(1 + queued) == [b"200"] * (1 + queued)
        talk.say(b"\r\n" + GET)
        assert talk.statuses(2) == [b"200", b"408"]
        assert talk.ended()


def test_who_reads_a_refusal_may_send_the_rest_of_the_body_for_so_long(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that was refused and trickles in does not hold the connection."""
    monkeypatch.setattr(BoundedHttp, "head_seconds", 0.5)
    began = time.monotonic()
    with Talk(service) as talk:
        talk.say(b"POST /execute HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000000\r\n\r\n")
        assert talk.status() == 413
        while talk.say(b"x"):
            assert time.monotonic() - began < 10
            time.sleep(0.05)


@pytest.mark.parametrize("trailer", [b"Authorization: Bearer wrong", b"Host: elsewhere.example"])
def test_what_follows_a_body_is_none_of_its_headers(service: Any, trailer: bytes) -> None:
    with Talk(service) as talk:
        for _ in range(2):
            talk.say(CHUNKED + trailer + b"\r\n\r\n")
            assert talk.status() == 422


@pytest.mark.parametrize("piece", [b"x" * 65536, b"X-One: some text\r\n" * 1000], ids=["one", "many"])
def test_headers_after_a_body_that_never_end_fill_no_memory(service: Any, piece: bytes) -> None:
    with Talk(service) as talk:
        talk.say(CHUNKED, b"X-Endless: ")
        taken = 0
        while talk.say(piece) and taken < 2**30:
            taken += len(piece)
        assert taken < 64 * 2**20  # what the system's own buffers hold


@pytest.fixture
def small_heads(settings: Settings) -> None:
    settings.max_header_kb = 8


@pytest.mark.usefixtures("small_heads")
def test_a_body_between_two_heads_counts_as_neither(service: Any) -> None:
    body = b'{"input_path": "' + b"x" * 20_000 + b'"}'
    with Talk(service) as talk:
        talk.say(b"POST /execute HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n")
        time.sleep(0.2)  # so that what follows is a piece of its own
        talk.say(b"Content-Length: %d\r\n\r\n" % len(body) + body + GET)
        assert talk.statuses(1) == [b"422"]
        talk.say(b"\r\n")
        assert talk.statuses(1) == [b"200"]


@pytest.mark.parametrize("path", [b"/db/notebooks", b"/upload-notebook", b"/db/notebooks/1/executions"])
def test_a_stranger_is_refused_before_a_body_is_read(service: Any, path: bytes) -> None:
    """The body that is announced never comes: the answer does not wait for it."""
    with Talk(service) as talk:
        talk.say(b"POST " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer wrong\r\n")
        talk.say(b"Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n[")
        assert talk.status() == 401
