"""The notebooks in ``examples/``, each executed on a real kernel and judged by what it worked out."""

import csv
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import nbformat
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pressroom.press import Finished, Press, Reason, Request
from pressroom.press.environment import kernel_environment

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NAMES = ("sales_report", "train_model", "clean_orders", "close_month", "disk_usage")
ORDER_COLUMNS = ("order_id", "ordered_on", "customer", "country", "product", "quantity", "unit_price")


@dataclass(frozen=True)
class Result:
    """How an example ended, and the outputs of its notebook."""

    finished: Finished
    outputs: list[nbformat.NotebookNode]

    def of_type(self, mime: str) -> list[Any]:
        return [o.data[mime] for o in self.outputs if "data" in o and mime in o.data]

    @property
    def figures(self) -> dict[str, Any]:
        (figures,) = self.of_type("application/json")
        return figures

    @property
    def text(self) -> str:
        return "".join(o.text for o in self.outputs if o.output_type == "stream")


@pytest.fixture(scope="module")
def press(tmp_path_factory: pytest.TempPathFactory) -> Press:
    prefix = tmp_path_factory.mktemp("kernels")
    install = [sys.executable, "-m", "bash_kernel.install", "--prefix", str(prefix)]
    subprocess.run(install, check=True, capture_output=True)
    # A home of its own: what stands in the account's, such as a .bashrc, has no say in the results.
    environment = kernel_environment(os.environ) | {
        "HOME": str(tmp_path_factory.mktemp("home")),
        "JUPYTER_PATH": str(prefix / "share" / "jupyter"),
    }
    return Press(environment=environment, max_output_bytes=20 * 2**20, max_notebook_bytes=20 * 2**20)


async def execute(press: Press, name: str, output: Path, parameters: Mapping[str, Any]) -> Result:
    path = output / f"{name}.ipynb"
    request = Request(EXAMPLES / f"{name}.ipynb", path, parameters=parameters, timeout_seconds=300)
    events = [event async for event in press.execute(request)]
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.written, finished.message
    notebook = nbformat.read(path, as_version=4)
    return Result(finished, [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs])


def assert_succeeded(result: Result) -> None:
    assert result.finished.reason is None, result.finished.message


def sold(region: str, month: str, column: str, rate: float = 1.0, by: str | None = None) -> Any:
    """The sales of a region in a month, added up here from the file itself; a ``Counter`` where ``by`` is given."""
    sums: Counter[str] = Counter()
    with (EXAMPLES / "data" / "sales.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["region"] == region and row["month"] == month:
                sums[row[by] if by else ""] += float(row[column]) * rate
    return sums if by else sums[""]


def rate(month: str, currency: str) -> float:
    with (EXAMPLES / "data" / "exchange_rates.csv").open(encoding="utf-8") as file:
        (found,) = (r for r in csv.DictReader(file) if r["month"] == month and r["currency"] == currency)
    return float(found["per_eur"])


# The files themselves


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_committed_clean_and_says_what_it_is_for(name: str) -> None:
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert all(not c.outputs and c.execution_count is None for c in notebook.cells if c.cell_type == "code")
    language = "bash" if name == "disk_usage" else "python"
    assert notebook.metadata.kernelspec.name == {"bash": "bash", "python": "python3"}[language]
    assert notebook.metadata.language_info.name == language
    assert re.match(r"# .+\n\n\S", notebook.cells[0].source)


@pytest.mark.parametrize("name", NAMES)
def test_each_parameter_of_an_example_has_a_description(name: str) -> None:
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    (cell,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    lines = [line for line in cell.source.splitlines() if line and not line.startswith("from ")]
    pattern = r"\w+=\S+ +# \S.+" if name == "disk_usage" else r"\w+: [^#=]+ = [^#]+  # \S.+"
    assert lines
    assert [line for line in lines if not re.fullmatch(pattern, line)] == []


def test_the_data_is_what_its_script_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, EXAMPLES / "data" / "make_data.py", tmp_path], check=True)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_bytes() for path in (EXAMPLES / "data").glob("*.csv")}
    assert len(written) == 4


