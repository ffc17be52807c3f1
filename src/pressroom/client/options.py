"""What may be said with an execution, as keyword arguments of the clients' methods."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict

from pydantic import JsonValue

from pressroom.executions.states import RetryOn


class HowOptions(TypedDict, total=False):
    """How an execution is queued, limited and retried; what is left out is the notebook's or the service's to say."""

    output_path: str | Path | None
    """Where the executed notebook goes; else a new name under ``executions/`` beside the input."""
    username: str | None
    """Whom to act as."""
    in_place: bool
    """Replace the input by the executed notebook."""
    kernel_name: str | None
    """The kernel; else the notebook's own."""
    timeout_seconds: float | None
    """Time limit of each attempt, waiting for a place not counted."""
    memory_mb: int | None
    """Memory of the kernel and all that it starts, in MiB, at most."""
    cpu_seconds: float | None
    """Processor time of the kernel and all that it starts, at most."""
    max_processes: int | None
    """Processes and threads at once, at most."""
    queue: str | None
    """The queue to wait in."""
    priority: int | None
    """Higher ones start first."""
    max_attempts: int | None
    """How often it is tried at most."""
    retry_on: Sequence[RetryOn | str] | None
    """After which ends it is tried again: ``worker_lost``, ``timed_out``, ``any_failure``."""
    retry_delay_seconds: float | None
    """Before the second attempt; doubled before each later one. None where the first lost its worker."""
    notebook_limit: int | None
    """It starts only while fewer executions of this notebook run."""
    user_limit: int | None
    """It starts only while fewer executions of its user run."""
    queue_limit: int | None
    """It starts only while fewer executions of its queue run."""
    late_after_seconds: float | None
    """It is late if it has not ended so long after it was submitted."""
    expires_at: datetime | None
    """It is cancelled if it has not started by then; a time without a zone is this machine's."""


class Options(HowOptions, total=False):
    """The same, of one that is submitted by itself."""

    idempotency_key: str | None
    """The same key and request give the same execution, however often they are sent."""


class BulkOrder(HowOptions, total=False):
    """One execution of many: a registered notebook, or the path of one."""

    notebook_id: int
    input_path: str | Path
    parameters: Mapping[str, JsonValue]


def body(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request that ``options`` make; a key is none of them. Raises ``ValueError`` for options that
    exclude each other."""
    fields = {name: value for name, value in options.items() if value is not None and name != "idempotency_key"}
    if fields.get("in_place") is False:
        del fields["in_place"]
    if "output_path" in fields and "in_place" in fields:
        raise ValueError("give either output_path or in_place")
    for name in ("output_path", "input_path"):
        if name in fields:
            fields[name] = str(fields[name])
    if "retry_on" in fields:
        fields["retry_on"] = [str(reason) for reason in fields["retry_on"]]
    if "expires_at" in fields:
        fields["expires_at"] = fields["expires_at"].astimezone().isoformat()
    return fields
