"""Options that take two values, such as ``-p NAME VALUE``, any number of times; Typer has none."""

from typing import Any

import typer
from typer.core import TyperCommand

from pressroom.cli.room import WRONG, complain

FLAGS = ("-p", "--parameter", "--param", "--rule")
# No argument of a command can hold a NUL, so that it parts the two without a doubt.
_PART = "\0"


class PairsCommand(TyperCommand):
    """A command whose flags among :data:`FLAGS` take a name and a value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Fold each flag's two values into one, which :func:`pairs` parts again."""
        folded: list[str] = []
        rest = list(args)
        while rest:
            word = rest.pop(0)
            folded.append(word)
            if word == "--":
                folded += rest
                break
            if word in FLAGS and len(rest) >= 2:
                folded.append(rest.pop(0) + _PART + rest.pop(0))
        return super().parse_args(ctx, folded)


def pairs(values: list[str] | None) -> list[tuple[str, str]]:
    """The names and values of a flag. Raises ``typer.BadParameter`` for a name without a value."""
    found: list[tuple[str, str]] = []
    for value in values or []:
        name, part, text = value.partition(_PART)
        if not part:
            raise typer.BadParameter(f"{name!r} needs a value: NAME VALUE")
        found.append((name, text))
    return found


def given_once(values: list[str] | None) -> dict[str, str]:
    """The parameters of a command. One that is given twice ends the command."""
    given = pairs(values)
    names = [name for name, _ in given]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        complain(f"Parameter {twice[0]!r} is given more than once.")
        raise typer.Exit(WRONG)
    return dict(given)


def assigned(values: list[str] | None, flag: str) -> dict[str, str]:
    """The names and values of a flag that is given as ``NAME=VALUE``. One that is given twice ends the command."""
    found: dict[str, str] = {}
    for value in values or []:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{flag} {value!r}: write NAME=VALUE")
        if name in found:
            complain(f"Parameter {name!r} is given more than once.")
            raise typer.Exit(WRONG)
        found[name] = text
    return found
