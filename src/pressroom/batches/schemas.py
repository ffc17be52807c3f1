"""Batches on the wire."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, JsonValue, model_validator

from pressroom.executions.options import HowToExecute, Limit
from pressroom.executions.schemas import Parameters
from pressroom.parameters.schemas import ParameterName
from pressroom.wire import MAX_ID, Name, Timestamp, Username, WireInput, WireModel, checked, example

MOST_SETS = 1_000_000
Number = Annotated[int | float, Field(union_mode="smart")]
Values = Annotated[list[JsonValue], AfterValidator(checked)]
"""Values that PostgreSQL can keep: a batch keeps them in its plan."""


class Method(StrEnum):
    """How a sample is drawn."""

    RANDOM = "random"
    LATIN_HYPERCUBE = "latin_hypercube"
    SOBOL = "sobol"
    HALTON = "halton"


class Range(WireInput):
    """What one parameter of a sample is drawn from, where its own rules do not say: from ``min`` to ``max``, both
    included, or from ``options``."""

    min: Number | None = None
    max: Number | None = None
    log: bool = Field(default=False, description="As many values between 1 and 10 as between 10 and 100.")
    options: Annotated[Values, Field(min_length=1, max_length=100_000)] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "Range":
        if self.options is not None and (self.min is not None or self.max is not None or self.log):
            raise ValueError("say either options, or min and max")
        return self


class Sample(WireInput):
    """A sample of the notebook's parameters."""

    method: Method = Field(
        default=Method.RANDOM,
        description="`random`: each value by itself. `latin_hypercube`: of each parameter, one value in each of "
        "`count` equal parts of its range. `sobol` and `halton`: sequences that leave no corner empty; that of Sobol "
        "is most even where `count` is a power of two.",
    )
    count: int = Field(ge=1, le=MOST_SETS, description="How many sets of parameters.")
    seed: int | None = Field(
        default=None,
        ge=0,
        lt=2**53,
        description="The same seed gives the same sample. If left out, one is chosen; the batch shows it in `plan`.",
    )
    parameters: Annotated[list[ParameterName], Field(min_length=1, max_length=1000)] | None = Field(
        default=None,
        description="Which parameters are drawn, beside those of `ranges`; if both are left out, all that have `min` "
        "and `max`, or `options`, or are boolean.",
    )
    ranges: Annotated[dict[ParameterName, Range], Field(max_length=1000)] = Field(
        default_factory=dict[str, Range], description="What they are drawn from, where their rules do not say."
    )


class BatchFields(HowToExecute):
    """What a batch is, without its sets of parameters."""

    notebook_id: int = Field(ge=1, le=MAX_ID)
    name: Name | None = Field(default=None, examples=["October, all regions"])
    username: Username | None = Field(
        default=None,
        validation_alias=AliasChoices("username", "user"),
        description="Whom to act as; if left out, the notebook's owner.",
    )
    parameters: Parameters
    notebook_limit: Limit | None = Field(
        default=None, description="Each starts only while fewer executions of this notebook run."
    )
    concurrency_limit: Limit | None = Field(default=None, description="So many of its executions run at once at most.")
    in_order: bool = Field(default=False, description="Each starts when all before it have ended.")
    stop_after_failures: int | None = Field(
        default=None,
        ge=1,
        le=MOST_SETS,
        description="When so many of its executions have failed, nothing more of it starts; what waits is cancelled.",
    )


