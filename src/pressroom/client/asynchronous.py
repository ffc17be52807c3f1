"""The asynchronous client."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel, JsonValue

from pressroom.client import calls
from pressroom.client.batches_async import AsyncBatches
from pressroom.client.calls import Call, address, unreachable
from pressroom.client.grants import AsyncGrants
from pressroom.client.live_async import AsyncLive
from pressroom.client.notifications import AsyncNotifications
from pressroom.client.results import AsyncResults
from pressroom.client.schedules import AsyncSchedules
from pressroom.client.stream import GIVE_UP_SECONDS
from pressroom.executions.schemas import ExecutionOut
from pressroom.executions.states import Status
from pressroom.notebooks.schemas import NotebookFile, NotebookFiles, NotebookOut, NotebookWithParameters
from pressroom.parameters.schemas import InferenceOut, ParameterOut

T = TypeVar("T")


class AsyncClient(AsyncBatches, AsyncGrants, AsyncNotifications, AsyncResults, AsyncSchedules, AsyncLive):
    """A client of a Pressroom service.

    ``base_url`` is its address; if left out, ``PRESSROOM_URL``, else the one at the JupyterHub whose notebook server
    this is, else this machine. ``token`` says who calls; if left out, ``PRESSROOM_TOKEN``, else the notebook server's
    own, which is sent to its Hub's host alone, else nobody says it. ``timeout`` is how long one request may take, and
    ``give_up_seconds`` how long the service may be away while an execution is followed or waited for, in seconds.
    Every method raises the classes of :mod:`pressroom.errors`, and :class:`Unavailable` where the service does not
    answer. Paths start at the caller's directory.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        token: str | None = None,
        timeout: float = 30.0,
        give_up_seconds: float = GIVE_UP_SECONDS,
    ) -> None:
        self.url, headers = address(base_url, token)
        self.timeout, self.give_up_seconds = timeout, give_up_seconds
        self._http = httpx.AsyncClient(base_url=self.url, timeout=timeout, headers=headers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _call(self, call: Call[T]) -> T:
        try:
            response = await self._http.request(**call.arguments(self.timeout))
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error
        return call.read(response)

    async def root(self) -> dict[str, Any]:
        """The service's name, its version, and a map of its endpoints."""
        return await self._call(calls.root())

    async def problem(self, name: str) -> dict[str, Any]:
        """What a type of problem means; ``name`` is the last word of its ``type``."""
        return await self._call(calls.problem(name))

    async def health(self) -> dict[str, Any]:
        """The state of the service and of its parts. Raises :class:`Unavailable` where it is unhealthy."""
        return await self._call(calls.health())

    async def register(
        self,
        name: str,
        file_path: str | Path,
        username: str,
        *,
        description: str | None = None,
        tags: Sequence[str] = (),
        metadata: Mapping[str, JsonValue] | None = None,
        execution_defaults: Mapping[str, JsonValue] | None = None,
    ) -> NotebookOut:
        """Register a notebook. ``execution_defaults``: what its executions get where their caller does not say."""
        call = calls.register(name, file_path, username, description, tags, metadata or {}, execution_defaults or {})
        return await self._call(call)

    async def notebook(self, notebook_id: int) -> NotebookWithParameters:
        """One notebook, with its parameters."""
        return await self._call(calls.notebook(notebook_id))

    async def update_notebook(self, notebook_id: int, **changes: Any) -> NotebookOut:
        """Change the fields that are given."""
        return await self._call(calls.update_notebook(notebook_id, changes))

    async def delete_notebook(self, notebook_id: int) -> None:
        """Take a notebook out of the registry; its file and its history stay."""
        await self._call(calls.delete_notebook(notebook_id))

    async def schema(self, notebook_id: int) -> dict[str, Any]:
        """The JSON Schema of a notebook's parameters."""
        return await self._call(calls.schema(notebook_id))

    async def define(self, notebook_id: int, *definitions: Mapping[str, Any] | BaseModel) -> list[ParameterOut]:
        """Give a notebook parameters: all of them, or none where one is wrong."""
        return await self._call(calls.define(notebook_id, definitions))

    async def infer(self, notebook_id: int) -> InferenceOut:
        """Propose parameters from the notebook's parameters cell."""
        return await self._call(calls.infer(notebook_id))

    async def parameters(self, notebook_id: int) -> list[ParameterOut]:
        """A notebook's parameters."""
        found: list[ParameterOut] = []
        while page := await self._call(calls.parameters(notebook_id, len(found), calls.MOST)):
            found += page
            if len(page) < calls.MOST:
                break
        return found

    async def parameter(self, parameter_id: int) -> ParameterOut:
        """One definition."""
        return await self._call(calls.parameter(parameter_id))

    async def update_parameter(self, parameter_id: int, **changes: Any) -> ParameterOut:
        """Change the fields of a definition that are given."""
        return await self._call(calls.update_parameter(parameter_id, changes))

    async def delete_parameter(self, parameter_id: int) -> None:
        """Delete a definition."""
        await self._call(calls.delete_parameter(parameter_id))

    async def files(self, username: str) -> NotebookFiles:
        """The notebook files in a user's directory."""
        return await self._call(calls.files(username))

    async def upload(
        self, name: str, data: bytes, *, username: str | None = None, file_path: str | None = None
    ) -> NotebookFile:
        """Put a notebook into a user's directory."""
        return await self._call(calls.upload(name, data, username, file_path))

    async def copy(
        self, notebook_id: int, username: str, *, file_path: str | None = None, name: str | None = None
    ) -> NotebookOut:
        """Copy a registered notebook to another user, and register the copy."""
        return await self._call(calls.copy(notebook_id, username, file_path, name))

    async def from_template(
        self,
        notebook_id: int,
        file_path: str,
        parameters: Mapping[str, JsonValue] | None = None,
        *,
        username: str | None = None,
        name: str | None = None,
    ) -> NotebookOut:
        """Make a notebook from a registered one, with values of its parameters in it."""
        return await self._call(calls.from_template(notebook_id, file_path, parameters, username, name))

    async def download(
        self, *, notebook_id: int | None = None, path: str | None = None, username: str | None = None
    ) -> bytes:
        """The file of a registered notebook, or a notebook file by its path."""
        return await self._call(calls.download(notebook_id, path, username))

    async def notebooks(self, *, username: str | None = None, tag: str | None = None) -> AsyncIterator[NotebookOut]:
        """The registered notebooks, by id, page after page."""
        skip, limit = 0, 100
        while True:
            page = await self._call(calls.notebooks(username, tag, skip, limit))
            for item in page:
                yield item
            if len(page) < limit:
                return
            skip += limit

    async def executions(
        self,
        *,
        username: str | None = None,
        status: Status | str | Sequence[Status | str] | None = None,
        notebook_id: int | None = None,
        queue: str | None = None,
        batch_id: int | None = None,
        schedule_id: int | None = None,
        submitted_after: datetime | None = None,
        submitted_before: datetime | None = None,
        parameters: Mapping[str, JsonValue] | None = None,
        oldest: bool = False,
    ) -> AsyncIterator[ExecutionOut]:
        """The history, newest first, page after page: what meets every condition given, each execution once.

        ``status``: one, or any of several. A time without a zone is this machine's; ``submitted_before`` is not in the
        range. A text in ``parameters`` matches the number, boolean or null that it spells, too. What begins meanwhile
        is given with ``oldest``, and not without.
        """
        query = calls.history(
            username=username,
            status=status,
            notebook_id=notebook_id,
            queue=queue,
            schedule_id=schedule_id,
            batch_id=batch_id,
            submitted_after=submitted_after,
            submitted_before=submitted_before,
            parameters=parameters,
            oldest=oldest,
        )
        after, limit = None, 100
        while True:
            page = await self._call(calls.executions(query, after, limit))
            for item in page:
                yield item
            if len(page) < limit:
                return
            after = page[-1].id
