"""What the pages weigh, and what they take the server beside their calls of the API.

Run it as ``python bench/pages.py [--rows 100000] [--tries 60]``. Two histories, of 100 executions and of ``--rows``,
are generated in an embedded server, and ``pressroom serve`` without workers answers from each. A page and its calls are
asked for in turns on one connection; each figure is the median. A page that shows what several calls answer stands
beside all of them. No call is asked the same question twice, so each answer is made and none is kept: a kept one takes
about 1 ms, and a page is always made. The weight is that of a page and all that it loads, as a browser gets it that has
nothing yet, compressed; the notebook in the frame of an execution is among it. The exit code is 1 where a page takes
more than twice as long as its calls, or than from the short history, or weighs more than 150 KB. It leaves nothing
behind.
"""

import sys

sys.path.append(sys.path.pop(0))  # beside this file, `queue` would not be the standard library's

import argparse
import gzip
import re
import subprocess
import time

import httpx
import psycopg
from rich.console import Console
from rich.table import Table

from history_rows import generate
from stand import command, create, environment, libpq, median, notebook, post, server, serving

SMALL = 100
HTML = {"Accept": "text/html"}
HOME = (
    *("/db/executions?status=running&status=pending&limit=8", "/db/executions?status=failed&limit=8"),
    *("/db/notebooks?limit=8", "/db/schedules?limit=8"),
)
PARTS = ("", "/attempts", "/results", "/artifacts")
"""What a page of an execution shows, below the path of it."""
MOST_TIMES, MOST_KB = 2.0, 150
"""How many times as long as its call a page may take, and as from a short history; and what it may weigh."""
CHARTS = ("uPlot", "compare-")
"""How the names of what only the charts need begin."""
BATCH = {"grid": {"region": ["EMEA", "APAC", "LATAM", "NA"], "weeks": [1, 2, 3, 4, 5]}}


def calls(ids: dict[str, int | str]) -> list[tuple[str, str]]:
    """Pages, each with the calls of the API that answer the same. The pages of lists have 50 rows, or 200."""
    one, execution = ids["notebook"], ids["execution"]
    form = f"/db/notebooks/{one} /db/parameters/notebook/{one} /db/executions?notebook_id={one}&limit=60"
    return [
        ("/home", " ".join(HOME)),
        (f"/notebooks/{one}", form),
        (f"/notebooks/{one}/sweep", form),
        (f"/schedules/new?notebook_id={one}", form),
        (f"/schedules/{ids['schedule']}", f"/db/schedules/{ids['schedule']} /db/schedules/{ids['schedule']}/ticks"),
        ("/executions", "/db/executions?limit=50"),
        ("/executions?status=failed", "/db/executions?limit=50&status=failed"),
        ("/notebooks", "/db/notebooks?limit=50 /db/executions?limit=50"),
        (f"/executions/{execution}", " ".join(f"/db/executions/{execution}{part}" for part in PARTS)),
        (f"/difference?executions={execution},{execution}", f"/db/executions/{execution}/diff?with={execution}"),
        (f"/notebooks/{one}/parameters", f"/db/notebooks/{one} /db/parameters/notebook/{one}"),
        (f"/schedules/{ids['schedule']}/edit", f"/db/schedules/{ids['schedule']} {form}"),
        ("/notebooks/files", f"/list-notebooks/{ids['user']} /db/notebooks?limit=50"),
        (f"/notebooks/{one}/compare", f"/db/notebooks/{one}/compare?limit=200"),
        ("/batches", "/db/batches?limit=50"),
        (
            f"/batches/{ids['batch']}",
            f"/db/batches/{ids['batch']} /db/executions?batch_id={ids['batch']}&limit=1000",
        ),
        ("/schedules", "/db/schedules?limit=50"),
        ("/service/workers", "/db/workers"),
        ("/service/kernels", "/kernels"),
        ("/service/audit", "/db/audit?limit=100"),
        ("/tokens", "/db/tokens?limit=50"),
    ]


