"""The pages of the command line, made from its commands."""

import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import typer

from pressroom.cli.main import COMMANDS
from table_text import cell, prose

FRONT = "<!-- Made from the command line; change its help instead. -->\n\n"


def commands() -> Iterator[tuple[str, Any]]:
    """Every command and group of commands with its words: ``notebooks add``. The order is that of ``--help``."""
    for name, named in COMMANDS.items():
        yield from _below(name, named.load(name))


def _below(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield words, command
    for name, each in getattr(command, "commands", {}).items():
        yield from _below(f"{words} {name}", each)


def pages() -> dict[str, str]:
    """A page for each first word, by its name."""
    made: dict[str, str] = {}
    for words, command in commands():
        first = words.split()[0]
        made[first] = made.get(first, FRONT) + section(words, command)
    return made


def section(words: str, command: Any) -> str:
    """What the reference says of a command: its usage, its help, its arguments and its options."""
    context = command.context_class(command, info_name=f"pressroom {words}")
    usage = re.sub(r"\{(\w+)\}", lambda name: name[1].upper(), " ".join(command.collect_usage_pieces(context)))
    lines = [f"{'#' * min(len(words.split()), 3)} pressroom {words}", "", prose(command.help or ""), ""]
    lines += ["```text", f"pressroom {words} {usage}".rstrip(), "```", ""]
    rows = [_row(parameter, context) for parameter in shown(command)]
    if rows:
        lines += ["| argument or option | default | what it is |", "| --- | --- | --- |", *rows, ""]
    return "\n".join(lines) + "\n"


def shown(command: Any) -> list[Any]:
    """The arguments and options of a command that its help shows."""
    return [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]


def names(parameter: Any) -> list[str]:
    """What is written for a parameter: its flags, or an argument's name in capitals."""
    if parameter.param_type_name == "argument":
        return [parameter.metavar or parameter.name.upper()]
    return [*parameter.opts, *parameter.secondary_opts]


def _row(parameter: Any, context: typer.Context) -> str:
    flags = ", ".join(f"`{name}`" for name in names(parameter))
    return f"| {flags} | {_default(parameter, context)} | {cell(getattr(parameter, 'help', None) or '')} |"


def _default(parameter: Any, context: typer.Context) -> str:
    if parameter.required:
        return "required"
    said = getattr(parameter, "show_default", None)
    if isinstance(said, str):
        return cell(said)
    value = parameter.get_default(context, call=False)
    if value is False or value == "" or not isinstance(value, (str, int, float, Path, Enum)):
        return ""
    return f"`{getattr(value, 'value', value)}`"
