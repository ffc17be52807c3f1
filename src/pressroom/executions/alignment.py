"""What of two sequences is the same, within a bound of steps: difflib takes cubic time where much is alike."""

import difflib
from collections.abc import Hashable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T", bound=Hashable)
MOST_STEPS = 2_000_000
"""Comparisons of two entries: about a second."""
LONGEST = 100_000
"""Characters of the longest source that is compared line by line."""
_AROUND = 2
"""Lines that are told around each change."""


class TooDifferent(Exception):
    """Two sequences cannot be compared within their steps."""


class Steps:
    """Steps that are left for one comparison or several."""

    def __init__(self, most: int) -> None:
        self._left = most

    def take(self, steps: int) -> None:
        """Raises :class:`TooDifferent` where there are not so many."""
        self._left -= steps
        if self._left < 0:
            raise TooDifferent


class Matcher(difflib.SequenceMatcher[T]):
    """A matcher that counts its steps; what is the same at the beginning or at the end is taken first. Whatever it is
    asked raises :class:`TooDifferent`."""

    b2j: dict[T, list[int]]
    """difflib's own: where each entry stands in ``new``."""

    def __init__(self, old: Sequence[T], new: Sequence[T], steps: Steps) -> None:
        super().__init__(None, old, new, autojunk=False)
        self._old, self._new, self._steps = old, new, steps

    def find_longest_match(
        self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None
    ) -> difflib.Match:
        """As difflib's, but for common beginnings and ends."""
        old, new = self._old, self._new
        end, other = len(old) if ahi is None else ahi, len(new) if bhi is None else bhi
        most = min(end - alo, other - blo)
        head = next((at for at in range(most) if old[alo + at] != new[blo + at]), most)
        tail = next((at for at in range(most - head) if old[end - 1 - at] != new[other - 1 - at]), most - head)
        self._steps.take(1 + head + tail)
        if head:
            return difflib.Match(alo, blo, head)
        if tail:
            return difflib.Match(end - tail, other - tail, tail)
        self._steps.take(sum(1 + len(self.b2j.get(old[at], ())) for at in range(alo, end)))
        return super().find_longest_match(alo, end, blo, other)


def unified(old: str, new: str, steps: Steps) -> str:
    """A unified diff of two sources, without its first two lines, or a sentence that there is none."""
    if max(len(old), len(new)) > LONGEST:
        return f"A source of more than {LONGEST} characters is not compared line by line.\n"
    try:
        return "".join(f"{line}\n" for line in _lines(old.splitlines(), new.splitlines(), steps))
    except TooDifferent:
        return "The sources are too different to be compared line by line.\n"


def _lines(old: Sequence[str], new: Sequence[str], steps: Steps) -> Iterator[str]:
    for group in Matcher(old, new, steps).get_grouped_opcodes(_AROUND):
        (_, left, _, right, _), (_, _, left_end, _, right_end) = group[0], group[-1]
        yield f"@@ -{_range(left, left_end)} +{_range(right, right_end)} @@"
        for what, start, end, other, other_end in group:
            if what == "equal":
                yield from (f" {line}" for line in old[start:end])
                continue
            yield from (f"-{line}" for line in old[start:end])
            yield from (f"+{line}" for line in new[other:other_end])


def _range(start: int, end: int) -> str:
    """Lines as a unified diff numbers them."""
    length = end - start
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"
