"""Structured logs: every program of Pressroom writes the same lines, whoever logs.

All goes through the standard library's ``logging``: this package's loggers, Uvicorn's, Procrastinate's, SQLAlchemy's.
One handler writes each record to the standard error, as JSON or for a person to read, with the ids that :func:`context`
bound around it and those of the current trace. A log holds no query strings, no values of parameters, no local
variables and no rows of tables.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from contextlib import AbstractContextManager
from typing import Any, cast

import structlog
from opentelemetry import trace
from structlog.contextvars import bind_contextvars, bound_contextvars, merge_contextvars
from structlog.processors import ExceptionRenderer, JSONRenderer, TimeStamper
from structlog.stdlib import (
    BoundLogger,
    PositionalArgumentsFormatter,
    ProcessorFormatter,
    add_log_level,
    filter_by_level,
)
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import Processor

from pressroom.errors import shown
from pressroom.settings import Settings

_OURS = ("pressroom", "uvicorn", "procrastinate")
"""Whose debug messages are wanted; other libraries' may hold headers, signatures and rows."""
_TALKATIVE = ("httpx", "httpcore", "urllib3")
"""Their messages below warnings name whole addresses, with the secrets in them."""
_DETAILS = re.compile(r"\n(?:DETAIL|CONTEXT):.*?(?=\n\[SQL: |\n\(Background on |\n\n|\Z)", re.DOTALL)
"""What PostgreSQL adds to the sentence of an error: often the row that it refused."""


def configure(settings: Settings) -> None:
    """Log to the standard error from now on, as ``log_format`` and ``log_level`` say. May be called again."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    others = logging.INFO if level == logging.DEBUG else max(level, logging.WARNING)
    root = logging.getLogger()
    for name in (None, "sqlalchemy"):  # which gives itself a level
        logging.getLogger(name).setLevel(others)
    for name in _OURS:
        logging.getLogger(name).setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    for handler in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(handler)
    terminal = sys.stderr.isatty()
    handler = _Handler(sys.stderr)
    format_ = settings.log_format or ("console" if terminal else "json")
    last = _as_json() if format_ == "json" else _for_a_person(colours=terminal)
    handler.setFormatter(ProcessorFormatter(foreign_pre_chain=_PROCESSORS, processors=last, pass_foreign_args=True))
    root.addHandler(handler)
    logging.captureWarnings(True)
    factory = structlog.stdlib.LoggerFactory()
    structlog.configure(processors=_TO_LOGGING, logger_factory=factory, wrapper_class=BoundLogger)


def logger(name: str) -> BoundLogger:
    """The logger ``name`` of the standard library, which takes fields as keyword arguments.

    Before :func:`configure` it behaves as the standard library's does.
    """
    wrapped = structlog.wrap_logger(logging.getLogger(name), processors=_TO_LOGGING, wrapper_class=BoundLogger)
    return cast("BoundLogger", wrapped)


def context(
    *,
    execution_id: int | None = None,
    attempt: int | None = None,
    worker: str | None = None,
    request_id: str | None = None,
) -> AbstractContextManager[None]:
    """Put these ids into every line that is logged inside, also by tasks and threads that are started inside.

    ``attempt`` is the attempt's number, ``worker`` the worker's name. What is left out stays as it is.
    """
    ids = {"execution_id": execution_id, "attempt": attempt, "worker": worker, "request_id": request_id}
    return bound_contextvars(**{name: value for name, value in ids.items() if value is not None})


def about(execution_id: int) -> None:
    """Put the id of an execution into every line that the request or task at work logs from now on."""
    bind_contextvars(execution_id=execution_id)


class _Handler(logging.StreamHandler[Any]):
    """The handler of :func:`configure`, to be known by its class when it is called again."""


Line = MutableMapping[str, Any]


def _to_record(_: object, __: str, line: Line) -> tuple[tuple[str], dict[str, Any]]:
    """From structlog to the standard library: the fields travel in one attribute, so that none can break a record."""
    given = {name: line.pop(name) for name in ("exc_info", "stack_info", "stacklevel") if name in line}
    event = str(line.pop("event"))
    return (event,), {**given, "extra": {"fields": dict(line)}}


def _fields(_: object, __: str, line: Line) -> Line:
    record: logging.LogRecord = line["_record"]
    args = line.pop("positional_args", None)
    line["logger"] = record.name
    line.update(getattr(record, "fields", {}))
    if record.name == "uvicorn.access" and isinstance(args, tuple) and len(cast("tuple[Any, ...]", args)) == 5:
        client, method, path, _version, status = cast("tuple[Any, ...]", args)
        line.update(event="access", client=client, method=method, path=str(path).partition("?")[0], status=status)
    elif record.name.startswith("procrastinate"):
        _job_fields(record, line)
    return line


def _job_fields(record: logging.LogRecord, line: Line) -> None:
    """Of what Procrastinate tells of a job, all but its arguments and its result."""
    job: dict[str, Any] = getattr(record, "job", None) or {}
    if "call_string" in job:
        event = line["event"].replace(job["call_string"], f"{job['task_name']}[{job['id']}]")
        line["event"] = event.partition(" - Result: ")[0]
        line.update(job_id=job["id"], task=job["task_name"], queue=job["queue"])
    if action := getattr(record, "action", None):
        line["action"] = action


def _trace_ids(_: object, __: str, line: Line) -> Line:
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        line["trace_id"] = trace.format_trace_id(span.trace_id)
        line["span_id"] = trace.format_span_id(span.span_id)
    return line


def without_details(text: str) -> str:
    """``text`` of an error of PostgreSQL without the rows and values that it shows."""
    return _DETAILS.sub("", text)


def _no_details(_: object, __: str, line: Line) -> Line:
    if isinstance(exception := line.get("exception"), str):
        line["exception"] = without_details(exception)
    elif exception is not None:
        _strip(exception)
    return line


def _strip(exceptions: list[dict[str, Any]]) -> None:
    for exception in exceptions:
        exception["exc_value"] = without_details(exception["exc_value"])
        for frame in exception["frames"]:
            frame.pop("locals", None)
        _strip(exception.get("exceptions") or [])


def _printable(_: object, __: str, line: Line) -> Line:
    for name, value in line.items():
        if isinstance(value, str) and name not in ("exception", "timestamp"):
            line[name] = shown(value.strip(), 10_000)
    return line


def _as_json() -> list[Processor]:
    exceptions = ExceptionRenderer(ExceptionDictTransformer(show_locals=False, max_frames=50))
    return [exceptions, _no_details, ProcessorFormatter.remove_processors_meta, JSONRenderer()]


def _for_a_person(*, colours: bool) -> list[Processor]:
    console = structlog.dev.ConsoleRenderer(
        colors=colours, pad_event_to=30, exception_formatter=structlog.dev.plain_traceback
    )
    clean = ProcessorFormatter.remove_processors_meta
    return [structlog.processors.format_exc_info, _no_details, _printable, clean, console]


_TO_LOGGING: list[Processor] = [filter_by_level, PositionalArgumentsFormatter(), _to_record]
_PROCESSORS: list[Processor] = [TimeStamper(fmt="iso", utc=True), add_log_level, _fields, merge_contextvars, _trace_ids]
