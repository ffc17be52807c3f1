"""A grid of executions from one request to the compare table, beside as many calls of papermill, in one run.

Run it as ``python bench/grid.py [--executions 1000] [--papermill N] [--workers 2]``. Ours is ``pressroom serve`` with
its defaults on an embedded PostgreSQL: the clock runs from the request for the grid to the answer with the table of all
parameters and results. Papermill is ``execute_notebook`` in a pool of as many processes, each with everything imported:
its clock runs until the last output is written, and it makes no table. With ``--papermill N`` it executes only N of
them, and its time for all is reckoned from those, which the table says. Every result is checked. It starts all that it
needs and leaves nothing behind.
"""

import sys

sys.path.append(sys.path.pop(0))  # beside this file, `queue` would not be the standard library's

import argparse
import json
import time
import urllib.request
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import nbformat
from rich.console import Console
from rich.table import Table

from stand import create, post, server, serving

AT_ONCE = 1000
WORK = """
from IPython.display import display
print(number)
display({"application/vnd.pressroom.result+json": {"name": "square", "value": number**2}}, raw=True)
"""


def one(path: Path) -> Path:
    """*One*: a parameter, and a cell that prints it, and records its square."""
    parameters = nbformat.v4.new_code_cell("number = 0", metadata={"tags": ["parameters"]})
    made = nbformat.v4.new_notebook(cells=[parameters, nbformat.v4.new_code_cell(WORK)])
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made.metadata.language_info = {"name": "python"}
    nbformat.write(made, path)
    return path


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
        return json.load(answer)


def squares(port, notebook_id, batch_id, count):
    """The squares of a batch, by number, as its compare table has them."""
    found = {}
    for skip in range(0, count, AT_ONCE):
        rows = get(port, f"/db/notebooks/{notebook_id}/compare?batch={batch_id}&skip={skip}&limit={AT_ONCE}")
        found |= {row["parameters.number"]: row["results.square"] for row in rows}
    return found


def ours(url, home, count, workers):
    """Seconds from the request to the table, and to the end of the last execution."""
    with serving(url, home, "--workers", str(workers)) as (port, _):
        file = str(one(home / "one.ipynb"))
        registered = {"name": "one", "file_path": file, "username": home.name}
        notebook_id = post(port, "/db/notebooks", registered)["id"]
        definition = {"notebook_id": notebook_id, "param_name": "number", "param_type": "integer", "default_value": 0}
        post(port, "/db/parameters", definition)
        for number in range(workers * 2):
            post(port, "/execute", {"input_path": file, "parameters": {"number": number}})
        began = time.perf_counter()
        wanted = {"notebook_id": notebook_id, "grid": {"number": list(range(count))}}
        batch_id = post(port, "/db/batches", wanted)["id"]
        while get(port, f"/db/batches/{batch_id}")["ended_at"] is None:
            time.sleep(0.1)
        executed = time.perf_counter() - began
        found = squares(port, notebook_id, batch_id, count)
        took = time.perf_counter() - began
    assert found == {number: number**2 for number in range(count)}, "the table is not what was asked for"
    return took, executed


def call(path, output, number):
    """One call of papermill, in a process of the pool."""
    import papermill  # noqa: PLC0415 - ours is measured in a process that has none

    return papermill.execute_notebook(path, output, {"number": number}, progress_bar=False)


def papermills(home, count, workers):
    """Seconds until the last output is written."""
    file, outputs = one(home / "peer.ipynb"), home / "peer"
    outputs.mkdir()
    with ProcessPoolExecutor(workers) as pool:
        for ready in [pool.submit(call, file, outputs / f"warm-{n}.ipynb", n) for n in range(workers * 2)]:
            ready.result()
        began = time.perf_counter()
        for done in [pool.submit(call, file, outputs / f"{n}.ipynb", n) for n in range(count)]:
            done.result()
        took = time.perf_counter() - began
    for number in range(count):
        [_, _, cell] = nbformat.read(outputs / f"{number}.ipynb", 4).cells
        assert cell.outputs[0].text.strip() == str(number), f"output {number} is not what was asked for"
    return took


def main(options):
    count, peer = options.executions, options.papermill or options.executions
    with server() as (url, home):
        took, executed = ours(create(url, "grid"), home, count, options.workers)
        print(f"ours: {took:.1f} s, the last execution had ended after {executed:.1f} s", file=sys.stderr)
        reckoned = papermills(home, peer, options.workers) * count / peer
    how = "" if peer == count else f", reckoned from {peer:,}"
    table = Table("what", "ours", f"papermill{how}", "ratio", title=f"{count:,} executions, {options.workers} at once")
    table.add_row("from the request to the table", f"{took:.1f} s", f"{reckoned:.1f} s", f"{reckoned / took:.1f}")
    table.add_row("executions a second", f"{count / took:.1f}", f"{count / reckoned:.1f}", "")
    Console(width=110).print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executions", type=int, default=1000)
    parser.add_argument("--papermill", type=int, help="how many of them papermill executes; all, if left out")
    parser.add_argument("--workers", type=int, default=2)
    main(parser.parse_args())
