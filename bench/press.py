"""The press beside papermill, nbclient and ploomber-engine, in one run: wall and processor time, and memory.

Run it as ``python bench/press.py [--rounds 3] [--only one,hundred,thousand,report,outputs,at-once,memory] [--whole]``.
*The press* is called directly; *over HTTP* is `pressroom serve` on an embedded PostgreSQL, from the POST to the answer
that the execution is done. papermill, nbclient and ploomber-engine (which executes in its own process: the floor) are
called as functions. Each is warm, in a process of its own, and executes the notebook before
anything counts.

A round goes through all of them in turns, each as often as fits in a second, at most 20 times; a figure is the median
of the rounds' medians. The ratio is papermill's wall time to theirs (of memory, ours to a stock kernel's), the median
of the rounds' ratios. The processor time is per execution, of the process and all that it started; over HTTP, of the
service and the database. Every output is looked at. nbclient passes no parameters.

papermill takes minutes for a thousand cells: it executes the first 200 of them, once, and stops; five times that time
is taken for all. That is less than it would need, as each cell takes it longer than the one before. ``--whole`` has it
execute them all. The bench starts all that it needs and leaves nothing behind; the exit status tells whether everything
was executed.
"""

import sys

sys.path.append(sys.path.pop(0))  # beside this file, `queue` would not be the standard library's

import argparse
import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

import press_notebooks
from press_sides import (
    LIMIT_SECONDS,
    Failed,
    Job,
    Served,
    Several,
    Warm,
    cpu_seconds,
    processes,
    settled_pss_mib,
    unaccounted,
)
from press_warm import PRELOAD
from stand import median

KINDS = ("memory", "one", "hundred", "report", "outputs", "at-once", "thousand")
PRESS, HTTP, PAPERMILL, NBCLIENT, PLOOMBER = "the press", "over HTTP", "papermill", "nbclient", "ploomber-engine"
SIDES = {
    PRESS: lambda: Warm("press"),
    HTTP: Served,
    PAPERMILL: lambda: Warm("papermill"),
    NBCLIENT: lambda: Warm("nbclient"),
    PLOOMBER: lambda: Warm("ploomber"),
    "papermill, 2 processes": lambda: Several("papermill", 2),
    "papermill, 4 processes": lambda: Several("papermill", 4),
}
AT_ONCE, FEW, HELD = 32, 200, 4
WHOLE_LIMIT_SECONDS = 900
BATCH_SECONDS, BATCH = 1.0, 20
BREATH_SECONDS = 0.3
"""What somebody does after the answer belongs to the processor time, and must not be in the next one's way."""


@dataclass
class Found:
    """The figures of one who executes, a round each, in seconds."""

    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)


@dataclass
class Aim:
    """``ratio`` is to be at least (or, of the floor, at most) ``wanted``."""

    what: str
    ratio: float | None
    wanted: float
    at_most: bool = False

    @property
    def verdict(self) -> str:
        if self.ratio is None:
            return "not measured"
        reached = self.ratio <= self.wanted if self.at_most else self.ratio >= self.wanted
        return "reached" if reached else "missed"

    def __str__(self) -> str:
        ratio = "" if self.ratio is None else f": {times(self.ratio)} times"
        return f"{self.verdict}: {self.what}{ratio} (aim: {'at most' if self.at_most else 'at least'} {self.wanted:g})"


def times(ratio: float) -> str:
    return f"{ratio:.3g}" if ratio < 1000 else f"{ratio:,.0f}"


def shown(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.2f} s"


