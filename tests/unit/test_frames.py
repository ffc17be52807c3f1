"""Tables as they travel: the formats that can be made, and what of a stranger's Parquet is read."""

import io
import math
import sys
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from pressroom.errors import Invalid
from pressroom.executions import frames
from pressroom.executions.frames import Format, chosen, spelled, table
from pressroom.press.results import PARQUET

ARROW = "application/vnd.apache.arrow.stream"


def packed(columns: dict[str, pa.Array]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue()


def repeated(value: object, times: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0] * times, pa.int32()), pa.array([value]))


@pytest.mark.parametrize(
    "columns",
    [
        {"one": repeated(1, frames.MOST_CELLS + 1)},
        {str(name): repeated(1, frames.MOST_CELLS // 1000) for name in range(1001)},
        {"nested": pa.ListArray.from_arrays([0, frames.MOST_CELLS + 1], repeated(1, frames.MOST_CELLS + 1))},
        {"long": repeated("x" * 2**20, 100)},
        {"long": pa.array(["x" * (frames.MOST_BYTES + 1)])},
    ],
    ids=["rows", "columns", "a nested column", "one long text again and again", "a long text"],
)
def test_parquet_of_few_bytes_is_not_unpacked_to_many(columns: dict[str, pa.Array]) -> None:
    data = packed(columns)
    assert len(data) < 5 * 2**20
    with pytest.raises(Invalid, match="as Parquet"):
        table(data, PARQUET)


def test_parquet_is_read_piece_by_piece_to_its_end() -> None:
    columns = {"a": list(range(1000)), "__index_level_0__": [f"r{at}" for at in range(1000)]}
    data = packed({name: pa.array(values) for name, values in columns.items()})
    assert table(data, PARQUET) == {"a": columns["a"], "index": columns["__index_level_0__"]}


@pytest.mark.parametrize("form", [Format.ARROW, Format.PARQUET])
def test_a_number_beyond_the_largest_double_is_infinite_there(form: Format) -> None:
    huge = math.factorial(200)
    body = spelled({"n": [huge, -huge, 2**70, 1, None]}, form)
    read = pq.read_table(io.BytesIO(body)) if form is Format.PARQUET else pyarrow.ipc.open_stream(body).read_all()
    assert read["n"].to_pylist() == [math.inf, -math.inf, 2.0**70, 1.0, None]


def test_a_time_in_csv_is_spelled_as_in_json() -> None:
    assert spelled({"at": [datetime(2026, 10, 31, 8, tzinfo=UTC)]}, Format.CSV) == b"at\r\n2026-10-31T08:00:00Z\r\n"


def test_of_several_formats_the_first_that_can_be_made_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(None, f"{ARROW}, application/json") is Format.ARROW
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert chosen(None, f"{ARROW}, application/json") is Format.JSON
    assert (chosen(None, ARROW), chosen(Format.ARROW, "application/json")) == (Format.ARROW, Format.ARROW)
