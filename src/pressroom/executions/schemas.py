"""Executions on the wire."""

from typing import Annotated

from pydantic import AliasChoices, Field, JsonValue, model_validator

from pressroom.executions.options import HowToExecute
from pressroom.executions.states import RetryOn, Status
from pressroom.wire import MAX_ID, FilePath, StorableObject, Timestamp, Username, WireInput, WireModel, example

Parameters = Annotated[
    StorableObject,
    Field(
        default_factory=dict,
        validation_alias=AliasChoices("parameters", "params"),
        description="Values of the notebook's parameters, by name. Also spelled `params`.",
        repr=False,
        examples=[{"region": "EMEA", "month": "2026-10"}],
    ),
]


_OUTPUT = "/home/ana/reports/executions/sales-20261031T075956Z-1.ipynb"
_TIME = "2026-10-31T08:00:00.000000Z"


class ExecuteRequest(HowToExecute):
    """Execute a notebook as a user; the output is written beside it."""

    username: Username | None = Field(
        default=None,
        validation_alias=AliasChoices("username", "user"),
        description="Whom to act as; if left out, the owner of the registered notebook, else whoever's directory holds "
        "the file, else the caller. Also spelled `user`.",
    )
    input_path: FilePath = Field(
        validation_alias=AliasChoices("input_path", "path"),
        description="The notebook; a relative path starts at the acting user's directory. Also spelled `path`.",
    )
    parameters: Parameters
    in_place: bool = Field(default=False, description="Replace the input by the executed notebook.")


class RunRequest(HowToExecute):
    """Execute a notebook and write the output where the caller says."""

    params: Annotated[
        StorableObject,
        Field(
            default_factory=dict,
            validation_alias=AliasChoices("params", "parameters"),
            description="Values of the notebook's parameters, by name. Also spelled `parameters`.",
            repr=False,
            examples=[{"region": "EMEA", "month": "2026-10"}],
        ),
    ]
    input_path: FilePath = Field(validation_alias=AliasChoices("input_path", "path"))
    output_path: FilePath | None = Field(
        default=None,
        description="Where the executed notebook goes, in a folder that is there; an older output is replaced. If left "
        "out, a new name under `executions/` beside the input.",
        examples=["/home/ana/reports/sales-2026-10.ipynb"],
    )
    username: Username | None = Field(default=None, validation_alias=AliasChoices("username", "user"))


class NotebookExecutionRequest(HowToExecute):
    """Execute a registered notebook; the output is written beside it, or where the caller says."""

    parameters: Parameters
    username: Username | None = Field(
        default=None,
        validation_alias=AliasChoices("username", "user"),
        description="Whom to act as; if left out, the notebook's owner.",
    )
    output_path: FilePath | None = Field(default=None, description="Where the executed notebook goes.")
    in_place: bool = Field(default=False, description="Replace the notebook by the executed one.")


class BulkItem(NotebookExecutionRequest):
    """One execution of many. Either ``notebook_id`` or ``input_path`` says which notebook."""

    notebook_id: int | None = Field(default=None, ge=1, le=MAX_ID)
    input_path: FilePath | None = Field(default=None, validation_alias=AliasChoices("input_path", "path"))

    @model_validator(mode="after")
    def _one_notebook(self) -> "BulkItem":
        if (self.notebook_id is None) == (self.input_path is None):
            raise ValueError("say either notebook_id or input_path")
        return self


class BulkRequest(WireInput):
    """Executions to submit together: all of them, or none where one is wrong."""

    executions: Annotated[list[BulkItem], Field(min_length=1, max_length=10_000)]


class BulkAnswer(WireModel):
    """What was submitted: the ids, in the order of the request."""

    model_config = example(total=2, ids=[1, 2])
    total: int
    ids: list[int]


class RunAnswer(WireModel):
    """The answer of `/run-notebook`. `output` is the path of the executed notebook."""

    model_config = example(status="success", output=_OUTPUT, timestamp=_TIME, execution_id=1)
    status: Status
    output: str
    timestamp: Timestamp
    execution_id: int


class ExecuteNotebookAnswer(WireModel):
    """The answer of `/execute-notebook`."""

    model_config = example(status="success", output_notebook=_OUTPUT, timestamp=_TIME, execution_id=1)
    status: Status
    output_notebook: str
    timestamp: Timestamp
    execution_id: int


class ExecuteAnswer(WireModel):
    """The answer of `/execute`. `parameters` are those really used, defaults included."""

    model_config = example(
        status="success",
        input_notebook="/home/ana/reports/sales.ipynb",
        output_notebook=_OUTPUT,
        parameters={"region": "EMEA", "month": "2026-10"},
        timestamp=_TIME,
        execution_id=1,
    )
    status: Status
    input_notebook: str
    output_notebook: str
    parameters: dict[str, JsonValue]
    timestamp: Timestamp
    execution_id: int


