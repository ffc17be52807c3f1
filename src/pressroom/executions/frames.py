# pyarrow ships no types: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
"""Tables as they travel: columns of values, as JSON, CSV, Parquet or Arrow. What is made here takes its time: call it
in a thread, and :func:`table` in the lane."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

from pressroom.errors import Invalid, NotInstalled
from pressroom.press.results import NOT_FINITE, PARQUET, finite

Columns = Mapping[str, Sequence[Any]]
"""Values by column, as many in each: texts, numbers, booleans, times, and ``None``; in tables of notebooks any JSON."""
MOST_CELLS = 1_000_000
"""Cells of a table of Parquet that is turned into another form."""
MOST_BYTES = 64 * 2**20
"""Bytes of one, unpacked."""
_PIECE = 4096
"""Rows that are unpacked at once, or fewer of long ones."""
_NAMES = frozenset(NOT_FINITE.values())
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Format(StrEnum):
    """How a table is answered."""

    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"


MEDIA_TYPES = {
    Format.JSON: "application/json",
    Format.CSV: "text/csv",
    Format.PARQUET: PARQUET,
    Format.ARROW: "application/vnd.apache.arrow.stream",
}


def chosen(given: Format | None, accept: str | None) -> Format:
    """The format that a request asks for, by name, or by its ``Accept`` the first that can be made here; else JSON."""
    if given is not None:
        return given
    wanted = [part.split(";")[0].strip().lower() for part in (accept or "").split(",")]
    by_type = {media_type: name for name, media_type in MEDIA_TYPES.items()}
    known = [by_type[media_type] for media_type in wanted if media_type in by_type]
    made = [each for each in known if each in (Format.JSON, Format.CSV) or find_spec("pyarrow") is not None]
    return next(iter(made or known), Format.JSON)


def spelled(columns: Columns, form: Format) -> bytes:
    """A table in a format other than JSON. Raises :class:`NotInstalled`."""
    match form:
        case Format.CSV:
            return _csv(columns)
        case Format.PARQUET:
            parquet, sink = _library("pyarrow.parquet", "Parquet"), io.BytesIO()
            parquet.write_table(_arrow(columns), sink)
            return sink.getvalue()
        case _:
            pyarrow, sink, table = _library("pyarrow", "Arrow"), io.BytesIO(), _arrow(columns)
            with pyarrow.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
            return sink.getvalue()


def split(columns: Columns) -> bytes:
    """A table as JSON: ``{"columns": [...], "data": [[...], ...]}``."""
    rows = finite([list(row) for row in zip(*columns.values(), strict=True)])
    return json.dumps({"columns": list(columns), "data": rows}, ensure_ascii=False, default=str).encode()


def table(data: bytes, media_type: str) -> Columns:
    """A table that a notebook recorded. Raises :class:`NotInstalled`, and :class:`Invalid` where it cannot be read."""
    if media_type != PARQUET:
        found = json.loads(data)
        names = _apart([str(name) for name in found["columns"]])
        return {name: [row[at] for row in found["data"]] for at, name in enumerate(names)}
    parquet, pyarrow = _library("pyarrow.parquet", "Parquet"), _library("pyarrow", "Parquet")
    try:
        file = parquet.ParquetFile(io.BytesIO(data))
        largest = _require_small(file.metadata)
        names = [str(name) for name in file.schema_arrow.names]
        # Each row may hold the same long text, which is one in the file.
        values = _values(file, len(names), max(1, min(_PIECE, 4 * MOST_BYTES // largest)))
    except (pyarrow.ArrowException, ValueError, OSError) as error:
        raise Invalid(f"The table cannot be read as Parquet: {str(error).splitlines()[0][:300]}.") from error
    names = ["index" if name.startswith("__index_level_") else name for name in names]
    return dict(zip(_apart(names), values, strict=True))


def _require_small(footer: Any) -> int:
    """Refuse what a footer says to be too large: few bytes of Parquet can stand for any number of values. Answers the
    bytes of the largest column, unpacked, of a row group."""
    groups = [footer.row_group(at) for at in range(footer.num_row_groups)]
    chunks = [group.column(at) for group in groups for at in range(group.num_columns)]
    sizes = [int(chunk.total_uncompressed_size) for chunk in chunks]
    cells = max(sum(chunk.num_values for chunk in chunks), footer.num_rows * footer.num_columns)
    if cells > MOST_CELLS or sum(sizes) > MOST_BYTES:
        raise _too_much()
    return max([1, *sizes])


def _values(file: Any, width: int, piece: int) -> list[list[Any]]:
    """The columns of a Parquet file, so many rows after so many: a footer need not be true."""
    found: list[list[Any]] = [[] for _ in range(width)]
    rows = size = 0
    for batch in file.iter_batches(batch_size=piece, use_threads=False):
        columns = [_decoded(column) for column in batch.columns]
        rows, size = rows + batch.num_rows, size + sum(column.nbytes for column in columns)
        if rows * width > MOST_CELLS or size > MOST_BYTES:
            raise _too_much()
        for values, column in zip(found, columns, strict=True):
            values.extend(column.to_pylist())
    return found


def _decoded(column: Any) -> Any:
    """A column of categories as their values; where it holds lists of them, their size cannot be told."""
    if not str(column.type).startswith("dictionary<"):
        if "dictionary<" in str(column.type):
            raise Invalid("The table has categories inside of lists or objects, which cannot be read.")
        return column
    return column.dictionary_decode()


def _too_much() -> Invalid:
    most = f"{MOST_CELLS:,} cells or {MOST_BYTES // 2**20} MiB, unpacked"
    return Invalid(f"The table has more than {most}: ask for it as it is, as Parquet.")


def _apart(names: list[str]) -> list[str]:
    """Names of columns, each one once."""
    found = dict[str, None]()
    for name in names:
        spelt, number = name, 1
        while spelt in found:
            number += 1
            spelt = f"{name}.{number}"
        found[spelt] = None
    return list(found)


def spelled_time(moment: datetime) -> str:
    """A time as JSON and CSV have it."""
    return moment.isoformat().replace("+00:00", "Z")


def _csv(columns: Columns) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([_safe(name) for name in columns])
    writer.writerows([[_cell(value) for value in row] for row in zip(*columns.values(), strict=True)])
    return text.getvalue().encode("utf-8", "backslashreplace")


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return value if value in _NAMES else _safe(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return NOT_FINITE[repr(value)]
    if isinstance(value, datetime):
        return spelled_time(value)
    return json.dumps(value, default=str) if isinstance(value, dict | list) else value


def _safe(text: str) -> str:
    """A text that a spreadsheet takes for a text, and not for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _arrow(columns: Columns) -> Any:
    pyarrow = _library("pyarrow", "Arrow")
    return pyarrow.table({name: _array(pyarrow, list(values)) for name, values in columns.items()})


def _array(pyarrow: Any, values: list[Any]) -> Any:
    """A column as the type that all its values have, else as text."""
    plain = [float(value) if value in _NAMES else value for value in values] if _is_numeric(values) else values
    try:
        return pyarrow.array(plain)
    except (pyarrow.ArrowException, OverflowError, TypeError):
        if _is_numeric(values):
            return pyarrow.array([None if value is None else _float(value) for value in plain], pyarrow.float64())
        return pyarrow.array([None if value is None else _text(value) for value in values], pyarrow.string())


def _float(value: float) -> float:
    """A number as a double, infinite beyond the largest."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _is_numeric(values: list[Any]) -> bool:
    """Whether a column holds numbers alone: those that JSON does not have are told by their names."""
    known = [value for value in values if value is not None]
    return any(not isinstance(value, str) for value in known) and all(
        (isinstance(value, int | float) and not isinstance(value, bool)) or (isinstance(value, str) and value in _NAMES)
        for value in known
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _library(name: str, what: str) -> Any:
    """A library of an extra, imported where it is needed."""
    try:
        return cast("Any", import_module(name))
    except ImportError as error:
        raise NotInstalled(what, "pyarrow", "data") from error
