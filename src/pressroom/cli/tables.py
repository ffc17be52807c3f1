"""How commands show rows: a table for a person, JSON for a program."""

import re
from collections.abc import Sequence
from json import dumps
from typing import Any

from pydantic import BaseModel, TypeAdapter
from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from pressroom.cli.room import out

NOTHING = "\N{EN DASH}"
UNBROKEN = 100_000
"""Columns of a line that no person's terminal shows: a program that reads a table gets every cell whole."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
COLOURS = {"success": "green", "failed": "red", "cancelled": "yellow", "running": "cyan"}


def show_rows(rows: Sequence[BaseModel], columns: Sequence[str], *, as_json: bool, empty: str) -> None:
    """Show rows: the named ``columns`` for a person, everything for a program; ``empty`` is said of no rows."""
    if as_json:
        out(TypeAdapter(list[Any]).dump_json([row.model_dump(mode="json") for row in rows], indent=2).decode())
        return
    if not rows:
        Console(stderr=True).print(empty)
        return
    table = Table(*(column.replace("_", " ") for column in columns), box=box.SIMPLE_HEAD, header_style="bold")
    for row in rows:
        data = row.model_dump(mode="json")
        table.add_row(*(_cell(column, data[column]) for column in columns))
    _console().print(table)


def show_one(row: BaseModel, *, as_json: bool) -> None:
    """Show one row, every field of it."""
    if as_json:
        out(row.model_dump_json(indent=2))
        return
    table = Table.grid(Column(), Column(overflow="fold"), padding=(0, 2))
    for name, value in row.model_dump(mode="json").items():
        table.add_row(Text(name.replace("_", " "), style="bold"), _cell(name, value))
    _console().print(table)


def show_removed(row_id: int, sentence: str, *, as_json: bool) -> None:
    """Say that a row is gone."""
    out(dumps({"id": row_id, "removed": True}) if as_json else sentence)


def plain(text: str) -> str:
    """A text without what a terminal would obey."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=UNBROKEN)


def _cell(name: str, value: Any) -> Text:
    if value is None:
        return Text(NOTHING, style="dim")
    if isinstance(value, dict):
        return Text(plain(", ".join(f"{key}={item}" for key, item in value.items())) or NOTHING)  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return Text(plain(", ".join(str(item) for item in value)) or NOTHING)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    text = plain(str(value))
    if name.endswith("_at"):
        text = text.replace("T", " ")[:19]
    return Text(text, style=COLOURS.get(text, "") if name == "status" else "")
