"""Whatever bytes stand where a token, a cursor or a key is expected: the service says no, and never fails."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as how
from hypothesis import strategies as st
from joserfc.jwk import RSAKey
from joserfc.util import urlsafe_b64encode

from pressroom.settings import Settings

FUZZED = how(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
KEY = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """An issuer that publishes one key."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = {"keys": [KEY.as_dict(private=False)]}
            if self.path != "/keys":
                said = {"issuer": url, "jwks_uri": f"{url}/keys"}
            body = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield url
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def settings(settings: Settings, issuer: str) -> Settings:
    settings.auth = ["local", "oidc"]
    settings.oidc_issuer = issuer
    settings.refusals_per_minute = 1_000_000
    settings.trusted_proxies = ["127.0.0.1"]
    settings.workers = 0
    return settings


def ask(service: Any, path: bytes, header: bytes = b"", value: bytes = b"", body: bytes | None = None) -> int:
    """The status of the answer to a request with a header of any bytes at all."""
    lines = [b"%s %s HTTP/1.1" % (b"GET" if body is None else b"POST", path), b"Connection: close"]
    lines += [b"Host: 127.0.0.1"] * (header != b"Host")
    lines += [header + b": " + value] * bool(header)
    if body is not None:
        lines += [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
    with socket.create_connection(("127.0.0.1", int(service.url.rsplit(":", 1)[1])), timeout=20) as talk:
        talk.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + (body or b""))
        got = b""
        while more := talk.recv(65536):
            got += more
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", got)
    assert found is not None, got
    return int(found[1])


def encoded(value: Any) -> bytes:
    return urlsafe_b64encode(json.dumps(value).encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
HEADERS = JSON | st.fixed_dictionaries(
    {"alg": st.sampled_from(["RS256", "none", "HS256", "PS256"]) | JSON},
    optional={name: JSON | st.just("rsa") for name in ("kid", "typ", "crit", "b64", "jwk", "jku", "zip", "enc")},
)
PARTS = HEADERS.map(encoded) | st.binary(max_size=30) | st.binary(max_size=30).map(urlsafe_b64encode)
JWTS = st.lists(PARTS, min_size=2, max_size=5).map(b".".join)
OURS = st.binary(max_size=60).map(lambda tail: b"prs_" + tail) | st.from_regex(
    rb"prs_[A-Za-z0-9_-]{43}", fullmatch=True
)
TOKENS = st.one_of(st.binary(max_size=80), JWTS, OURS, st.from_regex(rb"[0-9a-f]{32}", fullmatch=True))
SCHEMES = st.sampled_from([b"Bearer ", b"bearer  ", b"token ", b"Basic ", b"Digest ", b"", b"Bearer\t"])
NUMBERS = st.integers().map(lambda number: str(number).encode()) | st.from_regex(rb"[-+0-9eE.x_]{1,30}", fullmatch=True)
ANYTHING = st.binary(max_size=80) | st.text(max_size=40).map(lambda text: text.encode())
NO_LINES = re.compile(rb"[\r\n\0]")


@given(SCHEMES, TOKENS)
@example(b"Bearer ", encoded({"alg": "RS256", "kid": "rsa"}) + b"." + encoded({"sub": 1}) + b".AAAA")
@example(b"Bearer ", b"prs_" + "é".encode() * 43)
@example(b"token ", b"." * 2000)
@FUZZED
def test_no_token_is_anybodys(service: Any, scheme: bytes, token: bytes) -> None:
    sent = NO_LINES.sub(b"", scheme + token)
    assert ask(service, b"/db/notebooks", b"Authorization", sent) in (400, 401), sent


@given(ANYTHING)
@FUZZED
def test_bytes_that_break_a_header_fail_nothing(service: Any, sent: bytes) -> None:
    assert ask(service, b"/db/notebooks", b"Authorization", b"Bearer " + sent) in (400, 401), sent


@given(ANYTHING | JWTS)
@FUZZED
def test_no_cookie_lets_anybody_in_or_keeps_them_out(service: Any, sent: bytes) -> None:
    cookie = NO_LINES.sub(b"", sent)
    assert ask(service, b"/db/notebooks", b"Cookie", cookie) in (200, 400, 401), sent


@given(st.sampled_from([b"after", b"skip", b"limit"]), NUMBERS | ANYTHING)
@FUZZED
def test_no_cursor_fails(service: Any, name: bytes, value: bytes) -> None:
    query = name + b"=" + b"".join(b"%%%02x" % byte for byte in value)
    for path in (b"/db/audit", b"/db/executions", b"/db/tokens"):
        assert ask(service, path + b"?" + query) in (200, 422), query


SENT = b'{"input_path": "missing.ipynb"}'


@given(st.sampled_from([b"Idempotency-Key", b"Prefer", b"traceparent", b"X-Request-ID"]), ANYTHING | NUMBERS)
@example(b"Prefer", b"wait=" + b"9" * 400)
@example(b"Prefer", b'respond-async; wait="\xff')
@FUZZED
def test_no_key_and_no_preference_fails(service: Any, name: bytes, value: bytes) -> None:
    assert ask(service, b"/execute", name, NO_LINES.sub(b"", value), SENT) in (400, 404, 422), (name, value)


@given(ANYTHING | NUMBERS)
@FUZZED
def test_no_last_event_id_fails(service: Any, value: bytes) -> None:
    sent = NO_LINES.sub(b"", value)
    assert ask(service, b"/db/executions/1/events", b"Last-Event-ID", sent) in (400, 404, 422), sent


@given(st.sampled_from([b"Host", b"Origin", b"X-Forwarded-For", b"X-Forwarded-Proto"]), ANYTHING)
@example(b"X-Forwarded-For", b"[::1")
@example(b"X-Forwarded-For", b"[::1]:x, \xff")
@example(b"Host", b"[")
@FUZZED
def test_nothing_that_says_where_a_request_is_from_fails(service: Any, name: bytes, value: bytes) -> None:
    assert ask(service, b"/db/notebooks", name, NO_LINES.sub(b"", value)) in (200, 400, 403), (name, value)
