"""Files of sets of parameters: what their cells are, and what is said of files that are none."""

import io
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pressroom import extras
from pressroom.batches import uploads
from pressroom.batches.plans import MOST_VALUES
from pressroom.batches.uploads import read
from pressroom.errors import Invalid, NotFound, NotInstalled, OverLimit, TooLarge

MEBIBYTE = 2**20
NO_TEXT = pa.array([b"\xff"]).view(pa.string())


def parquet(**columns: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def test_the_cells_of_csv_are_texts_and_empty_ones_are_left_out() -> None:
    table = read('\ufeffregion,months,note\r\nEMEA,3,"a, ""b"""\r\n\r\n,12,\n'.encode(), 10, MEBIBYTE)
    assert (table.columns, table.texts) == (["region", "months", "note"], True)
    assert table.sets == [{"region": "EMEA", "months": "3", "note": 'a, "b"'}, {"months": "12"}]


def test_the_values_of_parquet_keep_their_types_and_nulls_are_left_out() -> None:
    moment = datetime(2026, 10, 31, 8, tzinfo=UTC)
    table = read(
        parquet(n=[1, None], x=[0.5, 2.0], day=[date(2026, 1, 2), None], at=[moment, None], l=[[1], []]), 9, MEBIBYTE
    )
    assert not table.texts
    assert table.sets == [
        {"n": 1, "x": 0.5, "day": "2026-01-02", "at": "2026-10-31T08:00:00+00:00", "l": [1]},
        {"x": 2.0, "l": []},
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "The file is empty"),
        (b"region\n", "no row below its header"),
        (b"region,region\na,b\n", "the column 'region' twice"),
        (b"region,\na,b\n", "Column 2 of the file has no name"),
        (b"region,months\nEMEA\n", "Line 2 of the file has 1 cells, and the header has 2"),
        (b'region\n"EMEA\n', "Line 2 of the file is no CSV"),
        ("region\nMünchen\n".encode("latin-1"), "neither Parquet nor CSV in UTF-8: its byte 8"),
        (b"region\na\0b\n", "Line 2 of the file"),
        (b"PAR1 and nothing else", "no Parquet that can be read"),
        (parquet(n=[b"bytes"]), "The column 'n' of the file has the type binary; read are "),
        (parquet(n=pa.array([[None] * 9], pa.list_(pa.null()))), "has the type list<element: null>"),
        (parquet(n=[{"a": 1}]), "has the type struct<a: int64>"),
        (parquet(n=NO_TEXT), "The column 'n' cannot be read in rows 0 to 0: 'utf-8' codec"),
        (parquet(n=pa.array([2**62], pa.timestamp("us"))), "cannot be read in rows 0 to 0: date value out of range"),
        (parquet(n=pa.array([1], pa.timestamp("us", "No/Where"))), "'n' of the file has an unknown time zone"),
        (parquet(n=pa.array([[None] * (MOST_VALUES + 1)], pa.list_(pa.int64()))), "more than 2,000,000 values"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(data: bytes, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        read(data, 10, MEBIBYTE)


def test_columns_that_are_not_wanted_are_refused_before_any_row_is_read() -> None:
    def require(columns: Sequence[str]) -> None:
        raise NotFound("column", columns[0])

    for data in (b"month\n1,2\n", parquet(month=NO_TEXT)):
        with pytest.raises(NotFound, match="no column month"):
            read(data, 10, MEBIBYTE, require)


def test_values_are_limited_as_rows_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MOST_VALUES", 3)
    for data in (b"a,b\n1,2\n,\n3,4\n", parquet(a=[1, None, 3], b=[2, None, 4])):
        with pytest.raises(Invalid, match="more than 3 values"):
            read(data, 10, MEBIBYTE)


def test_a_file_of_a_few_bytes_does_not_unpack_in_the_memory_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int32()), pa.array(["a" * 4_000_000]))
    data = parquet(n=text)
    assert len(data) < 2**18
    monkeypatch.setattr(uploads, "_MEMORY", 96 * MEBIBYTE)
    with pytest.raises(TooLarge, match="What the file unpacks to is larger than 96 MiB"):
        read(data, 100, 1024 * MEBIBYTE)
    monkeypatch.setattr(uploads.sys, "executable", "/bin/false")  # it ends without a word
    with pytest.raises(Invalid, match="needs more than .* of memory or 60 seconds, or breaks"):
        read(data, 100, 1024 * MEBIBYTE)


def test_too_many_rows_are_refused_and_a_file_that_unpacks_without_end() -> None:
    for data in (b"n\n" + b"1\n" * 11, parquet(n=[1] * 11)):
        with pytest.raises(OverLimit, match="PRESSROOM_BATCH_LIMIT"):
            read(data, 10, MEBIBYTE)
    with pytest.raises(TooLarge):
        read(parquet(text=["x" * 100_000] * 100), 10_000, MEBIBYTE)


def test_without_its_package_parquet_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(extras, "import_module", missing)
    with pytest.raises(NotInstalled, match=r'pip install "pressroom\[data\]"'):
        read(parquet(n=[1]), 10, MEBIBYTE)
