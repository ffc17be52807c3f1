"""What may be said about how an execution is queued, limited and retried."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AliasChoices, AwareDatetime, Field

from pressroom.executions.states import RetryOn
from pressroom.wire import Text, WireInput

KEY_PATTERN = r"^[\x21-\x7e]+$"
"""What an idempotency key is made of: as many as 255 characters of ASCII, without spaces."""
QueueName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$", examples=["reports"])]
Key = Annotated[str, Field(min_length=1, max_length=255, pattern=KEY_PATTERN)]
Limit = Annotated[int, Field(ge=1, le=100_000)]
YEAR_SECONDS = 31_536_000
MemoryMb = Annotated[int, Field(ge=64, le=16 * 1024**2)]
"""From what a kernel needs for itself to 16 TiB."""
CpuSeconds = Annotated[float, Field(ge=1, le=YEAR_SECONDS)]
Processes = Annotated[int, Field(ge=16, le=1_000_000)]
"""A kernel starts about a dozen threads for itself."""


def _sorted(reasons: list[RetryOn]) -> list[RetryOn]:
    return sorted(set(reasons))


def _readable(moment: datetime) -> datetime:
    """``moment``, if it can be read back from the database, whatever the zone that it is read in."""
    if not datetime(2, 1, 1, tzinfo=UTC) <= moment < datetime(9999, 1, 1, tzinfo=UTC):
        raise ValueError("must lie in the years 2 to 9998")
    return moment


class ExecutionDefaults(WireInput):
    """How executions are queued, limited and retried. A notebook may hold defaults; a caller overrides them."""

    kernel_name: Annotated[Text, Field(min_length=1, max_length=255)] | None = Field(
        default=None, description="The kernel to use; if left out, the one that the file names.", examples=["python3"]
    )
    queue: QueueName | None = Field(default=None, description="The queue to wait in; if left out, `default`.")
    priority: int | None = Field(
        default=None, ge=-1000, le=1000, description="Higher ones start first; if left out, 0."
    )
    timeout_seconds: float | None = Field(
        default=None,
        gt=0,
        le=YEAR_SECONDS,
        description="Time limit of each attempt in seconds, waiting for a place not counted.",
    )
    memory_mb: MemoryMb | None = Field(
        default=None, description="Memory of the kernel and all that it starts, in MiB, at most."
    )
    cpu_seconds: CpuSeconds | None = Field(
        default=None, description="Processor time of the kernel and all that it starts, in seconds, at most."
    )
    max_processes: Processes | None = Field(
        default=None,
        description="Processes and threads at once, at most, those of the kernel itself (about a dozen) included.",
    )
    max_attempts: int | None = Field(
        default=None, ge=1, le=100, description="How often it is tried at most; interruptions by a stop do not count."
    )
    retry_on: Annotated[list[RetryOn], AfterValidator(_sorted)] | None = Field(
        default=None, description="After which ends it is tried again; if left out, when its worker was lost."
    )
    retry_delay_seconds: float | None = Field(
        default=None,
        ge=0,
        le=3600,
        description="Before the second attempt; doubled before each later one, and some more by chance. Where the "
        "worker of the first was lost, the second begins at once.",
    )
    notebook_limit: Limit | None = Field(
        default=None,
        validation_alias=AliasChoices("notebook_limit", "concurrency_limit"),
        description="It starts only while fewer executions of this notebook run. Also spelled `concurrency_limit`.",
    )
    user_limit: Limit | None = Field(default=None, description="It starts only while fewer executions of its user run.")
    queue_limit: Limit | None = Field(
        default=None, description="It starts only while fewer executions of its queue run."
    )
    late_after_seconds: float | None = Field(
        default=None,
        gt=0,
        le=YEAR_SECONDS,
        description="It is late, and `execution.late` is told, if it has not ended so long after it was submitted.",
    )


class HowToExecute(ExecutionDefaults):
    """What every execution request may say beside the notebook and its parameters."""

    expires_at: Annotated[AwareDatetime, AfterValidator(_readable)] | None = Field(
        default=None, description="It is cancelled, as `expired`, if it has not started by then."
    )
