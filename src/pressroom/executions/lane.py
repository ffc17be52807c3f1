"""The lane of work that may take seconds and a lot of memory: one piece of it at a time in a process, in a thread of
its own, so that others keep the threads and the memory that they need."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
_ONE = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lane")


async def in_turn(work: Callable[[], T]) -> T:
    """What ``work`` answers, once it was its turn."""
    return await asyncio.get_running_loop().run_in_executor(_ONE, work)
