"""Schedules on the wire."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, Field, JsonValue

from pressroom.executions.options import ExecutionDefaults
from pressroom.executions.schemas import Parameters
from pressroom.executions.states import RetryOn, Status
from pressroom.wire import (
    MAX_ID,
    Name,
    StorableObject,
    Text,
    Timestamp,
    Username,
    WireInput,
    WireModel,
    WireUpdate,
    example,
)


class Missed(StrEnum):
    """What becomes of the ticks that came while nothing could fire them: none of them fires, the last one does if it is
    the newest tick, or all, up to ``missed_limit``."""

    SKIP = "skip"
    LAST = "last"
    ALL = "all"


class Overlap(StrEnum):
    """What becomes of a tick while the execution of an earlier one is under way: its own waits in the queue as usual,
    there is none, or the earlier ones are cancelled."""

    QUEUE = "queue"
    SKIP = "skip"
    CANCEL_RUNNING = "cancel_running"


class Outcome(StrEnum):
    """What became of a tick."""

    FIRED = "fired"
    MISSED = "missed"
    SKIPPED = "skipped"
    REFUSED = "refused"


def _near(moment: datetime) -> datetime:
    """``moment``, if it lies in years whose clocks are known."""
    if not datetime(1970, 1, 2, tzinfo=UTC) <= moment < datetime(9990, 1, 1, tzinfo=UTC):
        raise ValueError("must lie in the years 1970 to 9989")
    return moment.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_near)]
CronText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=255,
        description="Five fields (minute, hour, day of month, month, day of week), or @hourly, @daily, @weekly, "
        "@monthly, @yearly.",
        examples=["0 6 1 * *"],
    ),
]
ZoneName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=100,
        description="The IANA time zone in which the expression is read.",
        examples=["Europe/Berlin"],
    ),
]
MissedLimit = Annotated[
    int, Field(ge=1, le=1000, description="With `missed` = `all`: how many of them fire at most, the newest.")
]
Jitter = Annotated[
    float,
    Field(ge=0, le=3600, description="Each tick fires up to so many seconds later, by chance; `scheduled_at` stays."),
]
Templates = Annotated[
    StorableObject,
    Field(
        description="Values of the notebook's parameters, by name. A text may use the tick: `{{ previous_month }}`, "
        "`{{ scheduled_at | add_days(-1) | date }}`.",
        repr=False,
        examples=[{"region": "EMEA", "month": "{{ previous_month }}"}],
    ),
]
Kernel = Annotated[Text, Field(min_length=1, max_length=255)]


class ScheduleCreate(ExecutionDefaults):
    """A notebook that is to be executed at certain times."""

    notebook_id: int = Field(ge=1, le=MAX_ID)
    name: Name = Field(description="What people call it; each user's have different names.")
    cron: CronText
    timezone: ZoneName = "UTC"
    parameters: Parameters
    description: Text | None = None
    username: Username | None = Field(
        default=None, description="Whose it is, and who submits its executions; if left out, the caller."
    )
    starts_at: Moment | None = Field(default=None, description="No tick before this time.")
    ends_at: Moment | None = Field(default=None, description="No tick after this time.")
    missed: Missed = Missed.LAST
    missed_limit: MissedLimit = 100
    overlap: Overlap = Overlap.QUEUE
    jitter_seconds: Jitter = 0
    paused: bool = False
    kernel_name: Kernel | None = Field(default=None, description="The kernel to use; if left out, the notebook's own.")


class ScheduleUpdate(ExecutionDefaults, WireUpdate):
    """The fields of a schedule to change; those left out stay as they are. Of how its executions are queued, limited
    and retried, `null` goes back to what the notebook says."""

    notebook_id: int = Field(default=0, ge=1, le=MAX_ID)
    name: Name = Field(default_factory=str)
    cron: CronText = ""
    timezone: ZoneName = ""
    parameters: Templates = Field(default_factory=dict)
    description: Text | None = None
    username: Username = Field(default_factory=str)
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    missed: Missed = Missed.LAST
    missed_limit: MissedLimit = 100
    overlap: Overlap = Overlap.QUEUE
    jitter_seconds: Jitter = 0
    paused: bool = False
    kernel_name: Kernel | None = None


HOW = (*ExecutionDefaults.model_fields, "kernel_name")
"""The fields that say how its executions are queued, limited and retried."""
_TIME = "2026-10-31T08:00:00.000000Z"
_NEXT = "2026-11-01T05:00:00.000000Z"


class ScheduleOut(WireModel):
    """A schedule. The values of its secret parameters are not shown."""

    model_config = example(
        id=1,
        notebook_id=1,
        username="ana",
        name="Monthly sales",
        description=None,
        cron="0 6 1 * *",
        timezone="Europe/Berlin",
        parameters={"region": "EMEA", "month": "{{ previous_month }}"},
        starts_at=None,
        ends_at=None,
        missed="last",
        missed_limit=100,
        overlap="queue",
        jitter_seconds=0,
        paused=False,
        next_at=_NEXT,
        fire_at=_NEXT,
        created_by="ana",
        created_at=_TIME,
        updated_at=_TIME,
        queue="reports",
        priority=None,
        timeout_seconds=900,
        memory_mb=None,
        cpu_seconds=None,
        max_processes=None,
        max_attempts=None,
        retry_on=None,
        retry_delay_seconds=None,
        notebook_limit=None,
        user_limit=None,
        queue_limit=None,
        late_after_seconds=None,
        kernel_name=None,
    )
    id: int
    notebook_id: int
    username: str
    name: str
    description: str | None
    cron: str
    timezone: str
    parameters: dict[str, JsonValue]
    starts_at: Timestamp | None
    ends_at: Timestamp | None
    missed: Missed
    missed_limit: int
    overlap: Overlap
    jitter_seconds: float
    paused: bool
    next_at: Timestamp | None = Field(description="The next tick; null while it is paused, and after the last one.")
    fire_at: Timestamp | None = Field(description="When that tick fires: then, or later by some of the jitter.")
    created_by: str
    created_at: Timestamp
    updated_at: Timestamp
    queue: str | None
    priority: int | None
    timeout_seconds: float | None
    memory_mb: int | None
    cpu_seconds: float | None
    max_processes: int | None
    max_attempts: int | None
    retry_on: list[RetryOn] | None
    retry_delay_seconds: float | None
    notebook_limit: int | None
    user_limit: int | None
    queue_limit: int | None
    late_after_seconds: float | None
    kernel_name: str | None


def out(row: Any) -> ScheduleOut:
    """A row as it is answered."""
    of_row = {name: getattr(row, name) for name in ScheduleOut.model_fields if name not in HOW}
    return ScheduleOut.model_validate(dict.fromkeys(HOW) | row.how | of_row)


class TickOut(WireModel):
    """What became of one tick."""

    model_config = example(
        schedule_id=1,
        scheduled_at=_NEXT,
        outcome="fired",
        execution_id=17,
        execution_status="success",
        message=None,
        at="2026-11-01T05:00:00.041273Z",
    )
    schedule_id: int
    scheduled_at: Timestamp
    outcome: Outcome
    execution_id: int | None = Field(
        description="The execution that was made for it; of a skipped one, the execution that was under way."
    )
    execution_status: Status | None
    message: str | None = Field(description="Why there is no execution, or who had it run by hand.")
    at: Timestamp = Field(description="When that was decided.")


class RunWanted(WireInput):
    """An execution of a schedule now."""

    scheduled_at: Moment | None = Field(
        default=None, description="The time, not ahead, that its parameters are made for; if left out, now."
    )


class BackfillWanted(WireInput):
    """Executions for all ticks of a range of time, as one batch."""

    from_: Moment = Field(alias="from", description="The first tick is this, or the next after it.")
    to: Moment = Field(description="The last tick is this, or the one before it.")
    in_order: bool = Field(default=False, description="Each starts when all before it have ended.")
    concurrency_limit: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="How many of them run at once at most."
    )
    stop_after_failures: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="After so many failures, nothing more starts."
    )
