"""Sets of parameters in a file: a table of CSV or Parquet, whose columns are parameters and whose rows are sets."""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast

from pressroom.batches.plans import Set
from pressroom.errors import Invalid, OverLimit, TooLarge, shown
from pressroom.extras import load
from pressroom.json_values import storable

_PARQUET = b"PAR1"
_MOST_COLUMNS = 1000
_UNPACKED = 8
"""How many times larger a Parquet file may be once it is unpacked."""
_ROWS_AT_ONCE = 100


class Table:
    """What a file holds. ``texts``: its values are texts, which stand for others. The names of its columns are in
    ``columns``."""

    def __init__(self, columns: list[str], sets: list[Set], *, texts: bool) -> None:
        self.columns, self.sets, self.texts = columns, sets, texts


def read(data: bytes, most_rows: int, most_bytes: int) -> Table:
    """The table in a file, which says itself what it is. Takes seconds where it is large: call it in a thread.

    An empty cell of CSV and a null of Parquet are left out. Raises :class:`Invalid` where it cannot be read or has no
    rows, :class:`OverLimit` for more than ``most_rows``, and :class:`TooLarge` for a Parquet file that unpacks to many
    times ``most_bytes``.
    """
    parquet = data.startswith(_PARQUET)
    table = _parquet(data, most_rows, most_bytes) if parquet else _csv(data, most_rows)
    if not table.sets:
        raise Invalid("The file has no row below its header, so there is nothing to execute.")
    return table


def _csv(data: bytes, most_rows: int) -> Table:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid(f"The file is neither Parquet nor CSV in UTF-8: its byte {error.start} is no text.") from error
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    empty: list[str] = []
    try:
        columns = [name.strip() for name in next(rows, empty)]
        _check(columns)
        return Table(columns, _limited(_of_csv(rows, columns), most_rows), texts=True)
    except csv.Error as error:
        raise Invalid(f"Line {rows.line_num} of the file is no CSV: {error}.") from error


def _of_csv(rows: Any, columns: list[str]) -> Iterator[Set]:
    for cells in rows:
        if not cells:
            continue
        if len(cells) != len(columns):
            count = f"has {len(cells)} cells, and the header has {len(columns)}"
            raise Invalid(f"Line {rows.line_num} of the file {count}.")
        if why := storable(cells):
            raise Invalid(f"Line {rows.line_num} of the file has a cell that {why}.")
        yield {name: cell for name, cell in zip(columns, cells, strict=True) if cell != ""}


def _parquet(data: bytes, most_rows: int, most_bytes: int) -> Table:
    pa, pq = load("pyarrow", "Reading Parquet"), load("pyarrow.parquet", "Reading Parquet")
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        columns = [str(name) for name in file.schema_arrow.names]
        _check(columns)
        if file.metadata.num_rows > most_rows:
            raise OverLimit("executions", file.metadata.num_rows, most_rows, "PRESSROOM_BATCH_LIMIT")
        return Table(columns, _limited(_of_parquet(file, most_bytes * _UNPACKED), most_rows), texts=False)
    except (pa.ArrowException, OSError) as error:
        raise Invalid(f"The file is no Parquet that can be read: {shown(str(error))}") from error


def _of_parquet(file: Any, most_bytes: int) -> Iterator[Set]:
    unpacked, line = 0, 0
    for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
        unpacked += batch.nbytes
        if unpacked > most_bytes:
            raise TooLarge("The file, once it is unpacked,", most_bytes)
        for row in batch.to_pylist():
            yield {name: _plain(name, line, value) for name, value in row.items() if value is not None}
            line += 1


def _plain(name: str, line: int, value: Any) -> Any:
    """A value of Parquet as JSON has it."""
    match value:
        case bool() | int() | str() | None:
            return value
        case float():
            return value
        case datetime() | date():
            return value.isoformat()
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case list():
            return [_plain(name, line, item) for item in cast("list[Any]", value)]
        case dict():
            return {str(key): _plain(name, line, item) for key, item in cast("dict[Any, Any]", value).items()}
        case _:
            kind = type(value).__name__
            raise Invalid(f"sets[{line}].{shown(name)}: a value of the type {kind} is none that a parameter can have.")


def _check(columns: list[str]) -> None:
    if not columns:
        raise Invalid("The file is empty; its first line names the parameters.")
    if len(columns) > _MOST_COLUMNS:
        raise Invalid(f"The file has {len(columns)} columns, and at most {_MOST_COLUMNS} are read.")
    if "" in columns:
        raise Invalid(f"Column {columns.index('') + 1} of the file has no name.")
    if twice := [name for number, name in enumerate(columns) if name in columns[:number]]:
        raise Invalid(f"The file has the column {shown(twice[0])!r} twice.")


def _limited(sets: Iterable[Set], most: int) -> list[Set]:
    found: list[Set] = []
    for each in sets:
        found.append(each)
        if len(found) > most:
            raise OverLimit("executions", len(found), most, "PRESSROOM_BATCH_LIMIT")
    return found