# The sales report


@pytest.mark.parametrize(
    ("parameters", "before", "year_ago"),
    [
        ({"month": "2026-10", "region": "EMEA", "currency": "EUR", "top_n": 8}, "2026-09", "2025-10"),
        ({"month": "2026-01", "region": "APAC", "currency": "JPY", "top_n": 3}, "2025-12", "2025-01"),
    ],
)
async def test_the_sales_report_adds_up(
    press: Press, tmp_path: Path, parameters: dict[str, Any], before: str, year_ago: str
) -> None:
    month, region, currency, top_n = parameters.values()
    result = await execute(press, "sales_report", tmp_path, parameters)
    assert_succeeded(result)

    revenue = {m: sold(region, m, "revenue_eur", rate(m, currency)) for m in (month, before, year_ago)}
    figures = result.figures
    assert figures["revenue"] == pytest.approx(revenue[month], abs=0.01)
    assert figures["units"] == sold(region, month, "units")
    assert figures["change_month"] == pytest.approx(revenue[month] / revenue[before] - 1)
    assert figures["change_year"] == pytest.approx(revenue[month] / revenue[year_ago] - 1)
    ranked = sold(region, month, "revenue_eur", rate(month, currency), by="product").most_common(top_n)
    assert figures["top_products"] == [{"product": n, "revenue": pytest.approx(v, abs=0.01)} for n, v in ranked]

    headline, ranking = (t for t in result.of_type("text/markdown") if t.startswith("|"))
    assert f"{revenue[month]:,.0f}" in headline
    assert f"{revenue[year_ago]:,.0f}" in headline
    assert len(ranking.splitlines()) == top_n + 2
    assert len(result.of_type("image/png")) == 3


async def test_the_first_month_on_record_is_reported_without_comparisons(press: Press, tmp_path: Path) -> None:
    result = await execute(press, "sales_report", tmp_path, {"month": "2024-11", "region": "LATAM"})
    assert_succeeded(result)
    assert result.figures["change_month"] is None
    assert result.figures["change_year"] is None
    assert any("first month on record" in text for text in result.of_type("text/markdown"))
    assert len(result.of_type("image/png")) == 2


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"month": "2027-01"}, "no sales for EMEA in 2027-01; months available: 2024-11 to 2026-10"),
        ({"month": "October"}, "month must be written YYYY-MM, such as 2026-10, not 'October'"),
        ({"region": "MOON"}, "no sales for region MOON; regions available: AMER, APAC, EMEA, LATAM"),
        ({"currency": "XAU"}, "no exchange rates for XAU; currencies available: CHF, EUR, GBP, JPY, USD"),
    ],
)
async def test_a_sales_report_that_cannot_be_made_says_why(
    press: Press, tmp_path: Path, parameters: dict[str, str], sentence: str
) -> None:
    finished = (await execute(press, "sales_report", tmp_path, parameters)).finished
    assert (finished.reason, finished.ename, finished.evalue) == (Reason.CELL_ERROR, "ValueError", sentence)


# The model


@pytest.mark.parametrize(
    ("parameters", "test_cases"),
    [
        ({"n_estimators": 60, "learning_rate": 0.2}, 143),
        ({"model": "random_forest", "n_estimators": 60, "max_depth": 6, "seed": 7, "test_share": 0.3}, 171),
        ({"model": "logistic_regression", "seed": 3}, 143),
    ],
)
async def test_a_model_is_trained_and_measured(
    press: Press, tmp_path: Path, parameters: dict[str, Any], test_cases: int
) -> None:
    result = await execute(press, "train_model", tmp_path, parameters)
    assert_succeeded(result)
    figures = result.figures
    assert figures["model"] == parameters.get("model", "gradient_boosting")
    assert (figures["train_cases"], figures["test_cases"]) == (569 - test_cases, test_cases)
    assert set(figures["metrics"]) == {"accuracy", "f1", "recall", "roc_auc"}
    # Whoever always says "benign" reaches 0.63; the published results on this data set lie above 0.9.
    assert all(0.85 < value <= 1 for value in figures["metrics"].values())
    assert len(result.of_type("image/png")) == 2

    (verdict,) = (t for t in result.of_type("text/markdown") if t.startswith("Of "))
    malignant, missed, _, alarms = map(int, re.findall(r"\d+", verdict))
    assert figures["metrics"]["accuracy"] == pytest.approx(1 - (missed + alarms) / test_cases)
    assert figures["metrics"]["recall"] == pytest.approx(1 - missed / malignant)