class Bench:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.until = time.monotonic() + options.minutes * 60
        self.sides, self.failures, self.aims, self.notes = {}, [], [], []
        self.table = Table("what", "by", "wall", "CPU", "ratio", "aim", "")
        self._number = 0

    def side(self, name):
        if name in self.sides and not self.sides[name].alive:
            self.sides.pop(name).close()
        if name not in self.sides:
            self.sides[name] = SIDES[name]()
        return self.sides[name]

    def close(self):
        for side in self.sides.values():
            side.close()

    def failed(self, what, name, error):
        self.failures.append(f"{what}, {name}: {error}")
        print(f"failed: {self.failures[-1]}", file=sys.stderr)

    def job(self, notebook, name):
        """Beside the input for the service, which writes to its users' folders alone."""
        folder = self.side(HTTP).home if name == HTTP else self.folder
        self._number += 1
        target = folder / f"output-{self._number}.ipynb"
        return Job(folder / notebook.file.name, target, {} if name == NBCLIENT else notebook.parameters)

    def executed(self, notebook, name, limit=LIMIT_SECONDS):
        job = self.job(notebook, name)
        took = self.side(name).execute(job, limit)
        notebook.look_at(job.output, parameters=name != NBCLIENT)
        return took

    def all_at_once(self, notebook, name, count=AT_ONCE):
        jobs = [self.job(notebook, name) for _ in range(count)]
        began = time.perf_counter()
        self.side(name).at_once(jobs)
        took = time.perf_counter() - began
        for job in jobs:
            notebook.look_at(job.output, parameters=True)
        return took

    def in_turns(self, what, names, execute, *, warm=None, once=()):
        """Rounds in which each of them executes; those ``once`` only in the first."""
        found, counts = {}, {}
        for name in names:
            try:
                took = (warm or execute)(name)
                if took < 5 * BATCH_SECONDS:  # the first may have started what executes the others
                    took = min(took, (warm or execute)(name))
                counts[name] = 1 if warm else max(1, min(BATCH, int(BATCH_SECONDS / took)))
                found[name] = Found()
            except Failed as error:
                self.failed(what, name, error)
        for number in range(self.options.rounds):
            if number and time.monotonic() > self.until:
                self.notes.append(f"{what}: the time was up after {number} rounds")
                break
            for name in [n for n in found if not (number and n in once)]:
                try:
                    self.turn(found[name], name, execute, counts[name])
                except Failed as error:
                    self.failed(what, name, error)
                    del found[name]
        return found

    def turn(self, found, name, execute, count):
        time.sleep(BREATH_SECONDS)
        roots = self.side(name).roots
        before = cpu_seconds(roots)
        walls = [execute(name) for _ in range(count)]
        time.sleep(BREATH_SECONDS)
        found.cpus.append((cpu_seconds(roots) - before) / count)
        found.walls.append(median(walls))
        if lost := unaccounted(roots):
            note = f"the processor time of {name} lacks what was started by {', '.join(lost)}"
            self.notes += [] if note in self.notes else [note]
        print(f"{name}: {shown(found.walls[-1])} (of {count})", file=sys.stderr)

    def rows(self, what, found, peer, wanted, show=shown):
        """A row each. ``peer``: whose wall is set beside the others'; ``wanted``: the aims by who is to reach them."""
        for name, figures in found.items():
            ratio = None if name == peer else ratio_of(found.get(peer), figures)
            aim = Aim(f"{what}, {name} beside {peer}", ratio, wanted[name]) if name in wanted else None
            self.add(what, name, show(median(figures.walls)), shown(median(figures.cpus)), ratio, aim)
        for name in wanted.keys() - found.keys():
            self.aims.append(Aim(f"{what}, {name} beside {peer}", None, wanted[name]))
        self.table.add_section()

    def add(self, what, name, wall, cpu, ratio, aim=None):
        cells = ("", "")
        if aim is not None:
            self.aims.append(aim)
            cells = (f"{aim.wanted:g} x", aim.verdict)
        self.table.add_row(what, name, wall, cpu, "" if ratio is None else f"{times(ratio)} x", *cells)

    def put(self, notebook):
        """The notebook is in the service's folder too."""
        for file in self.folder.iterdir():
            target = self.side(HTTP).home / file.name
            if file.suffix in {".ipynb", ".csv"} and not target.exists():
                target.write_bytes(file.read_bytes())
        return notebook

    # What is measured.

    def one(self):
        notebook = self.put(press_notebooks.one(self.folder))
        names = (PRESS, HTTP, PAPERMILL, NBCLIENT, PLOOMBER)
        found = self.in_turns("one", names, lambda name: self.executed(notebook, name))
        self.rows("one", found, PAPERMILL, {PRESS: 20, HTTP: 20})
        floor = ratio_of(found.get(PRESS), found.get(PLOOMBER))
        self.aims.append(Aim("one, the press's time beside the floor's (ploomber-engine)", floor, 3, at_most=True))

    def several(self, what, notebook, aim):
        self.put(notebook)
        names = (PRESS, HTTP, PAPERMILL, NBCLIENT, PLOOMBER)
        found = self.in_turns(what, names, lambda name: self.executed(notebook, name))
        self.rows(what, found, PAPERMILL, aim)

    def hundred(self):
        self.several("hundred", press_notebooks.printing(self.folder, "hundred", 100), {PRESS: 20})

    def report(self):
        self.several("report", press_notebooks.report(self.folder), {PRESS: 8})

    def outputs(self):
        self.several("outputs", press_notebooks.outputs(self.folder), {})

    def thousand(self):
        whole = self.options.whole
        hundred = press_notebooks.printing(self.folder, "hundred", 100)
        cut = press_notebooks.printing(self.folder, "thousand-cut", 1000, stop=FEW)
        thousand = self.put(press_notebooks.printing(self.folder, "thousand", 1000))
        names = (PRESS, HTTP, PAPERMILL, NBCLIENT, PLOOMBER)

        def execute(name):
            if name != PAPERMILL:
                return self.executed(thousand, name)
            return self.executed(thousand if whole else cut, name, WHOLE_LIMIT_SECONDS)

        def warm(name):
            return self.executed(hundred, name)

        found = self.in_turns("thousand", names, execute, warm=warm, once=(PAPERMILL,))
        peer = PAPERMILL
        if not whole and PAPERMILL in found:
            partial, peer = found.pop(PAPERMILL), f"papermill, {1000 / FEW:g} times {FEW} cells"
            stopped = f"papermill, {FEW} of the cells"
            self.add("thousand", stopped, shown(partial.walls[0]), shown(partial.cpus[0]), None)
            found[peer] = Found([partial.walls[0] * 1000 / FEW], [partial.cpus[0] * 1000 / FEW])
        self.rows("thousand", found, peer, {PRESS: 100})

    def at_once(self):
        notebook = self.put(press_notebooks.one(self.folder))
        two, four = "papermill, 2 processes", "papermill, 4 processes"
        what = f"{AT_ONCE} at once"
        found = self.in_turns(
            what,
            (PRESS, HTTP, two, four),
            lambda name: self.all_at_once(notebook, name),
            warm=lambda name: self.all_at_once(notebook, name, 4),
        )
        peers = {name: median(found[name].walls) for name in (two, four) if name in found}
        best = min(peers, key=lambda name: peers[name]) if peers else two
        self.rows(what, found, best, {PRESS: 15}, lambda wall: f"{shown(wall)}, {AT_ONCE / wall:.3g} /s")
        for name in (two, four):
            if name in self.sides:
                self.sides.pop(name).close()

    def memory(self):
        """What each further kernel that has pandas loaded adds, of ours and of the stock ones that nbclient starts."""
        added = {}
        for name, kind in ((PRESS, "press"), ("stock kernels", "nbclient")):
            try:
                side = Warm(kind)
            except Failed as error:
                self.failed("memory", name, error)
                continue
            try:
                added[name] = self.held(side)
            except Failed as error:
                self.failed("memory", name, error)
            finally:
                (self.folder / "gate").touch()
                side.close()
                (self.folder / "gate").unlink()
        what = "PSS of a further pandas kernel"
        share = added[PRESS] / added["stock kernels"] if len(added) == 2 else None
        aim = Aim("PSS of a further pandas kernel, the press beside stock kernels", share, 0.25, at_most=True)
        for name, mib in added.items():
            mine = name == PRESS
            self.add(what, name, f"{mib:.1f} MiB", "", share if mine else None, aim if mine else None)
        if PRESS not in added:
            self.aims.append(aim)
        self.table.add_section()

    def held(self, side):
        side.execute(Job(press_notebooks.one(self.folder).file, self.folder / "output.ipynb"))
        jobs, totals = [], []
        for number in range(HELD):
            notebook, ready = press_notebooks.holding(self.folder, number)
            jobs.append((notebook, Job(notebook.file, self.folder / f"held-{number}.ipynb")))
            side.send(jobs[-1][1])
            until = time.monotonic() + 30
            while not ready.exists():
                if time.monotonic() > until:
                    raise Failed("the notebook did not come to its waiting cell within 30 seconds")
                time.sleep(0.05)
            ready.unlink()
            totals.append(settled_pss_mib(side.roots))
        print(f"{len(processes(side.roots))} processes, MiB: {[round(t) for t in totals]}", file=sys.stderr)
        (self.folder / "gate").touch()
        for _ in jobs:
            side.receive()
        for notebook, job in jobs:
            notebook.look_at(job.output, parameters=False)
        return (totals[-1] - totals[0]) / (HELD - 1)


