"""``pressroom doctor``: what is wrong with an installation, and which command mends it."""

from collections.abc import Sequence
from dataclasses import asdict
from json import dumps
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from pressroom.cli.room import FAILED, out
from pressroom.cli.tables import UNBROKEN, plain
from pressroom.doctor.case import Case, settings_as_far_as_right
from pressroom.doctor.examination import examine
from pressroom.doctor.findings import Finding, State

_COLOURS = {State.OK: "green", State.WARNING: "yellow", State.WRONG: "bold red"}


def doctor(
    clock_tolerance: Annotated[
        float, typer.Option(min=0, help="Seconds that this machine's clock and the database's may be apart.")
    ] = 2.0,
    *,
    json: Annotated[bool, typer.Option("--json", help="Answer JSON.")] = False,
) -> None:
    """Look at this installation, and say what is wrong and which command mends it.

    Exits with 1 where something is wrong; warnings alone are 0. Run it as the service runs: with its settings, as its
    account, on each machine of it.
    """
    settings, found = settings_as_far_as_right()
    case = Case(settings, clock_seconds=clock_tolerance, findings=found)
    with Console(stderr=True).status("looking"):
        findings = examine(case)
    wrong = sum(finding.state is State.WRONG for finding in findings)
    if json:
        out(dumps({"wrong": wrong, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        console = Console()
        show(console if console.is_terminal else Console(width=UNBROKEN), findings)
    if wrong:
        raise typer.Exit(FAILED)


def show(console: Console, findings: Sequence[Finding]) -> None:
    """Findings as a person reads them: a line each, and below it what mends it."""
    table = Table.grid(Column(no_wrap=True), Column(no_wrap=True), Column(overflow="fold"), padding=(0, 2, 0, 0))
    for finding in findings:
        state = Text(finding.state.value, style=_COLOURS[finding.state])
        table.add_row(state, Text(finding.part, style="bold"), Text(plain(finding.says)))
        if finding.mend is not None:
            table.add_row("", "", Text.assemble(("mend: ", "dim"), (plain(finding.mend), "cyan")))
    console.print(table)
    numbers = {state: sum(finding.state is state for finding in findings) for state in State}
    warnings = f"{numbers[State.WARNING]} warning" + ("" if numbers[State.WARNING] == 1 else "s")
    console.print(Text(f"\n{numbers[State.WRONG] or 'Nothing'} wrong, {warnings}."))
