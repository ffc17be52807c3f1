"""What the synchronous client does with executions: submit, follow, stop them, and read what they left."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar, Unpack

import httpx
from pydantic import JsonValue

from pressroom.client import live_calls
from pressroom.client.calls import Call, raise_for_status, unreachable
from pressroom.client.live_calls import Receipt
from pressroom.client.options import BulkOrder, Options
from pressroom.client.progress import Bar
from pressroom.client.stream import Walk
from pressroom.errors import ExecutionEnded, Unavailable
from pressroom.executions.event_schemas import ExecutionEvent, Log, Output, Standing
from pressroom.executions.kernel_schemas import KernelOut
from pressroom.executions.schemas import AttemptOut, ExecutionOut, QueueOut, WorkerOut

T = TypeVar("T")


class Live:
    """The methods of the synchronous client."""

    url: str
    timeout: float
    give_up_seconds: float
    _http: httpx.Client

    def _call(self, call: Call[T]) -> T:
        raise NotImplementedError

    def submit(
        self,
        input_path: str | Path,
        parameters: Mapping[str, JsonValue] | None = None,
        **options: Unpack[Options],
    ) -> ExecutionOut:
        """Put an execution of a notebook file into the queue and return without waiting for its end.

        With an ``idempotency_key`` that was used for the same request before, the execution of that time, ended or not.
        Raises :class:`IdempotencyConflict` where it was used for another one.
        """
        return self._submitted(live_calls.submit(input_path, parameters, options))

    def submit_notebook(
        self, notebook_id: int, parameters: Mapping[str, JsonValue] | None = None, **options: Unpack[Options]
    ) -> ExecutionOut:
        """Put an execution of a registered notebook into the queue; as :meth:`submit`."""
        return self._submitted(live_calls.submit_notebook(notebook_id, parameters, options))

    def _submitted(self, call: Call[ExecutionOut | Receipt]) -> ExecutionOut:
        try:
            found = self._call(call)
        except ExecutionEnded as error:  # the key found one that has ended without success
            return self.execution(error.execution_id)
        return found if isinstance(found, ExecutionOut) else self.execution(found.execution_id)

    def submit_many(self, orders: Sequence[BulkOrder], *, idempotency_key: str | None = None) -> list[int]:
        """Put up to 10,000 executions into the queue in one transaction, all of them or none; their ids, in order.

        With an ``idempotency_key`` that was used for the same orders before, the executions of that time. Raises
        :class:`IdempotencyConflict` where it was used for others.
        """
        return self._call(live_calls.submit_many(orders, idempotency_key)).ids

    def execution(self, execution_id: int) -> ExecutionOut:
        """One execution."""
        return self._call(live_calls.execution(execution_id))

    def cancel(self, execution_id: int) -> ExecutionOut:
        """Cancel an execution: one that waits never starts, one that runs is stopped; :meth:`wait` for its end.

        Raises :class:`AlreadyEnded`.
        """
        return self._call(live_calls.cancel(execution_id))

    def retry(self, execution_id: int) -> ExecutionOut:
        """Execute again what an ended execution did, without waiting; the new one. Raises :class:`NotEnded`."""
        return self._call(live_calls.retry(execution_id))

    def attempts(self, execution_id: int) -> list[AttemptOut]:
        """The tries at an execution, first to last."""
        return self._call(live_calls.attempts(execution_id))

    def output(self, execution_id: int) -> bytes:
        """The executed notebook; of one that failed or was stopped, as far as it came."""
        return self._call(live_calls.output(execution_id))

    def html(self, execution_id: int, *, hide_input: bool = False) -> str:
        """The executed notebook as a page that stands alone, with or without the cells' source."""
        return self._call(live_calls.html(execution_id, hide_input=hide_input))

    def workers(self) -> list[WorkerOut]:
        """The workers: where they are, which queues they serve, and what they run."""
        return self._call(live_calls.workers())

    def kernels(self) -> list[KernelOut]:
        """The kernels that notebooks can ask for, and how each worker starts them."""
        return self._call(live_calls.kernels())

    def queues(self) -> list[QueueOut]:
        """The queues in which something waits or runs."""
        return self._call(live_calls.queues())

    def execute(
        self,
        input_path: str | Path,
        parameters: Mapping[str, JsonValue] | None = None,
        *,
        progress: bool | None = None,
        **options: Unpack[Options],
    ) -> ExecutionOut:
        """Execute a notebook file and wait for its end; as :meth:`submit` and :meth:`wait`."""
        return self.wait(self.submit(input_path, parameters, **options).id, progress=progress)

    def execute_notebook(
        self,
        notebook_id: int,
        parameters: Mapping[str, JsonValue] | None = None,
        *,
        progress: bool | None = None,
        **options: Unpack[Options],
    ) -> ExecutionOut:
        """Execute a registered notebook and wait for its end; as :meth:`submit_notebook` and :meth:`wait`."""
        return self.wait(self.submit_notebook(notebook_id, parameters, **options).id, progress=progress)

    def wait(self, execution_id: int, *, progress: bool | None = None) -> ExecutionOut:
        """Wait for the end of an execution, by its events; restarts of the service in between do no harm.

        ``progress`` shows a bar by cell; if left out, where a person looks. Raises :class:`ExecutionFailed`,
        :class:`ExecutionTimedOut`, :class:`ExecutionCancelled` or :class:`ExecutionInterrupted`, and as
        :meth:`follow`.
        """
        last: Standing | None = None
        with Bar(progress) as bar:
            for event in self.follow(execution_id):
                bar.show(event)
                last = event if isinstance(event, Standing) else last
        return raise_for_status(last.execution if last is not None and last.ended else self.execution(execution_id))

    def follow(self, execution_id: int, after: int | None = None) -> Iterator[ExecutionEvent]:
        """The events of an execution as they come, until its end; those there were first, or beyond the id ``after``.

        A connection that is lost is made again, and no event is given twice but :class:`Standing`. Raises
        :class:`NotFound`, and :class:`Unavailable` where the service was away for ``give_up_seconds``.
        """
        walk = Walk(execution_id, after, self.give_up_seconds)
        while True:
            try:
                with self._http.stream(**walk.request(self.timeout)) as response:
                    if not response.is_success:
                        response.read()
                    walk.opened(response)
                    for chunk in response.iter_bytes():
                        yield from walk.take(chunk)
                walk.closed()
            except httpx.TransportError as error:
                walk.lost(unreachable(self.url, error))
            except Unavailable as error:
                walk.lost(error)
            if walk.over:
                return
            time.sleep(walk.pause())

    def log(self, execution_id: int, *, follow: bool = False) -> Iterator[str]:
        """The text that the cells put out, attempt after attempt; with ``follow`` in pieces as it comes, until the end.

        Raises as :meth:`follow`.
        """
        if not follow:
            yield self._call(live_calls.log(execution_id))
            return
        log = Log()
        for event in self.follow(execution_id):
            if isinstance(event, Output):
                yield log.text(event.kind, event.attempt, {"text": event.text, "stream": event.stream})
