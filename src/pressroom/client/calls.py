"""Every call of the API, once: what is sent, and how the answer is read. The clients differ only in how they wait."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from json import dumps
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, JsonValue, TypeAdapter

from pressroom.client.hub import address_at_the_hub, token_of_the_hub
from pressroom.errors import (
    ExecutionCancelled,
    ExecutionFailed,
    ExecutionInterrupted,
    ExecutionTimedOut,
    PressroomError,
    Unavailable,
)
from pressroom.executions.schemas import ExecutionOut, Failure
from pressroom.executions.states import Status
from pressroom.notebooks.schemas import NotebookFile, NotebookFiles, NotebookOut, NotebookWithParameters
from pressroom.parameters.schemas import InferenceOut, ParameterOut

T = TypeVar("T")
DEFAULT_URL = "http://127.0.0.1:8002"
MOST = 1000
"""Items of the largest page."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request and the type of its answer; ``answer`` is ``None`` where there is none, ``bytes`` for a file and
    ``str`` for a text."""

    method: str
    path: str
    answer: Any
    json: Any = field(default=None, repr=False)
    query: Mapping[str, Any] = field(default_factory=dict[str, Any])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    file: tuple[str, bytes] | None = None
    form: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    seconds: float | None = None
    """How long it may take at least, where that is long."""

    def arguments(self, timeout: float) -> dict[str, Any]:
        """The keyword arguments of ``httpx.Client.request``; ``timeout`` is that of other requests, in seconds."""
        sent: dict[str, Any] = {
            "method": self.method,
            "url": self.path,
            "params": {name: value for name, value in self.query.items() if value is not None},
            "headers": dict(self.headers),
        }
        if self.seconds is not None:
            sent["timeout"] = max(self.seconds, timeout)
        if self.json is not None:
            sent["json"] = self.json
        if self.file is not None:
            sent |= {"files": {"file": self.file}, "data": dict(self.form)}
        return sent

    def read(self, response: httpx.Response) -> T:
        """The answer. Raises the error that a problem document tells of."""
        raise_for_problem(response)
        if self.answer is None:
            return None  # type: ignore[return-value]
        if self.answer is bytes:
            return response.content  # type: ignore[return-value]
        if self.answer is str:
            return response.text  # type: ignore[return-value]
        return TypeAdapter(self.answer).validate_json(response.content)


def raise_for_problem(response: httpx.Response) -> None:
    """Raise the error that an answer of 400 or more tells of."""
    if response.is_success:
        return
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    # The health of an unhealthy service has a `status` of its own, which is no number.
    raise PressroomError.from_problem({**problem, "status": response.status_code})


def unreachable(url: str, error: httpx.TransportError) -> Unavailable:
    """The error of a service that does not answer."""
    return Unavailable("service", f"{url}: {error or type(error).__name__}")


def address(given: str | None, token: str | None) -> tuple[str, dict[str, str]]:
    """The address of the service, and the headers that say who calls.

    The address: as given, else ``PRESSROOM_URL``, else the one at the Hub whose notebook server this is, else this
    machine. The token: as given, else ``PRESSROOM_TOKEN``, else the server's own, where the address is at its Hub.
    """
    url = given or os.environ.get("PRESSROOM_URL") or address_at_the_hub()
    token = token or os.environ.get("PRESSROOM_TOKEN") or (token_of_the_hub(url) if url else None)
    return url or DEFAULT_URL, {"Authorization": f"Bearer {token}"} if token else {}


def raise_for_status(execution: ExecutionOut) -> ExecutionOut:
    """The execution, if it succeeded; raises the error of how it ended otherwise."""
    if execution.status == Status.SUCCESS:
        return execution
    failure = (execution.failure or Failure(reason="failed")).model_dump()
    facts = {"execution_id": execution.id, "output_path": execution.output_path, **failure}
    kinds = {"timed_out": ExecutionTimedOut, "interrupted": ExecutionInterrupted}
    kind = kinds.get(str(failure.get("reason")), ExecutionFailed)
    if execution.status == Status.CANCELLED:
        kind = ExecutionCancelled
    raise kind(execution.error_message or f"Execution {execution.id} did not succeed.", **facts)


def _sent(**fields: Any) -> dict[str, Any]:
    """The fields that were given."""
    return {name: value for name, value in fields.items() if value is not None}


def _segment(name: str) -> str:
    """``name`` as one segment of a path, whatever is in it."""
    return quote(name, safe="")


def problem(name: str) -> Call[dict[str, Any]]:
    return Call("GET", f"/problems/{_segment(name)}", dict[str, Any])


def health() -> Call[dict[str, Any]]:
    return Call("GET", "/health", dict[str, Any])


def root() -> Call[dict[str, Any]]:
    return Call("GET", "/", dict[str, Any])


def register(
    name: str,
    file_path: str | Path,
    username: str,
    description: str | None,
    tags: Sequence[str],
    metadata: Mapping[str, JsonValue],
    execution_defaults: Mapping[str, JsonValue],
) -> Call[NotebookOut]:
    fields = _sent(name=name, file_path=str(file_path), username=username, description=description)
    fields |= {"tags": list(tags), "metadata": dict(metadata), "execution_defaults": dict(execution_defaults)}
    return Call("POST", "/db/notebooks", NotebookOut, fields)


def notebook(notebook_id: int) -> Call[NotebookWithParameters]:
    return Call("GET", f"/db/notebooks/{notebook_id}", NotebookWithParameters)


def notebooks(username: str | None, tag: str | None, skip: int, limit: int) -> Call[list[NotebookOut]]:
    query = {"username": username, "tag": tag, "skip": skip, "limit": limit}
    return Call("GET", "/db/notebooks", list[NotebookOut], query=query)


def update_notebook(notebook_id: int, changes: Mapping[str, Any]) -> Call[NotebookOut]:
    return Call("PUT", f"/db/notebooks/{notebook_id}", NotebookOut, dict(changes))


def delete_notebook(notebook_id: int) -> Call[None]:
    return Call("DELETE", f"/db/notebooks/{notebook_id}", None)


def schema(notebook_id: int) -> Call[dict[str, Any]]:
    return Call("GET", f"/db/notebooks/{notebook_id}/schema", dict[str, Any])


def define(notebook_id: int, definitions: Sequence[Mapping[str, Any] | BaseModel]) -> Call[list[ParameterOut]]:
    body = [d.model_dump(mode="json") if isinstance(d, BaseModel) else dict(d) for d in definitions]
    return Call("POST", f"/db/parameters/bulk/{notebook_id}", list[ParameterOut], body)


def infer(notebook_id: int) -> Call[InferenceOut]:
    return Call("POST", f"/db/parameters/infer/{notebook_id}", InferenceOut)


def parameters(notebook_id: int, skip: int, limit: int) -> Call[list[ParameterOut]]:
    query = {"skip": skip, "limit": limit}
    return Call("GET", f"/db/parameters/notebook/{notebook_id}", list[ParameterOut], query=query)


def parameter(parameter_id: int) -> Call[ParameterOut]:
    return Call("GET", f"/db/parameters/{parameter_id}", ParameterOut)


def update_parameter(parameter_id: int, changes: Mapping[str, Any]) -> Call[ParameterOut]:
    return Call("PUT", f"/db/parameters/{parameter_id}", ParameterOut, dict(changes))


def delete_parameter(parameter_id: int) -> Call[None]:
    return Call("DELETE", f"/db/parameters/{parameter_id}", None)


def history(
    *,
    username: str | None,
    status: str | Sequence[str] | None,
    notebook_id: int | None,
    queue: str | None,
    batch_id: int | None,
    schedule_id: int | None,
    submitted_after: datetime | None,
    submitted_before: datetime | None,
    parameters: Mapping[str, JsonValue] | None,
    oldest: bool,
) -> dict[str, Any]:
    statuses = [status] if isinstance(status, str) else list(status or ())
    query = _sent(
        username=username,
        status=[str(one) for one in statuses] or None,
        notebook_id=notebook_id,
        queue=queue,
        schedule_id=schedule_id,
        batch_id=batch_id,
        submitted_after=submitted_after and submitted_after.astimezone(UTC).isoformat(),
        submitted_before=submitted_before and submitted_before.astimezone(UTC).isoformat(),
        order="oldest" if oldest else None,
    )
    for name, value in (parameters or {}).items():
        query[f"param.{name}"] = value if isinstance(value, str) else dumps(value)
    return query


def executions(query: Mapping[str, Any], after: int | None, limit: int) -> Call[list[ExecutionOut]]:
    page = {**query, "after": after, "limit": limit}
    return Call("GET", "/db/executions", list[ExecutionOut], query=page)


def files(username: str) -> Call[NotebookFiles]:
    return Call("GET", f"/list-notebooks/{_segment(username)}", NotebookFiles)


def upload(name: str, data: bytes, username: str | None, file_path: str | None) -> Call[NotebookFile]:
    form = _sent(username=username, file_path=file_path)
    return Call("POST", "/upload-notebook", NotebookFile, file=(name, data), form=form)


def copy(notebook_id: int, username: str, file_path: str | None, name: str | None) -> Call[NotebookOut]:
    body = _sent(notebook_id=notebook_id, username=username, file_path=file_path, name=name)
    return Call("POST", "/copy-notebook", NotebookOut, body)


def from_template(
    notebook_id: int, file_path: str, parameters: Mapping[str, JsonValue] | None, username: str | None, name: str | None
) -> Call[NotebookOut]:
    body = _sent(notebook_id=notebook_id, file_path=file_path, username=username, name=name)
    return Call("POST", "/create-from-template", NotebookOut, body | {"parameters": dict(parameters or {})})


def download(notebook_id: int | None, path: str | None, username: str | None) -> Call[bytes]:
    query = {"notebook_id": notebook_id, "path": path, "username": username}
    return Call("GET", "/download-notebook", bytes, query=query)
