"""The threads that wait for MLflow."""

import asyncio
import threading

import pytest

from pressroom.tracking.threads import AT_ONCE, Deadline, Late, in_thread


async def test_threads_that_a_server_keeps_are_waited_for_no_longer_than_the_deadline() -> None:
    let = threading.Event()
    kept = [in_thread(let.wait, Deadline(60)) for _ in range(AT_ONCE)]
    with pytest.raises(Late):
        await in_thread(let.is_set, Deadline(0.05))
    let.set()
    assert await asyncio.gather(*kept) == [True] * AT_ONCE
    assert await in_thread(let.is_set, Deadline(60))


async def test_what_is_left_is_not_begun() -> None:
    deadline = Deadline(60)
    deadline.leave()
    begun = threading.Event()
    with pytest.raises(Late):
        await in_thread(begun.set, deadline)
    assert not begun.is_set()
