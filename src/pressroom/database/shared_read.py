"""Reads that callers who ask the same question at the same time share.

A caller joins only a query that has not been sent yet, so what it gets is never older than its own request: a burst of
equal requests costs two queries, and no answer is kept afterwards.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar, cast

T = TypeVar("T")


class SharedReads:
    """The reads under way, by question."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, asyncio.Future[Any]] = {}
        self._asking: dict[Hashable, asyncio.Task[None]] = {}

    async def get(self, question: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer of ``ask``, called after this moment and shared with whoever waits for the same ``question``.

        Raises whatever ``ask`` raised.
        """
        waiting = self._waiting.get(question)
        if waiting is None:
            waiting = self._waiting[question] = asyncio.get_running_loop().create_future()
            if question not in self._asking:
                self._asking[question] = asyncio.create_task(self._answer(question, ask))
        # A caller that goes away must not take the answer from the others.
        return cast("T", await asyncio.shield(waiting))

    async def _answer(self, question: Hashable, ask: Callable[[], Awaitable[Any]]) -> None:
        try:
            while (waiting := self._waiting.pop(question, None)) is not None:
                try:
                    waiting.set_result(await ask())
                except Exception as error:  # noqa: BLE001 - it is raised at every caller
                    waiting.set_exception(error)
                    waiting.exception()  # mark as seen: every caller may have gone away
                except asyncio.CancelledError:
                    waiting.cancel()
                    raise
        finally:
            del self._asking[question]
