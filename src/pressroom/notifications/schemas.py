"""Notifications on the wire."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from pressroom.wire import MAX_ID, Text, Timestamp, WireInput, WireModel, WireUpdate, example


class Channel(StrEnum):
    """How it is told."""

    WEBHOOK = "webhook"
    EMAIL = "email"


class Event(StrEnum):
    """What is told. An execution is late when it has not ended by the time that was set for it."""

    SUCCEEDED = "execution.succeeded"
    FAILED = "execution.failed"
    CANCELLED = "execution.cancelled"
    LATE = "execution.late"


class DeliveryStatus(StrEnum):
    """Where a delivery stands: `pending` until it was taken, or until there are no more tries."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


def _unique(events: list[Event]) -> list[Event]:
    return [event for event in Event if event in events]


Events = Annotated[
    list[Event],
    Field(min_length=1, max_length=100, description="Of what it tells.", examples=[["execution.failed"]]),
    AfterValidator(_unique),
]
Target = Annotated[
    Text,
    Field(
        min_length=1,
        max_length=2000,
        description="The URL of a webhook, or an e-mail address.",
        examples=["https://example.com/hooks/pressroom"],
    ),
]
Secret = Annotated[
    Text,
    Field(
        min_length=1,
        max_length=200,
        description="The key that a webhook is signed with (Standard Webhooks): `whsec_` and 24 to 64 bytes in Base64.",
    ),
]
NotebookId = Annotated[
    int, Field(ge=1, le=MAX_ID, description="The notebook whose executions it tells of; null for every notebook.")
]


class NotificationCreate(WireInput):
    """Somebody to be told of how executions end."""

    notebook_id: NotebookId | None = None
    channel: Channel
    target: Target
    events: Events
    secret: Secret | None = Field(default=None, description="For a webhook; if left out, one is made.")


class NotificationUpdate(WireUpdate):
    """The fields of a notification to change; those left out stay as they are."""

    notebook_id: NotebookId | None = None
    target: Target = Field(default_factory=str)
    events: Events = Field(default_factory=list[Event])
    secret: Secret = Field(default_factory=str)


_NOTIFICATION: dict[str, Any] = {
    "id": 1,
    "notebook_id": 1,
    "username": "ana",
    "channel": "webhook",
    "target": "https://hooks.example.com/pressroom",
    "events": ["execution.failed", "execution.late"],
    "created_at": "2026-10-31T08:00:00.000000Z",
}


class NotificationOut(WireModel):
    """A notification, without its secret. `username` is who made it."""

    model_config = example(**_NOTIFICATION)
    id: int
    notebook_id: int | None
    username: str
    channel: Channel
    target: str
    events: list[Event]
    created_at: Timestamp


class NotificationCreated(NotificationOut):
    """A notification that was just made. `secret` is said this once."""

    model_config = example(**_NOTIFICATION | {"secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"})
    secret: str | None


class DeliveryOut(WireModel):
    """One telling of one event. `detail` says why the last try failed."""

    model_config = example(
        id=1,
        execution_id=17,
        event="execution.failed",
        status="delivered",
        attempts=1,
        detail=None,
        created_at="2026-10-31T08:00:00.000000Z",
        delivered_at="2026-10-31T08:00:00.400000Z",
    )
    id: int
    execution_id: int
    event: Event
    status: DeliveryStatus
    attempts: int
    detail: str | None
    created_at: Timestamp
    delivered_at: Timestamp | None
