"""A page of history from ten million executions beside the same from ten thousand.

Run it as ``python bench/history.py [--rows 10000000] [--tries 200] [--directory DIR]``. It generates both histories in
an embedded server in a temporary folder (10 million rows take some minutes and 8 GB), and asks for pages of 100 as the
API does, or of as many rows as both histories have, in turns from one and the other, with another value each time. It
prints the medians and their ratios. With ``--directory`` the rows stay there, and the next run measures them again.
"""

import sys

sys.path.append(sys.path.pop(0))  # beside this file, `queue` would not be the standard library's

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import time
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from rich.console import Console
from rich.table import Table
from sqlalchemy import URL

from history_rows import generate
from pressroom.database import migrate
from pressroom.database.embedded import EmbeddedServer
from pressroom.database.session import Database
from pressroom.executions.history import History, page

SMALL = 10_000
SPACING = timedelta(seconds=9)
LENGTHS = {
    "queue gpu (0.1%), 10 rows": 10,
    "user and status failed, 20 rows": 20,
    "user and parameter of 25%, 50 rows": 50,
    "user and range of a tenth, 20 rows": 20,
}
"""Of which a short history has no page of 100: so many are asked for in both."""


class Cases:
    """The pages, drawn anew for each try: ``rows`` is the length of the history, ``began`` when it was generated."""

    def __init__(self, rows: int, began: datetime, seed: int) -> None:
        self.rows, self.began, self.chance = rows, began, random.Random(seed)

    def user(self):
        """One of those with many executions, so that the short history has a page of them too."""
        return f"user{self.chance.randint(0, 3)}"

    def region(self):
        return self.chance.choice(("EMEA", "APAC", "LATAM", "NA"))

    def deep(self):
        return int(self.rows * self.chance.uniform(0.4, 0.9))

    def moment(self, share: float):
        return self.began - SPACING * (self.rows * share)

    def month(self):
        return self.moment(self.chance.uniform(0.3, 0.9)).strftime("%Y-%m")

    def hour(self):
        start = self.moment(self.chance.uniform(0.1, 0.9))
        return start, start + timedelta(hours=1)

    def all(self):
        start, end = self.hour()
        middle = self.chance.uniform(0.4, 0.6)
        return {
            "newest": History(),
            "user": History(username=self.user()),
            "user, by a deep cursor": History(username=self.user(), after=self.deep()),
            "status success (91%)": History(statuses=("success",)),
            "status failed (8%)": History(statuses=("failed",)),
            "status running (5 rows)": History(statuses=("running",)),
            "statuses cancelled, failed": History(statuses=("cancelled", "failed")),
            "notebook": History(notebook_id=self.chance.randint(1, 2)),
            "queue reports (5%)": History(queue="reports"),
            "queue gpu (0.1%), 10 rows": History(queue="gpu"),
            "parameter of 25%": History(parameters=(("region", self.region()),)),
            "parameter of 10 rows": History(parameters=(("ticket", f"T{self.chance.randrange(self.rows // 10)}"),)),
            "parameter of no row": History(parameters=(("ticket", f"X{self.chance.random()}"),)),
            "parameter of an old month": History(parameters=(("month", self.month()),)),
            "parameters of 25% and of 10 rows": History(
                parameters=(("region", self.region()), ("ticket", f"T{self.chance.randrange(self.rows // 10)}"))
            ),
            "cursor, deep": History(after=self.deep()),
            "cursor, oldest first": History(after=self.deep(), oldest=True),
            "since a tenth of the time": History(submitted_after=self.moment(0.1)),
            "range of an hour": History(submitted_after=start, submitted_before=end),
            "range of a tenth": History(
                submitted_after=self.moment(middle + 0.1), submitted_before=self.moment(middle)
            ),
            "range of a tenth, deep cursor": History(
                submitted_after=self.moment(middle + 0.1),
                submitted_before=self.moment(middle),
                after=int(self.rows * (1 - middle - 0.05)),
            ),
            "user and status failed, 20 rows": History(username=self.user(), statuses=("failed",)),
            # No execution is like the next two.
            "user and notebook of another": History(username="user0", notebook_id=40),
            "queue and parameter never together": History(queue="reports", parameters=(("weeks", "8"),)),
            "user and parameter of 25%, 50 rows": History(
                username=self.user(), parameters=(("region", self.region()),)
            ),
            "user and range of a tenth, 20 rows": History(
                username=self.user(),
                submitted_after=self.moment(middle + 0.1),
                submitted_before=self.moment(middle),
            ),
        }


def libpq(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def history(server: URL, rows: int) -> tuple[URL, datetime]:
    """The database of a history of this length, generated unless it is there; and the time of its last execution."""
    name = f"history_{rows}"
    url = server.set(database=name)
    with psycopg.connect(libpq(server), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
            connection.execute("ALTER SYSTEM SET max_wal_size = '8GB'")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute(f"CREATE DATABASE {name}_new")
            migrate.upgrade(server.set(database=f"{name}_new"))
            with psycopg.connect(libpq(server.set(database=f"{name}_new"))) as filling:
                generate(filling, rows, lambda said: print(f"\r{said:<80}", end="", flush=True))
            print()
            connection.execute(f"ALTER DATABASE {name}_new RENAME TO {name}")
    with psycopg.connect(libpq(url)) as connection:
        found = connection.execute("SELECT submitted_at FROM notebook_executions ORDER BY id DESC LIMIT 1").fetchone()
        assert found is not None
        return url, found[0].astimezone(UTC)


async def timed(database: Database, asked: History, length: int) -> tuple[float, int]:
    began = time.perf_counter()
    async with database.transaction() as session:
        found = await page(session, asked, 0, length)
    return (time.perf_counter() - began) * 1000, found.length


async def measure(sides: list[tuple[URL, datetime]], rows: list[int], tries: int):
    """Milliseconds by case and side, and how many rows the pages had on average."""
    databases = [Database(url) for url, _ in sides]
    times: dict[str, list[list[float]]] = {}
    lengths: dict[str, list[list[int]]] = {}
    for number in range(tries + 5):  # the first five warm up
        drawn = [Cases(n, began, number).all() for n, (_, began) in zip(rows, sides, strict=True)]
        for name in drawn[0]:
            for side, database in enumerate(databases):
                took, length = await timed(database, drawn[side][name], LENGTHS.get(name, 100))
                if number >= 5:
                    times.setdefault(name, [[], []])[side].append(took)
                    lengths.setdefault(name, [[], []])[side].append(length)
    for database in databases:
        await database.dispose()
    return times, lengths


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--tries", type=int, default=200)
    parser.add_argument("--directory", type=Path)
    options = parser.parse_args()
    os.nice(10)
    kept = nullcontext(options.directory) if options.directory else tempfile.TemporaryDirectory()
    with kept as name, EmbeddedServer(Path(name)) as server:
        rows = [SMALL, options.rows]
        sides = [history(server, n) for n in rows]
        times, lengths = asyncio.run(measure(sides, rows, options.tries))
    table = Table(
        "page of 100 by", f"of {SMALL:,}", f"of {options.rows:,}", "worst 5%", "ratio", "rows, on average", title="ms"
    )
    for case, (small, large) in times.items():
        one, other = statistics.median(small), statistics.median(large)
        worst = statistics.quantiles(large, n=20)[-1]
        average = " and ".join(f"{statistics.mean(each):.0f}" for each in lengths[case])
        table.add_row(case, f"{one:.2f}", f"{other:.2f}", f"{worst:.2f}", f"{other / one:.2f}", average)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
