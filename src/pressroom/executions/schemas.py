"""Executions on the wire."""

from enum import StrEnum
from typing import Annotated

from pydantic import AliasChoices, Field, JsonValue

from pressroom.wire import FilePath, StorableObject, Text, Timestamp, Username, WireInput, WireModel, example

Parameters = Annotated[
    StorableObject,
    Field(
        default_factory=dict,
        validation_alias=AliasChoices("parameters", "params"),
        description="Values of the notebook's parameters, by name. Also spelled `params`.",
        examples=[{"region": "EMEA", "month": "2026-10"}],
    ),
]


_OUTPUT = "/home/ana/reports/executions/sales-20261031T075956Z-1.ipynb"
_TIME = "2026-10-31T08:00:00.000000Z"


class Status(StrEnum):
    """Where an execution stands. The last three are terminal and never change."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"


class HowToExecute(WireInput):
    """What every execution request may say beside the notebook and its parameters."""

    kernel_name: Annotated[Text, Field(min_length=1, max_length=255)] | None = Field(
        default=None, description="The kernel to use; if left out, the notebook's own.", examples=["python3"]
    )
    timeout_seconds: float | None = Field(
        default=None, gt=0, le=31_536_000, description="Time limit in seconds, waiting for a place not counted."
    )


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
        failure=None,
        cells_total=7,
        cells_completed=7,
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
    started_at: Timestamp
    completed_at: Timestamp | None
    kernel_name: str | None
    timeout_seconds: float | None
    failure: Failure | None
    cells_total: int | None = Field(description="Code cells to execute; null until the kernel is up.")
    cells_completed: int
