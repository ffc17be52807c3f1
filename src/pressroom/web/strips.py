"""A notebook's history as a strip: a mark for each execution, as high as it took long, and a line of the trend."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from pressroom.executions.recent import Mark
from pressroom.executions.states import Status

WIDTH, GAP, HEIGHT = 8, 3, 44
LEAST = 4
"""How high the mark of what took no time is, so that it can be seen and met."""
WINDOW = 5
"""How many successes the trend is the median of."""

NOTICED, NOTHING = 0.5, 0.1
"""Seconds: how much longer somebody would notice, and what is as good as no time at all."""
HIGHEST = 3
"""How many times as high as the usual mark the highest one is: one slow execution is not to flatten all others."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One mark: its execution, and where it stands, in the units of the strip."""

    mark: Mark
    x: int
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Strip:
    """All of them. ``trend`` is the points of a line, empty where there is nothing to tell."""

    bars: tuple[Bar, ...]
    width: int
    height: int
    trend: str

    @property
    def bar_width(self) -> int:
        """The width of a mark."""
        return WIDTH


def strip(marks: Sequence[Mark]) -> Strip:
    """The strip of executions, the oldest first."""
    taken = [mark.seconds for mark in marks if mark.seconds]
    longest = min(max(taken), HIGHEST * median(taken)) if taken else 1.0
    bars: list[Bar] = []
    for number, mark in enumerate(marks):
        height = _height(mark.seconds or 0.0, longest)
        if mark.seconds is None:
            height = HEIGHT / 2
        bars.append(Bar(mark, number * (WIDTH + GAP), round(HEIGHT - height, 1), round(height, 1)))
    return Strip(tuple(bars), max(1, len(bars) * (WIDTH + GAP) - GAP), HEIGHT, _trend(bars, longest))


def _height(seconds: float, longest: float) -> float:
    return LEAST + (HEIGHT - LEAST) * min(1.0, seconds / longest)


def _trend(bars: Sequence[Bar], longest: float) -> str:
    points: list[str] = []
    taken: list[float] = []
    for bar in bars:
        if bar.mark.status is not Status.SUCCESS or bar.mark.seconds is None:
            continue
        taken.append(bar.mark.seconds)
        height = _height(median(taken[-WINDOW:]), longest)
        points.append(f"{bar.x + WIDTH / 2:g},{HEIGHT - height:.1f}")
    return " ".join(points) if len(points) > WINDOW else ""


def trend_in_words(marks: Sequence[Mark]) -> str:
    """Whether the last executions took longer than those before: a sentence, or nothing."""
    taken = [mark.seconds for mark in marks if mark.status is Status.SUCCESS and mark.seconds is not None]
    if len(taken) < 2 * WINDOW:
        return ""
    before, lately = median(taken[:-WINDOW]), median(taken[-WINDOW:])
    ratio = lately / max(before, NOTHING)
    if abs(lately - before) < NOTICED or 0.8 < ratio < 1.25:
        return "About as long as before."
    return f"Lately {ratio:.1f} times as long as before."
