"""Files of sets of parameters: what their cells are, and what is said of files that are none."""

import io
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pressroom import extras
from pressroom.batches.uploads import read
from pressroom.errors import Invalid, NotInstalled, OverLimit, TooLarge

MEBIBYTE = 2**20


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
        (parquet(n=[b"bytes"]), r"sets\[0\]\.n: a value of the type bytes"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(data: bytes, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        read(data, 10, MEBIBYTE)


def test_too_many_rows_are_refused_and_a_file_that_unpacks_without_end() -> None:
    for data in (b"n\n" + b"1\n" * 11, parquet(n=[1] * 11)):
        with pytest.raises(OverLimit, match="PRESSROOM_BATCH_LIMIT"):
            read(data, 10, MEBIBYTE)
    with pytest.raises(TooLarge):
        read(parquet(text=["x" * 100_000] * 5000), 10_000, MEBIBYTE)


def test_without_its_package_parquet_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(extras, "import_module", missing)
    with pytest.raises(NotInstalled, match=r'pip install "pressroom\[data\]"'):
        read(parquet(n=[1]), 10, MEBIBYTE)
