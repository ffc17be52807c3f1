"""Watching a batch: how it stands, told again whenever one of its executions has changed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from pressroom.batches.schemas import BatchOut
from pressroom.errors import NotFound, Unavailable
from pressroom.executions.following import AGAIN_SECONDS, ALIVE_SECONDS, Following, told_within

PAUSE_SECONDS = 0.5
"""A batch can change a thousand times a second; nobody is told so often."""


async def watch(
    following: Following, batch_id: int, ask: Callable[[], Awaitable[BatchOut]]
) -> AsyncIterator[BatchOut | None]:
    """A batch as it stands, by ``ask``: at first, after changes, and every :data:`ALIVE_SECONDS` while nothing changes,
    until it has ended or this process does; ``None`` while the database is away."""
    async with following.changes_of_batch(batch_id) as changed:
        while True:
            changed.clear()
            try:
                batch = await ask()
            except Unavailable:
                batch = None
            except NotFound:  # pruned
                return
            yield batch
            if following.closing or (batch is not None and batch.ended):
                return
            await told_within(changed, AGAIN_SECONDS if batch is None else ALIVE_SECONDS)
            await asyncio.sleep(PAUSE_SECONDS)