class Failure(WireModel):
    """Why an execution did not succeed. The last three are there where a cell raised; `cell_index` is 0-based, in the
    output notebook."""

    reason: str
    cell_index: int | None = None
    ename: str | None = None
    evalue: str | None = None


class ExecutionOut(WireModel):
    """One execution."""

    model_config = example(
        id=1,
        notebook_id=1,
        username="ana",
        input_path="/home/ana/reports/sales.ipynb",
        output_path=_OUTPUT,
        parameters_used={"region": "EMEA", "month": "2026-10"},
        status="success",
        error_message=None,
        execution_time_seconds=4,
        started_at="2026-10-31T07:59:56.000000Z",
        completed_at=_TIME,
        kernel_name=None,
        timeout_seconds=300,
        memory_mb=2048,
        cpu_seconds=None,
        max_processes=None,
        failure=None,
        cells_total=7,
        cells_completed=7,
        queue="reports",
        priority=0,
        attempt=1,
        max_attempts=3,
        retry_on=["worker_lost"],
        retry_delay_seconds=10,
        notebook_limit=None,
        user_limit=None,
        queue_limit=None,
        submitted_by="ana",
        submitted_at="2026-10-31T07:59:55.900000Z",
        not_before=None,
        expires_at=None,
        cancel_requested_at=None,
        retry_of=None,
        results={"revenue": 128000.5},
        batch_id=None,
        batch_index=None,
        schedule_id=None,
        scheduled_at=None,
    )
    id: int
    notebook_id: int | None
    username: str
    input_path: str
    output_path: str | None
    parameters_used: dict[str, JsonValue] | None
    status: Status
    error_message: str | None
    execution_time_seconds: int | None
    started_at: Timestamp = Field(
        description="Of the current or last attempt; when it was submitted, before the first."
    )
    completed_at: Timestamp | None
    kernel_name: str | None
    timeout_seconds: float | None
    memory_mb: int | None
    cpu_seconds: float | None
    max_processes: int | None
    failure: Failure | None
    cells_total: int | None = Field(description="Code cells to execute; null until the kernel is up.")
    cells_completed: int
    queue: str
    priority: int
    attempt: int = Field(description="The number of the current or last attempt; 0 before the first.")
    max_attempts: int
    retry_on: list[RetryOn]
    retry_delay_seconds: float
    notebook_limit: int | None
    user_limit: int | None
    queue_limit: int | None
    submitted_by: str | None
    submitted_at: Timestamp
    not_before: Timestamp | None = Field(description="When the next attempt may start, while it waits for one.")
    expires_at: Timestamp | None
    cancel_requested_at: Timestamp | None
    retry_of: int | None = Field(description="The execution that this one repeats.")
    results: dict[str, JsonValue] | None = Field(description="The small results that its notebook recorded, by name.")
    batch_id: int | None
    batch_index: int | None = Field(description="Its place in the batch, from 0.")
    schedule_id: int | None
    scheduled_at: Timestamp | None = Field(description="The tick of its schedule that it was made for.")


class AttemptOut(WireModel):
    """One try at an execution by one worker. Ended without a ``reason``, it succeeded."""

    model_config = example(
        number=1,
        worker="press-1",
        host="node-a",
        process_id=4711,
        started_at="2026-10-31T07:59:56.000000Z",
        ended_at=_TIME,
        reason=None,
        message=None,
    )
    number: int
    worker: str
    host: str
    process_id: int
    started_at: Timestamp
    ended_at: Timestamp | None
    reason: str | None
    message: str | None


class WorkerOut(WireModel):
    """A worker process. Without a heartbeat for 20 seconds (or as the service is set) it counts as lost."""

    model_config = example(
        id=1,
        name="press-1",
        host="node-a",
        process_id=4711,
        queues=None,
        concurrency=4,
        version="0.1.0",
        started_at="2026-10-31T07:00:00.000000Z",
        last_heartbeat=_TIME,
        alive=True,
        running=[17],
    )
    id: int
    name: str
    host: str
    process_id: int
    queues: list[str] | None = Field(description="Null for every queue.")
    concurrency: int
    version: str
    started_at: Timestamp
    last_heartbeat: Timestamp
    alive: bool
    running: list[int] = Field(description="The executions that it runs.")


class QueueOut(WireModel):
    """A queue in which something waits or runs. ``waiting``: pending executions, those between attempts included."""

    model_config = example(
        name="reports",
        waiting=12,
        running=4,
        oldest_submitted_at="2026-10-31T07:59:00.000000Z",
        oldest_waiting_seconds=60.0,
    )
    name: str
    waiting: int
    running: int
    oldest_submitted_at: Timestamp | None = Field(description="When the longest waiting one was submitted.")
    oldest_waiting_seconds: float | None
