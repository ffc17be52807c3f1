"""Reads a file of Parquet: ``python -m pressroom.batches.parquet LIMITS`` is a process of its own, which is held to so
much memory and time, since a few hundred bytes can unpack to any size, in a library that ends what it is in.

The file is on its standard input, and ``LIMITS`` are those of :class:`Limits`, as JSON. On its standard output it
answers lines of JSON: ``["columns", [...]]``, a ``["set", {...}]`` for each row, and, where that is all it can read, a
``["problem", {...}]``, which is the document of an error.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from pressroom.errors import Invalid, OverLimit, PressroomError, TooLarge, shown
from pressroom.extras import load

_ROWS_AT_ONCE = 100
_SCALARS = (
    *("is_boolean", "is_integer", "is_floating", "is_decimal", "is_string", "is_large_string"),
    *("is_date", "is_timestamp"),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is read: ``rows``; ``values``, those in lists among them; ``size``, bytes of JSON; with ``memory`` bytes
    beside what the process takes before it reads anything, in ``seconds``."""

    rows: int
    values: int
    size: int
    memory: int
    seconds: int


def main() -> None:
    """Read the standard input, and answer on the standard output."""
    limits = Limits(**json.loads(sys.argv[1]))
    pa, _ = load("pyarrow", "Reading Parquet"), load("pyarrow.parquet", "Reading Parquet")
    # Each thread takes address space of its own.
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    _confine(limits)
    try:
        for line in lines(sys.stdin.buffer.read(), limits):
            sys.stdout.buffer.write(line)
    except MemoryError:
        _tell(TooLarge("What the file unpacks to", limits.memory))
    except PressroomError as error:
        _tell(error)


def lines(data: bytes, limits: Limits) -> Iterator[bytes]:
    """What is answered. Raises :class:`Invalid`, :class:`OverLimit` and :class:`TooLarge`."""
    pa, pq = load("pyarrow", "Reading Parquet"), load("pyarrow.parquet", "Reading Parquet")
    size = 0
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        yield _line("columns", file.schema_arrow.names)
        _require_types(pa, file.schema_arrow)
        _require_declared(file.metadata, limits)
        for each in _rows(file, limits):
            line = _line("set", each)
            size += len(line)
            if size > limits.size:
                raise TooLarge("The file, once it is unpacked,", limits.size)
            yield line
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise Invalid(f"The file is no Parquet that can be read: {shown(str(error))}") from error


def _confine(limits: Limits) -> None:
    """Hold the process to its memory and time."""
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    most, allowed = used + limits.memory, resource.getrlimit(resource.RLIMIT_AS)[1]
    if allowed != resource.RLIM_INFINITY:
        most = min(most, allowed)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(limits.seconds)


def _require_types(pa: Any, schema: Any) -> None:
    """Raise :class:`Invalid` for a column whose values no parameter can have, or take no room in the file."""
    for column in schema:
        kind = column.type
        if pa.types.is_null(kind):  # it is left out
            continue
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            kind = kind.value_type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if not any(getattr(pa.types, test)(kind) for test in _SCALARS):
            why = f"has the type {shown(str(column.type))}; read are booleans, numbers, texts, dates, and lists of them"
            raise Invalid(f"The column {shown(column.name)!r} of the file {why}.")
        if pa.types.is_timestamp(kind) and kind.tz is not None:
            _require_zone(pa, column.name, kind.tz)


def _require_zone(pa: Any, column: str, zone: str) -> None:
    try:
        pa.lib.string_to_tzinfo(zone)
    except (ValueError, LookupError, OSError) as error:
        raise Invalid(f"The column {shown(column)!r} of the file has an unknown time zone: {shown(zone)!r}.") from error


def _require_declared(metadata: Any, limits: Limits) -> None:
    """Raise where the file itself says that it is too large; what it says may not be true."""
    if metadata.num_rows > limits.rows:
        raise OverLimit("executions", metadata.num_rows, limits.rows, "PRESSROOM_BATCH_LIMIT")
    size = 0
    for number in range(metadata.num_row_groups):
        size += metadata.row_group(number).total_byte_size
        if size > limits.size:
            raise TooLarge("The file, once it is unpacked,", limits.size)


def _rows(file: Any, limits: Limits) -> Iterator[dict[str, Any]]:
    """The rows of a file, without what is null."""
    count, line = 0, 0
    for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, use_threads=False):
        columns = [_values(name, line, column) for name, column in zip(batch.schema.names, batch.columns, strict=True)]
        for values in zip(*columns, strict=True):
            row = {name: value for name, value in zip(batch.schema.names, values, strict=True) if value is not None}
            count += sum(len(cast("list[Any]", value)) if isinstance(value, list) else 1 for value in row.values())
            if count > limits.values:
                raise Invalid(f"The file has more than {limits.values:,} values, and no more are read.")
            line += 1
            if line > limits.rows:
                raise OverLimit("executions", line, limits.rows, "PRESSROOM_BATCH_LIMIT")
            yield row


def _values(name: str, line: int, column: Any) -> list[Any]:
    """Some values of a column, from row ``line`` on, as JSON has them."""
    try:
        return [_plain(value) for value in column.to_pylist()]
    except MemoryError:
        raise
    except (ValueError, OverflowError) as error:  # a text that is none, a year that is none
        rows = f"rows {line} to {line + len(column) - 1}"
        raise Invalid(f"The column {shown(name)!r} cannot be read in {rows}: {shown(str(error))}") from error


def _plain(value: Any) -> Any:
    match value:
        case datetime() | date():
            return value.isoformat()
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case list():
            return [_plain(item) for item in cast("list[Any]", value)]
        case _:
            return value


def _line(kind: str, said: Any) -> bytes:
    return json.dumps([kind, said], ensure_ascii=False).encode() + b"\n"


def _tell(error: PressroomError) -> None:
    sys.stdout.buffer.write(_line("problem", error.problem()))


if __name__ == "__main__":
    main()