def fill(url, port, home):
    """Something for each page to show."""
    path = notebook(home / "n.ipynb", "1")
    body = {"name": "sales", "file_path": str(path), "username": home.name}
    made = post(port, "/db/notebooks", body)["id"]
    for name, kind in (("region", "string"), ("weeks", "integer")):
        post(port, "/db/parameters", {"notebook_id": made, "param_name": name, "param_type": kind})
    batch = post(port, "/db/batches", {"notebook_id": made, **BATCH})["id"]
    schedule = post(port, "/db/schedules", {"notebook_id": made, "name": "daily", "cron": "@daily"})["id"]
    post(port, "/db/tokens", {"scopes": ["read"]})
    subprocess.run(command("run", str(path)), env=environment(url, home), check=True, capture_output=True)
    with psycopg.connect(libpq(url), autocommit=True) as connection:
        [execution] = connection.execute("SELECT max(id) FROM notebook_executions WHERE status = 'success'").fetchone()
    return {"notebook": made, "batch": batch, "execution": execution, "schedule": schedule, "user": home.name}


def took(client, paths, headers, turn=None):
    start = time.perf_counter()
    turned = "" if turn is None else f"turn={turn}"
    for path in paths.split():
        answer = client.get(f"{path}{'&' if '?' in path else '?'}{turned}" if turned else path, headers=headers)
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
    return (time.perf_counter() - start) * 1000


def measured(clients, ids, tries):
    """The medians of each page and of its call, from each history, in turns."""
    found = {}
    pairs = [calls(each) for each in ids]
    for at, (page, call) in enumerate(pairs[0]):
        times = [[], [], [], []]
        for turn in range(tries + 5):
            for side, client in enumerate(clients):
                one = took(client, pairs[side][at][0], HTML), took(client, pairs[side][at][1], {}, turn)
                if turn >= 5:
                    times[2 * side].append(one[0])
                    times[2 * side + 1].append(one[1])
        found[page, call] = [median(each) for each in times]
    return found


def weight(client, path):
    """The bytes of a page and of what it loads, compressed; and those of what only charts need."""
    with client.stream("GET", path, headers=HTML) as answer:
        body = b"".join(answer.iter_raw())
        assert answer.headers["Content-Encoding"] == "gzip", path
    whole, charts = len(body), 0
    text = gzip.decompress(body).decode()
    for asset in set(re.findall(r'(?:(?:src|href)="(?=/assets/)|<iframe [^>]*src=")([^"]+)"', text)):
        with client.stream("GET", asset) as answer:
            size = sum(map(len, answer.iter_raw()))
        if asset.removeprefix("/assets/").startswith(CHARTS):
            charts += size
        else:
            whole += size
    return whole, charts


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--tries", type=int, default=60)
    given = options.parse_args()
    with server() as (url, home):
        databases = [create(url, f"pages{rows}") for rows in (SMALL, given.rows)]
        for database, rows in zip(databases, (SMALL, given.rows), strict=True):
            with psycopg.connect(libpq(database)) as connection:
                generate(connection, rows, said=lambda _: None)
        other = home.parent / "other"
        other.mkdir()
        with (
            serving(databases[0], home, "--workers", "0") as (small, _),
            serving(databases[1], other, "--workers", "0") as (large, _),
            httpx.Client(base_url=f"http://127.0.0.1:{small}", timeout=60) as one,
            httpx.Client(base_url=f"http://127.0.0.1:{large}", timeout=60) as two,
        ):
            ids = [fill(databases[0], small, home), fill(databases[1], large, other)]
            found = measured([one, two], ids, given.tries)
            weights = {page: weight(one, page) for page, _ in found}
    table = Table(
        "page", "call", "ms of 100", "call", "ratio", f"ms of {given.rows:,}", "call", "grows", "KB", "charts"
    )
    slow = []
    for (page, call), (page_small, call_small, page_large, call_large) in found.items():
        whole, charts = weights[page]
        figures = (page_small, call_small, page_small / call_small, page_large, call_large, page_large / page_small)
        if max(figures[2], figures[5]) > MOST_TIMES or whole > 1000 * MOST_KB:
            slow.append(page)
        spelled = [f"{each:.2f}" for each in figures]
        table.add_row(page, call, *spelled, f"{whole / 1000:.0f}", f"{charts / 1000:.0f}" if charts else "")
    Console(width=170).print(table)
    if slow:
        sys.exit(f"Over {MOST_TIMES:g} times or {MOST_KB} KB: {', '.join(slow)}")


if __name__ == "__main__":
    main()
