"""Traces: what a receiver that speaks OTLP gets. Each test sends from a process of its own, as OpenTelemetry has one
provider a process.
"""

import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from pressroom import traces

SECRET = "s3cret-value"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@dataclass
class Receiver:
    """A receiver of traces on this machine."""

    url: str
    requests: "queue.Queue[tuple[str, ExportTraceServiceRequest]]"

    def spans(self) -> tuple[dict[str, Span], dict[str, str]]:
        """The spans of the first request by name, and what they say of the process."""
        path, request = self.requests.get(timeout=30)
        assert path == "/v1/traces"
        [resource] = request.resource_spans
        about = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
        return {span.name: span for scope in resource.scope_spans for span in scope.spans}, about


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    received: queue.Queue[tuple[str, ExportTraceServiceRequest]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers.get("Content-Encoding") is None
            received.put((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield Receiver(f"http://127.0.0.1:{server.server_port}", received)
        server.shutdown()


def _run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    logged = "from pressroom import logs; from pressroom.settings import Settings; logs.configure(Settings())\n"
    command = [sys.executable, "-W", "error", "-c", logged + code]
    done = subprocess.run(command, env=clean | environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done


def _attributes(span: Span) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in span.attributes}


def test_an_execution_is_a_span_below_the_request_that_submitted_it(receiver: Receiver) -> None:
    done = _run(
        f"""
import logging
from opentelemetry.trace import SpanKind
from pressroom import traces
assert traces.configure()
with traces.span("submit"):
    carrier = traces.carried()
    logging.getLogger("pressroom.executions").warning("submitted")
assert set(carrier) == {{"traceparent"}}
try:
    facts = {{"pressroom.execution.id": 7, "pressroom.queue": None}}
    with traces.span("execute", carrier, kind=SpanKind.CONSUMER, **facts):
        raise ValueError("{SECRET}")
except ValueError:
    pass
traces.flush()
""",
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
    )
    spans, about = receiver.spans()
    submit, execute = spans["submit"], spans["execute"]
    assert (execute.trace_id, execute.parent_span_id) == (submit.trace_id, submit.span_id)
    assert (submit.parent_span_id, execute.kind) == (b"", Span.SPAN_KIND_CONSUMER)
    assert _attributes(execute) == {"pressroom.execution.id": 7, "error.type": "ValueError"}
    assert execute.status.code == Status.STATUS_CODE_ERROR
    assert SECRET not in str(execute)
    assert about["service.name"] == "pressroom"
    assert f'"trace_id": "{submit.trace_id.hex()}"' in done.stderr


def test_a_request_is_a_span_below_its_callers_without_its_query(receiver: Receiver) -> None:
    _run(
        f"""
import asyncio, httpx
from pressroom import traces
from pressroom.app import create_app
assert traces.configure()
app = create_app(Settings())
app.add_api_route("/boom", lambda: 1 / 0)
app.add_api_route("/things/{{name}}", lambda name: name)
async def main():
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 9))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        await client.get("/health")
        parent = {{"traceparent": "00-{TRACE}-{PARENT}-01"}}
        assert (await client.get("/things/first?q={SECRET}", headers=parent)).status_code == 200
        assert (await client.get("/boom")).status_code == 500
asyncio.run(main())
traces.flush()
""",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{receiver.url}/v1/traces",
        OTEL_SERVICE_NAME="reports",
    )
    spans, about = receiver.spans()
    assert set(spans) == {"GET /things/{name}", "GET /boom"}
    request, boom = spans["GET /things/{name}"], spans["GET /boom"]
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, PARENT)
    assert request.kind == Span.SPAN_KIND_SERVER
    assert _attributes(request) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/things/{name}",
        "url.path": "/things/first",
        "url.scheme": "http",
        "client.address": "127.0.0.1",
    }
    assert (boom.status.code, _attributes(boom)["error.type"]) == (Status.STATUS_CODE_ERROR, "500")
    assert SECRET not in str(request)
    assert about["service.name"] == "reports"


def test_without_the_extra_the_log_says_what_is_missing() -> None:
    done = _run(
        """
import sys
sys.modules["opentelemetry.sdk"] = None
from pressroom import traces
assert not traces.configure()
with traces.span("submit"):
    assert traces.carried() is None
traces.flush()
""",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
    )
    assert "pip install 'pressroom[otel]'" in done.stderr


def test_where_nothing_is_configured_the_sdk_is_not_even_imported() -> None:
    done = _run(
        """
import sys
from pressroom import traces
assert not traces.configure()
print("opentelemetry.sdk" in sys.modules)
"""
    )
    assert (done.stdout.strip(), done.stderr) == ("False", "")


def test_a_receiver_that_does_not_answer_does_not_hold_up_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        started = time.monotonic()
        _run(
            'from pressroom import traces; traces.configure()\nwith traces.span("submit"): pass\ntraces.flush(0.2)',
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{deaf.getsockname()[1]}",
        )
        assert time.monotonic() - started < 9, "the exporter itself would wait for 10 s"


def test_a_trace_that_comes_in_is_carried_on_also_by_a_service_that_sends_none() -> None:
    carrier = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    with traces.span("execute", carrier):
        assert traces.carried() == carrier
    assert traces.carried() is None
