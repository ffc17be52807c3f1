"""What an execution tells while it works, in order: ``Started``, then for each code cell ``CellStarted``, any number of
``Output`` and ``Result``, and ``CellFinished``, and at the end, whatever happened, exactly one ``Finished``."""

import base64
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, ClassVar, Literal

ResultKind = Literal["number", "string", "boolean", "json", "image", "table", "html"]


class Reason(StrEnum):
    """Why an execution did not succeed."""

    CELL_ERROR = "cell_error"
    """A cell raised."""
    TIMED_OUT = "timed_out"
    """The time limit was reached."""
    CANCELLED = "cancelled"
    """Somebody stopped it."""
    INTERRUPTED = "interrupted"
    """The service stopped while it was under way."""
    KERNEL_DIED = "kernel_died"
    """The kernel's process ended by itself, or was killed."""
    KERNEL_UNAVAILABLE = "kernel_unavailable"
    """There is no such kernel, or it did not start."""
    OUTPUT_TOO_LARGE = "output_too_large"
    """The outputs are over the limit."""
    MEMORY_EXCEEDED = "memory_exceeded"
    """The kernel asked for more memory than its limit."""
    CPU_TIME_EXCEEDED = "cpu_time_exceeded"
    """The kernel used more processor time than its limit."""
    PROCESSES_EXCEEDED = "processes_exceeded"
    """The kernel started more processes and threads than its limit."""
    OUTPUT_NOT_WRITTEN = "output_not_written"
    """The output notebook could not be written (disk full, no permission, ...)."""
    NOTEBOOK_INVALID = "notebook_invalid"
    """The input is not a notebook that can be used."""
    RUNNER_DIED = "runner_died"
    """The process that drove the kernel was killed."""
    WORKER_LOST = "worker_lost"
    """The worker that ran it was killed or could not be reached any more."""
    SECRET_UNREADABLE = "secret_unreadable"  # noqa: S105 - it names no secret
    """The values of its secret parameters could not be decrypted."""
    EXPIRED = "expired"
    """It was not started in time."""


@dataclass(frozen=True, slots=True)
class Started:
    """The kernel is up, of the spec ``kernel``. ``cells``: the number of code cells that will be executed."""

    kind: ClassVar[str] = "started"
    cells: int
    kernel: str


@dataclass(frozen=True, slots=True)
class CellStarted:
    """A code cell is being executed. ``index``: 0-based, among all cells of the output notebook; ``number``: 1-based,
    among its code cells; ``line``: the first line of its source that is not empty (at most 200 characters)."""

    kind: ClassVar[str] = "cell_started"
    index: int
    number: int
    line: str


@dataclass(frozen=True, slots=True)
class Output:
    """Text that a cell put out. ``stream``: ``stdout``, ``stderr``, or ``result`` for the text form of a displayed
    object; ``text``: at most 64 Ki characters, longer ones come in pieces (``result`` is cut)."""

    kind: ClassVar[str] = "output"
    index: int
    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class Result:
    """What the notebook recorded under a name; a later one of the same name takes its place.

    A number, a boolean or a short text has a ``value``; of numbers, those that JSON does not have are the texts
    ``NaN``, ``Infinity`` and ``-Infinity``. All else is ``data`` of a ``media_type``."""

    kind: ClassVar[str] = "result"
    name: str
    result_kind: ResultKind
    value: float | str | bool | None = None
    media_type: str | None = None
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class CellFinished:
    """A code cell has ended. ``seconds``: how long it took; ``failed``: whether it raised and stopped the notebook."""

    kind: ClassVar[str] = "cell_finished"
    index: int
    number: int
    seconds: float
    failed: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """The end. ``reason`` is ``None`` for success; ``message`` a sentence in words otherwise. ``written``: whether the
    output notebook is on disk. ``cut_bytes``: how many bytes of outputs were over the limit and not kept. Where a cell
    raised, ``cell_index``, ``ename``, ``evalue``, ``traceback`` (lines, may hold ANSI colours) and ``source`` (of the
    cell)."""

    kind: ClassVar[str] = "finished"
    reason: Reason | None
    message: str
    seconds: float
    written: bool
    cell_index: int | None = None
    ename: str | None = None
    evalue: str | None = None
    traceback: tuple[str, ...] = ()
    source: str | None = None
    cut_bytes: int = 0


Event = Started | CellStarted | Output | Result | CellFinished | Finished
_KINDS: dict[str, type[Event]] = {c.kind: c for c in (Started, CellStarted, Output, Result, CellFinished, Finished)}


def to_json(event: Event) -> dict[str, Any]:
    """The event as JSON: its fields and ``kind``; bytes in Base64."""
    said = {"kind": event.kind} | asdict(event)
    if isinstance(event, Result) and event.data is not None:
        said["data"] = base64.b64encode(event.data).decode()
    return said


def from_json(data: dict[str, Any]) -> Event:
    """The event that :func:`to_json` wrote. Raises ``KeyError`` or ``TypeError`` for anything else."""
    fields = {k: v for k, v in data.items() if k != "kind"}
    kind = _KINDS[data["kind"]]
    if kind is Finished:
        fields["reason"] = Reason(fields["reason"]) if fields["reason"] is not None else None
        fields["traceback"] = tuple(fields["traceback"])
    if kind is Result and fields["data"] is not None:
        fields["data"] = base64.b64decode(fields["data"])
    return kind(**fields)
