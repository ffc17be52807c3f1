"""The heat map of a batch whose grid has two parameters: a cell for each combination."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pressroom.executions.recent import BatchMark
from pressroom.executions.states import Status
from pressroom.web.rendering import figure_in_words, seconds_in_words

LEVELS = 9
"""Into how many shades the figures are parted."""
MOST_ACROSS, MOST_DOWN = 40, 250
SECONDS = "seconds"
"""The figure that every execution has."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination: its execution, what it says, and how dark it is, from 0; ``None`` where there is no figure."""

    mark: BatchMark
    text: str
    level: int | None


@dataclass(frozen=True, slots=True)
class HeatMap:
    """All of them. The values of ``down`` begin the rows, those of ``across`` the columns; ``low`` and ``high`` are
    what the lightest and the darkest shade stand for."""

    down: str
    across: str
    rows: list[tuple[str, list[Cell | None]]]
    columns: list[str]
    low: str
    high: str


def swept(batch_plan: Mapping[str, Any], total: int) -> dict[str, list[Any]]:
    """The values of a batch's grid by parameter; nothing where it had none, or its plan was too long to be kept."""
    grid: object = batch_plan.get("grid")
    if not isinstance(grid, dict):
        return {}
    values = cast("dict[str, Any]", grid)
    if not all(isinstance(each, list) for each in values.values()):
        return {}
    return values if math.prod(map(len, values.values())) == total else {}


def ordered(grid: Mapping[str, Sequence[Any]], known: Mapping[int, Mapping[str, Any]]) -> dict[str, Sequence[Any]]:
    """A grid with its names in the order in which its executions were made, which PostgreSQL does not keep: it is told
    by what some of them, by their places, were given. Two names are tried either way, so no more than two may vary."""
    either = [list(grid), list(grid)[::-1]]

    def agreeing(names: list[str]) -> int:
        turned = {name: grid[name] for name in names}
        places = {index: _place(turned, index) for index in known}
        return sum(
            grid[name][places[index][name]] == given.get(name) for index, given in known.items() for name in names
        )

    return {name: grid[name] for name in max(either, key=agreeing)}


def heat_map(grid: Mapping[str, Sequence[Any]], marks: Sequence[BatchMark], figure: str) -> HeatMap | None:
    """The map of a ``figure``, ``seconds`` or the name of a result; ``None`` where two parameters are not what varies,
    or they have too many values to be read."""
    if (sides := sides_of(grid)) is None:
        return None
    down, across = sides
    figures = {mark.index: _figure(mark, figure) for mark in marks}
    known = [value for value in figures.values() if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    words = seconds_in_words if figure == SECONDS else figure_in_words
    cells: list[list[Cell | None]] = [[None] * len(grid[across]) for _ in grid[down]]
    for mark in marks:
        at = _place(grid, mark.index)
        value = figures[mark.index]
        text = mark.status.value if value is None else words(value)
        cells[at[down]][at[across]] = Cell(mark, text, None if value is None else _level(value, low, high))
    return HeatMap(
        down,
        across,
        list(zip(map(figure_in_words, grid[down]), cells, strict=True)),
        [figure_in_words(value) for value in grid[across]],
        words(low) if known else "",
        words(high) if known else "",
    )


def sides_of(grid: Mapping[str, Sequence[Any]]) -> tuple[str, str] | None:
    """The parameters down and across a map; ``None`` where there can be none."""
    varying = [name for name, values in grid.items() if len(values) > 1]
    if len(varying) != 2:
        return None
    down, across = varying
    if len(grid[across]) > len(grid[down]):  # pages are higher than they are wide
        down, across = across, down
    return None if len(grid[across]) > MOST_ACROSS or len(grid[down]) > MOST_DOWN else (down, across)


def figures_of(marks: Sequence[BatchMark]) -> list[str]:
    """The names of what can be shown, how long each took first."""
    return [SECONDS, *sorted({name for mark in marks for name in mark.figures})]


def _figure(mark: BatchMark, figure: str) -> float | None:
    if mark.status is not Status.SUCCESS:
        return None
    return mark.seconds if figure == SECONDS else mark.figures.get(figure)


def _place(grid: Mapping[str, Sequence[Any]], index: int) -> dict[str, int]:
    """Which value of each parameter an execution has: the last one changes fastest."""
    found: dict[str, int] = {}
    for name, values in reversed(list(grid.items())):
        index, found[name] = divmod(index, len(values))
    return found


def _level(value: float, low: float, high: float) -> int:
    return 0 if high <= low else min(LEVELS - 1, int((value - low) / (high - low) * LEVELS))
