"""The calls of batches: what is sent, and how the answer is read."""

from collections.abc import Mapping, Sequence
from datetime import date
from json import dumps
from math import isnan
from pathlib import Path
from typing import Any, Protocol, TypedDict, cast, runtime_checkable

from pydantic import JsonValue

from pressroom.batches.schemas import BatchOut
from pressroom.client.calls import Call
from pressroom.client.options import HowOptions, body
from pressroom.client.stream import Walk

LONG_SECONDS = 300.0
"""How long the service may take to begin a batch: all sets are checked, and 100,000 are added, before it answers."""
_PAGE = 100


@runtime_checkable
class Frame(Protocol):
    """A pandas ``DataFrame``, of which no more is needed here."""

    def to_dict(self, orient: str) -> Any:
        """Its rows, with ``orient="records"``."""
        ...


Sets = Sequence[Mapping[str, Any]] | Frame
"""A list of sets of parameters, or a table whose columns are parameters; what is missing in it is left out."""


class BatchOptions(HowOptions, total=False):
    """What may be said of a batch beside its sets."""

    name: str | None
    """A name for it."""
    concurrency_limit: int | None
    """So many of its executions run at once at most."""
    in_order: bool
    """Each starts when all before it have ended."""
    stop_after_failures: int | None
    """When so many have failed, nothing more starts."""
    idempotency_key: str | None
    """The same key and request give the same batch, however often they are sent."""


class SampleOptions(TypedDict, total=False):
    """A sample of the notebook's parameters."""

    method: str
    """``random``, ``latin_hypercube``, ``sobol`` or ``halton``."""
    count: int
    seed: int
    parameters: Sequence[str]
    """Which parameters are drawn, beside those of ``ranges``."""
    ranges: Mapping[str, Mapping[str, Any]]
    """``{"min": 1, "max": 10, "log": True}`` or ``{"options": [...]}`` each."""


def begin(
    notebook_id: int,
    grid: Mapping[str, Sequence[Any]] | None,
    sets: Sets | None,
    sample: SampleOptions | None,
    parameters: Mapping[str, JsonValue] | None,
    options: BatchOptions,
) -> Call[BatchOut]:
    if sum(source is not None for source in (grid, sets, sample)) != 1:
        raise ValueError("give one of grid, sets and sample")
    fields = body(options) | {"notebook_id": notebook_id, "parameters": dict(parameters or {})}
    if grid is not None:
        fields["grid"] = {name: [_plain(value) for value in values] for name, values in grid.items()}
    elif sets is not None:
        rows: Any = sets.to_dict(orient="records") if isinstance(sets, Frame) else sets
        fields["sets"] = [_set(row, table=isinstance(sets, Frame)) for row in rows]
    else:
        fields["sample"] = dict(cast("Mapping[str, Any]", sample))
    headers = _once(options.get("idempotency_key"))
    return Call("POST", "/db/batches", BatchOut, fields, headers=headers, seconds=LONG_SECONDS)


def upload(
    notebook_id: int, file: Path, parameters: Mapping[str, JsonValue] | None, options: BatchOptions
) -> Call[BatchOut]:
    fields = body(options)
    own = ("name", "username", "concurrency_limit", "in_order", "stop_after_failures")
    form = {name: str(fields.pop(name)) for name in own if name in fields}
    form |= {"notebook_id": str(notebook_id), "parameters": dumps(dict(parameters or {})), "how": dumps(fields)}
    headers = _once(options.get("idempotency_key"))
    sent = (file.name, file.read_bytes())
    return Call("POST", "/db/batches/upload", BatchOut, file=sent, form=form, headers=headers, seconds=LONG_SECONDS)


def batch(batch_id: int) -> Call[BatchOut]:
    return Call("GET", f"/db/batches/{batch_id}", BatchOut)


def batches(username: str | None, notebook_id: int | None, skip: int) -> Call[list[BatchOut]]:
    query = {"username": username, "notebook_id": notebook_id, "skip": skip, "limit": _PAGE}
    return Call("GET", "/db/batches", list[BatchOut], query=query)


def is_last(page: Sequence[BatchOut]) -> bool:
    return len(page) < _PAGE


def cancel(batch_id: int) -> Call[BatchOut]:
    return Call("POST", f"/db/batches/{batch_id}/cancel", BatchOut)


def retry(batch_id: int, *, cancelled: bool, key: str | None) -> Call[BatchOut]:
    path = f"/db/batches/{batch_id}/retry"
    return Call("POST", path, BatchOut, {"cancelled": cancelled}, headers=_once(key), seconds=LONG_SECONDS)


class BatchWalk(Walk):
    """The walk along the states of a batch."""

    def __init__(self, batch_id: int, give_up_seconds: float) -> None:
        super().__init__(batch_id, None, give_up_seconds)
        self.path = f"/db/batches/{batch_id}/events"

    def states(self, chunk: bytes) -> list[BatchOut]:
        """The states that ``chunk`` completes."""
        found = [BatchOut.model_validate(data) for kind, data, _ in self.frames(chunk) if kind == "batch"]
        if found:
            self.progressed(ended=found[-1].ended)
        return found


def _once(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Idempotency-Key": key}


def _set(row: Mapping[Any, Any], *, table: bool) -> dict[str, Any]:
    """A set of parameters; in a row of a table, a cell without a value is left out."""
    return {str(name): _plain(value) for name, value in row.items() if not (table and _is_missing(value))}


def _is_missing(value: Any) -> bool:
    # pandas' own values that stand for nothing are known by their names, since it may not be there to be imported.
    return value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and isnan(value))


def _plain(value: Any) -> Any:
    """A value as JSON has it: NumPy's and pandas' are made Python's, times and dates are texts."""
    if isinstance(value, date):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return value.tolist()
    return value
