"""What the asynchronous client does with batches: begin, watch, cancel and repeat them."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar, Unpack

import httpx
from pydantic import JsonValue

from pressroom.batches.schemas import BatchOut
from pressroom.client import batch_calls
from pressroom.client.batch_calls import BatchOptions, BatchWalk, SampleOptions, Sets
from pressroom.client.calls import Call, unreachable
from pressroom.client.progress import BatchBar
from pressroom.errors import Unavailable

T = TypeVar("T")


class AsyncBatches:
    """The methods of the asynchronous client."""

    url: str
    timeout: float
    give_up_seconds: float
    _http: httpx.AsyncClient

    async def _call(self, call: Call[T]) -> T:
        raise NotImplementedError

    async def batch(
        self,
        notebook_id: int,
        *,
        grid: Mapping[str, Sequence[JsonValue]] | None = None,
        sets: Sets | None = None,
        sample: SampleOptions | None = None,
        parameters: Mapping[str, JsonValue] | None = None,
        **options: Unpack[BatchOptions],
    ) -> BatchOut:
        """Execute a registered notebook over many sets of parameters, without waiting: all combinations of a ``grid``,
        ``sets`` as a list of dictionaries or a pandas ``DataFrame``, or a ``sample``.

        ``parameters`` are those that all sets share. Raises :class:`ParameterInvalid`, which names each wrong set in
        ``errors``; then nothing is executed.
        """
        return await self._call(batch_calls.begin(notebook_id, grid, sets, sample, parameters, options))

    async def batch_of_file(
        self,
        notebook_id: int,
        file: str | Path,
        parameters: Mapping[str, JsonValue] | None = None,
        **options: Unpack[BatchOptions],
    ) -> BatchOut:
        """The same over the rows of a file of CSV or Parquet, whose columns are parameters."""
        return await self._call(batch_calls.upload(notebook_id, Path(file), parameters, options))

    async def show_batch(self, batch_id: int) -> BatchOut:
        """One batch, as it stands."""
        return await self._call(batch_calls.batch(batch_id))

    async def batches(self, *, username: str | None = None, notebook_id: int | None = None) -> AsyncIterator[BatchOut]:
        """The batches that the caller may see, newest first, page after page; what begins meanwhile is not given."""
        skip, last = 0, None
        while True:
            page = await self._call(batch_calls.batches(username, notebook_id, skip))
            for item in page:
                if last is None or item.id < last:
                    last = item.id
                    yield item
            if batch_calls.is_last(page):
                return
            skip += len(page)

    async def cancel_batch(self, batch_id: int) -> BatchOut:
        """Cancel a batch: nothing of it starts any more, and what runs is stopped; :meth:`wait_batch` for its end.

        Raises :class:`BatchEnded`.
        """
        return await self._call(batch_calls.cancel(batch_id))

    async def retry_batch(
        self, batch_id: int, *, cancelled: bool = False, idempotency_key: str | None = None
    ) -> BatchOut:
        """Execute again, as a new batch, what has failed of a batch, and with ``cancelled`` what was cancelled."""
        return await self._call(batch_calls.retry(batch_id, cancelled=cancelled, key=idempotency_key))

    async def wait_batch(self, batch_id: int, *, progress: bool | None = None) -> BatchOut:
        """Wait until all executions of a batch have ended; the batch as it stands then, whatever became of them.

        ``progress`` shows a bar; if left out, where a person looks. Raises as :meth:`follow_batch`.
        """
        last: BatchOut | None = None
        with BatchBar(progress) as bar:
            async for state in self.follow_batch(batch_id):
                bar.show(state)
                last = state
        return last if last is not None and last.ended else await self.show_batch(batch_id)

    async def follow_batch(self, batch_id: int) -> AsyncIterator[BatchOut]:
        """A batch as it stands, at first and after changes, until its end. A connection that is lost is made again.

        Raises :class:`NotFound`, and :class:`Unavailable` where the service was away for ``give_up_seconds``.
        """
        walk = BatchWalk(batch_id, self.give_up_seconds)
        while True:
            try:
                async with self._http.stream(**walk.request(self.timeout)) as response:
                    if not response.is_success:
                        await response.aread()
                    walk.opened(response)
                    async for chunk in response.aiter_bytes():
                        for state in walk.states(chunk):
                            yield state
                walk.closed()
            except httpx.TransportError as error:
                walk.lost(unreachable(self.url, error))
            except Unavailable as error:
                walk.lost(error)
            if walk.over:
                return
            await asyncio.sleep(walk.pause())