async def test_the_same_seed_trains_the_same_model(press: Press, tmp_path: Path) -> None:
    parameters = {"n_estimators": 20, "seed": 11}
    (tmp_path / "again").mkdir()
    first = await execute(press, "train_model", tmp_path, parameters)
    again = await execute(press, "train_model", tmp_path / "again", parameters)
    other = await execute(press, "train_model", tmp_path, parameters | {"seed": 12})
    assert first.figures == again.figures
    assert first.figures["metrics"] != other.figures["metrics"]


async def test_a_model_with_a_wrong_parameter_is_not_trained(press: Press, tmp_path: Path) -> None:
    finished = (await execute(press, "train_model", tmp_path, {"test_share": 0.9})).finished
    assert (finished.ename, finished.evalue) == ("ValueError", "test_share must be between 0.05 and 0.5, not 0.9")


# The orders


def orders_file(path: Path, rows: list[tuple[str, ...]]) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([ORDER_COLUMNS, *rows])
    return str(path)


async def test_the_orders_are_cleaned_into_a_typed_parquet_file(press: Press, tmp_path: Path) -> None:
    target = tmp_path / "new" / "orders.parquet"
    result = await execute(press, "clean_orders", tmp_path, {"output_path": str(target)})
    assert_succeeded(result)

    with (EXAMPLES / "data" / "orders_raw.csv").open(encoding="utf-8", newline="") as file:
        raw = list(csv.reader(file))[1:]
    table = pq.read_table(target)
    figures = result.figures
    assert figures["rows_in"] == len(raw)
    assert figures["rows_out"] == table.num_rows
    lost = Counter(figures["set_aside"]) + Counter(figures["refused"])
    assert table.num_rows + lost.total() == len(raw)
    assert table.num_rows > 1400
    assert figures["set_aside"]["empty row"] == sum(not any(row) for row in raw)
    assert figures["refused"]["wrong number of columns"] == sum(len(row) == 5 for row in raw)
    dates = [row[1] for row in raw if len(row) == 7]
    assert figures["refused"]["bad date"] == sum(map(dates.count, ("2026-02-30", "31/09/2026", "yesterday")))

    assert table.schema.field("ordered_on").type == pa.date32()
    assert table.schema.field("unit_price").type == pa.decimal128(8, 2)
    orders = {order["order_id"]: order for order in table.to_pylist()}
    assert len(orders) == table.num_rows
    assert all(order["amount"] == order["quantity"] * order["unit_price"] for order in orders.values())
    assert Decimal(figures["amount"]) == sum(order["amount"] for order in orders.values())
    assert {order["country"] for order in orders.values()} == {"DE", "FR", "GB", "SE"}
    assert [path.name for path in target.parent.iterdir()] == ["orders.parquet"]


