"""Notebooks on the wire."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, Field, JsonValue, field_validator

from pressroom.executions.options import ExecutionDefaults
from pressroom.parameters.schemas import PARAMETER, ParameterOut
from pressroom.wire import (
    FilePath,
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


def _unique(tags: list[str]) -> list[str]:
    return list(dict.fromkeys(tags))


RunAs = Literal["caller", "owner"]
_RUN_AS = "Whose the executions are that somebody starts to whom it was granted: their own, or its owner's."
Tag = Annotated[Text, Field(min_length=1, max_length=100)]
Tags = Annotated[list[Tag], Field(max_length=100, examples=[["report", "monthly"]]), AfterValidator(_unique)]


class NotebookCreate(WireInput):
    """A notebook to register."""

    name: Name = Field(examples=["Regional sales"])
    description: Text | None = Field(default=None, examples=["Sales of one region in one month."])
    file_path: FilePath = Field(
        description="The notebook's file, inside the user's directory or a shared folder; a relative path starts at "
        "the user's directory. It is kept absolute, links resolved."
    )
    username: Username = Field(description="Who owns it.")
    tags: Tags = Field(default_factory=list)
    metadata: StorableObject = Field(default_factory=dict, examples=[{"team": "finance"}])
    execution_defaults: ExecutionDefaults = Field(
        default_factory=ExecutionDefaults,
        description="What its executions are given where their caller does not say.",
        examples=[{"queue": "reports", "timeout_seconds": 900, "max_attempts": 3, "retry_on": ["any_failure"]}],
    )
    run_as: RunAs = Field(default="caller", description=_RUN_AS)


class NotebookUpdate(WireUpdate):
    """The fields of a notebook to change; those left out stay as they are."""

    name: Name = Field(default_factory=str)
    description: Text | None = None
    file_path: FilePath = Field(default_factory=str)
    username: Username = Field(default_factory=str)
    tags: Tags = Field(default_factory=list)
    metadata: StorableObject = Field(default_factory=dict)
    execution_defaults: ExecutionDefaults = Field(default_factory=ExecutionDefaults)
    run_as: RunAs = Field(default="caller", description=_RUN_AS)


_NOTEBOOK: dict[str, Any] = {
    "id": 1,
    "name": "Regional sales",
    "description": "Sales of one region in one month.",
    "file_path": "/home/ana/reports/sales.ipynb",
    "username": "ana",
    "tags": ["report", "monthly"],
    "metadata": {"team": "finance"},
    "execution_defaults": {"queue": "reports", "timeout_seconds": 900},
    "run_as": "caller",
    "created_at": "2026-10-31T08:00:00.000000Z",
    "updated_at": "2026-10-31T08:00:00.000000Z",
}


class NotebookOut(WireModel):
    """A registered notebook."""

    model_config = example(**_NOTEBOOK)
    id: int
    name: str
    description: str | None
    file_path: str
    username: str
    tags: list[str]
    metadata: dict[str, JsonValue] = Field(validation_alias=AliasChoices("metadata_", "metadata"))
    execution_defaults: dict[str, JsonValue]
    run_as: RunAs
    created_at: Timestamp
    updated_at: Timestamp

    @field_validator("tags", mode="before")
    @classmethod
    def _no_tags(cls, value: Any) -> Any:
        return [] if value is None else value

    @field_validator("metadata", mode="before")
    @classmethod
    def _no_metadata(cls, value: Any) -> Any:
        return {} if value is None else value


class NotebookWithParameters(NotebookOut):
    """A registered notebook and the definitions of its parameters."""

    model_config = example(**_NOTEBOOK, parameters=[PARAMETER])
    parameters: list[ParameterOut]


class NotebookFile(WireModel):
    """A notebook file in a user's directory. ``size`` in bytes."""

    name: str = Field(examples=["sales.ipynb"])
    path: str = Field(examples=["/home/ana/reports/sales.ipynb"])
    relative_path: str = Field(examples=["reports/sales.ipynb"])
    size: int
    modified: Timestamp


class NotebookFiles(WireModel):
    """The notebook files in a user's directory."""

    model_config = example(
        username="ana",
        user_home="/home/ana",
        notebook_count=1,
        notebooks=[
            {
                "name": "sales.ipynb",
                "path": "/home/ana/reports/sales.ipynb",
                "relative_path": "reports/sales.ipynb",
                "size": 4096,
                "modified": "2026-10-31T08:00:00.000000Z",
            }
        ],
    )
    username: str
    user_home: str
    notebook_count: int
    notebooks: list[NotebookFile]


class NotebookCopy(WireInput):
    """A registered notebook to copy into another user's directory."""

    notebook_id: int = Field(ge=1, le=2**31 - 1)
    username: Username = Field(description="Whose directory the copy goes to; they own the copy.")
    file_path: FilePath | None = Field(
        default=None, description="Where to; if left out, the file's own name in the user's directory."
    )
    name: Name | None = Field(default=None, description="The name of the copy; if left out, the notebook's own.")


class NotebookFromTemplate(NotebookCopy):
    """A registered notebook to make another from, with parameters filled in."""

    username: Username | None = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default=None, description="Whose directory it goes to; if left out, the caller's."
    )
    file_path: FilePath = Field(description="Where to.")  # pyright: ignore[reportIncompatibleVariableOverride, reportGeneralTypeIssues]
    parameters: StorableObject = Field(
        default_factory=dict,
        validation_alias=AliasChoices("parameters", "params"),
        description="Values of the template's parameters; they become the new notebook's own.",
        repr=False,
        examples=[{"region": "EMEA", "month": "2026-10"}],
    )
