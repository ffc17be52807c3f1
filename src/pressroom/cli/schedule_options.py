"""The options of ``pressroom schedules``."""

from datetime import datetime
from typing import Annotated, Any

import typer

from pressroom.cli.room import WRONG, complain
from pressroom.cli.times import moment
from pressroom.schedules.schemas import Missed, Overlap
from pressroom.wire import MAX_ID

Json = Annotated[bool, typer.Option("--json", help="Answer JSON.")]
Id = Annotated[int, typer.Argument(help="The schedule's id.", min=1, max=MAX_ID)]
Cron = Annotated[str | None, typer.Option("--cron", help="When: five fields, or a word such as @daily.")]
Zone = Annotated[str | None, typer.Option("--timezone", "--tz", help="The time zone of the expression; else UTC.")]
Given = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Give a parameter, which may use the tick: {{ previous_month }}."),
]
Named = Annotated[str | None, typer.Option("--name", help="What it is called.")]
Description = Annotated[str | None, typer.Option(help="What it is for.")]
User = Annotated[str | None, typer.Option("--user", help="Whose it is; else the caller's.")]
Starts = Annotated[datetime | None, typer.Option("--starts", parser=moment, metavar="TIME", help="No tick before it.")]
Ends = Annotated[datetime | None, typer.Option("--ends", parser=moment, metavar="TIME", help="No tick after it.")]
Miss = Annotated[Missed | None, typer.Option("--missed", help="What becomes of the ticks of an outage; else `last`.")]
MissLimit = Annotated[int | None, typer.Option("--missed-limit", help="With `all`: how many fire at most.")]
Over = Annotated[
    Overlap | None, typer.Option("--overlap", help="What becomes of a tick while an earlier one runs; else `queue`.")
]
Jitter = Annotated[float | None, typer.Option("--jitter", help="Fire up to so many seconds later, by chance.")]
Queue = Annotated[str | None, typer.Option(help="The queue to wait in.")]
Priority = Annotated[int | None, typer.Option(help="Higher ones start first.")]
Timeout = Annotated[float | None, typer.Option(help="Time limit of an attempt in seconds.")]
Attempts = Annotated[int | None, typer.Option(help="How often an execution is tried at most.")]
At = Annotated[datetime | None, typer.Option("--at", parser=moment, metavar="TIME", help="As of this time; else now.")]


def parameters_of(given: list[str] | None) -> dict[str, str]:
    """The parameters of a command, as texts. What is no pair, or given twice, ends the command."""
    found: dict[str, str] = {}
    for each in given or []:
        name, part, value = each.partition("=")
        if not part or name in found:
            complain(f"{each!r} is not NAME=VALUE." if not part else f"Parameter {name!r} is given more than once.")
            raise typer.Exit(WRONG)
        found[name] = value
    return found


def said(**fields: Any) -> dict[str, Any]:
    """The fields that were given."""
    return {name: value for name, value in fields.items() if value is not None}
