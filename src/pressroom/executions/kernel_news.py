"""What a worker tells of its kernels: kept in its row, for whoever asks any process of the service."""

import asyncio
import json
import logging
import time
from contextlib import suppress
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager
from procrastinate import exceptions
from pydantic import TypeAdapter

from pressroom.executions.kernel_schemas import KernelFacts
from pressroom.executions.queue import ExecutionJobs
from pressroom.press import Press

SECONDS = 5.0
"""Between two looks at the kernels."""
AGAIN_SECONDS = 60.0
"""After which it is told again though nothing has changed: the row may have been forgotten and made anew."""
_UNREGISTERED_SECONDS = 0.2
_TELL = "UPDATE workers SET kernels = %(kernels)s::jsonb WHERE id = %(worker_id)s"
_FACTS = TypeAdapter(list[KernelFacts])
log = logging.getLogger("pressroom.kernels")


async def kernels_of(press: Press) -> list[KernelFacts]:
    """What there is to tell of the kernels of a press."""
    reports = await press.reports()
    names = await asyncio.to_thread(_display_names)
    return [
        KernelFacts(
            name=report.name,
            language=report.language,
            display_name=names.get(report.name, report.name),
            forked=report.forked,
            why_not=report.why_not,
            preloaded=list(report.preloaded),
            refused=report.refused,
            memory_bytes=report.memory_bytes,
            forks=report.forks,
        )
        for report in reports
    ]


def _display_names() -> dict[str, str]:
    """The display names of kernel specs; one that has none that can be read is left out."""
    found: dict[str, str] = {}
    for name, folder in KernelSpecManager().find_kernel_specs().items():
        with suppress(OSError, ValueError, KeyError, TypeError):
            found[name] = str(json.loads(Path(folder, "kernel.json").read_bytes())["display_name"])
    return found


class KernelNews:
    """Tells of a worker's kernels while it works: where something has changed, and now and then."""

    def __init__(self, jobs: ExecutionJobs, press: Press) -> None:
        self._jobs, self._press = jobs, press
        self._told: tuple[int, bytes] | None = None
        self._at = float("-inf")

    async def run(self) -> None:
        """Look and tell for ever."""
        while True:
            pause = SECONDS
            try:
                if not await self.tell():
                    pause = _UNREGISTERED_SECONDS
            except exceptions.ConnectorException as error:
                log.warning("what the kernels are cannot be told: %s", error.__cause__ or error)
            except Exception:  # what is told is for people to look at; executions go on without it
                log.exception("what the kernels are could not be told")
            await asyncio.sleep(pause)

    async def tell(self) -> bool:
        """Look, and tell where there is news; whether the worker is known, so that it can be told at all."""
        worker_id = self._jobs.worker_id
        if worker_id is None:
            return False
        kernels = _FACTS.dump_json(await kernels_of(self._press))
        moment = time.monotonic()
        if self._told != (worker_id, kernels) or moment - self._at >= AGAIN_SECONDS:
            await self._jobs.connector.execute_query_async(_TELL, kernels=kernels.decode(), worker_id=worker_id)
            self._told, self._at = (worker_id, kernels), moment
        return True
