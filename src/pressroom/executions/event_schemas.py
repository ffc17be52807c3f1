"""The events of an execution, as they travel, and the log that they make."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pressroom.executions.schemas import ExecutionOut
from pressroom.executions.states import TERMINAL, Status


class _Told(BaseModel):
    """What all events have: ``id`` grows, and is what to go on after; ``attempt`` is 0 before the first."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: int
    attempt: int
    at: datetime


class StatusChanged(_Told):
    """The status changed. ``not_before``: when the next attempt may start, where there is to be one."""

    kind: Literal["status"] = "status"
    status: Status
    reason: str | None = None
    message: str | None = None
    not_before: datetime | None = None


class Started(_Told):
    """The kernel is up, of the spec ``kernel``; ``cells`` will be executed."""

    kind: Literal["started"] = "started"
    cells: int
    kernel: str | None = None


class CellStarted(_Told):
    """Cell ``number`` of ``of`` begins; ``line`` is its first line, ``index`` its place in the notebook, from 0."""

    kind: Literal["cell_started"] = "cell_started"
    index: int
    number: int
    of: int | None
    line: str


class CellFinished(_Told):
    """Cell ``number`` of ``of`` took ``seconds``; ``failed`` where it raised."""

    kind: Literal["cell_finished"] = "cell_finished"
    index: int
    number: int
    of: int | None
    seconds: float
    failed: bool = False


class Output(_Told):
    """Text that a cell put out. ``stream``: ``stdout``, ``stderr`` or ``result``."""

    kind: Literal["output"] = "output"
    index: int
    stream: str
    text: str


class Late(_Told):
    """It has not ended in the time that was set for it; it goes on."""

    kind: Literal["late"] = "late"


class Standing(ExecutionOut):
    """The execution as it stands, told at first and after each change of status; it has no place among the events.

    ``expected_end``: of one that runs, by how long the notebook took before; ``None`` where that is not known.
    """

    kind: Literal["execution"] = "execution"
    expected_end: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether the status is a terminal one."""
        return self.status in TERMINAL

    @property
    def execution(self) -> ExecutionOut:
        """The execution alone."""
        return ExecutionOut.model_validate(self.model_dump())


ToldEvent = StatusChanged | Started | CellStarted | CellFinished | Output | Late
ExecutionEvent = ToldEvent | Standing
_EVENT: TypeAdapter[ExecutionEvent] = TypeAdapter(Annotated[ExecutionEvent, Field(discriminator="kind")])


def event_of(kind: str, data: dict[str, Any], event_id: int | None) -> ExecutionEvent | None:
    """The event that ``data`` tells of; ``None`` for a kind that this version does not know."""
    told = data | {"kind": kind} | ({} if event_id is None else {"id": event_id})
    try:
        return _EVENT.validate_python(told)
    except ValidationError as error:
        if error.errors()[0]["type"] == "union_tag_invalid":
            return None
        raise


class Log:
    """Makes the text of a log from the events of an execution, whichever come between."""

    def __init__(self, attempt: int = 1) -> None:
        """``attempt``: of the first event."""
        self._attempt = attempt

    def text(self, kind: str, attempt: int, data: dict[str, Any]) -> str:
        """What an event adds to the log: the text as it was put out, after a line where another attempt begins."""
        if kind != "output":
            return ""
        head = ""
        if attempt != self._attempt:
            self._attempt = attempt
            head = f"--- attempt {attempt} ---\n"
        text: str = data["text"]
        ends = "" if data["stream"] != "result" or text.endswith("\n") else "\n"
        return head + text + ends