async def test_each_spelling_of_a_value_is_understood(press: Press, tmp_path: Path) -> None:
    spellings = {
        "A1": ("2026-07-31", "DE", "1,234.50", date(2026, 7, 31), "DE", "1234.50"),
        "A2": (" 31/07/2026", "uk", "1.234,50", date(2026, 7, 31), "GB", "1234.50"),
        "A3": ("31 Jul 2026 ", "Sweden", "12,5", date(2026, 7, 31), "SE", "12.50"),
        "A4": ("2026-07-01", " fr ", "1,234", date(2026, 7, 1), "FR", "1234.00"),
        "A5": ("01/07/2026", "Germany", "1.234.567,8", None, None, None),
        "A6": ("2026-07-01", "DE", "12.345.67", None, None, None),
        "A7": ("2026-07-01", "XX", "12.00", None, None, None),
    }
    rows = [
        (k, day, "a@b.example", place, " Foam mat ", "2", price) for k, (day, place, price, *_) in spellings.items()
    ]
    twice = ("B1", "2026-07-01", "a@b.example", "DE", "Foam mat", "1", "39.00")
    contradiction = ("B2", "2026-07-01", "a@b.example", "DE", "Foam mat", "1", "39.00")
    rows += [twice, twice, contradiction, (*contradiction[:5], "9", "39.00")]
    target = tmp_path / "orders.parquet"
    parameters = {"input_path": orders_file(tmp_path / "orders.csv", rows), "output_path": str(target)}
    result = await execute(press, "clean_orders", tmp_path, parameters)
    assert_succeeded(result)

    orders = {order["order_id"]: order for order in pq.read_table(target).to_pylist()}
    wanted = {key: (day, place, Decimal(price)) for key, (*_, day, place, price) in spellings.items() if day}
    wanted["B1"] = (date(2026, 7, 1), "DE", Decimal("39.00"))
    assert {k: (o["ordered_on"], o["country"], o["unit_price"]) for k, o in orders.items()} == wanted
    assert {order["product"] for order in orders.values()} == {"Foam mat"}
    assert result.figures["set_aside"] == {"sent twice": 1}
    assert result.figures["refused"] == {"bad price": 2, "unknown country": 1, "same order_id, different order": 2}


async def test_bad_orders_fail_the_step_where_that_is_asked_for(press: Press, tmp_path: Path) -> None:
    target = tmp_path / "orders.parquet"
    target.write_bytes(b"of yesterday")
    result = await execute(press, "clean_orders", tmp_path, {"output_path": str(target), "on_bad_rows": "fail"})
    assert result.finished.reason is Reason.CELL_ERROR
    assert re.fullmatch(
        r"data/orders_raw.csv has \d+ bad rows of 1539 \(bad date: \d+, .+\); the first is line 32: no customer. "
        r"Nothing was written.",
        result.finished.evalue or "",
    )
    assert target.read_bytes() == b"of yesterday"


async def test_good_orders_pass_the_step_that_fails_on_bad_ones(press: Press, tmp_path: Path) -> None:
    rows = [("C1", "2026-07-01", "a@b.example", "DE", "Foam mat", "3", "39,00")]
    target = tmp_path / "orders.parquet"
    source = orders_file(tmp_path / "orders.csv", rows)
    parameters = {"input_path": source, "output_path": str(target), "on_bad_rows": "fail"}
    assert_succeeded(await execute(press, "clean_orders", tmp_path, parameters))
    (order,) = pq.read_table(target).to_pylist()
    assert order["amount"] == Decimal("117.00")


# The ledger


async def close(press: Press, tmp_path: Path, month: str) -> Result:
    parameters = {"month": month, "ledger": str(tmp_path / "ledger.csv"), "first": "2025-12"}
    return await execute(press, "close_month", tmp_path, parameters)


