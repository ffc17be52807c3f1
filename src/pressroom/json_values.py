"""Which JSON values PostgreSQL can keep and Python can read again."""

import math
from typing import cast

MAX_DEPTH = 100
MAX_DIGITS = 4300
"""Digits of the longest integer that Python reads from text."""
_LARGEST = 10**MAX_DIGITS


def storable(value: object) -> str | None:  # noqa: C901, PLR0912 - a branch for each kind of JSON
    """Why a JSON value cannot be kept, completing the sentence "the value ..."; ``None`` where it can."""
    waiting: list[tuple[object, int]] = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if depth > MAX_DEPTH:
            return f"is nested deeper than {MAX_DEPTH} levels"
        if isinstance(item, str):
            if "\0" in item:
                return "holds a NUL character, which the database cannot keep"
            if not item.isascii() and any("\ud800" <= c <= "\udfff" for c in item):
                return "holds half of a surrogate pair, which is not a character"
        elif isinstance(item, float):
            if not math.isfinite(item):
                return f"holds {item}, which is not a number in JSON"
        elif isinstance(item, int):
            if abs(item) >= _LARGEST:
                return f"holds an integer of more than {MAX_DIGITS} digits"
        elif isinstance(item, dict):
            for key, inner in cast("dict[object, object]", item).items():
                waiting += [(key, depth + 1), (inner, depth + 1)]
        elif isinstance(item, list):
            waiting += [(inner, depth + 1) for inner in cast("list[object]", item)]
        elif item is not None:
            return f"holds a {type(item).__name__}, which is not JSON"
    return None
