"""Saving while an execution goes on takes at most a twentieth of the time elapsed, however large the notebook is."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pressroom.press.snapshots import EVERY_SECONDS, SHARE, Snapshots


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(
    steps=st.lists(st.tuples(st.floats(0.001, 30), st.integers(0, 10**9)), max_size=200),
    speed=st.floats(2e6, 1e9),
)
def test_snapshots_take_a_bounded_share_of_the_time(steps: list[tuple[float, int]], speed: float) -> None:
    clock, size, saved = Clock(), 0, list[float]()

    def save() -> None:
        saved.append(clock.now)
        clock.now += size / speed

    snapshots = Snapshots(save, clock)
    largest = 0.0
    for seconds, grown in steps:
        clock.now += seconds
        size += grown
        before = snapshots.spent
        snapshots.changed(size)
        largest = max(largest, snapshots.spent - before)
        # Only a notebook that has grown since, or a disk that is slower than thought, costs more than was reckoned.
        assert snapshots.spent <= SHARE * clock.now + largest
    assert all(later - earlier >= EVERY_SECONDS for earlier, later in pairwise(saved))


def test_a_long_execution_is_saved_now_and_then() -> None:
    clock, saved = Clock(), list[float]()
    snapshots = Snapshots(lambda: saved.append(clock.now), clock)
    for _ in range(600):
        clock.now += 1
        snapshots.changed(1000)
    assert len(saved) == 120


def test_a_disk_that_is_full_for_a_while_ends_nothing() -> None:
    clock, tries = Clock(), list[float]()

    def save() -> None:
        tries.append(clock.now)
        if len(tries) == 1:
            raise OSError(28, "No space left on device")

    snapshots = Snapshots(save, clock)
    for _ in range(20):
        clock.now += 1
        snapshots.changed(0)
        assert (snapshots.failed is not None) == (len(tries) == 1)
    assert len(tries) == 4