async def test_months_are_booked_in_order_and_never_twice(press: Press, tmp_path: Path) -> None:
    for month in ("2025-12", "2026-01", "2026-02", "2026-02"):
        result = await close(press, tmp_path, month)
        assert_succeeded(result)
    with (tmp_path / "ledger.csv").open(encoding="utf-8", newline="") as file:
        booked = {(row["month"], row["region"]): row for row in csv.DictReader(file)}
    regions = ("AMER", "APAC", "EMEA", "LATAM")
    assert list(booked) == [(month, region) for month in ("2025-12", "2026-01", "2026-02") for region in regions]
    for region in regions:
        january, february = (sold(region, month, "revenue_eur") for month in ("2026-01", "2026-02"))
        to_date = [float(booked[month, region]["year_to_date_eur"]) for month in ("2026-01", "2026-02")]
        assert to_date == pytest.approx([january, january + february], abs=0.02), "a year begins anew"
        assert int(booked["2026-02", region]["units"]) == sold(region, "2026-02", "units")
    assert result.figures["months_closed"] == 3
    assert result.figures["revenue"] == pytest.approx(sum(sold(r, "2026-02", "revenue_eur") for r in regions), abs=0.01)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".ipynb"] == ["ledger.csv"]


async def test_a_month_is_not_closed_before_the_one_before_it(press: Press, tmp_path: Path) -> None:
    assert_succeeded(await close(press, tmp_path, "2025-12"))
    finished = (await close(press, tmp_path, "2026-03")).finished
    assert (finished.ename, finished.evalue) == (
        "ValueError",
        "2026-03 cannot be closed before 2026-02; the last month that is closed is 2025-12",
    )
    finished = (await close(press, tmp_path, "2027-01")).finished
    assert (finished.ename, finished.evalue) == (
        "ValueError",
        "no sales in 2027-01; months available: 2024-11 to 2026-10",
    )


# The folder, in Bash


def listed(text: str, heading: str) -> list[list[str]]:
    """The rows of the table whose header ends in ``heading``, each split at blanks."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[:1] == ["bytes"] and line.split()[-1] == heading)
    rows = []
    for line in lines[start + 1 :]:
        if not re.match(r" *\d", line):
            break
        rows.append(line.split())
    return rows


async def test_a_folder_is_summed_up_in_bash(press: Press, tmp_path: Path) -> None:
    folder = tmp_path / "it's a folder"
    (folder / "below").mkdir(parents=True)
    (folder / "a.csv").write_bytes(b"x" * 3000)
    (folder / "below" / "b.CSV").write_bytes(b"x" * 1000)
    (folder / "below" / "notes.txt").write_bytes(b"x" * 500)
    (folder / ".hidden").write_bytes(b"x" * 10)
    os.utime(folder / "a.csv", (0, 0))
    result = await execute(press, "disk_usage", tmp_path, {"directory": str(folder), "top": 2})
    assert_succeeded(result)
    assert "4 files, 0.0 MB" in result.text
    kinds = listed(result.text, "kind")
    assert [row[:4] for row in kinds] == [["4000", "2", "88.7%", ".csv"], ["500", "1", "11.1%", ".txt"]]
    assert listed(result.text, "days")[-1] == ["3000", "1", "older"]
    assert listed(result.text, "file") == [["3000", "a.csv"], ["1000", "below/b.CSV"]]


async def test_the_folder_of_the_notebook_is_where_bash_looks(press: Press, tmp_path: Path) -> None:
    result = await execute(press, "disk_usage", tmp_path, {})
    assert_succeeded(result)
    sizes = {path.name: path.stat().st_size for path in (EXAMPLES / "data").iterdir() if path.is_file()}
    largest = max(sizes, key=lambda name: sizes[name])
    assert listed(result.text, "file")[0] == [str(sizes[largest]), largest]


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"directory": "/nowhere/at all"}, "there is no folder /nowhere/at all"),
        ({"directory": "data/sales.csv"}, "data/sales.csv is not a folder that can be read"),
        ({"top": 0}, "top must be a whole number of 1 or more, not '0'"),
    ],
)
async def test_a_folder_that_cannot_be_summed_up_fails_the_bash_notebook(
    press: Press, tmp_path: Path, parameters: dict[str, Any], sentence: str
) -> None:
    result = await execute(press, "disk_usage", tmp_path, parameters)
    assert result.finished.reason is Reason.CELL_ERROR
    assert result.finished.evalue == "1"
    assert result.text.splitlines()[-1] == sentence
    assert "bytes" not in result.text
