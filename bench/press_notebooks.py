"""The notebooks of the press's bench, and how their outputs are looked at."""

import csv
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat

from press_sides import Failed

OUTPUT_CELLS, OUTPUT_SIZE = 10, 5 * 2**20
"""The notebook of large outputs: 50 MiB, half of it printed, half displayed."""
ROWS = 20_000
QUARTER = 3


@dataclass(frozen=True)
class Notebook:
    """A notebook; ``check`` is given the output's code cells, and whether parameters were passed."""

    name: str
    file: Path
    check: Callable[[list[dict[str, Any]], bool], bool]
    parameters: dict[str, Any] = field(default_factory=dict)

    def look_at(self, output: Path, *, parameters: bool) -> None:
        """Raises ``Failed`` where the output is not what was to be printed. The output is gone afterwards."""
        if not output.exists():
            raise Failed(f"there is no output of {self.name}")
        cells = [cell for cell in json.loads(output.read_bytes())["cells"] if cell["cell_type"] == "code"]
        output.unlink()
        if not self.check(cells, parameters):
            shown = [cell["outputs"] for cell in cells[-3:]]
            raise Failed(f"the output of {self.name} ends in {json.dumps(shown)[:500]}")


def write(path: Path, *sources: str, parameters: str | None = None) -> Path:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    if parameters is not None:
        cells.insert(0, nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    made = nbformat.v4.new_notebook(cells=cells)
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, path)
    return path


def printed(cell: dict[str, Any]) -> str:
    return "".join("".join(o["text"]) for o in cell["outputs"] if o.get("name") == "stdout")


def displayed(cell: dict[str, Any], kind: str) -> list[str]:
    return ["".join(o["data"][kind]) for o in cell["outputs"] if kind in o.get("data", {})]


def one(folder: Path) -> Notebook:
    file = write(folder / "one.ipynb", 'print("n is", n)', parameters="n = 1")

    def check(cells, parameters):
        return printed(cells[-1]) == f"n is {41 if parameters else 1}\n"

    return Notebook("one", file, check, {"n": 41})


def printing(folder: Path, name: str, count: int, *, stop: int | None = None) -> Notebook:
    """That many cells that print their number; with ``stop``, the one of that number ends it, which is no failure."""
    sources = [f"print({number})" for number in range(count)]
    expected = [f"{number}\n" for number in range(count)]
    if stop is not None:
        sources[stop] = "raise SystemExit(0)"
        expected[stop:] = [""] * (count - stop)

    def check(cells, _):
        return [printed(cell) for cell in cells] == expected

    return Notebook(name, write(folder / f"{name}.ipynb", *sources), check)


def report(folder: Path) -> Notebook:
    """Reads sales, groups them by two columns, shows a table and two plots, and prints a total."""
    chosen = random.Random(1)
    regions, totals = ("north", "east", "south", "west"), dict.fromkeys(range(1, 5), 0)
    with (folder / "sales.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("date", "region", "product", "units", "amount"))
        for _ in range(ROWS):
            month, units = chosen.randrange(12), chosen.randint(1, 20)
            amount = units * chosen.randint(5, 90)
            totals[month // 3 + 1] += amount
            day = f"2026-{month + 1:02}-{chosen.randint(1, 28):02}"
            writer.writerow((day, chosen.choice(regions), f"p{chosen.randrange(50)}", units, amount))
    path = write(
        folder / "report.ipynb",
        "import matplotlib.pyplot as plt\nimport numpy as np\nimport pandas as pd",
        'sales = pd.read_csv("sales.csv", parse_dates=["date"])\n'
        "sales = sales[sales.date.dt.quarter == quarter]\nsales.describe()",
        'by_region = sales.groupby(["region", sales.date.dt.month]).amount.agg(["sum", "mean", "count"])\nby_region',
        'by_region["sum"].unstack(0).plot.bar(title="Amount", figsize=(8, 4))\nplt.show()',
        "daily = sales.groupby(sales.date.dt.date).amount.sum()\n"
        "figure, axes = plt.subplots(figsize=(8, 4))\naxes.plot(daily.index, daily.values)\n"
        'axes.plot(daily.index, daily.rolling(7).mean().fillna(np.mean(daily)), label="week")\n'
        "axes.legend()\nplt.show()",
        'print("total", sales.amount.sum())',
        parameters="quarter = 1",
    )

    def check(cells, parameters):
        pictures = sum(len(displayed(cell, "image/png")) for cell in cells)
        tables = sum(len(displayed(cell, "text/html")) for cell in cells)
        total = totals[QUARTER if parameters else 1]
        return (pictures, tables, printed(cells[-1])) == (2, 2, f"total {total}\n")

    return Notebook("report", path, check, {"quarter": QUARTER})


def outputs(folder: Path) -> Notebook:
    lines = OUTPUT_SIZE // 64
    cells = (
        f'print("\\n".join(f"{{n:063}}" for n in range({lines})))',
        f'from IPython.display import HTML\nHTML("0123456789abcdef" * ({OUTPUT_SIZE} // 16))',
    )
    file = write(folder / "outputs.ipynb", *cells * (OUTPUT_CELLS // 2))

    def check(cells, _):
        sizes = [len(printed(cell)) + sum(map(len, displayed(cell, "text/html"))) for cell in cells]
        return sizes == [OUTPUT_SIZE] * OUTPUT_CELLS

    return Notebook("outputs", file, check)


def holding(folder: Path, number: int) -> tuple[Notebook, Path]:
    """A notebook that has pandas loaded and waits in a cell for ``gate``; the file that says that it waits."""
    ready = folder / f"ready-{number}"
    source = (
        "import pathlib, time\nimport pandas as pd\nframe = pd.DataFrame({'a': range(1000)})\n"
        f"print(frame.a.sum())\npathlib.Path({str(ready)!r}).touch()\n"
        f"while not pathlib.Path({str(folder / 'gate')!r}).exists(): time.sleep(0.05)"
    )
    file = write(folder / f"holding-{number}.ipynb", source)
    return Notebook("holding", file, lambda cells, _: printed(cells[-1]) == "499500\n"), ready
