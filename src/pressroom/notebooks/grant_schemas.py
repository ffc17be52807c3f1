"""Grants on the wire."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from pressroom.wire import Timestamp, WireInput, WireModel, example


class GranteeKind(StrEnum):
    """Whom a grant is to."""

    USER = "user"
    GROUP = "group"


GrantedLevel = Literal["viewer", "runner", "editor"]


class GrantWanted(WireInput):
    """What a user or a group shall be able to do with a notebook."""

    level: GrantedLevel = Field(
        description="viewer: see it and its executions; runner: execute it, too; editor: change what is said of it, "
        "too.",
        examples=["runner"],
    )


class GrantOut(WireModel):
    """What a user or a group may do with a notebook."""

    model_config = example(
        notebook_id=1,
        kind="group",
        grantee="finance",
        level="runner",
        granted_by="ana",
        created_at="2026-10-31T08:00:00.000000Z",
    )
    notebook_id: int
    kind: GranteeKind
    grantee: str
    level: GrantedLevel
    granted_by: str
    created_at: Timestamp