class BatchCreate(BatchFields):
    """One notebook over many sets of parameters, which are either listed, or the combinations of a grid, or drawn.
    ``parameters`` are those that all sets share; a set overrides them."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "notebook_id": 1,
                "grid": {"region": ["EMEA", "APAC"], "month": ["2026-09", "2026-10"]},
                "concurrency_limit": 4,
            }
        }
    )
    sets: list[dict[str, JsonValue]] | None = Field(
        default=None, max_length=MOST_SETS, repr=False, description="The sets of parameters."
    )
    grid: dict[str, Values] | None = Field(
        default=None,
        max_length=1000,
        repr=False,
        description="The values of each parameter; every combination is executed, and the last name changes fastest.",
    )
    sample: Sample | None = None

    @model_validator(mode="after")
    def _one_source(self) -> "BatchCreate":
        if sum(source is not None for source in (self.sets, self.grid, self.sample)) != 1:
            raise ValueError("say one of sets, grid and sample")
        return self


class BatchStatus(StrEnum):
    """Where a batch stands."""

    RUNNING = "running"
    """Its executions wait, or run."""
    STOPPING = "stopping"
    """Nothing of it starts any more; what waited is being cancelled, or something still runs."""
    FINISHED = "finished"
    """All have ended, however each of them did."""
    STOPPED = "stopped"
    """All have ended, and some were not executed, since too many had failed."""
    CANCELLED = "cancelled"
    """All have ended, and somebody had cancelled it."""


class Counts(BaseModel):
    """How many executions have each status."""

    pending: int = 0
    running: int = 0
    success: int = 0
    failed: int = 0
    cancelled: int = 0


EXAMPLE: dict[str, Any] = {
    "id": 1,
    "name": "October, all regions",
    "notebook_id": 1,
    "username": "ana",
    "created_by": "ana",
    "created_at": "2026-10-31T08:00:00.000000Z",
    "source": "grid",
    "plan": {"grid": {"region": ["EMEA", "APAC"], "month": ["2026-09", "2026-10"]}},
    "total": 4,
    "concurrency_limit": 4,
    "in_order": False,
    "stop_after_failures": None,
    "schedule_id": None,
    "retry_of": None,
    "status": "running",
    "counts": {"pending": 1, "running": 1, "success": 2, "failed": 0, "cancelled": 0},
    "done": 2,
    "elapsed_seconds": 12.5,
    "estimated_end": "2026-10-31T08:00:25.000000Z",
    "stopping_at": None,
    "stop_reason": None,
    "ended_at": None,
}


class BatchOut(WireModel):
    """A batch, and how it stands."""

    model_config = example(**EXAMPLE)
    id: int
    name: str | None
    notebook_id: int | None
    username: str
    created_by: str
    created_at: Timestamp
    source: str = Field(description="`sets`, `file`, `grid`, `sample`, `backfill` or `retry`.")
    plan: dict[str, JsonValue] = Field(
        description="What was asked for, where that is short: the grid; the sample with its `seed`, and in `drawn` the "
        "parameters that it named; the `parameters` that all sets share. Secrets are not in it."
    )
    total: int
    concurrency_limit: int | None
    in_order: bool
    stop_after_failures: int | None
    schedule_id: int | None
    retry_of: int | None = Field(description="The batch whose executions it repeats.")
    status: BatchStatus = Field(
        description="`running`; `stopping`: nothing of it starts any more; `finished`: all have ended; `stopped` and "
        "`cancelled`: all have ended, some of them since too many failed, or somebody cancelled it."
    )
    counts: Counts = Field(description="Its executions by status. Those that were pruned since it ended are counted.")
    done: int = Field(description="How many of its executions have ended.")
    elapsed_seconds: float = Field(description="From its beginning to now, or to its end.")
    estimated_end: Timestamp | None = Field(
        description="By how fast its executions ended lately; null until some have, and once it ends or is stopped."
    )
    stopping_at: Timestamp | None = Field(description="Since when nothing of it starts any more.")
    stop_reason: str | None = Field(description="`cancelled`, or `failures`.")
    ended_at: Timestamp | None

    @property
    def ended(self) -> bool:
        """Whether all of its executions have ended."""
        return self.ended_at is not None


class BatchRetry(WireInput):
    """Which executions of a batch are to be repeated."""

    model_config = ConfigDict(json_schema_extra={"example": {"cancelled": True}})
    cancelled: bool = Field(default=False, description="Those that were cancelled, beside those that failed.")
