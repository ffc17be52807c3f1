"""``pressroom secrets``: the keys of secret parameters; and how commands ask for their values."""

import sys
from typing import Annotated

import typer

from pressroom.cli.room import WRONG, complain, out
from pressroom.parameters.sealing import new_key

app = typer.Typer(help="The keys of secret parameters.", no_args_is_help=True)
Secrets = Annotated[
    list[str] | None,
    typer.Option(
        "--secret",
        metavar="NAME",
        help="Give a secret parameter: its value is asked for, or is the next line of the standard input.",
    ),
]


@app.callback()
def root() -> None:
    """The keys of secret parameters."""


@app.command("new-key")
def make_key() -> None:
    """Print a new key for PRESSROOM_SECRET_KEY. It is kept nowhere."""
    out(new_key())


def asked(names: list[str] | None, given: dict[str, str]) -> dict[str, str]:
    """The values of secrets, by name: no argument of a process, which others may see, holds one. One that is given
    twice, or is not there, ends the command."""
    found: dict[str, str] = {}
    for name in names or []:
        if name in given or name in found:
            complain(f"Parameter {name!r} is given more than once.")
            raise typer.Exit(WRONG)
        if sys.stdin.isatty():
            found[name] = typer.prompt(name, hide_input=True, err=True)
            continue
        line = sys.stdin.readline()
        if not line:
            complain(f"The standard input has no line for the secret {name!r}.")
            raise typer.Exit(WRONG)
        found[name] = line.removesuffix("\n")
    return found
