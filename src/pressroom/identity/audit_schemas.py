"""The audit on the wire."""

from typing import Any

from pressroom.wire import Timestamp, WireModel, example


class AuditOut(WireModel):
    """Who did what, or was refused. ``status`` is that of a refusal; ``facts`` say what the path does not."""

    model_config = example(
        id=1,
        at="2026-10-31T08:00:00.000000Z",
        username="bo",
        source="token",
        token_id=1,
        address="127.0.0.1",
        operation="delete_a_notebook",
        method="DELETE",
        path="/db/notebooks/1",
        facts={},
        allowed=False,
        status=403,
    )
    id: int
    at: Timestamp
    username: str | None
    source: str | None
    token_id: int | None
    address: str | None
    operation: str
    method: str
    path: str
    facts: dict[str, Any]
    allowed: bool
    status: int | None
