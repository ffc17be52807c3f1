"""The calls of executions that go on: what is sent, and how the answer is read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, JsonValue

from pressroom.client.calls import Call
from pressroom.client.options import BulkOrder, body
from pressroom.executions.kernel_schemas import KernelOut
from pressroom.executions.schemas import AttemptOut, BulkAnswer, ExecutionOut, QueueOut, WorkerOut

_ASYNC = {"Prefer": "respond-async"}


class Receipt(BaseModel):
    """The answer where a key found an execution that has succeeded already."""

    execution_id: int


def submit(
    input_path: str | Path, parameters: Mapping[str, JsonValue] | None, options: Mapping[str, Any]
) -> Call[ExecutionOut | Receipt]:
    fields = body(options) | {"input_path": str(input_path), "parameters": dict(parameters or {})}
    return _sent("/run-notebook" if "output_path" in fields else "/execute", fields, options)


def submit_notebook(
    notebook_id: int, parameters: Mapping[str, JsonValue] | None, options: Mapping[str, Any]
) -> Call[ExecutionOut | Receipt]:
    fields = body(options) | {"parameters": dict(parameters or {})}
    return _sent(f"/db/notebooks/{notebook_id}/executions", fields, options)


def _sent(path: str, fields: dict[str, Any], options: Mapping[str, Any]) -> Call[ExecutionOut | Receipt]:
    headers = _ASYNC | _once(options.get("idempotency_key"))
    return Call("POST", path, ExecutionOut | Receipt, fields, headers=headers)


def _once(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Idempotency-Key": key}


def submit_many(orders: Sequence[BulkOrder], key: str | None) -> Call[BulkAnswer]:
    items = [body(order) | {"parameters": dict(order.get("parameters", {}))} for order in orders]
    return Call("POST", "/db/executions/bulk", BulkAnswer, {"executions": items}, headers=_once(key))


def execution(execution_id: int) -> Call[ExecutionOut]:
    return Call("GET", f"/db/executions/{execution_id}", ExecutionOut)


def cancel(execution_id: int) -> Call[ExecutionOut]:
    return Call("POST", f"/db/executions/{execution_id}/cancel", ExecutionOut)


def retry(execution_id: int) -> Call[ExecutionOut]:
    return Call("POST", f"/db/executions/{execution_id}/retry", ExecutionOut)


def attempts(execution_id: int) -> Call[list[AttemptOut]]:
    return Call("GET", f"/db/executions/{execution_id}/attempts", list[AttemptOut])


def log(execution_id: int) -> Call[str]:
    return Call("GET", f"/db/executions/{execution_id}/log", str)


def output(execution_id: int) -> Call[bytes]:
    return Call("GET", f"/db/executions/{execution_id}/notebook", bytes)


def html(execution_id: int, *, hide_input: bool) -> Call[str]:
    query = {"input": "hide" if hide_input else "show"}
    return Call("GET", f"/db/executions/{execution_id}/html", str, query=query)


def workers() -> Call[list[WorkerOut]]:
    return Call("GET", "/db/workers", list[WorkerOut])


def queues() -> Call[list[QueueOut]]:
    return Call("GET", "/db/queues", list[QueueOut])


def kernels() -> Call[list[KernelOut]]:
    return Call("GET", "/kernels", list[KernelOut])
