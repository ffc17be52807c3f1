"""Sets of parameters in a file: a table of CSV or Parquet, whose columns are parameters and whose rows are sets."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from tempfile import TemporaryFile
from typing import IO, Any, cast

from pressroom.batches.parquet import Limits
from pressroom.batches.plans import MOST_VALUES, Set
from pressroom.errors import Invalid, OverLimit, PressroomError, shown
from pressroom.extras import load
from pressroom.json_values import storable
from pressroom.settings import MEBIBYTE

_PARQUET = b"PAR1"
_MOST_COLUMNS = 1000
_UNPACKED = 4
"""How many times larger a Parquet file may be once it is unpacked."""
_MEMORY = 512 * MEBIBYTE
_SECONDS = 60
"""What reading a Parquet file may take."""
Require = Callable[[Sequence[str]], None]


class Table:
    """What a file holds. ``texts``: its values are texts, which stand for others. The names of its columns are in
    ``columns``."""

    def __init__(self, columns: list[str], sets: list[Set], *, texts: bool) -> None:
        self.columns, self.sets, self.texts = columns, sets, texts


def _anything(_columns: Sequence[str]) -> None:
    """Any columns will do."""


def read(data: bytes, most_rows: int, most_bytes: int, require: Require = _anything) -> Table:
    """The table in a file, which says itself what it is. Takes seconds where it is large: call it in a thread.

    An empty cell of CSV and a null of Parquet are left out. ``require`` raises where the columns are not those that are
    wanted, before any row is read. Raises :class:`Invalid` where the file cannot be read, has no rows or too many
    values, :class:`OverLimit` for more than ``most_rows``, and :class:`TooLarge` for a Parquet file that unpacks to
    many times ``most_bytes``.
    """
    if data.startswith(_PARQUET):
        limits = Limits(most_rows, MOST_VALUES, most_bytes * _UNPACKED, _MEMORY, _SECONDS)
        table = _parquet(data, limits, require)
    else:
        table = _csv(data, most_rows, require)
    if not table.sets:
        raise Invalid("The file has no row below its header, so there is nothing to execute.")
    return table


def _csv(data: bytes, most_rows: int, require: Require) -> Table:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid(f"The file is neither Parquet nor CSV in UTF-8: its byte {error.start} is no text.") from error
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    empty: list[str] = []
    try:
        columns = [name.strip() for name in next(rows, empty)]
        _check(columns)
        require(columns)
        return Table(columns, _limited(_of_csv(rows, columns), most_rows), texts=True)
    except csv.Error as error:
        raise Invalid(f"Line {rows.line_num} of the file is no CSV: {error}.") from error


def _of_csv(rows: Any, columns: list[str]) -> Iterator[Set]:
    count = 0
    for cells in rows:
        if not cells:
            continue
        if len(cells) != len(columns):
            has = f"has {len(cells)} cells, and the header has {len(columns)}"
            raise Invalid(f"Line {rows.line_num} of the file {has}.")
        if why := storable(cells):
            raise Invalid(f"Line {rows.line_num} of the file has a cell that {why}.")
        found = {name: cell for name, cell in zip(columns, cells, strict=True) if cell != ""}
        count += len(found)
        if count > MOST_VALUES:
            raise Invalid(f"The file has more than {MOST_VALUES:,} values, and no more are read.")
        yield found


def _parquet(data: bytes, limits: Limits, require: Require) -> Table:
    load("pyarrow", "Reading Parquet")
    command = [sys.executable, "-P", "-m", "pressroom.batches.parquet", json.dumps(asdict(limits))]
    table = Table([], [], texts=False)
    with TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        with subprocess.Popen(command, stdin=file, stdout=subprocess.PIPE, env=_environment()) as reader:  # noqa: S603
            try:
                _take(cast("IO[bytes]", reader.stdout), table, require)
            except BaseException:
                reader.kill()
                raise
    if reader.returncode:
        most = f"{limits.memory / MEBIBYTE:g} MiB of memory or {limits.seconds} seconds"
        raise Invalid(f"The file cannot be read: whatever reads it needs more than {most}, or breaks.")
    return table


def _take(lines: Iterable[bytes], table: Table, require: Require) -> None:
    """Put what the reader answers into the table."""
    for line in lines:
        if not line.endswith(b"\n"):  # it was ended within a line
            return
        match json.loads(line):
            case ["columns", columns]:
                table.columns = columns
                _check(columns)
                require(columns)
            case ["set", each]:
                table.sets.append(each)
            case ["problem", problem]:
                raise PressroomError.from_problem(problem)
            case _:
                raise ValueError("the reader of Parquet answers what it should not")


def _environment() -> dict[str, str]:
    """What the reader of Parquet needs of the environment; no secret of the service is among it."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if name in os.environ}
    return kept | {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}


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
