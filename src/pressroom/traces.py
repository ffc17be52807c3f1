"""Traces through OpenTelemetry's API, which does nothing until :func:`configure` finds out where they go.

A request is a span; where it submits an execution, :func:`carried` is stored in the execution's row, and the worker
opens its span with that as the parent. So one trace holds the request and the execution, on whatever machine it ran.
"""

import logging
import os
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_W3C = TraceContextTextMapPropagator()
_VERSION = version("pressroom")
_tracer = trace.get_tracer("pressroom", _VERSION)
log = logging.getLogger("pressroom.traces")


def configure() -> bool:
    """Send traces over OTLP/HTTP, where one of ``ENDPOINTS`` says to; whether they are sent.

    All else is OpenTelemetry's own variables (``OTEL_SERVICE_NAME``, ``OTEL_TRACES_SAMPLER``, ...). Where the extra
    ``pressroom[otel]`` is missing, the log says so. To be called once in a process.
    """
    endpoint = next((name for name in ENDPOINTS if os.environ.get(name)), None)
    if endpoint is None or os.environ.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        log.warning(
            "%s is set, but no traces are sent: %s is not installed; `pip install 'pressroom[otel]'` brings it",
            endpoint,
            error.name,
        )
        return False
    resource = Resource.create({"service.version": _VERSION})
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "pressroom"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)  # it would wait for a receiver that is away
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    log.info("traces are sent to %s", os.environ[endpoint].split("@")[-1].partition("?")[0])
    return True


def flush(seconds: float = 3.0) -> None:
    """Send what has not been sent yet, before the process ends; wait ``seconds`` at most. Blocks: call it in a thread.

    Nothing happens where no traces are sent.
    """
    force_flush = getattr(trace.get_tracer_provider(), "force_flush", None)
    if force_flush is None:
        return
    # The SDK waits for the receiver as long as the exporter does, whatever it is told.
    sending = threading.Thread(target=force_flush, name="traces", daemon=True)
    sending.start()
    sending.join(seconds)


def wanted() -> bool:
    """Whether spans go anywhere: somebody, :func:`configure` perhaps, said where to."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def carried() -> dict[str, Any] | None:
    """The current trace as W3C trace context (``traceparent``, perhaps ``tracestate``); ``None`` outside of any."""
    carrier: dict[str, Any] = {}
    _W3C.inject(carrier)
    return carrier or None


@contextmanager
def span(
    name: str, carrier: Mapping[str, Any] | None = None, *, kind: SpanKind = SpanKind.INTERNAL, **attributes: Any
) -> Generator[Span]:
    """A span around what happens inside, below the current one, or below the one that ``carrier`` tells of.

    ``carrier`` is W3C trace context, as :func:`carried` made it or as a request's headers hold it. Attributes that are
    ``None`` are left out. An exception marks the span as failed with its class only: its text may hold values.
    """
    parent: Context | None = _W3C.extract(carrier) if carrier else None
    given = {key: value for key, value in attributes.items() if value is not None}
    with _tracer.start_as_current_span(
        name, context=parent, kind=kind, attributes=given, record_exception=False, set_status_on_exception=False
    ) as opened:
        try:
            yield opened
        except BaseException as error:
            opened.set_attribute("error.type", type(error).__qualname__)
            opened.set_status(Status(StatusCode.ERROR))
            raise