def ratio_of(above: Found | None, below: Found | None) -> float | None:
    """The median of the rounds' ratios; of those who had not the same rounds, the ratio of the medians."""
    if above is None or below is None:
        return None
    if len(above.walls) != len(below.walls):
        return median(above.walls) / median(below.walls)
    return median([a / b for a, b in zip(above.walls, below.walls, strict=True)])


def main(options):
    wanted = options.only.split(",")
    if unknown := set(wanted) - set(KINDS):
        raise SystemExit(f"--only knows {', '.join(KINDS)}, not {', '.join(sorted(unknown))}")
    console = Console(width=130)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="pressroom-bench-press-") as name:
        folder = Path(name)
        os.environ |= {
            "PRESSROOM_PRELOAD": ",".join(PRELOAD),
            "IPYTHONDIR": str(folder / "ipython"),
            "PLOOMBER_STATS_ENABLED": "false",
        }
        bench = Bench(options, folder)
        try:
            for kind in KINDS:
                if kind in wanted:
                    print(f"{kind} ...", file=sys.stderr)
                    getattr(bench, kind.replace("-", "_"))()
        finally:
            bench.close()
    bench.table.title = f"medians of {options.rounds} rounds, {os.cpu_count()} processors, load {load:.1f} before"
    console.print(bench.table)
    for line in [*bench.notes, *bench.aims, *(f"failed: {f}" for f in bench.failures)]:
        console.print(str(line), markup=False, highlight=False, soft_wrap=True)
    return 1 if bench.failures else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(KINDS))
    parser.add_argument("--whole", action="store_true", help="papermill executes all of the thousand cells")
    parser.add_argument("--minutes", type=float, default=7, help="no further round is begun after that")
    sys.exit(main(parser.parse_args()))
