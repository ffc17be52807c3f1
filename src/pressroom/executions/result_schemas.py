"""Results, artifacts and differences on the wire."""

from typing import Literal

from pydantic import Field, JsonValue

from pressroom.executions.states import Status
from pressroom.wire import Timestamp, WireModel, example

ResultKind = Literal["number", "string", "boolean", "json", "image", "table", "html"]
Change = Literal["added", "removed", "changed"]


class ResultOut(WireModel):
    """A result. A number, a boolean or a short text has its ``value``; all else lies at ``href``."""

    model_config = WireModel.model_config | example(
        name="rmse", kind="number", value=0.12, media_type="application/json", size=None,
        href="/db/executions/1/results/rmse",
    )  # fmt: skip

    name: str
    kind: ResultKind
    value: float | int | bool | str | None = Field(
        description="A number that JSON does not have is the text NaN, Infinity or -Infinity."
    )
    media_type: str
    size: int | None = Field(description="In bytes, of what has no value here.")
    href: str = Field(description="Where the thing itself is.")


class ArtifactOut(WireModel):
    """A file that an execution left in its artifact directory."""

    model_config = WireModel.model_config | example(
        path="charts/sales.png", size=20480, media_type="image/png", href="/db/executions/1/artifacts/charts/sales.png"
    )

    path: str = Field(description="Inside the artifact directory.")
    size: int = Field(description="In bytes.")
    media_type: str
    href: str


class Side(WireModel):
    """One of two executions that are compared. ``seconds``: how long it took, once it has ended."""

    id: int
    status: Status
    started_at: Timestamp
    seconds: float | None
    attempt: int


class ValueDifference(WireModel):
    """A parameter or a result that is not the same: ``difference`` is after minus before, of two numbers."""

    name: str
    change: Change
    before: JsonValue
    after: JsonValue
    difference: float | None


class CellDifference(WireModel):
    """A code cell that is not the same. The numbers count the notebooks' code cells, from 1."""

    change: Change
    cell: str | None = Field(description="The cell's id, where the notebook has ids.")
    before: int | None
    after: int | None
    diff: str = Field(description="A unified diff of the source.")


class DifferenceOut(WireModel):
    """What differs between two executions; what is the same is left out."""

    model_config = WireModel.model_config | example(
        before={"id": 1, "status": "success", "started_at": "2026-10-31T08:00:00Z", "seconds": 3.2, "attempt": 1},
        after={"id": 2, "status": "success", "started_at": "2026-10-31T09:00:00Z", "seconds": 4.0, "attempt": 1},
        seconds=0.8,
        parameters=[{"name": "alpha", "change": "changed", "before": 0.1, "after": 0.2, "difference": 0.1}],
        results=[{"name": "rmse", "change": "changed", "before": 0.14, "after": 0.12, "difference": -0.02}],
        cells=[{"change": "changed", "cell": "fit", "before": 2, "after": 2, "diff": "@@ -1 +1 @@\n-a\n+b\n"}],
        cells_unavailable=None,
    )

    before: Side
    after: Side
    seconds: float | None = Field(description="After minus before.")
    parameters: list[ValueDifference]
    results: list[ValueDifference] = Field(
        description="What has no value of its own is told by its kind, media type and SHA-256."
    )
    cells: list[CellDifference] | None = Field(
        description="The code cells of the outputs, without injected parameters; null where an output is not to be had."
    )
    cells_unavailable: str | None = Field(description="Why the cells are not compared, if so.")
